//! A caller of the API as a subscriber of ordinary topics. It does not delay publishers: messages for which it has no room are dropped and
//! counted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use switchbox_model::{
    Message,
    broker::{MessageNum, Recipient},
};
use switchbox_mqtt_session::topics::{Delivered, Delivery, Options, Subscriber, UntilRoom};
use switchbox_pubsub::Topics;

/// Longest queue of messages for a caller.
const WAITING: usize = 256;
/// Ids of clients are below 1 << 63; groups of shared subscriptions have the ids from there on.
static NEXT: AtomicU64 = AtomicU64::new(1 << 62);

struct TapSubscriber {
    id: u64,
    messages: mpsc::Sender<Arc<Message>>,
    missed: AtomicU64,
}

impl Subscriber for TapSubscriber {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, message: &Arc<Message>, _: Delivery) -> Delivered {
        if self.messages.try_send(message.clone()).is_ok() {
            return Delivered::Queued;
        }
        self.missed.fetch_add(1, Ordering::Relaxed);
        Delivered::Dropped
    }

    fn journaled(&self, _: MessageNum, _: &Arc<Message>, _: Recipient) {}

    fn not_journaled(&self, _: &Message, _: &Recipient) {}

    fn is_connected(&self) -> bool {
        true
    }

    fn wait_allowance(&self) -> Duration {
        Duration::ZERO
    }

    fn record_wait(&self, _: Instant, _: Instant) {}

    fn wait_for_room(&self) -> UntilRoom<'_> {
        // It is never full: it drops messages.
        Box::pin(std::future::pending())
    }
}

/// A subscription, which ends when it is dropped.
pub(super) struct Tap {
    topics: Topics,
    filter: String,
    waiting: Arc<TapSubscriber>,
    messages: mpsc::Receiver<Arc<Message>>,
}

impl Tap {
    /// The filter has been checked.
    pub(super) fn new(topics: Topics, filter: String) -> Self {
        let (sender, messages) = mpsc::channel(WAITING);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let waiting = Arc::new(TapSubscriber { id, messages: sender, missed: AtomicU64::new(0) });
        let subscriber: Arc<dyn Subscriber> = waiting.clone();
        topics.subscribe(&filter, &subscriber, Options { retain_as_published: true, ..Options::default() });
        Self { topics, filter, waiting, messages }
    }

    /// The messages since the last call, and how many were dropped for lack of room.
    pub(super) fn take(&mut self) -> (Vec<Arc<Message>>, u64) {
        let messages = std::iter::from_fn(|| self.messages.try_recv().ok()).collect();
        (messages, self.waiting.missed.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.topics.unsubscribe(&self.filter, self.waiting.id);
    }
}
