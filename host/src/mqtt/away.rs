//! How much waits for all clients that are away, together: the bound beside that of each session. Counts; drops nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::model::limits;

/// Cheap to clone: every clone counts into the same number.
#[derive(Debug, Clone, Default)]
pub(super) struct Away(Arc<AtomicUsize>);

/// One session's share, bytes.
#[derive(Debug, Default)]
pub(super) struct Share(usize);

impl Away {
    /// This session's queue takes so much from now on; 0 where its client is not away.
    pub(super) fn set(&self, share: &mut Share, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        self.0.fetch_sub(std::mem::replace(&mut share.0, bytes), Ordering::Relaxed);
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.0.load(Ordering::Relaxed) + bytes <= limits::SESSIONS_QUEUE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_together_and_given_back() {
        let (away, mut one, mut two) = (Away::default(), Share::default(), Share::default());
        away.set(&mut one, limits::SESSIONS_QUEUE_BYTES - 10);
        away.clone().set(&mut two, 5);
        assert!(away.has_room(5) && !away.has_room(6));
        away.set(&mut one, 0);
        assert!(away.has_room(limits::SESSIONS_QUEUE_BYTES - 5));
    }
}
