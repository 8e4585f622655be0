//! The subscriptions by the levels of their filters. The cost of a publish depends on its topic's depth and its matches, not on the number
//! of subscriptions.

use std::collections::HashMap;

/// Bytes of memory that a subscription with this checked filter takes, here and in its session, roughly. Each level may have a node of its
/// own.
#[must_use]
pub fn memory_bytes(filter: &str) -> usize {
    const SUBSCRIPTION: usize = 300;
    const NODE: usize = 400;
    SUBSCRIPTION + 2 * filter.len() + NODE * filter.split('/').count()
}

/// Subscriptions of many subscribers; each has at most one for a filter.
#[derive(Debug)]
pub(super) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    /// Subscriber and subscription.
    entries: Vec<(u64, T)>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { children: HashMap::new(), entries: Vec::new() }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Trie<T> {
    /// Adds a subscription. Returns true if the subscriber had this filter already; its subscription is replaced then.
    pub(super) fn insert(&mut self, filter: &str, subscriber: u64, value: T) -> bool {
        let mut node = &mut self.root;
        for level in filter.split('/') {
            if !node.children.contains_key(level) {
                node.children.insert(level.into(), Node::default());
            }
            let Some(child) = node.children.get_mut(level) else { return false };
            node = child;
        }
        match node.entries.iter_mut().find(|(id, _)| *id == subscriber) {
            Some((_, old)) => {
                *old = value;
                true
            }
            None => {
                node.entries.push((subscriber, value));
                false
            }
        }
    }

    /// Removes a subscription. Returns true if the subscriber had this filter.
    pub(super) fn remove(&mut self, filter: &str, subscriber: u64) -> bool {
        self.root.remove(&mut filter.split('/'), subscriber)
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

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.entries.is_empty()
    }

    fn remove(&mut self, levels: &mut std::str::Split<'_, char>, subscriber: u64) -> bool {
        let Some(level) = levels.next() else {
            let before = self.entries.len();
            self.entries.retain(|(id, _)| *id != subscriber);
            return self.entries.len() < before;
        };
        let Some(child) = self.children.get_mut(level) else { return false };
        let removed = child.remove(levels, subscriber);
        if child.is_empty() {
            self.children.remove(level);
        }
        removed
    }

    fn matching<'a>(&'a self, mut levels: std::str::Split<'_, char>, found: &mut impl FnMut(u64, &'a T)) {
        match levels.next() {
            Some(level) => self.matching_level(level, levels, true, found),
            None => {
                self.report(found);
                self.children.get("#").into_iter().for_each(|all| all.report(found));
            }
        }
    }

    fn matching_level<'a>(
        &'a self,
        level: &str,
        rest: std::str::Split<'_, char>,
        wildcards: bool,
        found: &mut impl FnMut(u64, &'a T),
    ) {
        if wildcards {
            if let Some(all) = self.children.get("#") {
                all.report(found);
            }
            if let Some(any) = self.children.get("+") {
                any.matching(rest.clone(), found);
            }
        }
        if let Some(child) = self.children.get(level) {
            child.matching(rest, found);
        }
    }

    fn report<'a>(&'a self, found: &mut impl FnMut(u64, &'a T)) {
        self.entries.iter().for_each(|(id, value)| found(*id, value));
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
