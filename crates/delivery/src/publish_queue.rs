//! Messages that plugins publish on ordinary topics, from their commit until they are delivered to the subscribers. Messages of one topic
//! are delivered in the order of their commits. Queueing never blocks the journal's writer.
//!
//! QoS 1 and 2 are delivered at least once: a message stays among the documents until it is settled, and the settlement is in the
//! journal behind all entries that the message caused. After a clean stop no message is delivered twice; after a crash, messages without a
//! settlement are delivered again. QoS 0 is delivered at most once.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use switchbox_model::{Message, limits};
use switchbox_store::OutgoingDoc;

/// Topics are spread over so many shards, which are delivered concurrently: a subscriber that does not read delays one shard.
pub(super) const SHARDS: usize = 8;

/// A queued message.
pub(super) struct Item {
    /// The effect's key.
    pub(super) id: String,
    pub(super) message: Arc<Message>,
}

/// The messages of some topics, in the order of their commits.
#[derive(Default)]
pub(super) struct TopicShard {
    pub(super) items: Mutex<VecDeque<Item>>,
    /// Wakes the task that delivers them.
    pub(super) work: Notify,
}

/// Committed messages that are not delivered yet. Bounded by [`PublishQueue::wait_for_room`], where plugins wait before they commit more.
#[derive(Default)]
pub(super) struct PublishQueue {
    pub(super) shards: [TopicShard; SHARDS],
    /// Whether messages are queued: false during the replay at the start and after the publisher has ended.
    pub(super) is_open: AtomicBool,
    /// Bytes of the queued messages.
    bytes: AtomicUsize,
    /// Wakes the tasks that wait for room.
    pub(super) room: Notify,
}

impl PublishQueue {
    /// Queues a message that was applied from the journal. Messages of the replay at the start are ignored: those of QoS 1 and 2 come from
    /// the documents, and those of QoS 0 are not delivered again.
    pub(super) fn push(&self, id: String, message: Message) {
        if !self.is_open.load(Ordering::Acquire) {
            return;
        }
        self.bytes.fetch_add(message.size(), Ordering::Relaxed);
        let mut hasher = DefaultHasher::new();
        message.topic.hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0);
        if let Some(shard) = self.shards.get(index) {
            shard.items.lock().push_back(Item { id, message: Arc::new(message) });
            shard.work.notify_one();
        }
    }

    /// Begins to queue messages, first those that were not settled when the host stopped.
    pub(super) fn start(&self, unpublished: Vec<OutgoingDoc>) {
        self.is_open.store(true, Ordering::Release);
        for OutgoingDoc { id, topic, payload, qos, retain } in unpublished {
            self.push(id, Message { qos, retain, ..Message::new(&topic, payload) });
        }
    }

    fn is_full(&self) -> bool {
        self.is_open.load(Ordering::Acquire) && self.bytes.load(Ordering::Relaxed) >= limits::OUTGOING_BYTES
    }

    /// Waits until the queue has fewer than [`limits::OUTGOING_BYTES`]. Returns false if it had to wait.
    pub(super) async fn wait_for_room(&self) -> bool {
        let mut has_not_waited = true;
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return has_not_waited;
            }
            has_not_waited = false;
            room.await;
        }
    }

    /// Messages of this many bytes are not in the queue any more.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if !self.is_full() {
            self.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::QoS;

    fn topics(queue: &PublishQueue) -> Vec<String> {
        let mut all: Vec<_> = queue
            .shards
            .iter()
            .flat_map(|l| l.items.lock().iter().map(|i| i.message.topic.to_string()).collect::<Vec<_>>())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_is_replayed_is_not_given_again_but_what_was_left_is() {
        let queue = PublishQueue::default();
        queue.push("1.p.0".into(), Message::new("replayed", "x"));
        assert_eq!(topics(&queue), [""; 0]);
        let unpublished = OutgoingDoc {
            id: "1.p.0".into(),
            topic: "left".into(),
            payload: "x".into(),
            qos: QoS::AtLeastOnce,
            retain: false,
        };
        queue.start(vec![unpublished]);
        queue.push("1.p.1".into(), Message::new("new", "x"));
        assert_eq!(topics(&queue), ["left", "new"]);
    }

    #[tokio::test]
    async fn there_is_room_again_when_enough_was_given() {
        let queue = PublishQueue::default();
        queue.start(Vec::new());
        assert!(queue.wait_for_room().await, "an empty queue has room at once");
        queue.push("1.p.0".into(), Message::new("a", vec![0; limits::OUTGOING_BYTES]));
        let (waited, ()) =
            tokio::join!(queue.wait_for_room(), async { queue.release(queue.bytes.load(Ordering::Relaxed)) });
        assert!(!waited);
    }
}
