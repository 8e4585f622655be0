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

pub(crate) use self::{closing::Close, device_link::DeviceLink, subscriber::kept_item};
use crate::{
    gateway::delivery::GatewayDelivery,
    offline_sessions::{Holding, Share},
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
    pub(crate) session: Session<GatewayDelivery>,
    pub(crate) subscriptions: Subscriptions,
    /// Those to the topics of devices that the client speaks for as a gateway, and of devices that it spoke for: these rest
    /// until it attaches them again.
    pub(crate) carried: HashMap<DeviceId, Vec<AttachedSubscription>>,
    /// Counts the session's connections.
    pub(crate) generation: u64,
    pub(crate) online: bool,
    pub(crate) closing: Option<Close>,
    /// A publisher waits for room.
    pub(crate) starved: bool,
    /// Of publishers that wait for room.
    pub(crate) slow_consumer: SlowConsumer,
    /// Under which number the log knows the session.
    pub(crate) record: Option<SessionNum>,
    /// It outlives its connection, so what it is to get with QoS 1 and 2 is written down.
    pub(crate) durable: bool,
    /// Of what all clients that are away have.
    pub(crate) share: Share,
}

impl State {
    /// The QoS that a feed is subscribed with.
    pub(crate) fn feed(&self, feed: Feed) -> Option<QoS> {
        self.subscriptions.feed(feed)
    }

    /// The same for a device that the client speaks for as a gateway.
    pub(crate) fn carried_feed(&self, device: &DeviceId, feed: Feed) -> Option<QoS> {
        let carried = self.carried.get(device)?.iter();
        carried.filter(|carried| carried.feed == feed).map(|carried| carried.qos).max()
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
    crowded: AtomicBool,
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
    holding: Holding,
    session_log: SessionLog,
}

impl Mailbox {
    pub(crate) fn new(name: Arc<str>, metrics: Metrics, holding: Holding, session_log: SessionLog) -> Arc<Self> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            id: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            name,
            state: Mutex::default(),
            revalidate: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            work: WakeSignal::default(),
            closing: Notify::new(),
            gone: Notify::new(),
            room: Notify::new(),
            unwritten_bytes: AtomicUsize::new(0),
            metrics,
            holding,
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

    /// The client has more under way to the journal than is fair to others, who stand behind it.
    pub(crate) fn is_ahead(&self) -> bool {
        self.unwritten_bytes.load(Ordering::Relaxed) >= limits::UNWRITTEN_BYTES
    }

    /// The session of an earlier process.
    pub(crate) fn restore(
        name: Arc<str>,
        metrics: Metrics,
        holding: Holding,
        session_log: SessionLog,
        state: State,
    ) -> Arc<Self> {
        let mailbox = Self::new(name, metrics, holding, session_log);
        {
            let mut current = mailbox.lock();
            *current = state;
            if current.durable {
                mailbox.holding.restore_session(&mut current.share);
            }
            mailbox.count(&mut current);
        }
        mailbox
    }

    /// What waits counts together with what waits for others, while the client is away.
    fn count(&self, state: &mut State) {
        let bytes = if state.online { 0 } else { state.session.queued_bytes() };
        self.holding.set(&mut state.share, bytes);
    }

    /// The session is to be kept when its client is away. The error is the limit that leaves no place for it.
    pub(crate) fn keep_session(&self) -> Result<(), limits::LimitName> {
        self.holding.keep_session(&mut self.lock().share)
    }

    /// The session is kept for a client that is away: its subscriptions count together with those of others. The error is the
    /// limit that leaves no room for them.
    pub(crate) fn keep_subscriptions(&self) -> Result<(), limits::LimitName> {
        let mut state = self.lock();
        let memory_bytes = state.subscriptions.memory_bytes();
        self.holding.keep_subscriptions(&mut state.share, memory_bytes)
    }

    /// The session is over: nothing of it is there any more.
    pub(crate) fn uncount(&self, state: &mut State) {
        self.holding.set(&mut state.share, 0);
        self.holding.forget_subscriptions(&mut state.share);
        self.holding.forget_session(&mut state.share);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection begins; gives its generation.
    pub(crate) fn begin(&self, receive_maximum: u16) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.online = true;
        self.count(&mut state);
        self.holding.forget_subscriptions(&mut state.share);
        state.closing = None;
        state.session.connect(receive_maximum);
        state.generation
    }

    /// The connection ended.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.online = false;
        state.session.disconnect();
        self.crowded.store(false, Ordering::Relaxed);
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
        self.crowded.store(false, Ordering::Relaxed);
        if std::mem::take(&mut state.starved) {
            self.room.notify_waiters();
        }
    }

    /// There was no room for a message.
    fn note_full(&self, state: &mut State) {
        state.starved = true;
        self.crowded.store(state.online && state.session.is_full_for_good(), Ordering::Relaxed);
    }

    /// Into the session's queue, where there is room or what ran out of time makes some.
    pub(crate) fn offer(&self, state: &mut State, item: Item<GatewayDelivery>) -> Offer {
        self.make_room(state, item.size());
        state.session.offer(item)
    }

    /// Where there is no room for so much more, what ran out of time gives up its place.
    fn make_room(&self, state: &mut State, bytes: usize) {
        if state.session.has_room(bytes) && (state.online || self.holding.room(bytes).is_ok()) {
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
        if let Some(session) = state.record.filter(|_| !nums.is_empty()) {
            self.session_log.note(BrokerChange::Gone { session, nums });
        }
    }

    /// The journal has what this batch acknowledges, or never will.
    pub(crate) fn done(&self, generation: u64, batch: BatchId, received: &[u16], result: Result<(), ingest::Error>) {
        let mut state = self.lock();
        let Err(error) = result else {
            state.session.acks_ready(batch, received);
            drop(state);
            self.work.wake_now();
            return;
        };
        // Without acknowledgement the client sends it again, on its next connection.
        received.iter().for_each(|id| state.session.unreceive(*id));
        if state.generation == generation {
            drop(state);
            self.close(Close::Asked(error.to_string()));
        }
    }

    /// The client answered this method call, so nobody waits for its acknowledgement any more.
    pub(crate) fn answered(&self, call: u64) {
        self.lock().session.release_hub(|gateway_delivery| gateway_delivery.is_call(call));
    }

    /// What cannot be taken back is only given to a connection that sends it soon.
    pub(crate) fn has_room_for_unconfirmed(&self, generation: u64) -> bool {
        let state = self.lock();
        let is_open = state.online && state.generation == generation && state.closing.is_none();
        is_open && state.session.is_half_empty()
    }

    /// True when it will be sent on this connection.
    pub(crate) fn put(
        &self,
        mut state: MutexGuard<'_, State>,
        generation: u64,
        gateway_delivery: GatewayDelivery,
    ) -> bool {
        let feed = gateway_delivery.feed();
        let qos = match &gateway_delivery.device {
            None => state.feed(feed),
            Some(device) => state.carried_feed(&device.name.id, feed),
        };
        let Some(qos) = qos else { return false };
        if !state.online || state.generation != generation || state.closing.is_some() {
            return false;
        }
        let item = Item { qos, body: Body::Hub(gateway_delivery), kept: None };
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
