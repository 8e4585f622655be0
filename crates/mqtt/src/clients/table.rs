//! The table of the sessions: a slot for each, with its mailbox and whether a connection has it. Does not begin or end sessions.

use std::{collections::HashMap, pin::Pin, sync::Arc};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::{
    mailbox::{Close, Mailbox},
    offline_sessions::OfflineSessions,
};
use switchbox_model::{broker::SessionKey as Key, limits::LimitName};
use switchbox_mqtt_session::topics::{PendingChanges, Subscriber as _};
use switchbox_pubsub::Topics;
use switchbox_support::metrics::Metrics;

/// Publishes a will that is due, in one entry of the journal with the pending changes. Returns the rest of the work if subscribers' queues
/// are full.
pub(crate) type DueWill = Box<dyn FnOnce(PendingChanges) -> Option<RemainingWork> + Send>;
/// Work that has to end before the client's next connection gets the session. Bounded in time.
pub(crate) type RemainingWork = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A session in the table.
pub(super) struct SessionSlot {
    pub(super) mailbox: Arc<Mailbox>,
    /// A connection has the session.
    pub(super) live: bool,
    /// The session's will is being published, or the session is being ended. No connection gets the session before that is done.
    pub(super) busy: bool,
    /// The session has to be ended as soon as it is not busy any more.
    pub(super) end_when_idle: bool,
    /// The will, while its delay runs.
    pub(super) will: Option<DueWill>,
    /// The task that publishes the will after its delay and ends the session at its expiry.
    pub(super) cleanup: Option<AbortHandle>,
}

impl SessionSlot {
    pub(super) fn new(mailbox: Arc<Mailbox>, live: bool) -> Self {
        Self { mailbox, live, busy: false, end_when_idle: false, will: None, cleanup: None }
    }

    /// Returns true if this is the session with the given id and no connection has it.
    pub(super) fn is_offline(&self, id: u64) -> bool {
        !self.live && self.mailbox.id() == id
    }
}

/// All sessions, and their numbers.
#[derive(Default)]
pub(super) struct Table {
    pub(super) slots: HashMap<Key, SessionSlot>,
    /// How many sessions have a connection.
    pub(super) live: usize,
    /// The maximum of `live` since the start.
    pub(super) max_live: usize,
    /// Sessions that ended because their clients were offline for too long.
    pub(super) expired: u64,
    /// The host shuts down: no connection gets a session any more.
    pub(super) closed: bool,
}

impl Table {
    /// Counts one more session that has a connection.
    pub(super) fn record_connected(&mut self) {
        self.live += 1;
        self.max_live = self.max_live.max(self.live);
    }
}

/// The numbers of sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionCounts {
    pub(crate) all: usize,
    /// Sessions that have a connection.
    pub(crate) live: usize,
    /// The maximum of `live` since the start.
    pub(crate) max_live: usize,
    /// Sessions that ended because their clients were offline for too long.
    pub(crate) expired: u64,
}

/// The sessions of all clients, and what their beginning and end need.
pub(crate) struct Clients {
    pub(super) table: Mutex<Table>,
    pub(super) topics: Topics,
    pub(super) metrics: Metrics,
    pub(crate) offline_sessions: OfflineSessions,
}

impl Clients {
    pub(crate) fn new(topics: Topics, metrics: Metrics, connections: usize) -> Self {
        Self { table: Mutex::default(), topics, metrics, offline_sessions: OfflineSessions::new(connections) }
    }

    /// Counts and logs a session that a limit leaves no room to keep.
    pub(super) fn count_not_kept(&self, mailbox: &Mailbox, limit: LimitName) {
        self.metrics.limit(limit);
        tracing::warn!(client = %mailbox.name, %limit, "the session ends with its connection: there is no room to keep it");
    }

    pub(crate) fn counts(&self) -> SessionCounts {
        let table = self.table.lock();
        SessionCounts { all: table.slots.len(), live: table.live, max_live: table.max_live, expired: table.expired }
    }

    /// Closes the connection that has the session. Returns false if the session is free.
    pub(super) fn close_current(&self, key: &Key, mailbox: &Arc<Mailbox>) -> bool {
        let table = self.table.lock();
        let Some(slot) = table.slots.get(key).filter(|slot| Arc::ptr_eq(&slot.mailbox, mailbox)) else { return false };
        if slot.live {
            mailbox.close(Close::TakenOver);
        }
        slot.live || slot.busy
    }

    /// Makes the client's connection, or all connections, check their authorisation again.
    pub(crate) fn revalidate(&self, key: Option<&Key>) {
        let table = self.table.lock();
        match key {
            Some(key) => table.slots.get(key).into_iter().for_each(|slot| slot.mailbox.request_revalidation()),
            None => table.slots.values().for_each(|slot| slot.mailbox.request_revalidation()),
        }
    }

    /// Closes all connections and gives no session to new ones.
    pub(crate) fn close_all(&self) {
        let mut table = self.table.lock();
        table.closed = true;
        for slot in table.slots.values().filter(|slot| slot.live) {
            slot.mailbox.close(Close::Shutdown);
        }
    }
}
