//! A client's session, and what other tasks hand to its connection: messages, deliveries to devices, wake-ups for commits, the request to
//! close. Outlives the connection if the session does. Does not write to a socket.

mod closing;
mod device_link;
mod inbox;
mod locked;
mod state;
mod subscriber;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Wake,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::{
    device_link::DeviceLink,
    state::{Close, State},
    subscriber::journaled_item,
};
use self::{
    inbox::{Inbox, InboxItem},
    locked::{Fullness, LockedState},
};
use crate::{
    device_delivery::DeviceDelivery,
    offline_sessions::{OwnerQuota, Queued},
    subscriptions::SubscriptionTarget,
    wake_signal::WakeSignal,
};
use switchbox_delivery::DownlinkKind;
use switchbox_model::{Message, QoS, broker::BrokerChange, limits};
use switchbox_mqtt_session::session::{Body, Item, OfferResult};
use switchbox_pubsub::SessionJournal;
use switchbox_support::{clock, metrics::Metrics, threads};

/// What one session and its connection share with other tasks.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Distinguishes the mailboxes of this process: the session's id as a subscriber.
    id: u64,
    /// The device's or client's name, for the log.
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
    /// Items that other threads handed over to the session.
    inbox: Inbox,
    fullness: Fullness,
    /// The config that the client has, if it is sent only changes. Used by the connection's task alone.
    pub(crate) known_config: Mutex<Bytes>,
    /// The epoch of the connection that accepts deliveries. 0 = none does.
    open_epoch: AtomicU64,
    /// The client subscribes to its own commands with QoS 0, so they are not acknowledged.
    commands_unconfirmed: AtomicBool,
    /// A delivery found no room, so expired items have to be removed.
    purge_requested: AtomicBool,
    /// The client's authorisation may have changed.
    revalidation_requested: AtomicBool,
    /// The queue has no room for any message.
    queue_full: AtomicBool,
    /// Wakes the connection's task for new items or requests.
    pub(crate) work: WakeSignal,
    /// Notifies the connection that it has been asked to end.
    close_requested: Notify,
    /// Notifies the client's next connection that the connection has ended.
    pub(crate) connection_ended: Notify,
    /// Notifies waiting publishers that the queue may have room.
    room_freed: Notify,
    metrics: Metrics,
    owner_quota: OwnerQuota,
    session_journal: SessionJournal,
}

/// The journal's writer wakes the connection when it has committed what the connection waits for.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.work.wake_now();
    }
}

