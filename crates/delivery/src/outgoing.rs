//! Plugins' messages on ordinary topics: from the commit to the subscribers, and to the plugins that such a topic triggers.
//! Each topic's messages go in the order of their commits. Never holds up the log's writer.
//!
//! At least once for QoS 1 and 2: a message stays among the documents until it is settled, and the settlement stands in
//! the log behind all that the message brought about. After a clean stop nothing is given twice; after a crash what was
//! not settled is given (again). QoS 0 is given at most once.

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
use tokio_util::sync::CancellationToken;

use super::Handle;
use switchbox_core::ingest;
use switchbox_model::{Entry, Message, QoS, Settlement, broker::Owner, limits};
use switchbox_mqtt_session::topics::{self, WaitBudget};
use switchbox_store as store;
use switchbox_store::OutgoingDoc;
use switchbox_support::{scheduling, tasks::Tasks};

/// Messages on different topics that may be on their way at the same time: a subscriber that does not read holds up one.
const LANES: usize = 8;
/// Messages settled together.
const TAKE: usize = 64;

struct Item {
    /// The effect's key.
    id: String,
    message: Arc<Message>,
}

#[derive(Default)]
struct TopicShard {
    items: Mutex<VecDeque<Item>>,
    work: Notify,
}

/// What was committed and not given yet. Bounded by [`Queue::room`]: plugins wait there before they commit more.
#[derive(Default)]
pub(super) struct Queue {
    lanes: [TopicShard; LANES],
    live: AtomicBool,
    bytes: AtomicUsize,
    room: Notify,
}

impl Queue {
    /// From the log. Before the host is live (while the log is replayed) QoS 0 is over and done with, and all else stands
    /// among the documents.
    pub(super) fn push(&self, id: String, message: Message) {
        if !self.live.load(Ordering::Acquire) {
            return;
        }
        self.bytes.fetch_add(message.size(), Ordering::Relaxed);
        let mut hasher = DefaultHasher::new();
        message.topic.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
        if let Some(lane) = self.lanes.get(at) {
            lane.items.lock().push_back(Item { id, message: Arc::new(message) });
            lane.work.notify_one();
        }
    }

    fn start(&self, left: Vec<OutgoingDoc>) {
        self.live.store(true, Ordering::Release);
        for OutgoingDoc { id, topic, payload, qos, retain } in left {
            self.push(id, Message { qos, retain, ..Message::new(&topic, payload) });
        }
    }

    fn is_full(&self) -> bool {
        self.live.load(Ordering::Acquire) && self.bytes.load(Ordering::Relaxed) >= limits::OUTGOING_BYTES
    }

    /// Waits until what was committed before has been given, but for so much. False when it had to wait.
    pub(super) async fn room(&self) -> bool {
        let mut at_once = true;
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return at_once;
            }
            at_once = false;
            room.await;
        }
    }

    fn given(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if !self.is_full() {
            self.room.notify_waiters();
        }
    }
}

/// Gives the messages. One for the host.
#[derive(Clone)]
pub struct Publisher {
    queue: Arc<Queue>,
    store: store::Handle,
    ingest: ingest::Handle,
    topics: topics::Handle,
}

impl Handle {
    /// The log has been replayed: from now on messages are taken, those that were left when the host stopped first.
    pub fn start_publishing(&self, left: Vec<OutgoingDoc>) {
        self.shared.outgoing.start(left);
    }

    #[must_use]
    pub fn publisher(&self, topics: topics::Handle) -> Publisher {
        let shared = &self.shared;
        Publisher { queue: shared.outgoing.clone(), store: shared.store.clone(), ingest: shared.ingest.clone(), topics }
    }
}

impl Publisher {
    /// Until the shutdown; what is not given then stays among the documents.
    pub async fn run(self, tasks: Tasks, shutdown: CancellationToken) {
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..LANES {
            let lane = self.clone().lane(lane, shutdown.clone());
            lanes.spawn(tasks.clone().supervised("publisher of some topics", shutdown.clone(), lane));
        }
        // Where the host gives up its start, the runtime ends them.
        while lanes.join_next().await.is_some() {}
        // What comes now stays among the documents, and nobody may wait for room any more.
        self.queue.live.store(false, Ordering::Release);
        self.queue.room.notify_waiters();
    }

    async fn lane(self, lane: usize, shutdown: CancellationToken) {
        let Some(lane) = self.queue.lanes.get(lane) else { return };
        let mut budget = WaitBudget::default();
        while !shutdown.is_cancelled() {
            let items: Vec<Item> = {
                let mut items = lane.items.lock();
                let many = items.len().min(TAKE);
                items.drain(..many).collect()
            };
            if items.is_empty() {
                tokio::select! {
                    () = lane.work.notified() => {}
                    () = shutdown.cancelled() => {}
                }
            }
            self.give(items, &mut budget, &shutdown).await;
        }
    }

    async fn give(&self, items: Vec<Item>, budget: &mut WaitBudget, shutdown: &CancellationToken) {
        let mut settled = Vec::new();
        for Item { id, message } in items {
            let bytes = message.size();
            let kept = message.qos != QoS::AtMostOnce;
            if !shutdown.is_cancelled() && self.give_one(&id, message, budget).await.is_ok() && kept {
                settled.push(Settlement::Published { id });
            }
            self.queue.given(bytes);
        }
        if !settled.is_empty() {
            self.store.note(Entry::Settled(settled));
        }
    }

    async fn give_one(&self, id: &str, message: Arc<Message>, budget: &mut WaitBudget) -> Result<(), ingest::Error> {
        let event = self.ingest.topic_event(&message);
        let bytes = message.size();
        self.topics.publish(message, &topics::Publisher::of(Owner::Plugins), budget).await;
        if let Some(event) = event {
            let room = self.ingest.reserve(bytes, scheduling::PriorityClass::Foreground).await?;
            self.ingest.submit_published(event, id.parse().ok(), room);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(queue: &Queue) -> Vec<String> {
        let mut all: Vec<_> = queue
            .lanes
            .iter()
            .flat_map(|l| l.items.lock().iter().map(|i| i.message.topic.to_string()).collect::<Vec<_>>())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_is_replayed_is_not_given_again_but_what_was_left_is() {
        let queue = Queue::default();
        queue.push("1.p.0".into(), Message::new("replayed", "x"));
        assert_eq!(topics(&queue), [""; 0]);
        let left = OutgoingDoc {
            id: "1.p.0".into(),
            topic: "left".into(),
            payload: "x".into(),
            qos: QoS::AtLeastOnce,
            retain: false,
        };
        queue.start(vec![left]);
        queue.push("1.p.1".into(), Message::new("new", "x"));
        assert_eq!(topics(&queue), ["left", "new"]);
    }

    #[tokio::test]
    async fn there_is_room_again_when_enough_was_given() {
        let queue = Queue::default();
        queue.start(Vec::new());
        assert!(queue.room().await, "an empty queue has room at once");
        queue.push("1.p.0".into(), Message::new("a", vec![0; limits::OUTGOING_BYTES]));
        let (waited, ()) = tokio::join!(queue.room(), async { queue.given(queue.bytes.load(Ordering::Relaxed)) });
        assert!(!waited);
    }
}
