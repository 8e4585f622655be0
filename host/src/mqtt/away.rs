//! How much waits for all clients that are away, and how much their subscriptions take, together: the bounds beside those of
//! each session. Counts; drops nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::model::limits;

/// Cheap to clone: every clone counts into the same number.
#[derive(Debug, Clone, Default)]
pub(super) struct Away(Arc<Totals>);

#[derive(Debug, Default)]
struct Totals {
    queued: AtomicUsize,
    subscriptions: AtomicUsize,
}

/// One session's share, bytes.
#[derive(Debug, Default)]
pub(super) struct Share {
    queued: usize,
    subscriptions: usize,
}

impl Away {
    /// This session's queue takes so much from now on; 0 where its client is not away.
    pub(super) fn set(&self, share: &mut Share, bytes: usize) {
        self.0.queued.fetch_add(bytes, Ordering::Relaxed);
        self.0.queued.fetch_sub(std::mem::replace(&mut share.queued, bytes), Ordering::Relaxed);
    }

    /// This session's subscriptions take so much memory while its client is away. False: there is no room for them.
    pub(super) fn keep_subscriptions(&self, share: &mut Share, memory_bytes: usize) -> bool {
        self.forget_subscriptions(share);
        let bytes = memory_bytes.saturating_sub(limits::SUBSCRIPTIONS_EASY_BYTES);
        share.subscriptions = bytes;
        let before = self.0.subscriptions.fetch_add(bytes, Ordering::Relaxed);
        let fits = bytes == 0 || before + bytes <= limits::SESSIONS_SUBSCRIPTION_BYTES;
        if !fits {
            self.forget_subscriptions(share);
        }
        fits
    }

    /// The client is not away any more.
    pub(super) fn forget_subscriptions(&self, share: &mut Share) {
        self.0.subscriptions.fetch_sub(std::mem::take(&mut share.subscriptions), Ordering::Relaxed);
    }

    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.0.queued.load(Ordering::Relaxed) + bytes <= limits::SESSIONS_QUEUE_BYTES
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

    #[test]
    fn subscriptions_of_those_away_are_bounded_and_a_few_are_always_kept() {
        let (away, mut one, mut two) = (Away::default(), Share::default(), Share::default());
        let (all, easy) = (limits::SESSIONS_SUBSCRIPTION_BYTES, limits::SUBSCRIPTIONS_EASY_BYTES);
        assert!(!away.keep_subscriptions(&mut one, all + easy + 1));
        assert!(away.keep_subscriptions(&mut one, all + easy));
        assert!(!away.keep_subscriptions(&mut two, easy + 1));
        assert!(away.keep_subscriptions(&mut two, easy));
        assert!(away.has_room(limits::SESSIONS_QUEUE_BYTES), "what waits has a bound of its own");
        away.forget_subscriptions(&mut one);
        assert!(away.keep_subscriptions(&mut two, all + easy));
    }
}