impl Mailbox {
    pub(crate) fn new(
        name: Arc<str>,
        metrics: Metrics,
        owner_quota: OwnerQuota,
        session_journal: SessionJournal,
    ) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            name,
            state: Mutex::default(),
            inbox: Inbox::default(),
            fullness: Fullness::default(),
            known_config: Mutex::default(),
            open_epoch: AtomicU64::new(0),
            commands_unconfirmed: AtomicBool::new(false),
            purge_requested: AtomicBool::new(false),
            revalidation_requested: AtomicBool::new(false),
            queue_full: AtomicBool::new(false),
            work: WakeSignal::default(),
            close_requested: Notify::new(),
            connection_ended: Notify::new(),
            room_freed: Notify::new(),
            metrics,
            owner_quota,
            session_journal,
        })
    }

    /// A mailbox with a stored session.
    pub(crate) fn restore(
        name: Arc<str>,
        metrics: Metrics,
        owner_quota: OwnerQuota,
        session_journal: SessionJournal,
        state: State,
    ) -> Arc<Self> {
        let mailbox = Self::new(name, metrics, owner_quota, session_journal);
        {
            let mut current = mailbox.lock();
            *current = state;
            if current.durable {
                mailbox.owner_quota.restore_session(&mut current.usage);
            }
            mailbox.update_quota(&mut current);
        }
        mailbox
    }

    /// Counts what waits in the queue now in the limits for offline clients.
    fn update_quota(&self, state: &mut State) {
        let queued = match state.online {
            true => Queued::default(),
            false => Queued { messages: state.session.slots_used(), bytes: state.session.queued_bytes() },
        };
        self.owner_quota.set_queued(&mut state.usage, queued);
    }

    /// Counts the session as one that is kept for an offline client. The error is the limit that leaves no room.
    pub(crate) fn keep_session(&self) -> Result<(), limits::LimitName> {
        self.owner_quota.keep_session(&mut self.lock().usage)
    }

    /// Counts the session's subscriptions among those of offline clients. The error is the limit that leaves no room.
    pub(crate) fn keep_subscriptions(&self) -> Result<(), limits::LimitName> {
        let mut state = self.lock();
        let memory_bytes = state.subscriptions.memory_bytes();
        self.owner_quota.keep_subscriptions(&mut state.usage, memory_bytes)
    }

    /// Subtracts everything that the session counted for: it ended.
    pub(crate) fn release_quota(&self, state: &mut State) {
        self.owner_quota.set_queued(&mut state.usage, Queued::default());
        self.owner_quota.forget_subscriptions(&mut state.usage);
        self.owner_quota.forget_session(&mut state.usage);
    }

    /// Locks the session's state, and moves the items of the inbox into it. Not for the journal's writer.
    pub(crate) fn lock(&self) -> LockedState<'_> {
        threads::assert_not_journal_writer();
        let mut state = self.state.lock();
        for item in self.inbox.take() {
            self.add_to_session(&mut state, item);
        }
        LockedState { state, fullness: &self.fullness }
    }

    /// Gives the session to a connection that begins. Returns the connection's epoch.
    pub(crate) fn begin(&self, receive_maximum: u16) -> u64 {
        let mut state = self.lock();
        state.connection_epoch += 1;
        state.online = true;
        self.update_quota(&mut state);
        self.owner_quota.forget_subscriptions(&mut state.usage);
        state.closing = None;
        // Acknowledgements for an earlier connection are not sent on this one.
        state.session.commit(self.session_journal.committed());
        state.session.connect(receive_maximum);
        self.update_commands_unconfirmed(&state, SubscriptionTarget::Downlink(DownlinkKind::Commands, QoS::AtMostOnce));
        self.open_epoch.store(state.connection_epoch, Ordering::Release);
        state.connection_epoch
    }

    /// Takes the session from its connection, which ended.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.online = false;
        self.open_epoch.store(0, Ordering::Release);
        state.session.disconnect();
        self.queue_full.store(false, Ordering::Relaxed);
        self.update_quota(&mut state);
        drop(state);
        self.room_freed.notify_waiters();
    }

    pub(crate) fn insert_subscription(&self, filter: Box<str>, target: SubscriptionTarget, id: Option<u32>) {
        let mut state = self.lock();
        state.subscriptions.insert(filter, target, id);
        self.update_commands_unconfirmed(&state, target);
    }

    pub(crate) fn remove_subscription(&self, filter: &str) -> Option<SubscriptionTarget> {
        let mut state = self.lock();
        let removed = state.subscriptions.remove(filter)?;
        self.update_commands_unconfirmed(&state, removed);
        Some(removed)
    }

    /// Reads the QoS of the commands again, after a subscription changed.
    fn update_commands_unconfirmed(&self, state: &State, changed: SubscriptionTarget) {
        if !matches!(changed, SubscriptionTarget::Downlink(DownlinkKind::Commands, _)) {
            return;
        }
        let is_unconfirmed = state.subscriptions.downlink_qos(DownlinkKind::Commands) == Some(QoS::AtMostOnce);
        self.commands_unconfirmed.store(is_unconfirmed, Ordering::Release);
    }

    /// Asks the connection to check its authorisation again.
    pub(crate) fn request_revalidation(&self) {
        self.revalidation_requested.store(true, Ordering::Release);
        self.work.wake_now();
    }

    pub(crate) fn needs_revalidation(&self) -> bool {
        self.revalidation_requested.load(Ordering::Acquire)
    }

    /// Returns true once after each request to check the authorisation again.
    pub(crate) fn take_revalidation(&self) -> bool {
        self.needs_revalidation() && self.revalidation_requested.swap(false, Ordering::Acquire)
    }

    /// Notifies waiting publishers that there may be room again.
    pub(crate) fn notify_room(&self, state: &mut State) {
        self.queue_full.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.publisher_waits) {
            self.room_freed.notify_waiters();
        }
    }

    /// Records that there was no room for a message.
    fn mark_queue_full(&self, state: &mut State) {
        state.publisher_waits = true;
        self.queue_full.store(state.online && state.session.is_full_for_good(), Ordering::Relaxed);
    }

    /// Queues an item in the session, and removes expired ones if there is no room.
    pub(crate) fn offer(&self, state: &mut State, item: Item<DeviceDelivery>) -> OfferResult {
        self.make_room(state, item.size());
        state.session.offer(item)
    }

    /// Removes expired items if there is no room for this many more bytes.
    fn make_room(&self, state: &mut State, bytes: usize) {
        if state.session.has_room(bytes) && (state.online || self.owner_quota.check_room(bytes).is_ok()) {
            return;
        }
        self.purge(state);
    }

    /// Removes expired items from the queue.
    fn purge(&self, state: &mut State) {
        let purged = state.session.purge(clock::instant());
        if purged == 0 {
            return;
        }
        self.metrics.drop_messages("expired", purged);
        self.update_quota(state);
        self.notify_room(state);
        let nums = state.session.take_finished();
        if let Some(session) = state.session_num.filter(|_| !nums.is_empty()) {
            self.session_journal.submit_unawaited(BrokerChange::MessagesFinished { session, nums });
        }
    }

    /// The client answered this method call, so its PUBACK is not waited for any more.
    pub(crate) fn record_answer(&self, call: u64) {
        self.lock().session.release_deliveries(|device_delivery| device_delivery.is_call(call));
    }

    /// Returns true if the connection is open and the queue is at most half full, so that a message that cannot be withdrawn is sent soon.
    pub(crate) fn has_room_for_unconfirmed(&self, connection_epoch: u64) -> bool {
        let ((queued, queued_bytes), (handed, handed_bytes)) = (self.fullness.read(), self.inbox.counted());
        self.is_open(connection_epoch)
            && queued + handed <= limits::SESSION_QUEUE / 2
            && queued_bytes + handed_bytes <= limits::SESSION_QUEUE_BYTES / 2
    }

    /// Queues an answer to a request of the client. Does not take the session's lock, because the journal's writer calls it.
    pub(crate) fn reply(&self, message: Arc<Message>) {
        self.inbox.push(InboxItem::Reply(message), None);
        self.work.wake_now();
    }

    /// Moves an answer from the inbox into the session, if the client still subscribes to answers.
    fn put_reply(&self, state: &mut State, message: Arc<Message>) {
        if !state.online || !state.subscriptions.replies() {
            return;
        }
        let ids = state.subscriptions.ids(|_, target| target == SubscriptionTarget::Replies);
        let body = Body::matched(message, false, ids, None);
        if self.offer(state, Item { qos: QoS::AtMostOnce, body, journaled: None }) != OfferResult::Taken {
            self.metrics.limit(limits::names::SESSION_QUEUE);
        }
    }

    /// Returns true if this connection accepts deliveries: it has neither ended nor been asked to.
    fn is_open(&self, connection_epoch: u64) -> bool {
        self.open_epoch.load(Ordering::Acquire) == connection_epoch
    }

    /// Hands over a delivery without the session's lock; the caller calls [`WakeSignal::wake`] afterwards. Returns false if the connection
    /// has ended or its queue is full.
    pub(crate) fn hand_over(
        &self,
        connection_epoch: u64,
        delivery: DeviceDelivery,
        detached: Option<&Arc<OnceLock<String>>>,
    ) -> bool {
        if !self.is_open(connection_epoch) {
            return false;
        }
        // Configs are not bounded, because the session keeps only the newest config waiting.
        let is_bounded = delivery.downlink_kind() != DownlinkKind::Config;
        let item = InboxItem::Delivery { connection_epoch, delivery, detached: detached.cloned() };
        let has_room = self.inbox.push(item, is_bounded.then(|| self.fullness.read()));
        if !has_room {
            self.metrics.limit(limits::names::SESSION_QUEUE);
            self.purge_requested.store(true, Ordering::Release);
        }
        self.work.mark();
        has_room
    }

    /// Moves an item of the inbox into the session.
    fn add_to_session(&self, state: &mut State, item: InboxItem) {
        let (connection_epoch, delivery, detached) = match item {
            InboxItem::Journaled { num, message, recipient } => {
                return state.session.offer_journaled(journaled_item(num, message, recipient));
            }
            InboxItem::Reply(message) => return self.put_reply(state, message),
            InboxItem::Delivery { connection_epoch, delivery, detached } => (connection_epoch, delivery, detached),
        };
        let is_detached = detached.is_some_and(|detached| detached.get().is_some());
        if is_detached || !state.online || state.connection_epoch != connection_epoch || state.closing.is_some() {
            return;
        }
        let kind = delivery.downlink_kind();
        let qos = match &delivery.device {
            None => state.subscriptions.downlink_qos(kind),
            Some(device) => state.attached_downlink_qos(&device.name.id, kind),
        };
        // If the client has just unsubscribed, a command is still queued, with QoS 1: the command window waits for its end.
        let item = |qos| Item { qos, body: Body::Device(delivery), journaled: None };
        match qos {
            Some(qos) if kind == DownlinkKind::Config => state.session.offer_latest(item(qos)),
            None if kind == DownlinkKind::Config => {}
            qos => state.session.enqueue(item(qos.unwrap_or(QoS::AtLeastOnce))),
        }
    }

    /// Removes expired items if a delivery found no room.
    pub(crate) fn purge_if_requested(&self, state: &mut State) {
        if self.purge_requested.load(Ordering::Relaxed) && self.purge_requested.swap(false, Ordering::Acquire) {
            self.purge(state);
        }
    }
}
