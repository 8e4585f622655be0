//! The numbers of sessions and messages in the journal. Never gives a number twice.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use switchbox_model::broker::{MessageNum, SessionNum};

/// Cheap to clone: clones count together.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Arc<LastNumbers>);

#[derive(Debug, Default)]
struct LastNumbers {
    session: AtomicU64,
    message: AtomicU64,
}

impl Numbers {
    /// The numbers after the last ones that the journal has.
    #[must_use]
    pub fn after(session: u64, message: u64) -> Self {
        Self(Arc::new(LastNumbers { session: session.into(), message: message.into() }))
    }

    #[must_use]
    pub fn next_session(&self) -> SessionNum {
        SessionNum(self.0.session.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn next_message(&self) -> MessageNum {
        MessageNum(self.0.message.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
