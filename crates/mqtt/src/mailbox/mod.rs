//! What others put before a client's connection: messages, deliveries of the hub, acknowledgements that became durable,
//! the request to close. Outlives the connection where the session does. Never writes to a socket.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    gateway::delivery::GatewayDelivery,
    offline_sessions::{Holding, Share},
    subscriptions::{AttachedSubscription, Subscriptions},
    wake_signal::WakeSignal,
};
use switchbox_core::ingest;
use switchbox_delivery::{Feed, Link, Outbound};
use switchbox_model::{
    DeviceId, Message, QoS,
    broker::{BrokerChange, MessageNum, Recipient, SessionNum},
    limits,
};
use switchbox_mqtt_session::{
    session::{BatchId, Body, Item, Kept as KeptAs, Offer, Session},
    topics::{Delivered, Delivery, SessionLog, SlowConsumer, Subscriber},
};
use switchbox_support::metrics::Metrics;

/// Why somebody wants a connection closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Close {
    TakenOver,
    Shutdown,
    /// With the reason, for the log and the client.
    Asked(String),
    /// The token, key or certificate that the client was let in by.
    RanOut,
    /// The client may not stay, with the reason.
    Revoked(String),
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) session: Session<GatewayDelivery>,
    pub(super) subscriptions: Subscriptions,
    /// Those to the topics of devices that the client speaks for as a gateway, and of devices that it spoke for: these rest
    /// until it attaches them again.
    pub(super) carried: HashMap<DeviceId, Vec<AttachedSubscription>>,
    /// Counts the session's connections.
    pub(super) generation: u64,
    pub(super) online: bool,
    pub(super) closing: Option<Close>,
    /// A publisher waits for room.
    pub(super) starved: bool,
    /// Of publishers that wait for room.
    pub(super) slow_consumer: SlowConsumer,
    /// Under which number the log knows the session.
    pub(super) record: Option<SessionNum>,
    /// It outlives its connection, so what it is to get with QoS 1 and 2 is written down.
    pub(super) durable: bool,
    /// Of what all clients that are away have.
    pub(super) share: Share,
}

impl State {
    /// The QoS that a feed is subscribed with.
    pub(super) fn feed(&self, feed: Feed) -> Option<QoS> {
        self.subscriptions.feed(feed)
    }

    /// The same for a device that the client speaks for as a gateway.
    pub(super) fn carried_feed(&self, device: &DeviceId, feed: Feed) -> Option<QoS> {
        let carried = self.carried.get(device)?.iter();
        carried.filter(|carried| carried.feed == feed).map(|carried| carried.qos).max()
    }
}

#[derive(Debug)]
pub(super) struct Mailbox {
    id: u64,
    /// The device's or client's name, for the log.
    pub(super) name: Arc<str>,
    state: Mutex<State>,
    /// Something changed that decides whether the client may stay.
    revalidate: AtomicBool,
    /// The queue takes nothing, whatever it is.
    crowded: AtomicBool,
    /// Something is in the session for the connection to write, or it has to look at something else.
    pub(super) work: WakeSignal,
    /// The connection is to end.
    closing: Notify,
    /// The connection has ended.
    pub(super) gone: Notify,
    room: Notify,
    /// Bytes of the client's events that are on their way to the journal.
    unwritten_bytes: AtomicUsize,
    metrics: Metrics,
    holding: Holding,
    session_log: SessionLog,
}

