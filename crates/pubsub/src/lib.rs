//! Ordinary topics with what they need from outside: changes that must be durable are journaled, and publishers wait for subscribers whose
//! queues are full. Who gets which message is decided by [`TopicTable`], which neither waits nor writes.
//!
//! If a subscriber's queue is full, a message of QoS 0 and any message for an offline client is dropped and counted at once; the queued
//! messages stay. For QoS 1 and 2 to a connected client, the publisher waits as long as its [`WaitBudget`] and the subscriber's
//! [`SlowConsumer`](switchbox_mqtt_session::topics::SlowConsumer) allow; then the message is dropped and counted. Waiting without a bound
//! would deadlock two clients that publish to each other.

mod now;
mod session_journal;
#[cfg(test)]
mod tests;
mod wait;

use std::{ops::Deref, sync::Arc};

use switchbox_model::{Message, broker::BrokerChange};
use switchbox_mqtt_session::topics::{PendingChanges, Publisher, TopicTable, WaitBudget};
use switchbox_store::{self as store, OnCommit, QueuePermit, QueuePosition, Reply};
use switchbox_support::{clock, metrics::Metrics};

pub use self::{now::now, session_journal::SessionJournal};

/// The topics, with their journal. Cheap to clone; dereferences to the table of subscriptions and retained messages.
#[derive(Clone)]
pub struct Topics {
    table: Arc<TopicTable>,
    session_journal: SessionJournal,
    metrics: Metrics,
}

impl Deref for Topics {
    type Target = TopicTable;

    fn deref(&self) -> &TopicTable {
        &self.table
    }
}

impl Topics {
    #[must_use]
    pub fn new(metrics: Metrics, session_journal: SessionJournal) -> Self {
        let unawaited = session_journal.clone();
        let table = TopicTable::new(
            metrics.clone(),
            session_journal.numbers().clone(),
            Box::new(move |change| unawaited.submit_unawaited(change)),
            clock::instant(),
        );
        Self { table: Arc::new(table), session_journal, metrics }
    }

    #[must_use]
    pub fn session_journal(&self) -> &SessionJournal {
        &self.session_journal
    }

    /// Delivers a message to all subscribers, except for `from` if its subscription has no-local. Waits for full queues as the module's
    /// documentation says. Everything that must be durable is queued for the journal when this returns.
    pub async fn publish(&self, message: Arc<Message>, from: &Publisher, budget: &mut WaitBudget) {
        let mut pending = PendingChanges::default();
        let from = &Publisher { waits: !budget.remaining(clock::instant()).is_zero(), ..from.clone() };
        let waiting = self.deliver(&message, from, &mut pending, now()).unwrap_or_default();
        if !waiting.is_empty() {
            self.write(std::mem::take(&mut pending)).await;
            Box::pin(self.wait(&message, waiting, &mut pending, budget, std::future::pending())).await;
        }
        self.write(pending).await;
    }

    /// Journals the pending changes. Waits for room in the journal's queue, not for the disk.
    pub async fn write(&self, pending: PendingChanges) {
        let permit = self.reserve_for(&pending).await;
        self.write_with(permit, pending, OnCommit::Nothing);
    }

    /// Waits for room in the journal's queue. Returns `None` if nothing is pending.
    pub async fn reserve_for(&self, pending: &PendingChanges) -> Option<QueuePermit> {
        if pending.is_empty() { None } else { self.session_journal.reserve(pending.bytes()).await }
    }

    /// As [`Self::write`], without waiting: changes without a permit are queued as well. Returns their position in the journal's queue;
    /// `None` if the journal is closed.
    pub fn write_with(
        &self,
        permit: Option<QueuePermit>,
        pending: PendingChanges,
        on_commit: OnCommit,
    ) -> Option<QueuePosition> {
        if pending.is_empty() {
            on_commit.run(Ok(Reply::Done));
            return Some(QueuePosition::default());
        }
        let (changes, on_commit) = entry_of(pending, on_commit);
        self.session_journal.submit(changes, permit, on_commit)
    }
}

/// The changes of one entry, and what follows when it is durable: the messages are delivered, and then `on_commit` runs. If the entry
/// failed, the journal has ended, so their places need not be given back.
#[must_use]
pub fn entry_of(pending: PendingChanges, on_commit: OnCommit) -> (Vec<BrokerChange>, OnCommit) {
    let (changes, places) = pending.into_parts();
    if places.is_empty() {
        return (changes, on_commit);
    }
    let deliver = move |result: Result<Reply, store::Error>| {
        if result.is_ok() {
            places.fill();
        } else {
            places.abandon();
        }
        on_commit.run(result);
    };
    (changes, OnCommit::Call(Box::new(deliver)))
}
