//! Who is connected, and the sessions of those who are away: one session a device or client id, one connection a
//! session. Never reads or writes a packet.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::away::Away;
use super::mailbox::{Close, Mailbox};
use crate::{
    clock,
    metrics::Metrics,
    model::{
        broker::{BrokerChange, StoredWill},
        limits,
    },
    store,
    topics::{self, Subscriber as _},
};

pub(super) use crate::model::broker::SessionKey as Key;

/// Publishes a will.
pub(super) type WillTask = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a connection that is asked to end may take.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(5);

struct Slot {
    mailbox: Arc<Mailbox>,
    live: bool,
    /// Waits for the will's delay.
    will: Option<WillTask>,
    /// Sends the will and ends the session, in time.
    aftermath: Option<AbortHandle>,
}

#[derive(Default)]
struct Table {
    slots: HashMap<Key, Slot>,
    kept: usize,
    closed: bool,
}

pub(super) struct Clients {
    table: Mutex<Table>,
    topics: topics::Handle,
    metrics: Metrics,
    pub(super) away: Away,
}

/// How a client wants its session.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) name: Arc<str>,
    pub(super) clean: bool,
    /// How long it outlives its connection.
    pub(super) expiry_secs: u32,
    pub(super) will: Option<Box<StoredWill>>,
}

/// What a connection leaves behind.
pub(super) struct Legacy {
    pub(super) expiry: Duration,
    /// Published after its delay.
    pub(super) will: Option<(Duration, WillTask)>,
    /// The host shuts down: the will is for the next start.
    pub(super) will_later: bool,
}

/// The session that a connection got, and whether it was there before.
pub(super) struct Claim {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) present: bool,
    /// For [`Clients::written`].
    pub(super) changes: Vec<BrokerChange>,
}

impl Clients {
    pub(super) fn new(topics: topics::Handle, metrics: Metrics) -> Self {
        Self { table: Mutex::default(), topics, metrics, away: Away::default() }
    }

    /// Gives the session to a new connection; one that has it now is closed first. None: the host shuts down, or the old
    /// connection does not end.
    pub(super) async fn claim(&self, key: &Key, wanted: &Wanted) -> Option<Claim> {
        loop {
            let old = match self.try_claim(key, wanted)? {
                Ok(claim) => return Some(claim),
                Err(old) => old,
            };
            let gone = old.gone.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            if self.is_live(key, &old) {
                old.close(Close::TakenOver);
                tokio::time::timeout(TAKEOVER_PATIENCE, gone).await.ok()?;
            }
        }
    }

    /// `Err`: another connection has the session.
    fn try_claim(&self, key: &Key, wanted: &Wanted) -> Option<Result<Claim, Arc<Mailbox>>> {
        let mut table = self.table.lock();
        if table.closed {
            return None;
        }
        match table.slots.get_mut(key) {
            Some(slot) if slot.live => return Some(Err(slot.mailbox.clone())),
            Some(slot) if !wanted.clean => {
                slot.live = true;
                slot.will = None;
                slot.aftermath.take().inspect(AbortHandle::abort);
                let mailbox = slot.mailbox.clone();
                table.kept -= 1;
                let changes = resumed(&mailbox, wanted);
                return Some(Ok(Claim { mailbox, present: true, changes }));
            }
            Some(_) => self.end_session(&mut table, key),
            None => {}
        }
        let mailbox =
            Mailbox::new(wanted.name.clone(), self.metrics.clone(), self.away.clone(), self.topics.keeper().clone());
        let changes = self.opened(key, &mailbox, wanted);
        table.slots.insert(key.clone(), Slot { mailbox: mailbox.clone(), live: true, will: None, aftermath: None });
        Some(Ok(Claim { mailbox, present: false, changes }))
    }

    /// Only what outlives the connection is written down: the session, or at least its will.
    fn opened(&self, key: &Key, mailbox: &Mailbox, wanted: &Wanted) -> Vec<BrokerChange> {
        let expiry_secs = wanted.expiry_secs;
        if expiry_secs == 0 && wanted.will.is_none() {
            return Vec::new();
        }
        let session = self.topics.keeper().next_session();
        {
            let mut state = mailbox.lock();
            state.record = Some(session);
            state.durable = expiry_secs > 0;
        }
        let mut changes = vec![BrokerChange::Opened { session, key: key.clone(), expiry_secs }];
        changes.extend(wanted.will.clone().map(|will| BrokerChange::Will { session, will: Some(will) }));
        changes
    }

