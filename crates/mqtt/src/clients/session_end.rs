//! The end of a connection, and later of its session. The will is published at once or after its delay, and the session ends after its
//! expiry. A will or a message is removed from the session in the same entry of the journal that publishes or redelivers it.
//!
//! `connection_ended` runs when a connection has ended, `publish_will` after the will's delay, and `end_session` after the session's
//! expiry; `run_end` does the work of an end. Each marks the slot `busy` until its work is done, and the client's next connection
//! waits for that. [`Busy`] clears the mark when it is dropped. Work that waits for subscribers whose queues are full is a
//! [`RemainingWork`], a future that contains the `Busy`.

use std::{sync::Arc, time::Duration};

use super::table::{Clients, DueWill, RemainingWork, SessionSlot};
use crate::{mailbox::Mailbox, shared_redelivery};
use switchbox_model::broker::{BrokerChange, SessionKey as Key};
use switchbox_mqtt_session::topics::{PendingChanges, Subscriber as _};
use switchbox_store::OnCommit;
use switchbox_support::{clock, tasks::spawn_contained};

/// What has to happen after the end of a connection.
pub(crate) struct SessionCleanup {
    pub(crate) expiry: Duration,
    /// The will with its delay.
    pub(crate) will: Option<(Duration, DueWill)>,
    /// The host shuts down, so the next start publishes the will.
    pub(crate) keep_will_for_restart: bool,
}

/// Marks a slot as busy until it is dropped, also by a panic.
struct Busy {
    clients: Arc<Clients>,
    key: Key,
    mailbox: Arc<Mailbox>,
    /// The session ends, so the slot is removed.
    session_ended: bool,
}

impl Busy {
    /// Keeps the slot busy until the remaining work is done.
    fn until_done(self, remaining: Option<RemainingWork>) {
        if let Some(remaining) = remaining {
            // A panic drops `Busy` as well, so the session is free afterwards.
            spawn_contained(self.clients.metrics.panics.clone(), "end of a session", async move {
                remaining.await;
                drop(self);
            });
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let id = self.mailbox.id();
        let end_when_idle = {
            let mut table = self.clients.table.lock();
            let slot = table.slots.get_mut(&self.key).filter(|slot| slot.is_offline(id));
            let end_when_idle = slot.is_some_and(|slot| {
                slot.busy = false;
                slot.end_when_idle
            });
            if self.session_ended && table.slots.get(&self.key).is_some_and(|slot| slot.is_offline(id)) {
                table.slots.remove(&self.key);
            }
            end_when_idle && !self.session_ended
        };
        if end_when_idle {
            self.clients.end_session(&self.key, id);
        }
        self.mailbox.connection_ended.notify_waiters();
    }
}

impl Clients {
    /// A connection ended. Its session is kept until its expiry. The will is published after its delay or at the end of the session,
    /// whichever comes first.
    pub(crate) fn connection_ended(self: &Arc<Self>, key: &Key, mailbox: &Arc<Mailbox>, cleanup: SessionCleanup) {
        mailbox.end();
        let SessionCleanup { expiry, will, keep_will_for_restart } = cleanup;
        let is_kept = !expiry.is_zero() && self.has_room(mailbox);
        {
            let mut table = self.table.lock();
            let Some(slot) = table.slots.get_mut(key) else { return };
            slot.live = false;
            slot.busy = true;
            table.live = table.live.saturating_sub(1);
        }
        let busy = Busy { clients: self.clone(), key: key.clone(), mailbox: mailbox.clone(), session_ended: !is_kept };
        let (delay, will) = will.map_or((Duration::ZERO, None), |(delay, will)| (delay, Some(will)));
        if !is_kept {
            if keep_will_for_restart {
                self.submit_all_unawaited(disconnect_changes(mailbox, Duration::ZERO, true));
                mailbox.lock().session_num = None;
            }
            let remaining = self.run_end(mailbox, will);
            return busy.until_done(remaining);
        }
        let has_pending_will = keep_will_for_restart || (will.is_some() && !delay.is_zero());
        let changes = disconnect_changes(mailbox, expiry, has_pending_will);
        let (remaining, will) = match will {
            Some(publish) if delay.is_zero() => (publish(pending(changes)), None),
            will => {
                self.submit_all_unawaited(changes);
                (None, will)
            }
        };
        self.start_cleanup(key, mailbox.id(), will, delay.min(expiry), expiry);
        busy.until_done(remaining);
    }

    /// Returns true if the session's subscriptions fit into the limits for offline clients.
    fn has_room(&self, mailbox: &Mailbox) -> bool {
        mailbox.keep_subscriptions().inspect_err(|limit| self.count_not_kept(mailbox, *limit)).is_ok()
    }

    /// Submits changes that no caller waits for.
    fn submit_all_unawaited(&self, changes: Vec<BrokerChange>) {
        changes.into_iter().for_each(|change| self.topics.session_journal().submit_unawaited(change));
    }

    /// Restores a stored session for the rest of its expiry.
    pub(crate) fn restore(
        self: &Arc<Self>,
        key: &Key,
        mailbox: Arc<Mailbox>,
        will: Option<(Duration, DueWill)>,
        remaining_expiry: Duration,
    ) {
        let (delay, will) = will.map_or((Duration::ZERO, None), |(delay, will)| (delay, Some(will)));
        let is_kept = !remaining_expiry.is_zero() && self.has_room(&mailbox);
        let previous_slot = self.table.lock().slots.insert(key.clone(), SessionSlot::new(mailbox.clone(), false));
        if let Some(SessionSlot { mailbox, will, cleanup, .. }) = previous_slot {
            // The host was killed before the end of this client's earlier session was durable.
            cleanup.inspect(tokio::task::AbortHandle::abort);
            self.run_end(&mailbox, will)
                .map(|remaining| spawn_contained(self.metrics.panics.clone(), "end of a session", remaining));
        }
        self.start_cleanup(key, mailbox.id(), will, delay.min(remaining_expiry), remaining_expiry);
        if !is_kept {
            self.end_session(key, mailbox.id());
        } else if delay.is_zero() {
            self.publish_will(key, mailbox.id());
        }
    }

