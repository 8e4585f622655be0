//! Takes what devices send: stamps it, appends it to the journal and offers it to the plugins at the same time, so that
//! their effects can be in the same commit. Never waits for a plugin, never talks to a client.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    task::Waker,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use switchbox_rules::json::{self, Problem};

use crate::registry::Device;
use switchbox_model::{CommandStatus, EffectKey, Entry, Event, EventData, Message, QoS, Seq, broker::BrokerChange};
use switchbox_store as store;
use switchbox_support::{clock, scheduling::PriorityClass};

pub use store::{OnCommit, QueuePermit, QueuePosition};

/// So many topics can be offered at the same time.
const TOPIC_LOCKS: usize = 16;

/// What a device sent, not yet stamped.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// QoS 1 and 2: to be acknowledged when durable.
    pub durable: bool,
    pub data: EventData,
}

/// A command that has reached its final status.
#[derive(Debug, Clone)]
pub struct EndedCommand {
    /// Its number among those of its device.
    pub num: u64,
    pub id: String,
    pub status: CommandStatus,
}

/// Called once, on the writer's thread, when the events are durable (or for QoS 0, written), or will never be. Must be
/// quick and must not block.
pub type EventsCommitted = Box<dyn FnOnce(Result<(), Error>) + Send>;

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("the journal cannot be written: {0}")]
    Journal(String),
    #[error("the host is shutting down")]
    Closed,
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Closed => Self::Closed,
            other => Self::Journal(other.to_string()),
        }
    }
}

/// Who wants to see events: the plugins' queues. Must not block.
pub trait EventSink: Send + Sync {
    /// Events in the order of the journal, all of this device (or of none: timers and topics). Those of another device or topic may be
    /// offered at the same time, and in another order than the journal's. Returns how many times one
    /// of them is being handled now.
    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize;
    /// Some plugin is triggered by messages on this topic. Asked for every message: must be quick.
    fn wants_topic(&self, topic: &str) -> bool;
}

/// Takes events. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    store: store::Handle,
    sink: Arc<dyn EventSink>,
    offering: Arc<Offering>,
}

/// Locks that are held from where events get their numbers until they are offered. Events of one device are in the order of the journal
/// by the device's own lock, those of one topic by one of these; of all others a plugin gets them as they come.
#[derive(Default)]
struct Offering {
    /// Held shared by each that offers, and alone by who asks which events have been offered.
    under_way: RwLock<()>,
    /// By the hash of the topic.
    topics: [Mutex<()>; TOPIC_LOCKS],
}

