//! Where what must outlive the process is written down: the log, or nowhere. Never decides what that is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use switchbox_model::{
    Entry,
    broker::{BrokerChange, MessageNum, SessionNum},
};
use switchbox_store as store;
use switchbox_support::scheduling::PriorityClass;

/// Called once, on the log's writer thread, when it is durable or never will be. Must not block.
pub type ChangesCommitted = Box<dyn FnOnce(Result<(), store::Error>) + Send>;

/// Cheap to clone. The default keeps nothing.
#[derive(Debug, Clone, Default)]
pub struct SessionLog {
    store: Option<store::Handle>,
    last: Arc<Last>,
}

#[derive(Debug, Default)]
struct Last {
    session: AtomicU64,
    message: AtomicU64,
}

impl SessionLog {
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

    /// Waits for room in the log's queue for so many bytes. None: what is kept then needs none, or is refused.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<store::QueuePermit> {
        self.store.as_ref()?.reserve(bytes, PriorityClass::Background).await.ok()
    }

    /// Writes these together.
    pub(super) fn submit(&self, changes: Vec<BrokerChange>, room: Option<store::QueuePermit>, done: ChangesCommitted) {
        match &self.store {
            Some(store) => store.submit([(Entry::Broker(changes), Some(when(done)))], true, room),
            None => done(Ok(())),
        }
    }

    /// The same for a few bytes, from where nothing may wait.
    pub fn submit_soon(&self, changes: Vec<BrokerChange>, done: ChangesCommitted) {
        self.submit(changes, None, done);
    }

    /// Nobody waits for this: after a crash it may be missing.
    pub fn note(&self, change: BrokerChange) {
        if let Some(store) = &self.store {
            store.note(Entry::Broker(vec![change]));
        }
    }
}

fn when(done: ChangesCommitted) -> store::CommitCallback {
    Box::new(|reply| done(reply.map(drop)))
}
