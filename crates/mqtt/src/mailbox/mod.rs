//! What others put before a client's connection: messages, deliveries of the hub, acknowledgements that became durable,
//! the request to close. Outlives the connection where the session does. Never writes to a socket.

mod closing;
mod device_link;
mod subscriber;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

pub(crate) use self::{closing::Close, device_link::DeviceLink, subscriber::logged_item};
use crate::{
    device_delivery::DeviceDelivery,
    offline_sessions::{OwnerQuota, SessionUsage},
    subscriptions::{AttachedSubscription, Subscriptions},
    wake_signal::WakeSignal,
};
use switchbox_core::ingest;
use switchbox_delivery::Feed;
use switchbox_model::{
    DeviceId, QoS,
    broker::{BrokerChange, SessionNum},
    limits,
};
use switchbox_mqtt_session::{
    session::{BatchId, Body, Item, Offer, Session},
    topics::{SessionLog, SlowConsumer},
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
    /// Under which number the log knows the session.
    pub(crate) session_num: Option<SessionNum>,
    /// It outlives its connection, so what it is to get with QoS 1 and 2 is written down.
    pub(crate) durable: bool,
    /// Of what all clients that are away have.
    pub(crate) usage: SessionUsage,
}

impl State {
    /// The QoS that a feed is subscribed with.
    pub(crate) fn feed(&self, feed: Feed) -> Option<QoS> {
        self.subscriptions.feed(feed)
    }

    /// The same for a device that the client speaks for as a gateway.
    pub(crate) fn attached_feed(&self, device: &DeviceId, feed: Feed) -> Option<QoS> {
        let of_device = self.attached_subscriptions.get(device)?.iter();
        of_device.filter(|subscription| subscription.feed == feed).map(|subscription| subscription.qos).max()
    }
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    id: u64,
    /// The device's or client's name, for the log.
    pub(crate) name: Arc<str>,
    state: Mutex<State>,
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
    /// Bytes of the client's events that are on their way to the journal.
    unwritten_bytes: AtomicUsize,
    metrics: Metrics,
    owner_quota: OwnerQuota,
    session_log: SessionLog,
}

