//! Detects plugins that trigger each other. Samples are edges of a graph: a plugin answered an event of one node (device or topic)
//! with an effect on another. A path back to its first node is a cycle. This is a heuristic: it sees only frequent effects
//! ([`super::loop_guard`] samples targets with five effects a second and more), and cannot know that an event would have come
//! without the effect. Pure: the caller gives the time.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use hashbrown::{HashMap, HashSet};

use switchbox_model::{DeviceNum, PluginName};
use switchbox_support::log_limit::LogLimits;

/// Older samples are ignored.
const SAMPLE_TTL: Duration = Duration::from_secs(10);
/// Samples kept. If there are so many, new ones are ignored until old ones expire.
const EDGES_MAX: usize = 10_000;
/// Plugins in a cycle, at most.
const CYCLE_MAX: usize = 8;
/// A cycle that still exists is reported again after this time.
const REPORT_AGAIN: Duration = Duration::from_secs(600);
/// Expected cycles remembered as reported. If there are so many, all are forgotten.
const EXPECTED_MAX: usize = 1_000;

/// The source of an event or the target of an effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// With its id, for messages.
    Device(DeviceNum, Box<str>),
    Topic(Box<str>),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(_, id) => f.write_str(id),
            Self::Topic(topic) => f.write_str(topic),
        }
    }
}

#[derive(Debug)]
struct Edge {
    plugin: PluginName,
    to: Node,
    /// The next event needs no device: the host itself makes it.
    without_device: bool,
    sampled: Duration,
}

/// A path back to its first node: each plugin with the node that it acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    steps: Vec<(PluginName, Node)>,
    /// One plugin that answers a device's own data on the same device, as the hop relay does.
    pub(super) expected: bool,
}

impl Cycle {
    pub(super) fn plugins(&self) -> impl Iterator<Item = &PluginName> {
        self.steps.iter().map(|(plugin, _)| plugin)
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (plugin, node) in &self.steps {
            write!(f, "{plugin} → {node} → ")?;
        }
        self.steps.first().map_or(Ok(()), |(plugin, _)| write!(f, "{plugin}"))
    }
}

/// The recent samples.
#[derive(Debug)]
pub(super) struct Cycles {
    edges: HashMap<Node, Vec<Edge>>,
    /// The number of edges.
    len: usize,
    /// When the clock of the samples was zero.
    began: Instant,
    reported: LogLimits<String>,
    /// Each of these is reported once.
    expected: HashSet<String>,
}

impl Default for Cycles {
    fn default() -> Self {
        Self {
            edges: HashMap::new(),
            len: 0,
            began: Instant::now(),
            reported: LogLimits::within(1, REPORT_AGAIN),
            expected: HashSet::new(),
        }
    }
}

impl Cycles {
    /// Adds a sample: the plugin answered an event of `from` with an effect on `to`. `without_device`: an effect alone made the event, without a
    /// device (a message, a settled command). Returns a cycle that has to be reported.
    pub(super) fn add(
        &mut self,
        now: Duration,
        from: Node,
        plugin: &PluginName,
        to: Node,
        without_device: bool,
    ) -> Option<Cycle> {
        self.insert(now, &from, plugin, &to, without_device);
        let mut steps = vec![(plugin.clone(), to.clone())];
        let mut without_device = without_device;
        if from != to {
            let (back, all_without_device) = self.shortest_path(now, &to, &from)?;
            steps.extend(back);
            without_device &= all_without_device;
        }
        let cycle = Cycle { expected: steps.len() == 1 && !without_device, steps: canonical(steps) };
        self.is_due(now, &cycle).then_some(cycle)
    }

    fn insert(&mut self, now: Duration, from: &Node, plugin: &PluginName, to: &Node, without_device: bool) {
        if self.len >= EDGES_MAX {
            self.remove_expired(now);
        }
        let edges = self.edges.entry(from.clone()).or_default();
        if let Some(edge) = edges.iter_mut().find(|edge| edge.plugin == *plugin && edge.to == *to) {
            (edge.sampled, edge.without_device) = (now, without_device);
        } else if self.len < EDGES_MAX {
            edges.push(Edge { plugin: plugin.clone(), to: to.clone(), without_device, sampled: now });
            self.len += 1;
        }
    }

    fn remove_expired(&mut self, now: Duration) {
        for edges in self.edges.values_mut() {
            edges.retain(|edge| edge.sampled + SAMPLE_TTL > now);
        }
        self.edges.retain(|_, edges| !edges.is_empty());
        self.len = self.edges.values().map(Vec::len).sum();
    }

