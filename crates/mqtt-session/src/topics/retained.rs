//! The retained message of each topic, in memory. Their number and bytes are bounded in total and for each owner.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
    time::Instant,
};

use switchbox_model::{
    Message,
    broker::Owner,
    limits::{LimitName, RETAINED, RETAINED_BYTES, names},
    quota::SharedQuota,
};
use switchbox_rules::topic;

/// Topics that one page examines. Publishers of retained messages wait while they are collected, not while they are matched.
const PAGE_TOPICS: usize = 256;

/// The bounds of the number of messages.
const NUMBER: SharedQuota = SharedQuota::beside(RETAINED, (names::RETAINED_MESSAGES, names::RETAINED_MESSAGES_OF_ONE));
/// The bounds of the messages' bytes.
const BYTES: SharedQuota = SharedQuota::beside(RETAINED_BYTES, (names::RETAINED_BYTES, names::RETAINED_BYTES_OF_ONE));

/// A page of the retained messages that match a filter.
#[derive(Debug)]
pub struct Page {
    pub messages: Vec<Arc<Message>>,
    /// The topic after which the next page begins. `None` if this is the last page.
    pub next: Option<Arc<str>>,
}

impl Page {
    /// Keeps the messages whose topics match. This takes longer than to collect them, and needs no lock.
    pub(super) fn matching(mut self, filter: &str) -> Self {
        self.messages.retain(|message| topic::matches(filter, &message.topic));
        self
    }
}

#[derive(Debug)]
struct RetainedMessage {
    message: Arc<Message>,
    owner: Owner,
}

/// The number and bytes of one owner's retained messages.
#[derive(Debug, Clone, Copy, Default)]
struct RetainedUsage {
    number: usize,
    bytes: usize,
}

/// The retained message of each topic.
#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<Arc<str>, RetainedMessage>,
    /// What each owner's messages take.
    usage: HashMap<Owner, RetainedUsage>,
    /// The topics of messages that expire, by the time.
    expiring: BTreeSet<(Instant, Arc<str>)>,
    /// Bytes of all messages.
    bytes: usize,
}

impl RetainedMessage {
    fn size(&self) -> usize {
        self.message.size()
    }
}

impl Retained {
    /// Stores a message; an empty payload removes the topic's message. The error is the name of the limit that leaves no room; the old
    /// message stays then.
    pub(super) fn set(&mut self, message: &Arc<Message>, owner: &Owner) -> Result<(), LimitName> {
        if message.payload.is_empty() {
            self.remove(&message.topic);
            return Ok(());
        }
        let owner_usage = self.usage.get(owner).copied().unwrap_or_default();
        let old = self.messages.get(&message.topic);
        let (other_count, old_bytes) =
            (self.messages.len() - usize::from(old.is_some()), old.map_or(0, RetainedMessage::size));
        if old.is_some_and(|old| old.owner == *owner) {
            // A message that is not larger than the one that it replaces always fits.
            if message.size() > old_bytes {
                BYTES.check(owner, owner_usage.bytes - old_bytes, self.bytes - old_bytes, message.size())?;
            }
        } else {
            NUMBER.check(owner, owner_usage.number, other_count, 1)?;
            BYTES.check(owner, owner_usage.bytes, self.bytes - old_bytes, message.size())?;
        }
        self.restore(message, owner.clone());
        Ok(())
    }

    /// Stores a message without a check of the bounds, which may have been lowered since it was stored first.
    pub(super) fn restore(&mut self, message: &Arc<Message>, owner: Owner) {
        self.remove(&message.topic);
        self.bytes += message.size();
        let usage = self.usage.entry(owner.clone()).or_default();
        usage.number += 1;
        usage.bytes += message.size();
        self.expiring.extend(message.expires.map(|at| (at, message.topic.clone())));
        self.messages.insert(message.topic.clone(), RetainedMessage { message: message.clone(), owner });
    }

    fn remove(&mut self, topic: &Arc<str>) {
        let Some(RetainedMessage { message, owner }) = self.messages.remove(topic) else { return };
        self.bytes -= message.size();
        if let Some(usage) = self.usage.get_mut(&owner) {
            usage.number -= 1;
            usage.bytes -= message.size();
            if usage.number == 0 {
                self.usage.remove(&owner);
            }
        }
        if let Some(at) = message.expires {
            self.expiring.remove(&(at, topic.clone()));
        }
    }

    /// Removes all expired messages and returns their topics.
    pub(super) fn purge(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut expired = Vec::new();
        while let Some((_, topic)) = self.expiring.first().filter(|(at, _)| *at <= now) {
            let topic = topic.clone();
            self.remove(&topic);
            expired.push(topic);
        }
        expired
    }

