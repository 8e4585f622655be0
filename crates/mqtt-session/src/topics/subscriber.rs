//! The interface of a subscriber, the options of its subscription, and its answer to each message.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use switchbox_model::{
    Message, QoS,
    broker::{MessageNum, Recipient},
};

/// Completes when a subscriber has room again.
pub type UntilRoom<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A subscription's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub qos: QoS,
    /// The subscriber does not get messages that it has published itself (MQTT 5).
    pub no_local: bool,
    /// Messages keep their RETAIN flag (MQTT 5).
    pub retain_as_published: bool,
    /// The subscription identifier (MQTT 5).
    pub id: Option<u32>,
}

/// How a message is delivered to one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub qos: QoS,
    pub retain: bool,
    /// The subscription identifiers (MQTT 5).
    pub ids: Vec<u32>,
    /// The filter of the shared subscription that matched, for [`TopicTable::deliver_shared`](super::TopicTable::deliver_shared).
    pub shared: Option<Arc<str>>,
}

/// What a subscriber did with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    Queued,
    /// The message was dropped: QoS 0, and the client is offline.
    Dropped,
    /// The queue is full. If the client is connected, there may be room soon.
    Full,
    /// The message has to be journaled first; then [`Subscriber::journaled`] is called.
    JournalFirst(Recipient),
}

/// A subscriber. Its methods must not block.
pub trait Subscriber: Send + Sync {
    /// Unique among all subscribers.
    fn id(&self) -> u64;
    /// Queues the message, or says why it is not queued.
    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered;
    /// The message of [`Delivered::JournalFirst`] is durable.
    fn journaled(&self, num: MessageNum, message: &Arc<Message>, recipient: Recipient);
    /// The message of [`Delivered::JournalFirst`] will not be journaled.
    fn not_journaled(&self, message: &Message, recipient: &Recipient);
    /// Returns false if the client is offline.
    fn is_connected(&self) -> bool;
    /// Returns true if the queue has no room for any message. Called for every message, so it must be quick, and may be slightly out of
    /// date.
    fn is_queue_full(&self) -> bool {
        false
    }
    /// How long publishers still wait for room; zero if they do not.
    fn wait_allowance(&self) -> Duration;
    /// A publisher has waited for room from `from` until `until`.
    fn record_wait(&self, from: Instant, until: Instant);
    /// Completes when there may be room again, also if that was between this call and the first poll.
    fn wait_for_room(&self) -> UntilRoom<'_>;
}