impl Mailbox {
    pub(super) fn new(name: Arc<str>, metrics: Metrics, holding: Holding, session_log: SessionLog) -> Arc<Self> {
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
    pub(super) fn submitted(&self, bytes: usize) {
        self.unwritten_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// They are there.
    pub(super) fn written(&self, bytes: usize) {
        let before = self.unwritten_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= limits::UNWRITTEN_BYTES && before - bytes < limits::UNWRITTEN_BYTES {
            self.work.wake_now();
        }
    }

    /// The client has more under way to the journal than is fair to others, who stand behind it.
    pub(super) fn is_ahead(&self) -> bool {
        self.unwritten_bytes.load(Ordering::Relaxed) >= limits::UNWRITTEN_BYTES
    }

    /// The session of an earlier process.
    pub(super) fn restore(
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
    pub(super) fn keep_session(&self) -> Result<(), limits::LimitName> {
        self.holding.keep_session(&mut self.lock().share)
    }

    /// The session is kept for a client that is away: its subscriptions count together with those of others. The error is the
    /// limit that leaves no room for them.
    pub(super) fn keep_subscriptions(&self) -> Result<(), limits::LimitName> {
        let mut state = self.lock();
        let memory_bytes = state.subscriptions.memory_bytes();
        self.holding.keep_subscriptions(&mut state.share, memory_bytes)
    }

    /// The session is over: nothing of it is there any more.
    pub(super) fn uncount(&self, state: &mut State) {
        self.holding.set(&mut state.share, 0);
        self.holding.forget_subscriptions(&mut state.share);
        self.holding.forget_session(&mut state.share);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A connection begins; gives its generation.
    pub(super) fn begin(&self, receive_maximum: u16) -> u64 {
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
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.online = false;
        state.session.disconnect();
        self.crowded.store(false, Ordering::Relaxed);
        self.count(&mut state);
        drop(state);
        self.room.notify_waiters();
    }

    /// Asks the connection to end; the first reason counts.
    pub(super) fn close(&self, close: Close) {
        self.lock().closing.get_or_insert(close);
        self.closing.notify_one();
    }

    /// Waits until the connection is asked to end. The request stays, for the next caller.
    pub(super) async fn asked_to_close(&self) -> Close {
        loop {
            self.closing.notified().await;
            // One that was meant for an earlier connection of the session is gone.
            if let Some(close) = self.lock().closing.clone() {
                self.closing.notify_one();
                return close;
            }
        }
    }

    /// Waits for this as long as the connection is not asked to end.
    pub(super) async fn unless_closing<T>(&self, wanted: impl Future<Output = T>) -> Result<T, Close> {
        tokio::select! {
            biased;
            got = wanted => Ok(got),
            close = self.asked_to_close() => Err(close),
        }
    }

    /// Asks the connection to find out whether its client may stay.
    pub(super) fn revalidate(&self) {
        self.revalidate.store(true, Ordering::Release);
        self.work.wake_now();
    }

    pub(super) fn needs_revalidation(&self) -> bool {
        self.revalidate.load(Ordering::Acquire)
    }

    pub(super) fn take_revalidation(&self) -> bool {
        self.needs_revalidation() && self.revalidate.swap(false, Ordering::Acquire)
    }

    /// Lets publishers that wait go on, where there is room again.
    pub(super) fn drained(&self, state: &mut State) {
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
    pub(super) fn offer(&self, state: &mut State, item: Item<GatewayDelivery>) -> Offer {
        self.make_room(state, item.size());
        state.session.offer(item)
    }

    /// Where there is no room for so much more, what ran out of time gives up its place.
    fn make_room(&self, state: &mut State, bytes: usize) {
        if state.session.has_room(bytes) && (state.online || self.holding.room(bytes).is_ok()) {
            return;
        }
        let purged = state.session.purge(Instant::now());
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
    pub(super) fn done(&self, generation: u64, batch: BatchId, received: &[u16], result: Result<(), ingest::Error>) {
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
    pub(super) fn answered(&self, call: u64) {
        self.lock().session.release_hub(|gateway_delivery| gateway_delivery.is_call(call));
    }

    /// What cannot be taken back is only given to a connection that sends it soon.
    pub(super) fn has_room_for_unconfirmed(&self, generation: u64) -> bool {
        let state = self.lock();
        let is_open = state.online && state.generation == generation && state.closing.is_none();
        is_open && state.session.is_half_empty()
    }

    /// True when it will be sent on this connection.
    pub(super) fn put(
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

impl Subscriber for Mailbox {
    fn id(&self) -> u64 {
        self.id
    }

    fn deliver(&self, message: &Arc<Message>, delivery: Delivery) -> Delivered {
        let mut state = self.lock();
        let Delivery { qos, retain, ids, shared } = delivery;
        if let (true, Some(session), true) = (state.durable, state.record, qos != QoS::AtMostOnce) {
            self.make_room(&mut state, message.size());
            if let (false, Err(limit)) = (state.online, self.holding.room(message.size())) {
                self.metrics.limit(limit);
                return Delivered::Full;
            }
            let Some(id) = state.session.reserve(message) else {
                self.note_full(&mut state);
                return Delivered::Full;
            };
            if !state.online {
                self.count(&mut state);
            }
            return Delivered::Keep(Recipient { session, id, qos, retain, ids, shared });
        }
        if !state.online && qos == QoS::AtMostOnce {
            return Delivered::Dropped;
        }
        let item = Item { qos, body: Body::Message { message: message.clone(), retain, ids, shared }, kept: None };
        if self.offer(&mut state, item) == Offer::Taken {
            drop(state);
            self.work.wake_now();
            return Delivered::Queued;
        }
        self.note_full(&mut state);
        Delivered::Full
    }

    fn kept(&self, num: MessageNum, message: &Arc<Message>, recipient: Recipient) {
        self.lock().session.offer_kept(kept_item(num, message.clone(), recipient));
        self.work.wake_now();
    }

    fn not_kept(&self, message: &Message, recipient: &Recipient) {
        let mut state = self.lock();
        state.session.give_back(recipient.id, message);
        // Where the session is over, nothing of it counts any more.
        if state.record.is_some() {
            self.count(&mut state);
        }
        self.drained(&mut state);
    }

    fn is_connected(&self) -> bool {
        self.lock().online
    }

    fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    fn slow_consumer(&self) -> Duration {
        let state = self.lock();
        if state.online { state.slow_consumer.left() } else { Duration::ZERO }
    }

    fn waited(&self, from: Instant, until: Instant) {
        self.lock().slow_consumer.waited(from, until);
    }

    fn room(&self) -> &Notify {
        &self.room
    }
}

/// A message that stands in the log, as its session holds it.
pub(super) fn kept_item(num: MessageNum, message: Arc<Message>, recipient: Recipient) -> Item<GatewayDelivery> {
    let Recipient { id, qos, retain, ids, shared, .. } = recipient;
    Item { qos, body: Body::Message { message, retain, ids, shared }, kept: Some(KeptAs { num, id }) }
}

/// A device's connection, as delivery sees it. One for each connection, so that a late delivery does not reach the next.
pub(super) struct DeviceLink {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) generation: u64,
}

impl Link for DeviceLink {
    fn queue(&self, outbound: Outbound) -> bool {
        self.mailbox.put(self.mailbox.lock(), self.generation, GatewayDelivery::own(outbound))
    }

    fn wake(&self) {
        self.mailbox.work.wake();
    }

    fn confirms_commands(&self) -> bool {
        self.mailbox.lock().feed(Feed::Commands) != Some(QoS::AtMostOnce)
    }

    fn has_room(&self) -> bool {
        self.mailbox.has_room_for_unconfirmed(self.generation)
    }

    fn close(&self, reason: &str) {
        if self.mailbox.lock().generation == self.generation {
            self.mailbox.close(Close::Asked(reason.to_owned()));
        }
    }
}
