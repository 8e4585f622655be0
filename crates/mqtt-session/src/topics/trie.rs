//! The subscriptions by the levels of their filters. The cost of a publish depends on its topic's depth and its matches, not on the number
//! of subscriptions. A clone is a snapshot that costs one count: a change copies the nodes from the root to the subscription if a snapshot
//! has them, and changes them in place otherwise.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
};

/// Children, or subscriptions to one filter, from which on a node keeps them in [`SHARDS`] parts, so that a change copies one part and
/// not all.
const SHARDED_FROM: usize = 64;
const SHARDS: usize = 256;

/// Clients choose the names of levels, and cannot choose them so that all fall into one part.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Bytes of memory that a subscription with this checked filter takes, here and in its session, roughly. Each level may have a node of its
/// own.
#[must_use]
pub fn memory_bytes(filter: &str) -> usize {
    const SUBSCRIPTION: usize = 300;
    const NODE: usize = 400;
    SUBSCRIPTION + 2 * filter.len() + NODE * filter.split('/').count()
}

/// Subscriptions of many subscribers; each has at most one for a filter.
#[derive(Debug, Clone)]
pub(super) struct Trie<T> {
    root: Arc<Node<T>>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    /// The child of the level `#`, the multi-level wildcard.
    multi_level: Option<Arc<Self>>,
    /// The child of the level `+`, the single-level wildcard.
    single_level: Option<Arc<Self>>,
    /// The children of the other levels.
    named: Children<T>,
    /// The subscriptions whose filter ends at this node.
    entries: Entries<T>,
}

/// Subscribers and their subscriptions to one filter: in one part, or by the subscriber's number in [`SHARDS`].
#[derive(Debug, Clone)]
struct Entries<T> {
    parts: Vec<Arc<Vec<(u64, T)>>>,
    len: usize,
}

/// The children of levels without a wildcard: in one part, or by the hash of the level in [`SHARDS`].
#[derive(Debug, Clone)]
struct Children<T> {
    shards: Vec<Arc<Shard<T>>>,
    len: usize,
}

type Shard<T> = HashMap<Arc<str>, Arc<Node<T>>>;

impl<T> Default for Children<T> {
    fn default() -> Self {
        Self { shards: Vec::new(), len: 0 }
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0 }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { multi_level: None, single_level: None, named: Children::default(), entries: Entries::default() }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Arc::default() }
    }
}

impl<T: Clone> Trie<T> {
    /// Adds a subscription. Returns true if the subscriber had this filter already; its subscription is replaced then.
    pub(super) fn insert(&mut self, filter: &str, subscriber: u64, value: T) -> bool {
        let mut node = Arc::make_mut(&mut self.root);
        for level in filter.split('/') {
            let Some(child) = node.child_or_new(level) else { return false };
            node = child;
        }
        node.entries.insert(subscriber, value)
    }

    /// Removes a subscription. Returns true if the subscriber had this filter.
    pub(super) fn remove(&mut self, filter: &str, subscriber: u64) -> bool {
        Arc::make_mut(&mut self.root).remove(&mut filter.split('/'), subscriber)
    }

    /// Calls `found` for every subscription that matches the topic; more than once for a subscriber with several.
    pub(super) fn matching<'a>(&'a self, topic: &str, found: &mut impl FnMut(u64, &'a T)) {
        let mut levels = topic.split('/');
        let first = levels.next().unwrap_or_default();
        self.root.matching_level(first, levels, !topic.starts_with('$'), found);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl<T: Clone> Node<T> {
    fn is_empty(&self) -> bool {
        self.multi_level.is_none() && self.single_level.is_none() && self.named.len == 0 && self.entries.len == 0
    }

    fn child_or_new(&mut self, level: &str) -> Option<&mut Self> {
        match level {
            "#" => Some(Arc::make_mut(self.multi_level.get_or_insert_default())),
            "+" => Some(Arc::make_mut(self.single_level.get_or_insert_default())),
            name => {
                if self.named.get(name).is_none() {
                    self.named.insert(name);
                }
                self.named.get_mut(name)
            }
        }
    }

    fn remove(&mut self, levels: &mut std::str::Split<'_, char>, subscriber: u64) -> bool {
        let Some(level) = levels.next() else {
            return self.entries.remove(subscriber);
        };
        let child = match level {
            "#" => self.multi_level.as_mut().map(Arc::make_mut),
            "+" => self.single_level.as_mut().map(Arc::make_mut),
            name => self.named.get_mut(name),
        };
        let Some(child) = child else { return false };
        let removed = child.remove(levels, subscriber);
        if child.is_empty() {
            match level {
                "#" => self.multi_level = None,
                "+" => self.single_level = None,
                name => self.named.remove(name),
            }
        }
        removed
    }

    fn matching<'a>(&'a self, mut levels: std::str::Split<'_, char>, found: &mut impl FnMut(u64, &'a T)) {
        match levels.next() {
            Some(level) => self.matching_level(level, levels, true, found),
            None => {
                self.report(found);
                self.multi_level.iter().for_each(|child| child.report(found));
            }
        }
    }

