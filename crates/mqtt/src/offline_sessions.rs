//! The limits for what the sessions of all offline clients hold together, and for what those of one owner hold. They are checked in addition
//! to the limits of each session. This module only counts: its callers drop what has no room.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use switchbox_model::{
    broker::Owner,
    limits::{
        LimitName, SESSIONS_KEPT, SESSIONS_KEPT_OF_ONE, SESSIONS_QUEUE_BYTES, SESSIONS_SUBSCRIPTION_BYTES,
        SUBSCRIPTIONS_EASY_BYTES, names,
    },
    quota::SharedQuota,
};

const QUEUE: SharedQuota =
    SharedQuota::beside(SESSIONS_QUEUE_BYTES, (names::SESSIONS_QUEUE_BYTES, names::SESSIONS_QUEUE_BYTES_OF_ONE));
const SUBSCRIPTIONS: SharedQuota = SharedQuota::beside(
    SESSIONS_SUBSCRIPTION_BYTES,
    (names::SESSIONS_SUBSCRIPTION_BYTES, names::SESSIONS_SUBSCRIPTION_BYTES_OF_ONE),
);

/// What the offline sessions of one owner hold, or those of all owners.
#[derive(Debug, Default)]
struct Totals {
    /// Sessions that are kept when their clients are offline.
    sessions: AtomicUsize,
    /// Messages that wait in the sessions' queues. Counted for all owners together only.
    queued_messages: AtomicUsize,
    /// Bytes of the messages that wait in the sessions' queues.
    queued_bytes: AtomicUsize,
    /// Bytes of memory of the sessions' subscriptions, without those that each session has free.
    subscription_bytes: AtomicUsize,
}

#[derive(Debug)]
struct Inner {
    /// Of all owners together.
    totals: Totals,
    /// How many sessions may be kept.
    session_quota: SharedQuota,
    /// Of all clients together that are neither a device nor an account.
    everyone: Arc<Totals>,
    /// Of the service accounts that have sessions.
    accounts: Mutex<HashMap<Owner, Weak<Totals>>>,
}

/// Counts what the offline sessions of all owners hold. Cheap to clone: all clones share the counters.
#[derive(Debug, Clone)]
pub(super) struct OfflineSessions(Arc<Inner>);

/// Counts what the offline sessions of one owner hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OwnerQuota {
    owner: Owner,
    owner_totals: Arc<Totals>,
    inner: Arc<Inner>,
}

/// What one session has added to the counters.
#[derive(Debug, Default)]
pub(super) struct SessionUsage {
    /// The session counts as one that is kept when its client is offline.
    is_counted: bool,
    queued: Queued,
    subscription_bytes: usize,
}

/// What waits in queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queued {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// Returns the count before.
fn add(counter: &AtomicUsize, amount: usize) -> usize {
    counter.fetch_add(amount, Ordering::Relaxed)
}

fn subtract(counter: &AtomicUsize, amount: usize) {
    counter.fetch_sub(amount, Ordering::Relaxed);
}

impl OfflineSessions {
    /// `connections`: the limit of connections. As many sessions may be kept in addition.
    pub(super) fn new(connections: usize) -> Self {
        let names = (names::SESSIONS_KEPT, names::SESSIONS_KEPT_OF_ONE);
        let session_quota =
            SharedQuota { all: connections.saturating_add(SESSIONS_KEPT), one: SESSIONS_KEPT_OF_ONE, names };
        Self(Arc::new(Inner {
            totals: Totals::default(),
            session_quota,
            everyone: Arc::default(),
            accounts: Mutex::default(),
        }))
    }

    /// What waits in the queues of all owners' sessions.
    pub(super) fn queued(&self) -> Queued {
        let Totals { queued_messages, queued_bytes, .. } = &self.0.totals;
        Queued { messages: queued_messages.load(Ordering::Relaxed), bytes: queued_bytes.load(Ordering::Relaxed) }
    }

