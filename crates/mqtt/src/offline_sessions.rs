//! The limits for what the sessions of all offline clients hold together, and of what those of one owner hold. They are checked in addition
//! to the limits of each session. This module counts only; it drops nothing.

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

#[derive(Debug, Default)]
struct Totals {
    sessions: AtomicUsize,
    /// Messages, and their bytes.
    queued_messages: AtomicUsize,
    queued: AtomicUsize,
    subscriptions: AtomicUsize,
}

#[derive(Debug)]
struct Inner {
    totals: Totals,
    sessions: SharedQuota,
    everyone: Arc<Totals>,
    accounts: Mutex<HashMap<Owner, Weak<Totals>>>,
}

/// Counts what the offline sessions of all owners hold. Cheap to clone: all clones share the counters.
#[derive(Debug, Clone)]
pub(super) struct OfflineSessions(Arc<Inner>);

/// Counts what the offline sessions of one owner hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct OwnerQuota {
    owner: Owner,
    own: Arc<Totals>,
    all: Arc<Inner>,
}

/// What one session has added to the counters.
#[derive(Debug, Default)]
pub(super) struct SessionUsage {
    /// Whether the session counts as one that is kept when its client is offline.
    counted: bool,
    queued: Queued,
    subscriptions: usize,
}

/// What waits in queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queued {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

fn add(to: &AtomicUsize, bytes: usize) -> usize {
    to.fetch_add(bytes, Ordering::Relaxed)
}

fn take(from: &AtomicUsize, bytes: usize) {
    from.fetch_sub(bytes, Ordering::Relaxed);
}

impl OfflineSessions {
    /// `connections`: the limit of connections. As many sessions may be kept in addition.
    pub(super) fn new(connections: usize) -> Self {
        let names = (names::SESSIONS_KEPT, names::SESSIONS_KEPT_OF_ONE);
        let sessions = SharedQuota { all: connections.saturating_add(SESSIONS_KEPT), one: SESSIONS_KEPT_OF_ONE, names };
        Self(Arc::new(Inner {
            totals: Totals::default(),
            sessions,
            everyone: Arc::default(),
            accounts: Mutex::default(),
        }))
    }

    /// What waits in all of them.
    pub(super) fn queued(&self) -> Queued {
        let Totals { queued_messages, queued, .. } = &self.0.totals;
        Queued { messages: queued_messages.load(Ordering::Relaxed), bytes: queued.load(Ordering::Relaxed) }
    }

    pub(super) fn of(&self, owner: Owner) -> OwnerQuota {
        let own = match &owner {
            Owner::Everyone => self.0.everyone.clone(),
            // A device has one session.
            Owner::Device(_) | Owner::Plugins => Arc::default(),
            Owner::Service(_) => self.account(&owner),
        };
        OwnerQuota { owner, own, all: self.0.clone() }
    }

    fn account(&self, owner: &Owner) -> Arc<Totals> {
        let mut accounts = self.0.accounts.lock();
        if let Some(known) = accounts.get(owner).and_then(Weak::upgrade) {
            return known;
        }
        accounts.retain(|_, totals| totals.strong_count() > 0);
        let new = Arc::default();
        accounts.insert(owner.clone(), Arc::downgrade(&new));
        new
    }
}

impl OwnerQuota {
    /// Counts a session that is kept from now on when its client is offline. The error names the limit that is reached.
    pub(super) fn keep_session(&self, usage: &mut SessionUsage) -> Result<(), LimitName> {
        if usage.counted {
            return Ok(());
        }
        let (own, all) = (add(&self.own.sessions, 1), add(&self.all.totals.sessions, 1));
        usage.counted = true;
        let room = self.all.sessions.check(&self.owner, own, all, 1);
        room.inspect_err(|_| self.forget_session(usage))
    }

    /// Counts a kept session of an earlier process, without checking the limits.
    pub(super) fn restore_session(&self, usage: &mut SessionUsage) {
        if !std::mem::replace(&mut usage.counted, true) {
            add(&self.own.sessions, 1);
            add(&self.all.totals.sessions, 1);
        }
    }

    pub(super) fn forget_session(&self, usage: &mut SessionUsage) {
        if std::mem::take(&mut usage.counted) {
            take(&self.own.sessions, 1);
            take(&self.all.totals.sessions, 1);
        }
    }

    /// Sets what waits in the session's queue. It is nothing while its client is connected.
    pub(super) fn set(&self, usage: &mut SessionUsage, queued: Queued) {
        let before = std::mem::replace(&mut usage.queued, queued);
        for totals in [&self.own, &self.all.totals as &Totals] {
            add(&totals.queued, queued.bytes);
            take(&totals.queued, before.bytes);
        }
        add(&self.all.totals.queued_messages, queued.messages);
        take(&self.all.totals.queued_messages, before.messages);
    }

