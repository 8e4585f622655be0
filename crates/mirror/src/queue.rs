//! The messages for watchers, from the thread that queues them until a task has published them: the journal's writer, or an ingest that
//! holds a device's lock, neither matches topics nor takes a subscriber's lock. Published in the order in which it was pushed.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use switchbox_model::{Message, limits};
use switchbox_pubsub::Topics;
use switchbox_support::metrics::Metrics;

/// Messages that are published before the task yields.
const TURN: usize = 64;

/// Cheap to clone. The table of subscriptions is set when the MQTT server is made.
#[derive(Clone, Default)]
pub struct MirrorQueue(Arc<Inner>);

#[derive(Default)]
struct Inner {
    topics: OnceLock<Topics>,
    waiting: Mutex<Waiting>,
    filled: Notify,
    metrics: Metrics,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl MirrorQueue {
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner { metrics, ..Inner::default() }))
    }

    /// Where it is published from now on.
    pub fn set_topics(&self, topics: Topics) {
        let _ = self.0.topics.set(topics);
    }

    /// Whether a client watches devices.
    pub(crate) fn has_watchers(&self) -> bool {
        self.0.topics.get().is_some_and(|topics| topics.has_device_watchers())
    }

    /// Does not wait: what the queue has no room for is dropped and counted.
    pub(crate) fn push(&self, message: Message) {
        let size = message.size();
        let mut waiting = self.0.waiting.lock();
        if waiting.bytes + size > limits::WATCH_QUEUE_BYTES {
            drop(waiting);
            self.0.metrics.limit(limits::names::WATCH_QUEUE_BYTES);
            self.0.metrics.drop_message("watch queue");
            return;
        }
        waiting.bytes += size;
        waiting.messages.push_back(message);
        drop(waiting);
        self.0.filled.notify_one();
    }

    fn pop(&self) -> Option<Message> {
        let mut waiting = self.0.waiting.lock();
        let message = waiting.messages.pop_front()?;
        waiting.bytes -= message.size();
        if waiting.messages.is_empty() {
            // A burst leaves no memory behind.
            waiting.messages = VecDeque::new();
        }
        Some(message)
    }

    /// Publishes what is pushed, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.0.filled.notified() => {}
            }
            let mut published = 0_usize;
            while let Some(message) = self.pop() {
                if let Some(topics) = self.0.topics.get() {
                    topics.publish_host_message(&Arc::new(message), switchbox_pubsub::now());
                }
                published += 1;
                if published.is_multiple_of(TURN) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_in_order_and_what_does_not_fit_is_counted() {
        let metrics = Metrics::default();
        let queue = MirrorQueue::new(metrics.clone());
        let message = |number: usize| Message::new(&number.to_string(), vec![0; limits::WATCH_QUEUE_BYTES / 4]);
        (1..=5).for_each(|number| queue.push(message(number)));
        queue.push(Message::new("small", "x"));
        let topics: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|message| message.topic.to_string()).collect();
        assert_eq!(topics, ["1", "2", "3", "small"]);
        assert_eq!(metrics.limit_hits(limits::names::WATCH_QUEUE_BYTES), 2);
        assert_eq!(metrics.dropped_in_all.get(), 2);
        queue.push(message(6));
        assert!(queue.pop().is_some(), "there is room again");
        assert!(queue.pop().is_none());
        assert_eq!(queue.0.waiting.lock().bytes, 0);
    }

    #[tokio::test]
    async fn the_task_takes_what_is_pushed_until_the_host_stops() {
        let queue = MirrorQueue::new(Metrics::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(queue.clone().run(shutdown.clone()));
        (0..3 * TURN).for_each(|number| queue.push(Message::new(&number.to_string(), "x")));
        while !queue.0.waiting.lock().messages.is_empty() {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
        task.await.unwrap();
    }
}
