//! What others put before a client's connection: messages, deliveries of the hub, acknowledgements that became durable,
//! the request to close. Outlives the connection where the session does. Never writes to a socket.

mod closing;
mod device_link;
mod inbox;
mod locked;
mod subscriber;

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Wake,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::{closing::Close, device_link::DeviceLink, subscriber::journaled_item};
use self::{
    inbox::{Inbox, InboxItem},
    locked::{Fullness, LockedState},
};
use crate::{
    device_delivery::DeviceDelivery,
    offline_sessions::{OwnerQuota, SessionUsage},
    subscriptions::{AttachedSubscription, SubscriptionTarget, Subscriptions},
    wake_signal::WakeSignal,
};
use switchbox_delivery::DownlinkKind;
use switchbox_model::{
    DeviceId, Message, QoS,
    broker::{BrokerChange, SessionNum},
    limits,
};
use switchbox_mqtt_session::{
    session::{Body, Item, OfferResult, Session},
    topics::{SessionJournal, SlowConsumer},
};
use switchbox_support::{clock, metrics::Metrics};

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) session: Session<DeviceDelivery>,
    pub(crate) subscriptions: Subscriptions,
    /// Those to the topics of devices that the client speaks for as a gateway, and of devices that it spoke for: these are
    /// suspended until it attaches them again.
    pub(crate) attached_subscriptions: HashMap<DeviceId, Vec<AttachedSubscription>>,
    /// Counts the session's connections: what was meant for an earlier one is told from what is for this one.
    pub(crate) connection_epoch: u64,
    pub(crate) online: bool,
    pub(crate) closing: Option<Close>,
    /// A publisher waits for room.
    pub(crate) publisher_waits: bool,
    /// Of publishers that wait for room.
    pub(crate) slow_consumer: SlowConsumer,
    /// Under which number the journal knows the session.
    pub(crate) session_num: Option<SessionNum>,
    /// It outlives its connection, so what it is to get with QoS 1 and 2 is written down.
    pub(crate) durable: bool,
    /// Of what all clients that are away have.
    pub(crate) usage: SessionUsage,
    /// The config that the client has, where it is sent only what changes.
    pub(crate) known_config: Bytes,
}

impl State {
    /// The QoS that a feed is subscribed with.
    pub(crate) fn downlink_qos(&self, kind: DownlinkKind) -> Option<QoS> {
        self.subscriptions.downlink_qos(kind)
    }

