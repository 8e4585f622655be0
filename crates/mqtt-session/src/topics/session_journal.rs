//! Journals changes of sessions and retained messages, or discards them in tests without a store. Does not decide what is journaled.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use switchbox_model::{
    Entry,
    broker::{BrokerChange, MessageNum, SessionNum},
};
use switchbox_store::QueueShare;
use switchbox_store::{self as store, OnCommit, QueuePermit, QueuePosition, Reply};

/// Cheap to clone. The default discards everything.
#[derive(Debug, Clone, Default)]
pub struct SessionJournal {
    store: Option<store::Handle>,
    last: Arc<Last>,
}

#[derive(Debug, Default)]
struct Last {
    session: AtomicU64,
    message: AtomicU64,
}

impl SessionJournal {
    #[must_use]
    pub fn new(store: store::Handle, docs: &store::BrokerDocs) -> Self {
        let last = Last { session: docs.last_session.into(), message: docs.last_message.into() };
        Self { store: Some(store), last: Arc::new(last) }
    }

    #[must_use]
    pub fn next_session(&self) -> SessionNum {
        SessionNum(self.last.session.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn next_message(&self) -> MessageNum {
        MessageNum(self.last.message.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Waits for room in the journal's queue for this many bytes. Returns `None` without a store, or if the store is closed.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<QueuePermit> {
        self.store.as_ref()?.reserve(bytes, QueueShare::Bounded).await.ok()
    }

    /// Submits the changes in one entry. Returns their position in the journal's queue; `None` if the journal is closed.
    pub(super) fn submit(
        &self,
        changes: Vec<BrokerChange>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
    ) -> Option<QueuePosition> {
        let Some(store) = &self.store else {
            on_commit.run(Ok(Reply::Done));
            return Some(QueuePosition::default());
        };
        let (_, position) = store.append(None, Entry::Broker(changes), true, permit, on_commit)?;
        store.wake(0);
        Some(position)
    }

    /// Submits a few bytes of changes without a permit, for callers that must not wait.
    pub fn submit_soon(&self, changes: Vec<BrokerChange>, on_commit: OnCommit) -> Option<QueuePosition> {
        self.submit(changes, None, on_commit)
    }

    /// The position up to which the journal is committed.
    #[must_use]
    pub fn committed(&self) -> QueuePosition {
        self.store.as_ref().map(store::Handle::committed).unwrap_or_default()
    }

    /// Submits a change that no caller waits for. After a crash it may be missing.
    pub fn submit_unawaited(&self, change: BrokerChange) {
        if let Some(store) = &self.store {
            store.submit_unawaited(Entry::Broker(vec![change]));
        }
    }
}