    /// The number of messages, and their bytes.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.messages.len(), self.bytes)
    }

    /// The messages that the next page examines, in the order of their topics, after the topic `after` if it is given: [`PAGE_TOPICS`],
    /// whether they match or not. [`Page::matching`] keeps those that do.
    pub(super) fn candidates(&self, filter: &str, after: Option<&str>) -> Page {
        let prefix = topic::literal_prefix(filter);
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let candidates = self.messages.range::<str, _>((start, Bound::Unbounded));
        let mut topics = candidates.take_while(|(topic, _)| topic.starts_with(prefix));
        let messages: Vec<_> =
            topics.by_ref().take(PAGE_TOPICS).map(|(_, retained)| retained.message.clone()).collect();
        let last_topic = messages.last().map(|message| message.topic.clone());
        Page { next: topics.next().and(last_topic), messages }
    }

    /// The messages that have replaced these.
    pub(super) fn newer(&self, messages: &[Arc<Message>]) -> Vec<Arc<Message>> {
        let current = messages.iter().filter_map(|old| Some((old, &self.messages.get(&old.topic)?.message)));
        current.filter(|(old, current)| !Arc::ptr_eq(old, current)).map(|(_, current)| current.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const EVERYONE: Owner = Owner::Everyone;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message::new(topic, payload))
    }

    fn topics(retained: &Retained, filter: &str) -> Vec<String> {
        retained.candidates(filter, None).matching(filter).messages.iter().map(|m| m.topic.to_string()).collect()
    }

    #[test]
    fn a_filter_finds_the_last_message_of_each_topic() {
        let mut retained = Retained::default();
        for topic in ["a", "a/b", "a/c", "ab", "$x/a"] {
            retained.set(&message(topic, "1"), &EVERYONE).unwrap();
            retained.set(&message(topic, "2"), &EVERYONE).unwrap();
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
        assert_eq!(retained.candidates("a", None).matching("a").messages[0].payload, "2");
    }

    #[test]
    fn a_message_that_was_replaced_is_known_by_the_newer_one() {
        let mut retained = Retained::default();
        for topic in ["a", "b", "c"] {
            retained.set(&message(topic, "1"), &EVERYONE).unwrap();
        }
        let page = retained.candidates("#", None);
        assert!(retained.newer(&page.messages).is_empty());
        retained.set(&message("b", "2"), &EVERYONE).unwrap();
        retained.set(&message("c", ""), &EVERYONE).unwrap();
        let newer = retained.newer(&page.messages);
        assert_eq!(
            newer.iter().map(|message| (&*message.topic, &*message.payload)).collect::<Vec<_>>(),
            [("b", &b"2"[..])]
        );
    }

    #[test]
    fn pages_together_have_all_that_match_once() {
        let mut retained = Retained::default();
        for n in 0..3 * PAGE_TOPICS {
            retained.set(&message(&format!("a/{n}/{}", if n % 3 == 0 { "x" } else { "y" }), "1"), &EVERYONE).unwrap();
            retained.set(&message(&format!("b/{n}"), "1"), &EVERYONE).unwrap();
        }
        for (filter, pages, all) in [("a/+/x", 3, PAGE_TOPICS), ("a/#", 3, 3 * PAGE_TOPICS), ("#", 6, 6 * PAGE_TOPICS)]
        {
            let (mut found, mut after, mut count) = (BTreeSet::new(), None, 0);
            loop {
                let page = retained.candidates(filter, after.as_deref()).matching(filter);
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
        retained.set(&message("a", "x"), &EVERYONE).unwrap();
        retained.set(&message("a", ""), &EVERYONE).unwrap();
        let now = Instant::now();
        let expiring = |topic, secs| {
            Arc::new(Message { expires: Some(now + Duration::from_secs(secs)), ..Message::new(topic, "x") })
        };
        retained.set(&expiring("b", 0), &EVERYONE).unwrap();
        // The message that replaced it has its own expiry, or none.
        for (topic, newer) in [("c", expiring("c", 9)), ("d", message("d", "x")), ("e", message("e", ""))] {
            retained.set(&expiring(topic, 0), &EVERYONE).unwrap();
            retained.set(&newer, &EVERYONE).unwrap();
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
        for n in 0..RETAINED {
            retained.set(&message(&n.to_string(), "x"), &EVERYONE).unwrap();
        }
        assert_eq!(retained.set(&message("more", "x"), &EVERYONE), Err(names::RETAINED_MESSAGES_OF_ONE));
        retained.set(&message("0", "y"), &EVERYONE).unwrap();
        let big = Arc::new(Message::new("1", vec![0; RETAINED_BYTES]));
        assert_eq!(retained.set(&big, &EVERYONE), Err(names::RETAINED_BYTES_OF_ONE));
        assert_eq!(retained.candidates("1", None).matching("1").messages[0].payload, "x");
    }

    #[test]
    fn one_owner_cannot_use_up_what_others_may_keep() {
        let mut retained = Retained::default();
        let owner = |n: usize| Owner::Service(format!("account-{n}").into());
        for n in 0..5 {
            let kept =
                (0..RETAINED).take_while(|m| retained.set(&message(&format!("{n}/{m}"), "x"), &owner(n)).is_ok());
            assert_eq!(kept.count(), if n < 3 { NUMBER.one } else { NUMBER.all / 100 }, "account {n}");
        }
        // A topic that another owner takes over is its own.
        retained.set(&message("0/0", "y"), &owner(5)).unwrap();
        assert_eq!((retained.usage[&owner(0)].number, retained.usage[&owner(5)].number), (NUMBER.one - 1, 1));
        retained.set(&message("0/more", "x"), &owner(0)).unwrap_err();
        retained.set(&message("0/0", ""), &owner(0)).unwrap();
        assert!(!retained.usage.contains_key(&owner(5)));
        let large = |topic: &str| Arc::new(Message::new(topic, vec![0; BYTES.one / 2]));
        let mut retained = Retained::default();
        retained.set(&large("a"), &owner(0)).unwrap();
        assert_eq!(retained.set(&large("b"), &owner(0)), Err(names::RETAINED_BYTES_OF_ONE));
        retained.set(&large("a"), &owner(0)).unwrap();
        retained.set(&large("b"), &owner(1)).unwrap();
    }
}
