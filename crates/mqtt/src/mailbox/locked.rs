//! A session's state under its lock. How full the queue is can be read without the lock, because it is published whenever the lock is
//! released.

use std::{
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::MutexGuard;

use super::state::State;

/// How full a session's queue was when its lock was last released.
///
/// Packed into one number, so that both parts are read together: the number of messages in the upper half, their bytes in the lower.
#[derive(Debug, Default)]
pub(super) struct Fullness(AtomicU64);

impl Fullness {
    /// The number of messages, and their bytes.
    pub(super) fn read(&self) -> (usize, usize) {
        let packed = self.0.load(Ordering::Acquire);
        ((packed >> 32) as usize, (packed & u64::from(u32::MAX)) as usize)
    }

    fn publish(&self, state: &State) {
        let (messages, bytes) = (state.session.slots_used(), state.session.queued_bytes());
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.0.store((messages as u64) << 32 | u64::from(bytes), Ordering::Release);
    }
}

/// A session's state, whose lock is held.
pub(crate) struct LockedState<'a> {
    pub(super) state: MutexGuard<'a, State>,
    pub(super) fullness: &'a Fullness,
}

impl Deref for LockedState<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for LockedState<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for LockedState<'_> {
    fn drop(&mut self) {
        self.fullness.publish(&self.state);
    }
}