    /// The same for a device that the client speaks for as a gateway.
    pub(crate) fn attached_downlink_qos(&self, device: &DeviceId, kind: DownlinkKind) -> Option<QoS> {
        let of_device = self.attached_subscriptions.get(device)?.iter();
        of_device.filter(|subscription| subscription.kind == kind).map(|subscription| subscription.qos).max()
    }
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    id: u64,
    /// The device's or client's name, for the log.
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
    /// What others handed over, for the session.
    inbox: Inbox,
    fullness: Fullness,
    /// The number of the connection that takes deliveries; 0 = none does.
    open_epoch: AtomicU64,
    /// The client's own device acknowledges no command: its subscription has QoS 0.
    commands_unconfirmed: AtomicBool,
    /// A delivery found no room.
    purge: AtomicBool,
    /// Something changed that decides whether the client may stay.
    revalidate: AtomicBool,
    /// The queue takes nothing, whatever it is.
    queue_full: AtomicBool,
    /// Something is in the session for the connection to write, or it has to look at something else.
    pub(crate) work: WakeSignal,
    /// The connection is to end.
    closing: Notify,
    /// The connection has ended.
    pub(crate) gone: Notify,
    room: Notify,
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
            open_epoch: AtomicU64::new(0),
            commands_unconfirmed: AtomicBool::new(false),
            purge: AtomicBool::new(false),
            revalidate: AtomicBool::new(false),
            queue_full: AtomicBool::new(false),
            work: WakeSignal::default(),
            closing: Notify::new(),
            gone: Notify::new(),
            room: Notify::new(),
            metrics,
            owner_quota,
            session_journal,
        })
    }

    /// The session of an earlier process.
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

    /// What waits counts together with what waits for others, while the client is away.
    fn update_quota(&self, state: &mut State) {
        let bytes = if state.online { 0 } else { state.session.queued_bytes() };
        self.owner_quota.set(&mut state.usage, bytes);
    }

    /// The session is to be kept when its client is away. The error is the limit that leaves no place for it.
    pub(crate) fn keep_session(&self) -> Result<(), limits::LimitName> {
        self.owner_quota.keep_session(&mut self.lock().usage)
    }

    /// The session is kept for a client that is away: its subscriptions count together with those of others. The error is the
    /// limit that leaves no room for them.
    pub(crate) fn keep_subscriptions(&self) -> Result<(), limits::LimitName> {
        let mut state = self.lock();
        let memory_bytes = state.subscriptions.memory_bytes();
        self.owner_quota.keep_subscriptions(&mut state.usage, memory_bytes)
    }

    /// The session is over: nothing of it is there any more.
    pub(crate) fn release_quota(&self, state: &mut State) {
        self.owner_quota.set(&mut state.usage, 0);
        self.owner_quota.forget_subscriptions(&mut state.usage);
        self.owner_quota.forget_session(&mut state.usage);
    }

    /// The session's state, with all that was handed over until now.
    pub(crate) fn lock(&self) -> LockedState<'_> {
        let mut state = self.state.lock();
        for handed in self.inbox.take() {
            self.add_to_session(&mut state, handed);
        }
        LockedState { state, fullness: &self.fullness }
    }

    /// A connection begins; returns its number among those of the session.
    pub(crate) fn begin(&self, receive_maximum: u16) -> u64 {
        let mut state = self.lock();
        state.connection_epoch += 1;
        state.online = true;
        self.update_quota(&mut state);
        self.owner_quota.forget_subscriptions(&mut state.usage);
        state.closing = None;
        // What became durable since then was acknowledged to an earlier connection, if to any.
        state.session.commit(self.session_journal.committed());
        state.session.connect(receive_maximum);
        self.update_commands_unconfirmed(&state, SubscriptionTarget::Downlink(DownlinkKind::Commands, QoS::AtMostOnce));
        self.open_epoch.store(state.connection_epoch, Ordering::Release);
        state.connection_epoch
    }

    /// The connection ended.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.online = false;
        self.open_epoch.store(0, Ordering::Release);
        state.session.disconnect();
        self.queue_full.store(false, Ordering::Relaxed);
        self.update_quota(&mut state);
        drop(state);
        self.room.notify_waiters();
    }

    pub(crate) fn insert_subscription(&self, filter: Box<str>, target: SubscriptionTarget) {
        let mut state = self.lock();
        state.subscriptions.insert(filter, target);
        self.update_commands_unconfirmed(&state, target);
    }

    pub(crate) fn remove_subscription(&self, filter: &str) -> Option<SubscriptionTarget> {
        let mut state = self.lock();
        let removed = state.subscriptions.remove(filter)?;
        self.update_commands_unconfirmed(&state, removed);
        Some(removed)
    }

    /// A subscription to this has changed.
    fn update_commands_unconfirmed(&self, state: &State, changed: SubscriptionTarget) {
        if !matches!(changed, SubscriptionTarget::Downlink(DownlinkKind::Commands, _)) {
            return;
        }
        let unconfirmed = state.downlink_qos(DownlinkKind::Commands) == Some(QoS::AtMostOnce);
        self.commands_unconfirmed.store(unconfirmed, Ordering::Release);
    }

    /// Asks the connection to find out whether its client may stay.
    pub(crate) fn revalidate(&self) {
        self.revalidate.store(true, Ordering::Release);
        self.work.wake_now();
    }

    pub(crate) fn needs_revalidation(&self) -> bool {
        self.revalidate.load(Ordering::Acquire)
    }

    pub(crate) fn take_revalidation(&self) -> bool {
        self.needs_revalidation() && self.revalidate.swap(false, Ordering::Acquire)
    }

    /// Lets publishers that wait go on, where there is room again.
    pub(crate) fn notify_room(&self, state: &mut State) {
        self.queue_full.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.publisher_waits) {
            self.room.notify_waiters();
        }
    }

    /// There was no room for a message.
    fn mark_queue_full(&self, state: &mut State) {
        state.publisher_waits = true;
        self.queue_full.store(state.online && state.session.is_full_for_good(), Ordering::Relaxed);
    }

    /// Into the session's queue, where there is room or what expired makes some.
    pub(crate) fn offer(&self, state: &mut State, item: Item<DeviceDelivery>) -> OfferResult {
        self.make_room(state, item.size());
        state.session.offer(item)
    }

    /// Where there is no room for so much more, what expired gives up its place.
    fn make_room(&self, state: &mut State, bytes: usize) {
        if state.session.has_room(bytes) && (state.online || self.owner_quota.room(bytes).is_ok()) {
            return;
        }
        self.purge(state);
    }

    /// Lets go of what ran out of time in the queue.
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

    /// The client answered this method call, so nobody waits for its acknowledgement any more.
    pub(crate) fn answered(&self, call: u64) {
        self.lock().session.release_deliveries(|device_delivery| device_delivery.is_call(call));
    }

    /// Returns true if the connection is open and the queue is at most half full, so that a message that cannot be withdrawn is sent soon.
    pub(crate) fn has_room_for_unconfirmed(&self, connection_epoch: u64) -> bool {
        let ((queued, bytes), (more, more_bytes)) = (self.fullness.read(), self.inbox.counted());
        self.is_open(connection_epoch)
            && queued + more <= limits::SESSION_QUEUE / 2
            && bytes + more_bytes <= limits::SESSION_QUEUE_BYTES / 2
    }

    /// An answer to a request of the client's, where it takes them. Takes no lock of the session: some come from the journal's writer.
    pub(crate) fn reply(&self, message: Arc<Message>) {
        self.inbox.push(InboxItem::Reply(message));
        self.work.wake_now();
    }

    fn put_reply(&self, state: &mut State, message: Arc<Message>) {
        if !state.online || !state.subscriptions.replies() {
            return;
        }
        let body = Body::Message { message, retain: false, ids: Vec::new(), shared: None };
        if self.offer(state, Item { qos: QoS::AtMostOnce, body, journaled: None }) != OfferResult::Taken {
            self.metrics.limit(limits::names::SESSION_QUEUE);
        }
    }

    /// This connection takes deliveries: it has not ended, and nobody asked for its end.
    fn is_open(&self, connection_epoch: u64) -> bool {
        self.open_epoch.load(Ordering::Acquire) == connection_epoch
    }

    /// Hands over a delivery without the session's lock; [`WakeSignal::wake`] is to follow. False: the connection takes none, or
    /// its queue is full.
    pub(crate) fn hand_over(
        &self,
        connection_epoch: u64,
        delivery: DeviceDelivery,
        detached: Option<&Arc<OnceLock<String>>>,
    ) -> bool {
        if !self.is_open(connection_epoch) {
            return false;
        }
        let is_config = delivery.downlink_kind() == DownlinkKind::Config;
        let handed = InboxItem::Delivery { connection_epoch, delivery, detached: detached.cloned() };
        if is_config {
            // The session keeps the newest alone of those that wait.
            self.inbox.push(handed);
        } else if !self.inbox.push_counted(handed, self.fullness.read()) {
            self.metrics.limit(limits::names::SESSION_QUEUE);
            self.purge.store(true, Ordering::Release);
            self.work.mark();
            return false;
        }
        self.work.mark();
        true
    }

    /// Puts what was handed over into the session.
    fn add_to_session(&self, state: &mut State, handed: InboxItem) {
        let (connection_epoch, delivery, detached) = match handed {
            InboxItem::Journaled { num, message, recipient } => {
                return state.session.offer_journaled(journaled_item(num, message, recipient));
            }
            InboxItem::Reply(message) => return self.put_reply(state, message),
            InboxItem::Delivery { connection_epoch, delivery, detached } => (connection_epoch, delivery, detached),
        };
        let is_over = detached.is_some_and(|detached| detached.get().is_some());
        if is_over || !state.online || state.connection_epoch != connection_epoch || state.closing.is_some() {
            return;
        }
        let kind = delivery.downlink_kind();
        let qos = match &delivery.device {
            None => state.downlink_qos(kind),
            Some(device) => state.attached_downlink_qos(&device.name.id, kind),
        };
        // If the client has just unsubscribed, a command is still queued, with QoS 1: the command window waits for its end.
        let item = |qos| Item { qos, body: Body::Device(delivery), journaled: None };
        match qos {
            Some(qos) if kind == DownlinkKind::Config => state.session.offer_latest(item(qos)),
            None if kind == DownlinkKind::Config => {}
            qos => state.session.offer_counted(item(qos.unwrap_or(QoS::AtLeastOnce))),
        }
    }

    /// What ran out of time in the queue goes, where a delivery found no room.
    pub(crate) fn purge_if_requested(&self, state: &mut State) {
        if self.purge.load(Ordering::Relaxed) && self.purge.swap(false, Ordering::Acquire) {
            self.purge(state);
        }
    }
}