    fn matching_level<'a>(
        &'a self,
        level: &str,
        remaining: std::str::Split<'_, char>,
        has_wildcards: bool,
        found: &mut impl FnMut(u64, &'a T),
    ) {
        if has_wildcards {
            if let Some(child) = &self.multi_level {
                child.report(found);
            }
            if let Some(child) = &self.single_level {
                child.matching(remaining.clone(), found);
            }
        }
        if let Some(child) = self.named.get(level) {
            child.matching(remaining, found);
        }
    }

    fn report<'a>(&'a self, found: &mut impl FnMut(u64, &'a T)) {
        self.entries.parts.iter().flat_map(|part| part.iter()).for_each(|(id, value)| found(*id, value));
    }
}

impl<T: Clone> Entries<T> {
    fn part_mut(&mut self, subscriber: u64) -> Option<&mut Vec<(u64, T)>> {
        let part = if self.parts.len() <= 1 { 0 } else { usize::try_from(subscriber % SHARDS as u64).unwrap_or(0) };
        self.parts.get_mut(part).map(Arc::make_mut)
    }

    /// Returns true if the subscriber had a subscription, which is replaced.
    fn insert(&mut self, subscriber: u64, value: T) -> bool {
        match self.parts.len() {
            0 => self.parts.push(Arc::default()),
            1 if self.len >= SHARDED_FROM => self.divide(),
            _ => {}
        }
        let Some(part) = self.part_mut(subscriber) else { return false };
        if let Some((_, old)) = part.iter_mut().find(|(id, _)| *id == subscriber) {
            *old = value;
            return true;
        }
        part.push((subscriber, value));
        self.len += 1;
        false
    }

    fn divide(&mut self) {
        let undivided = std::mem::replace(&mut self.parts, vec![Arc::default(); SHARDS]);
        for (subscriber, value) in undivided.iter().flat_map(|part| part.iter()) {
            if let Some(part) = self.part_mut(*subscriber) {
                part.push((*subscriber, value.clone()));
            }
        }
    }

    /// Returns true if the subscriber had a subscription.
    fn remove(&mut self, subscriber: u64) -> bool {
        let Some(part) = self.part_mut(subscriber) else { return false };
        let Some(index) = part.iter().position(|(id, _)| *id == subscriber) else { return false };
        part.swap_remove(index);
        self.len -= 1;
        if self.len == 0 {
            self.parts = Vec::new();
        }
        true
    }
}

impl<T: Clone> Children<T> {
    /// The index of the shard for this level.
    fn shard(&self, level: &str) -> usize {
        if self.shards.len() <= 1 {
            return 0;
        }
        usize::try_from(HASHER.hash_one(level) % SHARDS as u64).unwrap_or(0)
    }

    fn get(&self, level: &str) -> Option<&Node<T>> {
        self.shards.get(self.shard(level))?.get(level).map(|child| &**child)
    }

    fn get_mut(&mut self, level: &str) -> Option<&mut Node<T>> {
        let shard = self.shard(level);
        Arc::make_mut(self.shards.get_mut(shard)?).get_mut(level).map(Arc::make_mut)
    }

    /// Adds an empty child for a level that has none.
    fn insert(&mut self, level: &str) {
        match self.shards.len() {
            0 => self.shards.push(Arc::default()),
            1 if self.len >= SHARDED_FROM => self.divide(),
            _ => {}
        }
        self.put(level.into(), Arc::default());
        self.len += 1;
    }

    fn divide(&mut self) {
        let empty: Arc<Shard<T>> = Arc::default();
        let undivided = std::mem::replace(&mut self.shards, vec![empty; SHARDS]);
        for (level, child) in undivided.iter().flat_map(|shard| shard.iter()) {
            self.put(level.clone(), child.clone());
        }
    }

    fn put(&mut self, level: Arc<str>, child: Arc<Node<T>>) {
        let shard = self.shard(&level);
        if let Some(shard) = self.shards.get_mut(shard) {
            Arc::make_mut(shard).insert(level, child);
        }
    }

