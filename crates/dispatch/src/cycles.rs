//! Notices plugins that feed each other: from samples of which plugin answered an event of what with an effect on what, it
//! finds ways that lead back to where they began. A heuristic: it sees only what happens often ([`super::guard`] samples
//! targets with five effects a second and more), and cannot know that an event would have come without the effect. Pure; the
//! time is given.

use std::{collections::VecDeque, fmt, time::Duration};

use hashbrown::{HashMap, HashSet};

use switchbox_model::{DeviceNum, PluginName};

/// A sample counts for so long.
const FRESH: Duration = Duration::from_secs(10);
/// Samples kept; past it, new ones do not count until old ones have run out.
const EDGES_MAX: usize = 10_000;
/// Plugins in a cycle, at most.
const LONGEST: usize = 8;
/// A cycle is reported again after this, if it is still there.
const REPORT_AGAIN: Duration = Duration::from_secs(600);
/// Cycles remembered as reported; past it, all are forgotten.
const REPORTED_MAX: usize = 1_000;

/// What events come from and effects go to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// With its id, for people.
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
    /// The effect's target answers within the host: no device is needed for the next event.
    inside: bool,
    seen: Duration,
}

/// A way that leads back to where it began: each plugin with the node that it acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cycle {
    steps: Vec<(PluginName, Node)>,
    /// One plugin that answers a device's own data on that device, as the hop relay does.
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

/// What was sampled lately.
#[derive(Debug, Default)]
pub(super) struct Cycles {
    edges: HashMap<Node, Vec<Edge>>,
    len: usize,
    reported: HashMap<String, Duration>,
}

impl Cycles {
    /// The plugin answered an event of `from` with an effect on `to`. `inside`: the event came of an effect without a device's
    /// doing (a message, a settled command). Returns a cycle that is to be reported.
    pub(super) fn note(
        &mut self,
        now: Duration,
        from: Node,
        plugin: &PluginName,
        to: Node,
        inside: bool,
    ) -> Option<Cycle> {
        self.insert(now, &from, plugin, &to, inside);
        let mut steps = vec![(plugin.clone(), to.clone())];
        let mut inside = inside;
        if from != to {
            let (back, all_inside) = self.way(now, &to, &from)?;
            steps.extend(back);
            inside &= all_inside;
        }
        let cycle = Cycle { expected: steps.len() == 1 && !inside, steps: canonical(steps) };
        self.tell(now, &cycle).then_some(cycle)
    }

    fn insert(&mut self, now: Duration, from: &Node, plugin: &PluginName, to: &Node, inside: bool) {
        if self.len >= EDGES_MAX {
            self.forget_old(now);
        }
        let edges = self.edges.entry(from.clone()).or_default();
        if let Some(edge) = edges.iter_mut().find(|edge| edge.plugin == *plugin && edge.to == *to) {
            (edge.seen, edge.inside) = (now, inside);
        } else if self.len < EDGES_MAX {
            edges.push(Edge { plugin: plugin.clone(), to: to.clone(), inside, seen: now });
            self.len += 1;
        }
    }

    fn forget_old(&mut self, now: Duration) {
        for edges in self.edges.values_mut() {
            edges.retain(|edge| edge.seen + FRESH > now);
        }
        self.edges.retain(|_, edges| !edges.is_empty());
        self.len = self.edges.values().map(Vec::len).sum();
    }

    /// The shortest way along fresh samples, and whether all of it is within the host.
    fn way(&self, now: Duration, start: &Node, end: &Node) -> Option<(Vec<(PluginName, Node)>, bool)> {
        let mut seen: HashSet<&Node> = HashSet::from_iter([start]);
        let mut open = VecDeque::from([(start, Vec::<&Edge>::new())]);
        while let Some((node, way)) = open.pop_front() {
            if way.len() + 1 >= LONGEST {
                continue;
            }
            let edges = self.edges.get(node).map_or(&[][..], Vec::as_slice);
            for edge in edges.iter().filter(|edge| edge.seen + FRESH > now) {
                let mut longer = way.clone();
                longer.push(edge);
                if edge.to == *end {
                    let steps = longer.iter().map(|edge| (edge.plugin.clone(), edge.to.clone())).collect();
                    return Some((steps, longer.iter().all(|edge| edge.inside)));
                }
                if seen.insert(&edge.to) {
                    open.push_back((&edge.to, longer));
                }
            }
        }
        None
    }

    fn tell(&mut self, now: Duration, cycle: &Cycle) -> bool {
        let key = cycle.to_string();
        // An expected cycle is reported once.
        if self.reported.get(&key).is_some_and(|reported| cycle.expected || *reported + REPORT_AGAIN > now) {
            return false;
        }
        if self.reported.len() >= REPORTED_MAX {
            self.reported.clear();
        }
        self.reported.insert(key, now);
        true
    }
}

/// Beginning with the least step, so that a cycle is the same wherever it was noticed.
fn canonical(mut steps: Vec<(PluginName, Node)>) -> Vec<(PluginName, Node)> {
    let least = steps.iter().enumerate().min_by_key(|(_, (plugin, node))| (plugin.clone(), node.to_string()));
    let at = least.map_or(0, |(at, _)| at);
    steps.rotate_left(at);
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

    /// Notes `from plugin to` samples at the given seconds; returns what is reported, `!` before what is worth a warning.
    fn reported(samples: &[(u64, &str)]) -> Vec<String> {
        let mut cycles = Cycles::default();
        let note = |(at, text): &(u64, &str)| {
            let words: Vec<_> = text.split(' ').collect();
            let [from, plugin, to] = words[..] else { panic!("{text}") };
            let plugin = PluginName::new(plugin).unwrap();
            let inside = from.parse::<u64>().is_err();
            let cycle = cycles.note(Duration::from_secs(*at), node(from), &plugin, node(to), inside)?;
            Some(format!("{}{cycle}", if cycle.expected { "" } else { "!" }))
        };
        samples.iter().filter_map(note).collect()
    }

    #[test]
    fn a_way_that_leads_back_is_named() {
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
    fn what_was_long_ago_leads_nowhere() {
        assert_eq!(reported(&[(0, "1 a 2"), (11, "2 b 1")]), [""; 0]);
    }

    #[test]
    fn samples_are_bounded() {
        let mut cycles = Cycles::default();
        let plugin = PluginName::new("a").unwrap();
        for n in 0..20_000_u64 {
            cycles.note(
                Duration::from_secs(n / 5_000),
                node(&n.to_string()),
                &plugin,
                node(&(n + 1).to_string()),
                false,
            );
        }
        assert_eq!(cycles.len, EDGES_MAX);
        cycles.note(Duration::from_secs(60), node("1"), &plugin, node("2"), false);
        assert_eq!(cycles.len, 1);
    }
}