impl Offering {
    fn topic(&self, events: &[NewEvent]) -> Option<&Mutex<()>> {
        let EventData::Topic { topic, .. } = &events.first()?.data else { return None };
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        self.topics.get(usize::try_from(hasher.finish() % TOPIC_LOCKS as u64).unwrap_or(0))
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ingest::Handle")
    }
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle, sink: Arc<dyn EventSink>) -> Self {
        Self { store, sink, offering: Arc::default() }
    }

    /// Waits until the journal's queue has room for about so many bytes: this is where back-pressure on publishers
    /// happens, sooner on those of the background.
    pub async fn reserve(&self, bytes: usize, class: PriorityClass) -> Result<QueuePermit, Error> {
        Ok(self.store.reserve(bytes, class).await?)
    }

    /// As [`Handle::reserve`], for a caller that cannot wait. Returns `None` if the queue has no room.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize, class: PriorityClass) -> Option<QueuePermit> {
        self.store.try_reserve(bytes, class)
    }

    /// As [`Handle::reserve`], for what may be dropped: a quarter of the queue is left to the rest. Returns `None` if the queue
    /// has no room.
    pub async fn reserve_droppable(&self, bytes: usize, class: PriorityClass) -> Result<Option<QueuePermit>, Error> {
        Ok(self.store.reserve_droppable(bytes, class).await?)
    }

    /// Appends the events of one device, in this order. Does not block; `done` is called when they are durable. For
    /// `EventData::State` the version given is ignored and assigned here.
    pub fn submit(&self, device: &Arc<Device>, events: Vec<NewEvent>, permit: QueuePermit, done: EventsCommitted) {
        self.append(Some(device), events, Some(permit), on_commit(Some(done)), Entry::of_events);
    }

    /// As [`Handle::submit`], for a task that looks itself how far the journal has got: returns the position at which it has the
    /// events. `waker` is woken then, or when the journal has failed.
    pub fn submit_waking(
        &self,
        device: &Arc<Device>,
        events: Vec<NewEvent>,
        permit: QueuePermit,
        waker: Option<Waker>,
    ) -> Result<QueuePosition, Error> {
        self.append(Some(device), events, Some(permit), waker.into(), Entry::of_events).ok_or(Error::Closed)
    }

    /// The journal has all up to this position, and it is applied.
    #[must_use]
    pub fn committed(&self) -> QueuePosition {
        self.store.committed()
    }

    /// Why the journal will never have what is not committed; `None` while it can be written.
    #[must_use]
    pub fn failed(&self) -> Option<Error> {
        self.store.failed().cloned().map(Error::from)
    }

    /// A JSON merge patch (RFC 7396) on the device's newest state makes the next one, at most `limit` bytes. A state that is no JSON
    /// object counts as an empty one. `done` gets its version. Does not block.
    pub fn submit_state_patch(
        &self,
        device: &Arc<Device>,
        patch: &[u8],
        limit: usize,
        permit: QueuePermit,
        done: impl FnOnce(u64, Result<(), Error>) + Send + 'static,
    ) -> Result<Result<QueuePosition, Error>, Problem> {
        let _order = device.order();
        let (newest, version) = device.newest_state();
        let newest = if json::object(&newest).is_ok() { newest } else { Bytes::new() };
        let payload = match json::patched(&newest, patch, limit)? {
            Some(merged) => merged.into(),
            None if newest.is_empty() => Bytes::from_static(b"{}"),
            None => newest,
        };
        let event = NewEvent { durable: true, data: EventData::State { version: 0, payload } };
        let submitter = device.clone();
        let done: EventsCommitted = Box::new(move |result| {
            if result.is_err() {
                submitter.forget_submitted_state();
            }
            done(version + 1, result);
        });
        let entry = Entry::of_events;
        let position = self.append_ordered(None, Some(device), vec![event], Some(permit), on_commit(Some(done)), entry);
        Ok(position.ok_or(Error::Closed))
    }

    /// The message as an event; none when no plugin is triggered by it, as then it need not be in the journal.
    #[must_use]
    pub fn topic_event(&self, message: &Message) -> Option<NewEvent> {
        if !self.sink.wants_topic(&message.topic) {
            return None;
        }
        let properties = message.properties.as_ref().map(|properties| properties.user.clone()).unwrap_or_default();
        let (topic, payload) = (message.topic.as_ref().into(), message.payload.clone());
        let data = EventData::Topic { topic, payload, properties };
        Some(NewEvent { durable: message.qos != QoS::AtMostOnce, data })
    }

    /// As [`Handle::submit`], for what [`Handle::topic_event`] made. The changes that the same message brings about are written
    /// with it, or neither is. Returns the position at which the journal has them.
    pub fn submit_topic(
        &self,
        event: NewEvent,
        changes: Vec<BrokerChange>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
    ) -> Result<QueuePosition, Error> {
        let changes = (!changes.is_empty()).then_some(Entry::Broker(changes));
        self.append_after(changes, None, vec![event], permit, on_commit, Entry::of_events).ok_or(Error::Closed)
    }

    /// One event of the device's, written together with these changes, or neither is. Waits for no room: for what is bounded by the
    /// number of connections.
    pub fn submit_with(&self, device: &Arc<Device>, event: NewEvent, changes: Vec<BrokerChange>, on_commit: OnCommit) {
        let changes = (!changes.is_empty()).then_some(Entry::Broker(changes));
        self.append_after(changes, Some(device), vec![event], None, on_commit, Entry::of_events);
    }

    /// As [`Handle::submit_topic`], for what the effect `by` of a plugin published.
    pub fn submit_published(&self, event: NewEvent, by: Option<EffectKey>, permit: QueuePermit) {
        self.append(None, vec![event], Some(permit), OnCommit::Nothing, |events| Entry::Events {
            events,
            by: vec![by],
        });
    }

    /// Appends timers that fired at `time_ms`, in this order, each with the effect that set it. Does not block.
    pub fn submit_timers(&self, fired: Vec<(EventData, Option<EffectKey>)>, time_ms: u64, permit: QueuePermit) {
        let (fired, by): (Vec<_>, Vec<_>) = fired.into_iter().unzip();
        let event = |data| Event { seq: Seq(0), time_ms, device: None, durable: true, data };
        let events: Vec<_> = fired.into_iter().map(event).collect();
        let _offering = self.offering.under_way.read();
        let entry = Entry::Events { events: events.clone(), by };
        let appended = self.store.append(None, entry, true, Some(permit), OnCommit::Nothing);
        self.offer_appended(None, events, appended.map(|(seq, _)| seq));
    }

    /// The number of the next event; all events before it have been offered.
    #[must_use]
    pub fn offered(&self) -> Seq {
        let _all_offered = self.offering.under_way.write();
        self.store.next_seq()
    }

    /// Ends commands of the device, with the event that says so, in one record. Each was claimed from its queue before, so
    /// that it ends once. Waits for no room: what is open is bounded.
    pub fn commands_settled(&self, device: &Arc<Device>, ended: Vec<EndedCommand>, done: Option<EventsCommitted>) {
        let (nums, events): (Vec<_>, Vec<_>) = ended.into_iter().map(settled).unzip();
        self.append(Some(device), events, None, on_commit(done), |events| Entry::CommandsSettled { nums, events });
    }

    /// Deletes the device, with the ends of its commands as in [`Handle::commands_settled`], in one entry. Waits until it is applied.
    pub async fn device_deleted(
        &self,
        device: &Arc<Device>,
        ended: Vec<EndedCommand>,
        revision: Option<u64>,
    ) -> Result<store::Reply, store::Error> {
        let (nums, events): (Vec<_>, Vec<_>) = ended.into_iter().map(settled).unzip();
        let (tell, told) = tokio::sync::oneshot::channel();
        let done: store::CommitCallback = Box::new(move |reply| drop(tell.send(reply)));
        let num = device.num;
        let entry = |events| Entry::DeviceDeleted { num, revision, nums, events };
        self.append_after(None, Some(device), events, None, OnCommit::Call(done), entry);
        told.await.map_err(|_| store::Error::Closed)?
    }

    /// Notes that the device came or went. Waits for no room: there is at most one for each connection made.
    pub fn lifecycle(&self, device: &Arc<Device>, data: EventData) {
        self.append(Some(device), vec![NewEvent { durable: false, data }], None, OnCommit::Nothing, Entry::of_events);
    }

    fn append(
        &self,
        device: Option<&Arc<Device>>,
        events: Vec<NewEvent>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
        entry: impl FnOnce(Vec<Event>) -> Entry,
    ) -> Option<QueuePosition> {
        self.append_after(None, device, events, permit, on_commit, entry)
    }

    /// `first` is written with it. None: the journal is closed.
    fn append_after(
        &self,
        first: Option<Entry>,
        device: Option<&Arc<Device>>,
        events: Vec<NewEvent>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
        entry: impl FnOnce(Vec<Event>) -> Entry,
    ) -> Option<QueuePosition> {
        let _order = device.map(|device| device.order());
        let _topic_order = if device.is_none() { self.offering.topic(&events).map(Mutex::lock) } else { None };
        self.append_ordered(first, device, events, permit, on_commit, entry)
    }

    /// The device's or the topic's order is held.
    fn append_ordered(
        &self,
        first: Option<Entry>,
        device: Option<&Arc<Device>>,
        events: Vec<NewEvent>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
        entry: impl FnOnce(Vec<Event>) -> Entry,
    ) -> Option<QueuePosition> {
        let time_ms = clock::now_ms();
        let sync = events.iter().any(|event| event.durable);
        let events: Vec<Event> = events
            .into_iter()
            .map(|NewEvent { durable, mut data }| {
                if let (EventData::State { version, payload }, Some(device)) = (&mut data, device) {
                    *version = device.next_state_version();
                    device.state_submitted(payload);
                }
                Event { seq: Seq(0), time_ms, device: device.map(|device| device.num), durable, data }
            })
            .collect();
        let _offering = self.offering.under_way.read();
        let (seq, position) = self.store.append(first, entry(events.clone()), sync, permit, on_commit)?;
        self.offer_appended(device, events, Some(seq));
        Some(position)
    }

    /// `seq` is the number of the first of them. To be called with `Offering::under_way` held.
    fn offer_appended(&self, device: Option<&Arc<Device>>, mut events: Vec<Event>, seq: Option<Seq>) {
        let Some(seq) = seq else { return };
        for (event, seq) in events.iter_mut().zip(seq.0..) {
            event.seq = Seq(seq);
        }
        // The writer is woken last: it finds the plugins at work already.
        let handling = self.sink.offer(device, events);
        self.store.wake(handling);
    }
}

fn on_commit(done: Option<EventsCommitted>) -> OnCommit {
    done.map(|done| -> store::CommitCallback { Box::new(|reply| done(reply.map(drop).map_err(Error::from))) }).into()
}

/// A command's number, and the event that it ended.
fn settled(EndedCommand { num, id, status }: EndedCommand) -> (u64, NewEvent) {
    (num, NewEvent { durable: true, data: EventData::CommandSettled { id, status } })
}