    fn remove(&mut self, level: &str) {
        let shard = self.shard(level);
        let Some(shard) = self.shards.get_mut(shard) else { return };
        if Arc::make_mut(shard).remove(level).is_some() {
            self.len -= 1;
        }
        if self.len == 0 {
            self.shards = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use switchbox_rules::topic::MATCHES;

    use super::*;

    #[test]
    fn the_trie_matches_what_the_filters_match() {
        for (filter, topic, expect) in MATCHES {
            let mut trie = Trie::default();
            trie.insert(filter, 1, ());
            let mut count = 0;
            trie.matching(topic, &mut |_, ()| count += 1);
            assert_eq!(count == 1, *expect, "{filter} {topic}");
        }
    }

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut trie = Trie::default();
        let filters: std::collections::BTreeSet<_> = MATCHES.iter().map(|(filter, ..)| *filter).collect();
        for filter in &filters {
            assert!(!trie.insert(filter, 1, ()) && trie.insert(filter, 1, ()) && !trie.remove(filter, 9), "{filter}");
        }
        for filter in &filters {
            assert!(trie.remove(filter, 1), "{filter}");
        }
        assert!(trie.is_empty());
        assert!(!trie.remove("a/b", 1));
    }

    #[test]
    fn a_snapshot_shows_no_later_change_and_many_children_are_found() {
        let matches = |trie: &Trie<()>, topic: &str| {
            let mut count = 0;
            trie.matching(topic, &mut |_, ()| count += 1);
            count
        };
        let filter = |device: usize| format!("site/{device}/state");
        let devices = 0..3 * SHARDED_FROM;
        let mut trie = Trie::default();
        for device in devices.clone() {
            assert!(!trie.insert(&filter(device), 1, ()));
        }
        trie.insert("site/+/state", 2, ());
        let before = trie.clone();
        for topic in devices.map(filter) {
            assert!(trie.insert(&topic, 1, ()));
            assert_eq!(matches(&trie, &topic), 2);
            assert!(trie.remove(&topic, 1) && !trie.remove(&topic, 1));
            trie.insert("site/#", 3, ());
            assert_eq!((matches(&trie, &topic), matches(&before, &topic)), (2, 2), "{topic}");
            assert!(trie.remove("site/#", 3));
            assert_eq!((matches(&trie, &topic), matches(&before, &topic)), (1, 2), "{topic}");
        }
        assert!(trie.remove("site/+/state", 2) && trie.is_empty() && !before.is_empty());
    }

    #[test]
    fn many_subscribers_of_one_filter_are_each_found_replaced_and_removed() {
        let ids = |trie: &Trie<u8>| {
            let mut ids = Vec::new();
            trie.matching("a", &mut |id, value| ids.push((id, *value)));
            ids.sort_unstable();
            ids
        };
        let subscribers = 0..5 * SHARDED_FROM as u64;
        let mut trie = Trie::default();
        assert!(subscribers.clone().all(|id| !trie.insert("a", id, 1)));
        let before = trie.clone();
        assert!(subscribers.clone().all(|id| trie.insert("a", id, 2)));
        assert_eq!(ids(&trie), subscribers.clone().map(|id| (id, 2)).collect::<Vec<_>>());
        assert!(subscribers.clone().all(|id| trie.remove("a", id) && !trie.remove("a", id)));
        assert!(trie.is_empty());
        assert_eq!(ids(&before), subscribers.map(|id| (id, 1)).collect::<Vec<_>>());
    }

    proptest::proptest! {
        #[test]
        fn any_filter_and_topic_agree_with_the_plain_match(
            filters in proptest::collection::vec("[ab+$]{0,2}(/[ab+]?){0,3}(/#)?", 1..8),
            topic in "[ab$]{0,1}(/[ab]{0,1}){0,4}",
        ) {
            let filters: Vec<String> = filters.into_iter().filter(|f| super::super::check_filter(f).is_ok()).collect();
            let mut trie = Trie::default();
            for (at, filter) in filters.iter().enumerate() {
                trie.insert(filter, at as u64, ());
            }
            let mut got = Vec::new();
            trie.matching(&topic, &mut |id, ()| got.push(id));
            got.sort_unstable();
            let expect: Vec<u64> = filters.iter().enumerate()
                .filter(|(_, f)| super::super::matches(f, &topic)).map(|(at, _)| at as u64).collect();
            proptest::prop_assert_eq!(got, expect);
        }
    }
}