    /// The counters of this owner, for its sessions.
    pub(super) fn owner_quota(&self, owner: Owner) -> OwnerQuota {
        let owner_totals = match &owner {
            Owner::Everyone => self.0.everyone.clone(),
            // A device has one session.
            Owner::Device(_) | Owner::Plugins => Arc::default(),
            Owner::Service(_) => self.account_totals(&owner),
        };
        OwnerQuota { owner, owner_totals, inner: self.0.clone() }
    }

    fn account_totals(&self, owner: &Owner) -> Arc<Totals> {
        let mut accounts = self.0.accounts.lock();
        if let Some(totals) = accounts.get(owner).and_then(Weak::upgrade) {
            return totals;
        }
        accounts.retain(|_, totals| totals.strong_count() > 0);
        let totals = Arc::default();
        accounts.insert(owner.clone(), Arc::downgrade(&totals));
        totals
    }
}

impl OwnerQuota {
    /// Counts a session that is kept from now on when its client is offline. The error names the limit that is reached.
    pub(super) fn keep_session(&self, usage: &mut SessionUsage) -> Result<(), LimitName> {
        if usage.is_counted {
            return Ok(());
        }
        let (owner_before, all_before) = (add(&self.owner_totals.sessions, 1), add(&self.inner.totals.sessions, 1));
        usage.is_counted = true;
        let result = self.inner.session_quota.check(&self.owner, owner_before, all_before, 1);
        result.inspect_err(|_| self.forget_session(usage))
    }

    /// Counts a kept session of an earlier process, without checking the limits.
    pub(super) fn restore_session(&self, usage: &mut SessionUsage) {
        if !std::mem::replace(&mut usage.is_counted, true) {
            add(&self.owner_totals.sessions, 1);
            add(&self.inner.totals.sessions, 1);
        }
    }

    pub(super) fn forget_session(&self, usage: &mut SessionUsage) {
        if std::mem::take(&mut usage.is_counted) {
            subtract(&self.owner_totals.sessions, 1);
            subtract(&self.inner.totals.sessions, 1);
        }
    }

    /// Sets what waits in the session's queue: nothing while its client is connected.
    pub(super) fn set_queued(&self, usage: &mut SessionUsage, queued: Queued) {
        let previous = std::mem::replace(&mut usage.queued, queued);
        for totals in [&self.owner_totals, &self.inner.totals as &Totals] {
            add(&totals.queued_bytes, queued.bytes);
            subtract(&totals.queued_bytes, previous.bytes);
        }
        add(&self.inner.totals.queued_messages, queued.messages);
        subtract(&self.inner.totals.queued_messages, previous.messages);
    }

    /// Counts the memory of the session's subscriptions while its client is offline. The error names the limit that is reached.
    pub(super) fn keep_subscriptions(&self, usage: &mut SessionUsage, memory_bytes: usize) -> Result<(), LimitName> {
        self.forget_subscriptions(usage);
        let bytes = memory_bytes.saturating_sub(SUBSCRIPTIONS_EASY_BYTES);
        if bytes == 0 {
            return Ok(());
        }
        usage.subscription_bytes = bytes;
        let (owner_before, all_before) =
            (add(&self.owner_totals.subscription_bytes, bytes), add(&self.inner.totals.subscription_bytes, bytes));
        let result = SUBSCRIPTIONS.check(&self.owner, owner_before, all_before, bytes);
        result.inspect_err(|_| self.forget_subscriptions(usage))
    }

    /// Subtracts the memory of the session's subscriptions: its client is connected again.
    pub(super) fn forget_subscriptions(&self, usage: &mut SessionUsage) {
        let bytes = std::mem::take(&mut usage.subscription_bytes);
        subtract(&self.owner_totals.subscription_bytes, bytes);
        subtract(&self.inner.totals.subscription_bytes, bytes);
    }

    /// Checks whether the queues have room for this many bytes more. The error names the limit that is reached.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), LimitName> {
        let queued = |totals: &Totals| totals.queued_bytes.load(Ordering::Relaxed);
        QUEUE.check(&self.owner, queued(&self.owner_totals), queued(&self.inner.totals), bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str) -> Owner {
        Owner::Service(name.into())
    }

