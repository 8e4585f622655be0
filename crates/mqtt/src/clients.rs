//! The sessions and their connections: one session for each device or client id, at most one connection for each session. Does not
//! read or write packets.

mod session_end;
mod table;

use std::{sync::Arc, time::Duration};

use tokio::task::AbortHandle;

use super::mailbox::Mailbox;
use switchbox_model::broker::{BrokerChange, Owner, StoredWill};
use switchbox_mqtt_session::topics::Subscriber as _;
use switchbox_store::{self as store, OnCommit, Reply};

use self::table::SessionSlot;
pub(super) use self::{
    session_end::SessionCleanup,
    table::{Clients, DueWill, RemainingWork},
};
pub(super) use switchbox_model::broker::SessionKey as Key;

/// How long a connection that is closed for its successor may take to end, with the work that remains after it.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client's CONNECT asks for its session.
#[derive(Debug, Clone)]
pub(super) struct SessionRequest {
    pub(super) name: Arc<str>,
    /// The owner whose quota the session counts against.
    pub(super) owner: Owner,
    /// A session of an earlier connection is ended, not resumed.
    pub(super) clean: bool,
    /// How long the session outlives its connection.
    pub(super) expiry_secs: u32,
    pub(super) will: Option<Box<StoredWill>>,
}

/// The session that a connection got.
pub(super) struct ClaimedSession {
    pub(super) mailbox: Arc<Mailbox>,
    /// The session existed before, and is resumed.
    pub(super) present: bool,
    /// How long the session outlives its connection. 0 if a limit leaves no room to keep the session.
    pub(super) expiry_secs: u32,
    /// The changes to journal, for [`Clients::wait_until_durable`].
    pub(super) changes: Vec<BrokerChange>,
}

/// The result of one try to claim a session.
enum ClaimOutcome {
    Claimed(ClaimedSession),
    /// Another connection has the session, or its end is still being processed.
    InUse(Arc<Mailbox>),
    /// The client asks for a new session, so the old one has to end first.
    MustEndFirst(Arc<Mailbox>),
}

impl Clients {
    /// Gives the session to a new connection. A connection that has it now is closed first, and its will is published or dropped before
    /// this returns. Returns `None` if the host shuts down, or the old connection does not end in time.
    pub(super) async fn claim(self: &Arc<Self>, key: &Key, request: &SessionRequest) -> Option<ClaimedSession> {
        loop {
            let old = match self.try_claim(key, request)? {
                ClaimOutcome::Claimed(claim) => return Some(claim),
                ClaimOutcome::InUse(old) => old,
                ClaimOutcome::MustEndFirst(old) => {
                    self.end_session(key, old.id());
                    continue;
                }
            };
            let ended = old.connection_ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if self.close_current(key, &old) {
                tokio::time::timeout(TAKEOVER_TIMEOUT, ended).await.ok()?;
            }
        }
    }

    /// Claims the session if it is free. Returns `None` if the host shuts down.
    fn try_claim(&self, key: &Key, request: &SessionRequest) -> Option<ClaimOutcome> {
        let mut table = self.table.lock();
        if table.closed {
            return None;
        }
        match table.slots.get_mut(key) {
            Some(slot) if slot.live || slot.busy => return Some(ClaimOutcome::InUse(slot.mailbox.clone())),
            Some(slot) if !request.clean => {
                slot.live = true;
                slot.will = None;
                slot.cleanup.take().inspect(AbortHandle::abort);
                let mailbox = slot.mailbox.clone();
                let changes = resume_changes(&mailbox, request);
                let expiry_secs = request.expiry_secs;
                table.record_connected();
                return Some(ClaimOutcome::Claimed(ClaimedSession { mailbox, present: true, expiry_secs, changes }));
            }
            Some(slot) => return Some(ClaimOutcome::MustEndFirst(slot.mailbox.clone())),
            None => {}
        }
        let owner_quota = self.offline_sessions.owner_quota(request.owner.clone());
        let mailbox = Mailbox::new(
            request.name.clone(),
            self.metrics.clone(),
            owner_quota,
            self.topics.session_journal().clone(),
        );
        let expiry_secs = self.grant_expiry(&mailbox, request.expiry_secs);
        let changes = self.open_changes(key, &mailbox, expiry_secs, request.will.clone());
        table.slots.insert(key.clone(), SessionSlot::new(mailbox.clone(), true));
        table.record_connected();
        Some(ClaimOutcome::Claimed(ClaimedSession { mailbox, present: false, expiry_secs, changes }))
    }

    /// The session expiry that is granted: the requested one, or 0 if a limit leaves no room to keep the session.
    fn grant_expiry(&self, mailbox: &Mailbox, requested_secs: u32) -> u32 {
        if requested_secs == 0 {
            return 0;
        }
        match mailbox.keep_session() {
            Ok(()) => requested_secs,
            Err(limit) => {
                self.count_not_kept(mailbox, limit);
                0
            }
        }
    }

    /// The changes that open a session in the journal: none if neither the session nor its will outlives the connection.
    fn open_changes(
        &self,
        key: &Key,
        mailbox: &Mailbox,
        expiry_secs: u32,
        will: Option<Box<StoredWill>>,
    ) -> Vec<BrokerChange> {
        if expiry_secs == 0 && will.is_none() {
            return Vec::new();
        }
        let session = self.topics.numbers().next_session();
        {
            let mut state = mailbox.lock();
            state.session_num = Some(session);
            state.durable = expiry_secs > 0;
        }
        let mut changes = vec![BrokerChange::SessionOpened { session, key: key.clone(), expiry_secs }];
        changes.extend(will.map(|will| BrokerChange::Will { session, will: Some(will) }));
        changes
    }

    /// Waits until it is durable that the connection has the session: after a kill of the host, messages that were sent on this connection
    /// must be retransmitted with DUP. Returns `None` if the journal is closed.
    pub(super) async fn wait_until_durable(&self, changes: Vec<BrokerChange>) -> Option<()> {
        if changes.is_empty() {
            return Some(());
        }
        let (done, result) = tokio::sync::oneshot::channel();
        let done = OnCommit::Call(Box::new(move |reply: Result<Reply, store::Error>| {
            let _ = done.send(reply.map(drop));
        }));
        self.topics.session_journal().submit_soon(changes, done);
        result.await.ok()?.ok()
    }

    /// No client can claim this session any more, because its device or account is gone: its connection checks its authorisation again, and
    /// a session without a connection ends.
    pub(super) fn forget(self: &Arc<Self>, key: &Key) {
        let id = {
            let table = self.table.lock();
            let Some(slot) = table.slots.get(key) else { return };
            if slot.live {
                return slot.mailbox.request_revalidation();
            }
            slot.mailbox.id()
        };
        self.end_session(key, id);
    }

    /// As [`Self::forget`], for all sessions whose keys match.
    pub(super) fn forget_all(self: &Arc<Self>, is_gone: impl Fn(&Key) -> bool) {
        let keys: Vec<_> = self.table.lock().slots.keys().filter(|key| is_gone(key)).cloned().collect();
        keys.iter().for_each(|key| self.forget(key));
    }
}

/// The changes that say in the journal that a new connection has the session.
fn resume_changes(mailbox: &Mailbox, request: &SessionRequest) -> Vec<BrokerChange> {
    let Some(session) = mailbox.lock().session_num else { return Vec::new() };
    let mut changes = vec![BrokerChange::Resumed { session, expiry_secs: request.expiry_secs }];
    changes.extend(request.will.clone().map(|will| BrokerChange::Will { session, will: Some(will) }));
    changes
}