    /// Counts the memory of the session's subscriptions while its client is offline. The error names the limit that is reached.
    pub(super) fn keep_subscriptions(&self, usage: &mut SessionUsage, memory_bytes: usize) -> Result<(), LimitName> {
        self.forget_subscriptions(usage);
        let bytes = memory_bytes.saturating_sub(SUBSCRIPTIONS_EASY_BYTES);
        if bytes == 0 {
            return Ok(());
        }
        usage.subscriptions = bytes;
        let (own, all) = (add(&self.own.subscriptions, bytes), add(&self.all.totals.subscriptions, bytes));
        let room = SUBSCRIPTIONS.check(&self.owner, own, all, bytes);
        room.inspect_err(|_| self.forget_subscriptions(usage))
    }

    /// Subtracts the memory of the session's subscriptions: its client is connected again.
    pub(super) fn forget_subscriptions(&self, usage: &mut SessionUsage) {
        let bytes = std::mem::take(&mut usage.subscriptions);
        take(&self.own.subscriptions, bytes);
        take(&self.all.totals.subscriptions, bytes);
    }

    /// Checks whether the queues have room for this many bytes more. The error names the limit that is reached.
    pub(super) fn room(&self, bytes: usize) -> Result<(), LimitName> {
        let queued = |totals: &Totals| totals.queued.load(Ordering::Relaxed);
        QUEUE.check(&self.owner, queued(&self.own), queued(&self.all.totals), bytes)
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
            (offline_sessions.of(Owner::Everyone), SessionUsage::default(), SessionUsage::default());
        everyone.set(&mut one, queued(3, SESSIONS_QUEUE_BYTES - 10));
        offline_sessions.of(Owner::Everyone).set(&mut two, queued(1, 5));
        assert_eq!(offline_sessions.queued(), queued(4, SESSIONS_QUEUE_BYTES - 5));
        assert!(everyone.room(5).is_ok() && everyone.room(6).is_err());
        everyone.set(&mut one, Queued::default());
        assert_eq!(offline_sessions.queued(), queued(1, 5));
        assert!(everyone.room(SESSIONS_QUEUE_BYTES - 5).is_ok());
    }

    #[test]
    fn subscriptions_of_those_away_are_bounded_and_a_few_are_always_kept() {
        let offline_sessions = OfflineSessions::new(0).of(Owner::Everyone);
        let (mut one, mut two) = (SessionUsage::default(), SessionUsage::default());
        let (all, easy) = (SESSIONS_SUBSCRIPTION_BYTES, SUBSCRIPTIONS_EASY_BYTES);
        assert!(offline_sessions.keep_subscriptions(&mut one, all + easy + 1).is_err());
        assert!(offline_sessions.keep_subscriptions(&mut one, all + easy).is_ok());
        assert!(offline_sessions.keep_subscriptions(&mut two, easy + 1).is_err());
        assert!(offline_sessions.keep_subscriptions(&mut two, easy).is_ok());
        assert!(offline_sessions.room(SESSIONS_QUEUE_BYTES).is_ok(), "what waits has a bound of its own");
        offline_sessions.forget_subscriptions(&mut one);
        assert!(offline_sessions.keep_subscriptions(&mut two, all + easy).is_ok());
    }

    #[test]
    fn one_account_cannot_use_up_what_others_may_keep() {
        let offline_sessions = OfflineSessions::new(20_000);
        let mut kept: Vec<_> = std::iter::repeat_with(SessionUsage::default).take(SESSIONS_KEPT_OF_ONE + 1).collect();
        let greedy = offline_sessions.of(account("greedy"));
        let refused: Vec<_> = kept.iter_mut().filter_map(|usage| greedy.keep_session(usage).err()).collect();
        assert_eq!(refused, [names::SESSIONS_KEPT_OF_ONE]);
        let modest = offline_sessions.of(account("modest"));
        let mut usage = SessionUsage::default();
        assert!(modest.keep_session(&mut usage).is_ok());
        assert!(
            offline_sessions
                .of(Owner::Device(switchbox_model::DeviceNum(1)))
                .keep_session(&mut SessionUsage::default())
                .is_ok()
        );
        greedy.set(&mut kept[0], queued(1, QUEUE.one));
        assert_eq!(offline_sessions.of(account("greedy")).room(1), Err(names::SESSIONS_QUEUE_BYTES_OF_ONE));
        assert!(modest.room(QUEUE.one).is_ok());
        let many = SUBSCRIPTIONS.one + SUBSCRIPTIONS_EASY_BYTES;
        assert!(greedy.keep_subscriptions(&mut kept[0], many).is_ok());
        assert!(greedy.keep_subscriptions(&mut kept[1], SUBSCRIPTIONS_EASY_BYTES + 1).is_err());
        assert!(modest.keep_subscriptions(&mut usage, many).is_ok());
        greedy.forget_session(&mut kept[0]);
        assert!(greedy.keep_session(&mut kept[1]).is_ok() && greedy.keep_session(&mut kept[0]).is_ok());
    }
}