    fn queued(messages: usize, bytes: usize) -> Queued {
        Queued { messages, bytes }
    }

    #[test]
    fn shares_are_counted_together_and_given_back() {
        let offline_sessions = OfflineSessions::new(0);
        let (everyone, mut one, mut two) =
            (offline_sessions.owner_quota(Owner::Everyone), SessionUsage::default(), SessionUsage::default());
        everyone.set_queued(&mut one, queued(3, SESSIONS_QUEUE_BYTES - 10));
        offline_sessions.owner_quota(Owner::Everyone).set_queued(&mut two, queued(1, 5));
        assert_eq!(offline_sessions.queued(), queued(4, SESSIONS_QUEUE_BYTES - 5));
        assert!(everyone.check_room(5).is_ok() && everyone.check_room(6).is_err());
        everyone.set_queued(&mut one, Queued::default());
        assert_eq!(offline_sessions.queued(), queued(1, 5));
        assert!(everyone.check_room(SESSIONS_QUEUE_BYTES - 5).is_ok());
    }

    #[test]
    fn subscriptions_of_those_away_are_bounded_and_a_few_are_always_kept() {
        let offline_sessions = OfflineSessions::new(0).owner_quota(Owner::Everyone);
        let (mut one, mut two) = (SessionUsage::default(), SessionUsage::default());
        let (all, easy) = (SESSIONS_SUBSCRIPTION_BYTES, SUBSCRIPTIONS_EASY_BYTES);
        assert!(offline_sessions.keep_subscriptions(&mut one, all + easy + 1).is_err());
        assert!(offline_sessions.keep_subscriptions(&mut one, all + easy).is_ok());
        assert!(offline_sessions.keep_subscriptions(&mut two, easy + 1).is_err());
        assert!(offline_sessions.keep_subscriptions(&mut two, easy).is_ok());
        assert!(offline_sessions.check_room(SESSIONS_QUEUE_BYTES).is_ok(), "what waits has a bound of its own");
        offline_sessions.forget_subscriptions(&mut one);
        assert!(offline_sessions.keep_subscriptions(&mut two, all + easy).is_ok());
    }

    #[test]
    fn one_account_cannot_use_up_what_others_may_keep() {
        let offline_sessions = OfflineSessions::new(20_000);
        let mut kept: Vec<_> = std::iter::repeat_with(SessionUsage::default).take(SESSIONS_KEPT_OF_ONE + 1).collect();
        let greedy = offline_sessions.owner_quota(account("greedy"));
        let refused: Vec<_> = kept.iter_mut().filter_map(|usage| greedy.keep_session(usage).err()).collect();
        assert_eq!(refused, [names::SESSIONS_KEPT_OF_ONE]);
        let modest = offline_sessions.owner_quota(account("modest"));
        let mut usage = SessionUsage::default();
        assert!(modest.keep_session(&mut usage).is_ok());
        assert!(
            offline_sessions
                .owner_quota(Owner::Device(switchbox_model::DeviceNum(1)))
                .keep_session(&mut SessionUsage::default())
                .is_ok()
        );
        greedy.set_queued(&mut kept[0], queued(1, QUEUE.one));
        assert_eq!(
            offline_sessions.owner_quota(account("greedy")).check_room(1),
            Err(names::SESSIONS_QUEUE_BYTES_OF_ONE)
        );
        assert!(modest.check_room(QUEUE.one).is_ok());
        let many = SUBSCRIPTIONS.one + SUBSCRIPTIONS_EASY_BYTES;
        assert!(greedy.keep_subscriptions(&mut kept[0], many).is_ok());
        assert!(greedy.keep_subscriptions(&mut kept[1], SUBSCRIPTIONS_EASY_BYTES + 1).is_err());
        assert!(modest.keep_subscriptions(&mut usage, many).is_ok());
        greedy.forget_session(&mut kept[0]);
        assert!(greedy.keep_session(&mut kept[1]).is_ok() && greedy.keep_session(&mut kept[0]).is_ok());
    }
}
