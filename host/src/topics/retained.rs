//! The last retained message of each topic, bounded in number and in bytes. In memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
    time::Instant,
};

use super::filter;
use crate::model::{
    Message,
    limits::{self, LimitName},
};

/// Topics looked at in one go: who publishes retained messages waits for it.
const PAGE_TOPICS: usize = 256;

/// Some of the retained messages that match a filter.
#[derive(Debug)]
pub struct Page {
    pub messages: Vec<Arc<Message>>,
    /// Behind which topic there may be more; None: these are the last.
    pub next: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<Arc<str>, Arc<Message>>,
    /// The topics of those that run out of time, by when.
    expiring: BTreeSet<(Instant, Arc<str>)>,
    bytes: usize,
}

impl Retained {
    /// An empty payload clears the topic. Err with the limit's name when there is no room: the old message stays.
    pub(super) fn set(&mut self, message: &Arc<Message>) -> Result<(), LimitName> {
        if message.payload.is_empty() {
            self.remove(&message.topic);
            return Ok(());
        }
        let old = self.messages.get(&message.topic).map(|old| old.size());
        if old.is_none() && self.messages.len() >= limits::RETAINED {
            return Err(limits::names::RETAINED_MESSAGES);
        }
        if self.bytes - old.unwrap_or(0) + message.size() > limits::RETAINED_BYTES {
            return Err(limits::names::RETAINED_BYTES);
        }
        self.remove(&message.topic);
        self.bytes += message.size();
        self.expiring.extend(message.expires.map(|at| (at, message.topic.clone())));
        self.messages.insert(message.topic.clone(), message.clone());
        Ok(())
    }

    fn remove(&mut self, topic: &Arc<str>) {
        let Some(message) = self.messages.remove(topic) else { return };
        self.bytes -= message.size();
        if let Some(at) = message.expires {
            self.expiring.remove(&(at, topic.clone()));
        }
    }

    /// Lets go of all that ran out of time; gives their topics.
    pub(super) fn purge(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        while let Some((_, topic)) = self.expiring.first().filter(|(at, _)| *at <= now) {
            let topic = topic.clone();
            self.remove(&topic);
            gone.push(topic);
        }
        gone
    }

    /// The first that match, by their topics; behind `after`, if it is given. Looks at [`PAGE_TOPICS`], whether they match or not.
    pub(super) fn page(&self, filter: &str, after: Option<&str>) -> Page {
        let prefix = filter::literal_prefix(filter);
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let behind = self.messages.range::<str, _>((from, Bound::Unbounded));
        let mut topics = behind.take_while(|(topic, _)| topic.starts_with(prefix));
        let (mut messages, mut last) = (Vec::new(), None);
        for (topic, message) in topics.by_ref().take(PAGE_TOPICS) {
            if filter::matches(filter, topic) {
                messages.push(message.clone());
            }
            last = Some(topic);
        }
        let next = topics.next().and(last).cloned();
        Page { messages, next }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message::new(topic, payload))
    }

    fn topics(retained: &Retained, filter: &str) -> Vec<String> {
        retained.page(filter, None).messages.iter().map(|m| m.topic.to_string()).collect()
    }

    #[test]
    fn a_filter_finds_the_last_message_of_each_topic() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/c", "ab", "$x/a"] {
            retained.set(&message(topic, "1")).unwrap();
            retained.set(&message(topic, "2")).unwrap();
        }
        for (filter, expect) in [
            ("a/#", vec!["a", "a/b", "a/c"]),
            ("#", vec!["a", "a/b", "a/c", "ab"]),
            ("+/b", vec!["a/b"]),
            ("a", vec!["a"]),
            ("$x/+", vec!["$x/a"]),
        ] {
            assert_eq!(topics(&retained, filter), expect, "{filter}");
        }
        assert_eq!(retained.page("a", None).messages[0].payload, "2");
    }

    #[test]
    fn pages_together_have_all_that_match_once() {
        let mut retained = Retained::default();
        for n in 0..3 * PAGE_TOPICS {
            retained.set(&message(&format!("a/{n}/{}", if n % 3 == 0 { "x" } else { "y" }), "1")).unwrap();
            retained.set(&message(&format!("b/{n}"), "1")).unwrap();
        }
        for (filter, pages, all) in [("a/+/x", 3, PAGE_TOPICS), ("a/#", 3, 3 * PAGE_TOPICS), ("#", 6, 6 * PAGE_TOPICS)]
        {
            let (mut found, mut after, mut count) = (BTreeSet::new(), None, 0);
            loop {
                let page = retained.page(filter, after.as_deref());
                count += 1;
                assert!(page.messages.iter().all(|message| found.insert(message.topic.clone())), "twice");
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!((count, found.len()), (pages, all), "{filter}");
        }
    }

    #[test]
    fn an_empty_payload_and_time_clear_a_topic() {
        let mut retained = Retained::default();
        retained.set(&message("a", "x")).unwrap();
        retained.set(&message("a", "")).unwrap();
        let now = Instant::now();
        let expiring = |topic, secs| {
            Arc::new(Message { expires: Some(now + Duration::from_secs(secs)), ..Message::new(topic, "x") })
        };
        retained.set(&expiring("b", 0)).unwrap();
        // What stands in its place now has its own time, or none.
        for (topic, newer) in [("c", expiring("c", 9)), ("d", message("d", "x")), ("e", message("e", ""))] {
            retained.set(&expiring(topic, 0)).unwrap();
            retained.set(&newer).unwrap();
        }
        assert_eq!(retained.purge(now), ["b".into()] as [Arc<str>; 1]);
        assert_eq!(topics(&retained, "#"), ["c", "d"]);
        assert_eq!(retained.purge(now + Duration::from_secs(9)), ["c".into()] as [Arc<str>; 1]);
        assert_eq!(retained.bytes, message("d", "x").size());
        assert!(retained.expiring.is_empty());
    }

    #[test]
    fn the_number_and_the_bytes_are_bounded() {
        let mut retained = Retained::default();
        for n in 0..limits::RETAINED {
            retained.set(&message(&n.to_string(), "x")).unwrap();
        }
        assert_eq!(retained.set(&message("more", "x")), Err(limits::names::RETAINED_MESSAGES));
        retained.set(&message("0", "y")).unwrap();
        let big = Arc::new(Message::new("1", vec![0; limits::RETAINED_BYTES]));
        assert_eq!(retained.set(&big), Err(limits::names::RETAINED_BYTES));
        assert_eq!(retained.page("1", None).messages[0].payload, "x");
    }
}