    /// Starts the task that publishes the will after its delay and ends the session at its expiry.
    fn start_cleanup(self: &Arc<Self>, key: &Key, id: u64, will: Option<DueWill>, delay: Duration, expiry: Duration) {
        let mut table = self.table.lock();
        let Some(slot) = table.slots.get_mut(key).filter(|slot| slot.is_offline(id)) else { return };
        slot.will = will;
        let (clients, key) = (self.clone(), key.clone());
        let task = spawn_contained(self.metrics.panics.clone(), "expiry of a session", async move {
            tokio::time::sleep(delay).await;
            clients.publish_will(&key, id);
            tokio::time::sleep(expiry.saturating_sub(delay)).await;
            clients.count_expired(&key, id);
            clients.end_session(&key, id);
        });
        slot.cleanup = Some(task.abort_handle());
    }

    /// Counts the end of a session at its expiry, if the session is still offline.
    fn count_expired(&self, key: &Key, id: u64) {
        let mut table = self.table.lock();
        let is_expired = table.slots.get(key).is_some_and(|slot| slot.is_offline(id));
        table.expired += u64::from(is_expired);
    }

    /// Publishes the will of an offline client, if it was not published yet.
    fn publish_will(self: &Arc<Self>, key: &Key, id: u64) {
        let (publish, mailbox) = {
            let mut table = self.table.lock();
            let Some(slot) = table.slots.get_mut(key).filter(|slot| slot.is_offline(id) && !slot.busy) else { return };
            let Some(publish) = slot.will.take() else { return };
            slot.busy = true;
            (publish, slot.mailbox.clone())
        };
        let busy = Busy { clients: self.clone(), key: key.clone(), mailbox: mailbox.clone(), session_ended: false };
        let session_num = mailbox.lock().session_num;
        let remaining = publish(pending(session_num.map(|session| BrokerChange::Will { session, will: None })));
        busy.until_done(remaining);
    }

    /// Ends the session of an offline client: removes its subscriptions and publishes its will.
    pub(super) fn end_session(self: &Arc<Self>, key: &Key, id: u64) {
        let (will, mailbox) = {
            let mut table = self.table.lock();
            let Some(slot) = table.slots.get_mut(key).filter(|slot| slot.is_offline(id)) else { return };
            if slot.busy {
                slot.end_when_idle = true;
                return;
            }
            slot.busy = true;
            slot.cleanup.take().inspect(tokio::task::AbortHandle::abort);
            (slot.will.take(), slot.mailbox.clone())
        };
        let busy = Busy { clients: self.clone(), key: key.clone(), mailbox: mailbox.clone(), session_ended: true };
        let remaining = self.run_end(&mailbox, will);
        busy.until_done(remaining);
    }

    /// Ends a session. The redelivery of its messages of shared subscriptions, its will and its end are one entry of the journal. If
    /// members' queues are full, the end is journaled after those messages were delivered.
    fn run_end(&self, mailbox: &Mailbox, will: Option<DueWill>) -> Option<RemainingWork> {
        let (subscriptions, undelivered, session_num) = {
            let mut state = mailbox.lock();
            mailbox.release_quota(&mut state);
            (std::mem::take(&mut state.subscriptions), state.session.end(), state.session_num.take())
        };
        for filter in subscriptions.topics() {
            self.topics.unsubscribe(filter, mailbox.id());
        }
        let ended = session_num.map(|session| BrokerChange::Ended { session });
        let mut first_entry = PendingChanges::default();
        let waiting = shared_redelivery::redeliver(&self.topics, session_num, undelivered, &mut first_entry);
        if waiting.is_empty() {
            first_entry.extend(ended.clone());
        } else if will.is_some() {
            first_entry.extend(session_num.map(|session| BrokerChange::Will { session, will: None }));
        }
        let remaining_of_will = match will {
            Some(publish) => publish(first_entry),
            None => {
                self.topics.write_with(None, first_entry, OnCommit::Nothing);
                None
            }
        };
        if waiting.is_empty() {
            return remaining_of_will;
        }
        let topics = self.topics.clone();
        Some(Box::pin(async move {
            let mut pending = shared_redelivery::redeliver_waiting(&topics, session_num, waiting).await;
            pending.extend(ended);
            topics.write_with(None, pending, OnCommit::Nothing);
            if let Some(remaining) = remaining_of_will {
                remaining.await;
            }
        }))
    }
}

/// The changes as pending ones, which a will or a redelivery is added to.
fn pending(changes: impl IntoIterator<Item = BrokerChange>) -> PendingChanges {
    let mut pending = PendingChanges::default();
    pending.extend(changes);
    pending
}

/// The changes that say that the connection ended. `has_pending_will`: the will is still to be published.
fn disconnect_changes(mailbox: &Mailbox, expiry: Duration, has_pending_will: bool) -> Vec<BrokerChange> {
    let (session_num, sent, in_doubt_from) = {
        let state = mailbox.lock();
        (state.session_num, state.session.newest_sent(), state.session.in_doubt_from())
    };
    let Some(session) = session_num else { return Vec::new() };
    let expiry_secs = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX);
    vec![BrokerChange::Disconnected {
        session,
        time_ms: clock::now_ms(),
        expiry_secs,
        sent,
        in_doubt_from,
        will: has_pending_will,
    }]
}
