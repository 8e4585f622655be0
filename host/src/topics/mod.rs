//! Ordinary topics: who subscribes to what, and the retained messages. Never knows devices, packets or sockets.
//!
//! Where a subscriber's queue is full, QoS 0 is dropped and counted at once. For QoS 1 and 2 the publisher waits, at
//! most [`PATIENCE`] for one message, then it is dropped and counted too: waiting for ever would let two clients that
//! publish to each other stop each other.

mod filter;
mod retained;
#[cfg(test)]
mod tests;
mod trie;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

pub use self::filter::{TopicError, check_filter, check_name, matches};
use self::{retained::Retained, trie::Trie};
use crate::{
    metrics::Metrics,
    model::{Message, QoS},
};

/// How long a publisher waits for subscribers whose queues are full.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How one subscriber gets one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub qos: QoS,
    pub retain: bool,
    /// The subscription identifiers (MQTT 5).
    pub ids: Vec<u32>,
}

/// What became of a message at one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    Queued,
    /// It will not be delivered; counted there.
    Dropped,
    /// No room now; there may be soon.
    Full,
}

/// Someone who gets messages. Must not block.
pub trait Subscriber: Send + Sync {
    /// Unique among all subscribers.
    fn id(&self) -> u64;
    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered;
    /// Notified (all waiters) when there is room again.
    fn room(&self) -> &Notify;
}

/// A subscription's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub id: Option<u32>,
}

struct Subscription {
    subscriber: Arc<dyn Subscriber>,
    options: Options,
}

struct Inner {
    trie: RwLock<Trie<Subscription>>,
    retained: Mutex<Retained>,
    metrics: Metrics,
}

/// The topics. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

/// Who could not take a message just now.
struct Waiting {
    subscriber: Arc<dyn Subscriber>,
    delivery: Delivery,
}

impl Handle {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { trie: RwLock::default(), retained: Mutex::default(), metrics }))
    }

    /// True when the subscriber had this (checked) filter already; its options are replaced then.
    pub fn subscribe(&self, filter: &str, subscriber: &Arc<dyn Subscriber>, options: Options) -> bool {
        let subscription = Subscription { subscriber: subscriber.clone(), options };
        self.0.trie.write().insert(filter, subscriber.id(), subscription)
    }

    /// True when the subscriber had this filter.
    pub fn unsubscribe(&self, filter: &str, subscriber: u64) -> bool {
        self.0.trie.write().remove(filter, subscriber)
    }

    /// The retained messages that match.
    #[must_use]
    pub fn retained(&self, filter: &str) -> Vec<Arc<Message>> {
        self.0.retained.lock().matching(filter, Instant::now())
    }

    /// Delivers to all who subscribed but, where they want no local messages, to `from`. Waits for full queues as the
    /// room's page says. Returns how many subscribers matched.
    pub async fn publish(&self, message: Arc<Message>, from: Option<u64>) -> usize {
        let (count, waiting) = self.deliver(&message, from);
        if !waiting.is_empty() {
            Box::pin(self.wait_and_deliver(&message, waiting)).await;
        }
        count
    }

    /// Keeps it as the topic's retained message where it is one, and offers it to all who match.
    fn deliver(&self, message: &Arc<Message>, from: Option<u64>) -> (usize, Vec<Waiting>) {
        if message.retain
            && let Err(limit) = self.0.retained.lock().set(message)
        {
            self.0.metrics.limit(limit);
            tracing::warn!(topic = %message.topic, limit, "a retained message was not kept: there are too many");
        }
        let targets = self.targets(message, from);
        let count = targets.len();
        let full = targets
            .into_iter()
            .filter(|t| t.subscriber.deliver(message, t.delivery.clone()) == Delivered::Full)
            .collect();
        (count, full)
    }

    /// Each subscriber once, with the highest QoS and all identifiers of its subscriptions that match.
    fn targets(&self, message: &Message, from: Option<u64>) -> Vec<Waiting> {
        let mut targets: Vec<Waiting> = Vec::new();
        self.0.trie.read().matching(&message.topic, &mut |id, subscription| {
            let options = &subscription.options;
            if options.no_local && from == Some(id) {
                return;
            }
            let qos = options.qos.min(message.qos);
            let retain = message.retain && options.retain_as_published;
            match targets.iter_mut().find(|t| t.subscriber.id() == id) {
                Some(Waiting { delivery, .. }) => {
                    delivery.qos = delivery.qos.max(qos);
                    delivery.retain |= retain;
                    delivery.ids.extend(options.id);
                }
                None => targets.push(Waiting {
                    subscriber: subscription.subscriber.clone(),
                    delivery: Delivery { qos, retain, ids: options.id.into_iter().collect() },
                }),
            }
        });
        targets
    }

    async fn wait_and_deliver(&self, message: &Arc<Message>, waiting: Vec<Waiting>) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for Waiting { subscriber, delivery } in waiting {
            loop {
                let room = subscriber.room().notified();
                tokio::pin!(room);
                room.as_mut().enable();
                if subscriber.deliver(message, delivery.clone()) != Delivered::Full {
                    break;
                }
                if tokio::time::timeout_at(deadline, room).await.is_err() {
                    self.0.metrics.limit("session_queue");
                    self.0.metrics.drop_message("queue full");
                    break;
                }
            }
        }
    }
}