    /// The shortest path, by breadth-first search, and whether all its edges are `without_device`.
    fn shortest_path(&self, now: Duration, start: &Node, end: &Node) -> Option<(Vec<(PluginName, Node)>, bool)> {
        let mut seen: HashSet<&Node> = HashSet::from_iter([start]);
        let mut open = VecDeque::from([(start, Vec::<&Edge>::new())]);
        while let Some((node, path)) = open.pop_front() {
            if path.len() + 1 >= CYCLE_MAX {
                continue;
            }
            let edges = self.edges.get(node).map_or(&[][..], Vec::as_slice);
            for edge in edges.iter().filter(|edge| edge.sampled + SAMPLE_TTL > now) {
                let mut longer = path.clone();
                longer.push(edge);
                if edge.to == *end {
                    let steps = longer.iter().map(|edge| (edge.plugin.clone(), edge.to.clone())).collect();
                    return Some((steps, longer.iter().all(|edge| edge.without_device)));
                }
                if seen.insert(&edge.to) {
                    open.push_back((&edge.to, longer));
                }
            }
        }
        None
    }

    /// Whether the cycle has to be reported now; it then counts as reported.
    fn is_due(&mut self, now: Duration, cycle: &Cycle) -> bool {
        let key = cycle.to_string();
        if !cycle.expected {
            return self.reported.is_first(key, self.began + now);
        }
        if self.expected.len() >= EXPECTED_MAX {
            self.expected.clear();
        }
        self.expected.insert(key)
    }
}

/// Rotated to the least step, so that a cycle is equal whichever of its nodes it was detected from.
fn canonical(mut steps: Vec<(PluginName, Node)>) -> Vec<(PluginName, Node)> {
    let least = steps.iter().enumerate().min_by_key(|(_, (plugin, node))| (plugin.clone(), node.to_string()));
    let index = least.map_or(0, |(index, _)| index);
    steps.rotate_left(index);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        match name.parse() {
            Ok(num) => Node::Device(DeviceNum(num), format!("device-{num}").into()),
            Err(_) => Node::Topic(name.into()),
        }
    }

    /// Adds `from plugin to` samples at the given seconds. Returns the reported cycles, `!` before one that is worth a warning.
    fn reported(samples: &[(u64, &str)]) -> Vec<String> {
        let mut cycles = Cycles::default();
        let add = |(at, text): &(u64, &str)| {
            let words: Vec<_> = text.split(' ').collect();
            let [from, plugin, to] = words[..] else { panic!("{text}") };
            let plugin = PluginName::new(plugin).unwrap();
            let without_device = from.parse::<u64>().is_err();
            let cycle = cycles.add(Duration::from_secs(*at), node(from), &plugin, node(to), without_device)?;
            Some(format!("{}{cycle}", if cycle.expected { "" } else { "!" }))
        };
        samples.iter().filter_map(add).collect()
    }

    #[test]
    fn a_path_back_to_its_first_node_is_reported() {
        for (samples, expect) in [
            (&[(0, "1 a 2"), (0, "2 b 1")][..], &["!a → device-2 → b → device-1 → a"][..]),
            (&[(0, "2 b 1"), (0, "1 a 2")], &["!a → device-2 → b → device-1 → a"]),
            (&[(0, "1 a 2"), (0, "2 b 3"), (0, "3 c 4")], &[]),
            (&[(0, "1 a 2"), (0, "2 b 3"), (0, "3 c 1")], &["!a → device-2 → b → device-3 → c → device-1 → a"]),
            (&[(0, "1 a t"), (0, "t b 1")], &["!a → t → b → device-1 → a"]),
            (&[(0, "1 a 2"), (0, "2 a 1")], &["!a → device-1 → a → device-2 → a"]),
            (&[(0, "t a t")], &["!a → t → a"]),
        ] {
            assert_eq!(reported(samples), expect, "{samples:?}");
        }
    }

    #[test]
    fn one_plugin_on_one_device_is_reported_once_and_is_no_problem() {
        assert_eq!(reported(&[(0, "1 hop 1"), (1, "1 hop 1"), (9_000, "1 hop 1")]), ["hop → device-1 → hop"]);
    }

    #[test]
    fn a_cycle_is_reported_once_in_ten_minutes() {
        let round = |at| [(at, "1 a 2"), (at, "2 b 1")];
        let samples = [round(0), round(5), round(300), round(599), round(700)].concat();
        assert_eq!(reported(&samples).len(), 2);
    }

    #[test]
    fn an_expired_sample_is_ignored() {
        assert_eq!(reported(&[(0, "1 a 2"), (11, "2 b 1")]), [""; 0]);
    }

    #[test]
    fn samples_are_bounded() {
        let mut cycles = Cycles::default();
        let plugin = PluginName::new("a").unwrap();
        for n in 0..20_000_u64 {
            cycles.add(
                Duration::from_secs(n / 5_000),
                node(&n.to_string()),
                &plugin,
                node(&(n + 1).to_string()),
                false,
            );
        }
        assert_eq!(cycles.len, EDGES_MAX);
        cycles.add(Duration::from_secs(60), node("1"), &plugin, node("2"), false);
        assert_eq!(cycles.len, 1);
    }
}
