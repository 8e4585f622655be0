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

use super::mailbox::{Close, Kept, Mailbox};
use crate::{
    metrics::Metrics,
    model::{DeviceNum, limits},
    topics::{self, Subscriber as _},
};

/// What a session belongs to. The three forms of a device's client id are one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Device(DeviceNum),
    Client(Arc<str>),
}

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
}

/// The session that a connection got, and whether it was there before.
pub(super) struct Claim {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) present: bool,
}

impl Clients {
    pub(super) fn new(topics: topics::Handle, metrics: Metrics) -> Self {
        Self { table: Mutex::default(), topics, metrics }
    }

    /// Gives the session to a new connection; one that has it now is closed first. None: the host shuts down, or the
    /// old connection does not end.
    pub(super) async fn claim(&self, key: &Key, name: &Arc<str>, clean: bool) -> Option<Claim> {
        loop {
            let old = match self.try_claim(key, name, clean)? {
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
    fn try_claim(&self, key: &Key, name: &Arc<str>, clean: bool) -> Option<Result<Claim, Arc<Mailbox>>> {
        let mut table = self.table.lock();
        if table.closed {
            return None;
        }
        match table.slots.get_mut(key) {
            Some(slot) if slot.live => return Some(Err(slot.mailbox.clone())),
            Some(slot) if !clean => {
                slot.live = true;
                slot.will = None;
                slot.aftermath.take().inspect(AbortHandle::abort);
                let mailbox = slot.mailbox.clone();
                table.kept -= 1;
                return Some(Ok(Claim { mailbox, present: true }));
            }
            Some(_) => self.end_session(&mut table, key),
            None => {}
        }
        let mailbox = Mailbox::new(name.clone(), self.metrics.clone());
        table.slots.insert(key.clone(), Slot { mailbox: mailbox.clone(), live: true, will: None, aftermath: None });
        Some(Ok(Claim { mailbox, present: false }))
    }

    fn is_live(&self, key: &Key, mailbox: &Arc<Mailbox>) -> bool {
        self.table.lock().slots.get(key).is_some_and(|slot| slot.live && Arc::ptr_eq(&slot.mailbox, mailbox))
    }

    /// A connection ended. Its session is kept for `expiry`; the will is published after its delay, or when the session
    /// ends, whichever comes first.
    pub(super) fn release(
        self: &Arc<Self>,
        key: &Key,
        mailbox: &Arc<Mailbox>,
        expiry: Duration,
        will: Option<(Duration, WillTask)>,
    ) {
        mailbox.end();
        let mut table = self.table.lock();
        let full = table.kept >= limits::SESSIONS_KEPT && !expiry.is_zero();
        if full {
            self.metrics.limit("sessions_kept");
            tracing::warn!(client = %mailbox.name, limit = "sessions_kept", "the session is not kept: there are too many");
        }
        let Entry::Occupied(mut slot) = table.slots.entry(key.clone()) else { return };
        slot.get_mut().live = false;
        let (delay, will) = will.map_or((Duration::ZERO, None), |(delay, will)| (delay, Some(will)));
        slot.get_mut().will = will;
        table.kept += 1;
        if expiry.is_zero() || full {
            self.end_session(&mut table, key);
        } else {
            self.start_aftermath(&mut table, key, delay.min(expiry), expiry);
        }
        drop(table);
        mailbox.gone.notify_waiters();
    }

    fn start_aftermath(self: &Arc<Self>, table: &mut Table, key: &Key, delay: Duration, expiry: Duration) {
        let Some(slot) = table.slots.get_mut(key) else { return };
        if delay.is_zero() {
            slot.will.take().map(tokio::spawn);
        }
        let (clients, key, id) = (self.clone(), key.clone(), slot.mailbox.id());
        let task = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            clients.with_away(&key, id, |slot| slot.will.take().map(tokio::spawn));
            tokio::time::sleep(expiry - delay).await;
            let mut table = clients.table.lock();
            if table.slots.get(&key).is_some_and(|slot| !slot.live && slot.mailbox.id() == id) {
                clients.end_session(&mut table, &key);
            }
        });
        slot.aftermath = Some(task.abort_handle());
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
        let (subscriptions, left) = {
            let mut state = slot.mailbox.lock();
            (std::mem::take(&mut state.subscriptions), state.session.end())
        };
        for (filter, _) in subscriptions.iter().filter(|(_, kept)| **kept == Kept::Topic) {
            self.topics.unsubscribe(filter, slot.mailbox.id());
        }
        if !left.is_empty() {
            let topics = self.topics.clone();
            tokio::spawn(async move {
                for (filter, message) in left {
                    topics.redeliver(&filter, &message).await;
                }
            });
        }
    }

    /// Asks the client's connection, or all, to find out whether they may stay.
    pub(super) fn recheck(&self, key: Option<&Key>) {
        let table = self.table.lock();
        match key {
            Some(key) => table.slots.get(key).into_iter().for_each(|slot| slot.mailbox.recheck()),
            None => table.slots.values().for_each(|slot| slot.mailbox.recheck()),
        }
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