    /// Waits until it is durable that the connection has its session, where the session is: a client whose host is killed
    /// then must be told that what it gets again it may have had.
    pub(super) async fn written(&self, changes: Vec<BrokerChange>) -> Option<()> {
        if changes.is_empty() {
            return Some(());
        }
        let (tell, told) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result: Result<(), store::Error>| {
            let _ = tell.send(result);
        });
        self.topics.keeper().keep_soon(changes, done);
        told.await.ok()?.ok()
    }

    fn is_live(&self, key: &Key, mailbox: &Arc<Mailbox>) -> bool {
        self.table.lock().slots.get(key).is_some_and(|slot| slot.live && Arc::ptr_eq(&slot.mailbox, mailbox))
    }

    /// A connection ended. Its session is kept for its expiry; the will is published after its delay, or when the session
    /// ends, whichever comes first.
    pub(super) fn release(self: &Arc<Self>, key: &Key, mailbox: &Arc<Mailbox>, legacy: Legacy) {
        mailbox.end();
        let Legacy { expiry, will, will_later } = legacy;
        let mut table = self.table.lock();
        let full = !expiry.is_zero() && (!self.is_one_more(&table, mailbox) || !self.has_room(mailbox));
        let Entry::Occupied(mut slot) = table.slots.entry(key.clone()) else { return };
        slot.get_mut().live = false;
        let (delay, will) = will.map_or((Duration::ZERO, None), |(delay, will)| (delay, Some(will)));
        let will_waits = will_later || (will.is_some() && !delay.is_zero());
        slot.get_mut().will = will;
        table.kept += 1;
        if will_later && (expiry.is_zero() || full) {
            self.left(mailbox, Duration::ZERO, true);
            mailbox.lock().record = None;
            self.end_session(&mut table, key);
        } else if expiry.is_zero() || full {
            self.end_session(&mut table, key);
        } else {
            self.left(mailbox, expiry, will_waits);
            self.start_aftermath(&mut table, key, delay.min(expiry), expiry);
        }
        drop(table);
        mailbox.gone.notify_waiters();
    }

    fn is_one_more(&self, table: &Table, mailbox: &Mailbox) -> bool {
        let fits = table.kept < limits::SESSIONS_KEPT;
        if !fits {
            self.not_kept(mailbox, limits::names::SESSIONS_KEPT, "there are too many");
        }
        fits
    }

    /// For its subscriptions, among those of all clients that are away.
    fn has_room(&self, mailbox: &Mailbox) -> bool {
        let fits = mailbox.keep_subscriptions();
        if !fits {
            self.not_kept(
                mailbox,
                limits::names::SESSIONS_SUBSCRIPTION_BYTES,
                "the filters of those away take too much memory",
            );
        }
        fits
    }

    fn not_kept(&self, mailbox: &Mailbox, limit: limits::LimitName, why: &str) {
        self.metrics.limit(limit);
        tracing::warn!(client = %mailbox.name, %limit, "the session is not kept: {why}");
    }

    fn left(&self, mailbox: &Mailbox, expiry: Duration, will: bool) {
        let (record, sent, in_doubt_from) = {
            let state = mailbox.lock();
            (state.record, state.session.newest_sent(), state.session.in_doubt_from())
        };
        let Some(session) = record else { return };
        let expiry_secs = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
        self.topics.keeper().note(BrokerChange::Left { session, time_ms: clock::now_ms(), expiry_secs, sent, will });
        if let Some(from) = in_doubt_from {
            self.topics.keeper().note(BrokerChange::InDoubt { session, from });
        }
    }

    /// The session of a client of an earlier process, for as long as it has left.
    pub(super) fn restore(
        self: &Arc<Self>,
        key: &Key,
        mailbox: Arc<Mailbox>,
        will: Option<(Duration, WillTask)>,
        left: Duration,
    ) {
        let mut table = self.table.lock();
        let (delay, will) = will.map_or((Duration::ZERO, None), |(delay, will)| (delay, Some(will)));
        if table.slots.contains_key(key) {
            // The host was killed before the end of the client's earlier session was on the disk.
            self.end_session(&mut table, key);
        }
        let full = !left.is_zero() && !self.has_room(&mailbox);
        table.slots.insert(key.clone(), Slot { mailbox, live: false, will, aftermath: None });
        table.kept += 1;
        if left.is_zero() || full {
            self.end_session(&mut table, key);
        } else {
            self.start_aftermath(&mut table, key, delay.min(left), left);
        }
    }

    fn start_aftermath(self: &Arc<Self>, table: &mut Table, key: &Key, delay: Duration, expiry: Duration) {
        let Some(slot) = table.slots.get_mut(key) else { return };
        if delay.is_zero() {
            self.publish_will(slot);
        }
        let (clients, key, id) = (self.clone(), key.clone(), slot.mailbox.id());
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            clients.with_away(&key, id, |slot| clients.publish_will(slot));
            tokio::time::sleep(expiry - delay).await;
            let mut table = clients.table.lock();
            if table.slots.get(&key).is_some_and(|slot| !slot.live && slot.mailbox.id() == id) {
                clients.end_session(&mut table, &key);
            }
        });
        slot.aftermath = Some(task.abort_handle());
    }

    fn publish_will(&self, slot: &mut Slot) {
        let Some(will) = slot.will.take() else { return };
        if let Some(session) = slot.mailbox.lock().record {
            self.topics.keeper().note(BrokerChange::Will { session, will: None });
        }
        tokio::spawn(will);
    }

    fn with_away<T>(&self, key: &Key, id: u64, act: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let mut table = self.table.lock();
        table.slots.get_mut(key).filter(|slot| !slot.live && slot.mailbox.id() == id).map(act)
    }

    /// Ends the session of a client that is away: its subscriptions go, its will is due.
    fn end_session(&self, table: &mut Table, key: &Key) {
        let Some(mut slot) = table.slots.remove(key) else { return };
        table.kept -= 1;
        slot.aftermath.take().inspect(AbortHandle::abort);
        slot.will.take().map(tokio::spawn);
        let (subscriptions, left, record) = {
            let mut state = slot.mailbox.lock();
            slot.mailbox.uncount(&mut state);
            (std::mem::take(&mut state.subscriptions), state.session.end(), state.record.take())
        };
        for filter in subscriptions.topics() {
            self.topics.unsubscribe(filter, slot.mailbox.id());
        }
        let topics = self.topics.clone();
        let ended = move |topics: &topics::Handle| {
            if let Some(session) = record {
                topics.keeper().keep_soon(vec![BrokerChange::Ended { session }], Box::new(|_| ()));
            }
        };
        if left.is_empty() {
            return ended(&topics);
        }
        // What others are to get has its place in the log before this one's ends.
        tokio::spawn(async move {
            for (filter, message) in left {
                topics.redeliver(&filter, &message).await;
            }
            ended(&topics);
        });
    }

    /// Asks the client's connection, or all, to find out whether they may stay.
    pub(super) fn recheck(&self, key: Option<&Key>) {
        let table = self.table.lock();
        match key {
            Some(key) => table.slots.get(key).into_iter().for_each(|slot| slot.mailbox.recheck()),
            None => table.slots.values().for_each(|slot| slot.mailbox.recheck()),
        }
    }

    /// Nobody can come back to it: its connection finds that out, and a session that was kept ends.
    pub(super) fn forget(&self, key: &Key) {
        let mut table = self.table.lock();
        match table.slots.get(key) {
            Some(slot) if slot.live => slot.mailbox.recheck(),
            Some(_) => self.end_session(&mut table, key),
            None => {}
        }
    }

    /// The same for all for whom this holds.
    pub(super) fn forget_all(&self, is_gone: impl Fn(&Key) -> bool) {
        let keys: Vec<_> = self.table.lock().slots.keys().filter(|key| is_gone(key)).cloned().collect();
        keys.iter().for_each(|key| self.forget(key));
    }

    /// Asks all connections to end, and lets no new one in.
    pub(super) fn close_all(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        for slot in table.slots.values().filter(|slot| slot.live) {
            slot.mailbox.close(Close::Shutdown);
        }
    }
}

fn resumed(mailbox: &Mailbox, wanted: &Wanted) -> Vec<BrokerChange> {
    let Some(session) = mailbox.lock().record else { return Vec::new() };
    let mut changes = vec![BrokerChange::Resumed { session, expiry_secs: wanted.expiry_secs }];
    changes.extend(wanted.will.clone().map(|will| BrokerChange::Will { session, will: Some(will) }));
    changes
}
