//! The last retained message of each topic, bounded in number and in bytes. In memory.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Instant};

use super::filter;
use crate::model::{Message, limits};

#[derive(Debug, Default)]
pub(super) struct Retained {
    messages: BTreeMap<Arc<str>, Arc<Message>>,
    bytes: usize,
}

impl Retained {
    /// An empty payload clears the topic. Err with the limit's name when there is no room: the old message stays.
    pub(super) fn set(&mut self, message: &Arc<Message>) -> Result<(), &'static str> {
        if message.payload.is_empty() {
            if let Some(old) = self.messages.remove(&message.topic) {
                self.bytes -= old.size();
            }
            return Ok(());
        }
        let old = self.messages.get(&message.topic).map(|old| old.size());
        if old.is_none() && self.messages.len() >= limits::RETAINED {
            return Err("retained_messages");
        }
        let bytes = self.bytes - old.unwrap_or(0) + message.size();
        if bytes > limits::RETAINED_BYTES {
            return Err("retained_bytes");
        }
        self.bytes = bytes;
        self.messages.insert(message.topic.clone(), message.clone());
        Ok(())
    }

    /// All that match, those that ran out of time removed.
    pub(super) fn matching(&mut self, filter: &str, now: Instant) -> Vec<Arc<Message>> {
        let prefix = filter::literal_prefix(filter);
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let (expired, found): (Vec<_>, Vec<_>) = self
            .messages
            .range::<str, _>(from)
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, _)| filter::matches(filter, topic))
            .map(|(_, message)| message.clone())
            .partition(|message| message.is_expired(now));
        for message in expired {
            self.messages.remove(&message.topic);
            self.bytes -= message.size();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(topic: &str, payload: &'static str) -> Arc<Message> {
        Arc::new(Message::new(topic, payload))
    }

    fn topics(retained: &mut Retained, filter: &str) -> Vec<String> {
        retained.matching(filter, Instant::now()).iter().map(|m| m.topic.to_string()).collect()
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
            assert_eq!(topics(&mut retained, filter), expect, "{filter}");
        }
        assert_eq!(retained.matching("a", Instant::now())[0].payload, "2");
    }

    #[test]
    fn an_empty_payload_and_time_clear_a_topic() {
        let mut retained = Retained::default();
        retained.set(&message("a", "x")).unwrap();
        retained.set(&message("a", "")).unwrap();
        let now = Instant::now();
        retained.set(&Arc::new(Message { expires: Some(now), ..Message::new("b", "x") })).unwrap();
        assert!(retained.matching("#", now + Duration::from_secs(1)).is_empty());
        assert_eq!(retained.bytes, 0);
    }

    #[test]
    fn the_number_and_the_bytes_are_bounded() {
        let mut retained = Retained::default();
        for n in 0..limits::RETAINED {
            retained.set(&message(&n.to_string(), "x")).unwrap();
        }
        assert_eq!(retained.set(&message("more", "x")), Err("retained_messages"));
        retained.set(&message("0", "y")).unwrap();
        let big = Arc::new(Message::new("1", vec![0; limits::RETAINED_BYTES]));
        assert_eq!(retained.set(&big), Err("retained_bytes"));
        assert_eq!(retained.matching("1", Instant::now())[0].payload, "x");
    }
}
