//! One that gets messages, and what it says to each.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use switchbox_model::{
    Message, QoS,
    broker::{MessageNum, Recipient},
};
use tokio::sync::Notify;

/// How one subscriber gets one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub qos: QoS,
    pub retain: bool,
    /// The subscription identifiers (MQTT 5).
    pub ids: Vec<u32>,
    /// The filter of the shared subscription that it comes by, for [`Handle::deliver_shared`].
    pub shared: Option<Arc<str>>,
}

/// What became of a message at one subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivered {
    Queued,
    /// It is for nobody: QoS 0, and the client is away.
    Dropped,
    /// No room now; where the client is connected, there may be soon.
    Full,
    /// It must be written down first: [`Subscriber::journaled`] follows.
    JournalFirst(Recipient),
}

/// Someone who gets messages. Must not block.
pub trait Subscriber: Send + Sync {
    /// Unique among all subscribers.
    fn id(&self) -> u64;
    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered;
    /// What [`Delivered::JournalFirst`] asked for is durable.
    fn journaled(&self, num: MessageNum, message: &Arc<Message>, recipient: Recipient);
    /// It never will be.
    fn not_journaled(&self, message: &Message, recipient: &Recipient);
    /// False while nobody takes anything out of its queue.
    fn is_connected(&self) -> bool;
    /// Its queue is full, whatever the message is. Asked for every message: must be quick, and may be a moment late.
    fn is_queue_full(&self) -> bool {
        false
    }
    /// How long it is still worth waiting for room.
    fn slow_consumer(&self) -> Duration;
    /// A publisher waited.
    fn waited(&self, from: Instant, until: Instant);
    /// Notified (all waiters) when there is room again.
    fn room(&self) -> &Notify;
}