impl Mailbox {
    pub(crate) fn new(name: Arc<str>, metrics: Metrics, owner_quota: OwnerQuota, session_log: SessionLog) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            name,
            state: Mutex::default(),
            revalidate: AtomicBool::new(false),
            queue_full: AtomicBool::new(false),
            work: WakeSignal::default(),
            closing: Notify::new(),
            gone: Notify::new(),
            room: Notify::new(),
            unwritten_bytes: AtomicUsize::new(0),
            metrics,
            owner_quota,
            session_log,
        })
    }

    /// So many bytes of the client's go to the journal.
    pub(crate) fn submitted(&self, bytes: usize) {
        self.unwritten_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// They are there.
    pub(crate) fn written(&self, bytes: usize) {
        let before = self.unwritten_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= limits::UNWRITTEN_BYTES && before - bytes < limits::UNWRITTEN_BYTES {
            self.work.wake_now();
        }
    }

    /// Bytes of the client that are on their way to the journal are over `UNWRITTEN_BYTES`: its socket is not read.
    pub(crate) fn is_over_unwritten_limit(&self) -> bool {
        self.unwritten_bytes.load(Ordering::Relaxed) >= limits::UNWRITTEN_BYTES
    }

    /// The session of an earlier process.
    pub(crate) fn restore(
        name: Arc<str>,
        metrics: Metrics,
        owner_quota: OwnerQuota,
        session_log: SessionLog,
        state: State,
    ) -> Arc<Self> {
        let mailbox = Self::new(name, metrics, owner_quota, session_log);
        {
            let mut current = mailbox.lock();
            *current = state;
            if current.durable {
                mailbox.owner_quota.restore_session(&mut current.usage);
            }
            mailbox.count(&mut current);
        }
        mailbox
    }

    /// What waits counts together with what waits for others, while the client is away.
    fn count(&self, state: &mut State) {
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
    pub(crate) fn uncount(&self, state: &mut State) {
        self.owner_quota.set(&mut state.usage, 0);
        self.owner_quota.forget_subscriptions(&mut state.usage);
        self.owner_quota.forget_session(&mut state.usage);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection begins; returns its number among those of the session.
    pub(crate) fn begin(&self, receive_maximum: u16) -> u64 {
        let mut state = self.lock();
        state.connection_epoch += 1;
        state.online = true;
        self.count(&mut state);
        self.owner_quota.forget_subscriptions(&mut state.usage);
        state.closing = None;
        state.session.connect(receive_maximum);
        state.connection_epoch
    }

    /// The connection ended.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.online = false;
        state.session.disconnect();
        self.queue_full.store(false, Ordering::Relaxed);
        self.count(&mut state);
        drop(state);
        self.room.notify_waiters();
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
    pub(crate) fn drained(&self, state: &mut State) {
        self.queue_full.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.publisher_waits) {
            self.room.notify_waiters();
        }
    }

    /// There was no room for a message.
    fn note_full(&self, state: &mut State) {
        state.publisher_waits = true;
        self.queue_full.store(state.online && state.session.is_full_for_good(), Ordering::Relaxed);
    }

    /// Into the session's queue, where there is room or what expired makes some.
    pub(crate) fn offer(&self, state: &mut State, item: Item<DeviceDelivery>) -> Offer {
        self.make_room(state, item.size());
        state.session.offer(item)
    }

    /// Where there is no room for so much more, what expired gives up its place.
    fn make_room(&self, state: &mut State, bytes: usize) {
        if state.session.has_room(bytes) && (state.online || self.owner_quota.room(bytes).is_ok()) {
            return;
        }
        let purged = state.session.purge(clock::instant());
        if purged == 0 {
            return;
        }
        self.metrics.drop_messages("expired", purged);
        self.count(state);
        self.drained(state);
        let nums = state.session.take_gone();
        if let Some(session) = state.session_num.filter(|_| !nums.is_empty()) {
            self.session_log.note(BrokerChange::Gone { session, nums });
        }
    }

    /// The journal has what this batch acknowledges, or never will.
    pub(crate) fn done(
        &self,
        connection_epoch: u64,
        batch: BatchId,
        received: &[u16],
        result: Result<(), ingest::Error>,
    ) {
        let mut state = self.lock();
        let Err(error) = result else {
            state.session.acks_ready(batch, received);
            drop(state);
            self.work.wake_now();
            return;
        };
        // Without acknowledgement the client sends it again, on its next connection.
        received.iter().for_each(|id| state.session.unreceive(*id));
        if state.connection_epoch == connection_epoch {
            drop(state);
            self.close(Close::Administrative(error.to_string()));
        }
    }

    /// The client answered this method call, so nobody waits for its acknowledgement any more.
    pub(crate) fn answered(&self, call: u64) {
        self.lock().session.release_deliveries(|device_delivery| device_delivery.is_call(call));
    }

    /// What cannot be taken back is only given to a connection that sends it soon.
    pub(crate) fn has_room_for_unconfirmed(&self, connection_epoch: u64) -> bool {
        let state = self.lock();
        let is_open = state.online && state.connection_epoch == connection_epoch && state.closing.is_none();
        is_open && state.session.is_half_empty()
    }

    /// True when it will be sent on this connection.
    pub(crate) fn put(
        &self,
        mut state: MutexGuard<'_, State>,
        connection_epoch: u64,
        device_delivery: DeviceDelivery,
    ) -> bool {
        let feed = device_delivery.feed();
        let qos = match &device_delivery.device {
            None => state.feed(feed),
            Some(device) => state.attached_feed(&device.name.id, feed),
        };
        let Some(qos) = qos else { return false };
        if !state.online || state.connection_epoch != connection_epoch || state.closing.is_some() {
            return false;
        }
        let item = Item { qos, body: Body::Device(device_delivery), logged: None };
        let taken = if feed == Feed::Config {
            state.session.offer_latest(item);
            true
        } else {
            self.offer(&mut state, item) == Offer::Taken
        };
        drop(state);
        if taken {
            self.work.note();
        } else {
            self.metrics.limit(limits::names::SESSION_QUEUE);
        }
        taken
    }
}
