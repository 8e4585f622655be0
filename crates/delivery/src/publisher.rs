//! Delivers the messages that plugins publish on ordinary topics to the subscribers, and to the plugins that such a topic triggers.

use std::sync::{Arc, atomic::Ordering};

use tokio_util::sync::CancellationToken;

use super::{
    handle::Handle,
    publish_queue::{Item, PublishQueue, SHARDS},
    traces,
};
use switchbox_core::ingest;
use switchbox_model::{Entry, Message, QoS, Settlement, broker::Owner};
use switchbox_mqtt_session::topics::{self, WaitBudget};
use switchbox_pubsub::Topics;
use switchbox_store as store;
use switchbox_store::OutgoingDoc;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

/// How many messages are settled by one entry, at most.
const BATCH: usize = 64;

/// Delivers the messages of the queue. A host has one.
#[derive(Clone)]
pub struct Publisher {
    queue: Arc<PublishQueue>,
    store: store::Handle,
    ingest: ingest::Handle,
    topics: Topics,
    metrics: Metrics,
}

impl Handle {
    /// Called when the journal has been replayed: queues the messages that were not settled when the host stopped, and then accepts new
    /// ones.
    pub fn start_publishing(&self, unpublished: Vec<OutgoingDoc>) {
        self.inner.outgoing.start(unpublished);
    }

    #[must_use]
    pub fn publisher(&self, topics: Topics) -> Publisher {
        let inner = &self.inner;
        let (queue, metrics) = (inner.outgoing.clone(), inner.metrics.clone());
        Publisher { queue, store: inner.store.clone(), ingest: inner.ingest.clone(), topics, metrics }
    }
}

impl Publisher {
    /// Runs until the shutdown. Messages that are not delivered by then stay among the documents.
    pub async fn run(self, tasks: Tasks, shutdown: CancellationToken) {
        let mut shards = tokio::task::JoinSet::new();
        for shard in 0..SHARDS {
            let shard = self.clone().run_shard(shard, shutdown.clone());
            shards.spawn(tasks.clone().supervised("publisher of some topics", shutdown.clone(), shard));
        }
        // If the host fails to start, the end of the runtime ends these tasks.
        while shards.join_next().await.is_some() {}
        // Messages that are committed from here on stay among the documents, and plugins that wait for room are released.
        self.queue.is_open.store(false, Ordering::Release);
        self.queue.room.notify_waiters();
    }

    /// Delivers the messages of one shard until the shutdown.
    async fn run_shard(self, shard: usize, shutdown: CancellationToken) {
        let Some(shard) = self.queue.shards.get(shard) else { return };
        let mut budget = WaitBudget::default();
        while !shutdown.is_cancelled() {
            let items: Vec<Item> = {
                let mut items = shard.items.lock();
                let count = items.len().min(BATCH);
                items.drain(..count).collect()
            };
            if items.is_empty() {
                tokio::select! {
                    () = shard.work.notified() => {}
                    () = shutdown.cancelled() => {}
                }
            }
            self.publish_batch(items, &mut budget, &shutdown).await;
        }
    }

    async fn publish_batch(&self, items: Vec<Item>, budget: &mut WaitBudget, shutdown: &CancellationToken) {
        let mut settled = Vec::new();
        for Item { id, message } in items {
            let bytes = message.size();
            let is_stored = message.qos != QoS::AtMostOnce;
            if !shutdown.is_cancelled() && self.publish_one(&id, message, budget).await.is_ok() && is_stored {
                settled.push(Settlement::Published { id });
            }
            self.queue.release(bytes);
        }
        if !settled.is_empty() {
            self.store.submit_unawaited(Entry::Settled(settled));
        }
    }

    async fn publish_one(&self, id: &str, message: Arc<Message>, budget: &mut WaitBudget) -> Result<(), ingest::Error> {
        let message = traces::published(&self.metrics.traces, id, message);
        let event = self.ingest.topic_event(&message);
        let bytes = message.size();
        self.topics.publish(message, &topics::Publisher::of(Owner::Plugins), budget).await;
        if let Some(event) = event {
            let permit = self.ingest.reserve(bytes, store::QueueShare::Whole).await?;
            self.ingest.submit_published(event, id.parse().ok(), permit);
        }
        Ok(())
    }
}
