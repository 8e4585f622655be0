//! Journals changes of sessions and retained messages, or discards them in tests without a store. Does not decide what is journaled.

use switchbox_model::{Entry, broker::BrokerChange};
use switchbox_mqtt_session::topics::Numbers;
use switchbox_store::{self as store, OnCommit, QueuePermit, QueuePosition, QueueShare, Reply};

/// Cheap to clone. The default discards everything.
#[derive(Debug, Clone, Default)]
pub struct SessionJournal {
    store: Option<store::Handle>,
    numbers: Numbers,
}

impl SessionJournal {
    #[must_use]
    pub fn new(store: store::Handle, docs: &store::BrokerDocs) -> Self {
        Self { store: Some(store), numbers: Numbers::after(docs.last_session, docs.last_message) }
    }

    /// The numbers of sessions and messages in this journal.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// Waits for room in the journal's queue for this many bytes. Returns `None` without a store, or if the store is closed.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<QueuePermit> {
        self.store.as_ref()?.permits.reserve(bytes, QueueShare::Bounded).await.ok()
    }

    /// Submits the changes in one entry. Returns their position in the journal's queue; `None` if the journal is closed.
    pub(crate) fn submit(
        &self,
        changes: Vec<BrokerChange>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
    ) -> Option<QueuePosition> {
        let Some(store) = &self.store else {
            on_commit.run(Ok(Reply::Done));
            return Some(QueuePosition::default());
        };
        let (first, position) = store.append(None, Entry::Broker(changes), true, permit, on_commit)?;
        store.wake(first, 0);
        Some(position)
    }

    /// Submits a few bytes of changes without a permit, for callers that must not wait.
    pub fn submit_soon(&self, changes: Vec<BrokerChange>, on_commit: OnCommit) -> Option<QueuePosition> {
        self.submit(changes, None, on_commit)
    }

    /// The position up to which the journal is committed.
    #[must_use]
    pub fn committed(&self) -> QueuePosition {
        self.store.as_ref().map(|store| store.progress.committed()).unwrap_or_default()
    }

    /// Submits a change that no caller waits for. After a crash it may be missing.
    pub fn submit_unawaited(&self, change: BrokerChange) {
        if let Some(store) = &self.store {
            store.submit_unawaited(Entry::Broker(vec![change]));
        }
    }
}
