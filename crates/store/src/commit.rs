//! What follows the commit of an entry: a callback on the thread that has the writer, or waking a task that reads how far the journal has got.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

pub use switchbox_model::QueuePosition;

use super::{Error, Reply};

/// Called once, on the thread that has the writer, after the entry is in the journal and applied (or could not be written). Must not
/// block.
pub type CommitCallback = Box<dyn FnOnce(Result<Reply, Error>) + Send>;

/// What follows when an entry is in the journal and applied, or cannot be written.
#[derive(Default)]
pub enum OnCommit {
    #[default]
    Nothing,
    Call(CommitCallback),
    /// Woken when the journal has got to the entry's position, or has failed: it allocates nothing, and takes no lock but its own.
    Wake(Waker),
}

impl OnCommit {
    /// Calls or wakes.
    pub fn run(self, result: Result<Reply, Error>) {
        match self {
            Self::Nothing => {}
            Self::Call(callback) => callback(result),
            Self::Wake(waker) => waker.wake(),
        }
    }
}

impl From<Option<CommitCallback>> for OnCommit {
    fn from(callback: Option<CommitCallback>) -> Self {
        callback.map_or(Self::Nothing, Self::Call)
    }
}

/// How far the journal has got: written by the writer alone, read by any thread without a lock.
#[derive(Debug, Default)]
pub struct CommitProgress {
    committed: AtomicU64,
    failed: OnceLock<Error>,
}

impl CommitProgress {
    /// All entries up to and including this one are in the journal and applied.
    pub(super) fn record_committed(&self, position: QueuePosition) {
        self.committed.store(position.0, Ordering::Release);
    }

    /// All entries up to and with this one are in the journal and applied.
    #[must_use]
    pub fn committed(&self) -> QueuePosition {
        QueuePosition(self.committed.load(Ordering::Acquire))
    }

    /// What is not in the journal by now will never be.
    pub(super) fn record_failed(&self, error: &Error) {
        let _ = self.failed.set(error.clone());
    }

    /// Why entries that are not committed never will be; `None` while the journal can be written.
    #[must_use]
    pub fn failed(&self) -> Option<&Error> {
        self.failed.get()
    }
}
