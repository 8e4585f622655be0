//! Accepts what devices send: gives events their time, appends them to the journal and offers them to the plugins at the same time,
//! so that their effects can be in the same commit. Ingest does not wait for plugins.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use switchbox_rules::json::{self, PatchError};

use crate::registry::Device;
use switchbox_model::{CommandStatus, EffectKey, Entry, Event, EventData, Message, QoS, Seq, broker::BrokerChange};
use switchbox_store as store;
use switchbox_store::QueueShare;
use switchbox_support::clock;
use switchbox_telemetry as telemetry;
use switchbox_telemetry::{Context, Tracer};

pub use store::{OnCommit, QueuePermit, QueuePosition};

/// Locks for topics, by the hash of the topic.
const TOPIC_LOCKS: usize = 16;

/// An event without time and number yet.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whether the event is handled again after a crash: true for QoS 1 and 2, which are acknowledged when the event is durable.
    pub durable: bool,
    pub data: EventData,
    /// The trace that its sender named, if the event's own data does not have it.
    pub trace: Option<Box<Context>>,
}

impl NewEvent {
    #[must_use]
    pub fn new(durable: bool, data: EventData) -> Self {
        Self { durable, data, trace: None }
    }
}

/// A command that has reached its final status.
#[derive(Debug, Clone)]
pub struct EndedCommand {
    /// The command's number among those of its device.
    pub num: u64,
    pub id: String,
    pub status: CommandStatus,
}

/// Called once, on the thread that has the journal's writer, when the events are durable (those of QoS 0: written), or with the reason why
/// they never will be. Must be quick and must not block.
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

/// What events are offered to: the plugins' queues. Must not block.
pub trait EventSink: Send + Sync {
    /// Events of one device in the order of the journal (or of no device: timers and topics). Those of other devices or topics may
    /// be offered concurrently and in another order than the journal's. Returns how many executions they cause now.
    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize;
    /// Whether some plugin is triggered by messages on this topic. Called for every message: must be quick.
    fn wants_topic(&self, topic: &str) -> bool;
}

/// Accepts events. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    store: store::Handle,
    sink: Arc<dyn EventSink>,
    topic_locks: Arc<TopicLocks>,
    traces: Tracer,
}

/// Locks that are held from numbering the events of a topic until they are offered, by the hash of the topic. Because of them the events of
/// one topic are offered in the order of the journal, and those of one device because of the device's own lock. The order between others
/// is not defined.
#[derive(Default)]
struct TopicLocks([Mutex<()>; TOPIC_LOCKS]);

impl TopicLocks {
    /// Returns `None` if the events are of no topic.
    fn of(&self, events: &[NewEvent]) -> Option<&Mutex<()>> {
        let EventData::Topic { topic, .. } = &events.first()?.data else { return None };
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        self.0.get(usize::try_from(hasher.finish() % TOPIC_LOCKS as u64).unwrap_or(0))
    }
}

/// Events of one device, or of none, that become one entry.
#[derive(Default)]
pub struct EventBatch<'a> {
    pub device: Option<&'a Arc<Device>>,
    pub events: Vec<NewEvent>,
    /// When they happened, milliseconds since the Unix epoch. `None` if that is now.
    pub time_ms: Option<u64>,
    /// The lock of [`Device::order`], if the caller holds it already.
    pub order: Option<MutexGuard<'a, ()>>,
    /// An entry that is written before the events, in the same record.
    pub preceding: Option<Entry>,
    /// `None` for events whose number is bounded otherwise: they do not wait for room in the queue.
    pub permit: Option<QueuePermit>,
    pub on_commit: OnCommit,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ingest::Handle")
    }
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle, sink: Arc<dyn EventSink>, traces: Tracer) -> Self {
        Self { store, sink, topic_locks: Arc::default(), traces }
    }

    /// Waits until the journal's queue has room for about this many bytes. This is where back-pressure on publishers happens;
    /// callers of the bounded share wait sooner.
    pub async fn reserve(&self, bytes: usize, share: QueueShare) -> Result<QueuePermit, Error> {
        Ok(self.store.permits.reserve(bytes, share).await?)
    }

    /// As [`Handle::reserve`], for what may be dropped: a quarter of the queue is left to the rest. Returns `None` if the queue
    /// has no room.
    pub async fn reserve_droppable(&self, bytes: usize, share: QueueShare) -> Result<Option<QueuePermit>, Error> {
        Ok(self.store.permits.reserve_droppable(bytes, share).await?)
    }

    /// Appends the events of one device, in this order. Does not block; `done` is called when they are durable. For
    /// `EventData::State` the version given is ignored and assigned here.
    pub fn submit(&self, device: &Arc<Device>, events: Vec<NewEvent>, permit: QueuePermit, done: EventsCommitted) {
        let (device, permit, on_commit) = (Some(device), Some(permit), on_commit(Some(done)));
        let _ =
            self.append(EventBatch { device, events, permit, on_commit, ..EventBatch::default() }, Entry::of_events);
    }

    /// The position up to which all entries are durable and applied.
    #[must_use]
    pub fn committed(&self) -> QueuePosition {
        self.store.progress.committed()
    }

    /// Why nothing more is written to the journal. Returns `None` while it can be written.
    #[must_use]
    pub fn failed(&self) -> Option<Error> {
        self.store.progress.failed().cloned().map(Error::from)
    }

    /// Applies a JSON merge patch (RFC 7396) to the device's newest state; the result has at most `limit` bytes. A state that is
    /// not a JSON object counts as an empty one. `done` gets the new version. Does not block.
    pub fn submit_state_patch(
        &self,
        device: &Arc<Device>,
        patch: &[u8],
        limit: usize,
        permit: QueuePermit,
        done: impl FnOnce(u64, Result<(), Error>) + Send + 'static,
    ) -> Result<Result<QueuePosition, Error>, PatchError> {
        let order = Some(device.order());
        let (newest, version) = device.newest_state();
        let newest = if json::object(&newest).is_ok() { newest } else { Bytes::new() };
        let payload = match json::patched(&newest, patch, limit)? {
            Some(merged) => merged.into(),
            None if newest.is_empty() => Bytes::from_static(b"{}"),
            None => newest,
        };
        let event = NewEvent::new(true, EventData::State { version: 0, payload });
        let submitter = device.clone();
        let done: EventsCommitted = Box::new(move |result| {
            if result.is_err() {
                submitter.forget_submitted_state();
            }
            done(version + 1, result);
        });
        let (permit, on_commit) = (Some(permit), on_commit(Some(done)));
        let (device, events) = (Some(device), vec![event]);
        let batch = EventBatch { device, events, order, permit, on_commit, ..EventBatch::default() };
        Ok(self.append(batch, Entry::of_events))
    }

    /// The message as an event. Returns `None` if no plugin is triggered by it, because then it need not be in the journal.
    #[must_use]
    pub fn topic_event(&self, message: &Message) -> Option<NewEvent> {
        if !self.sink.wants_topic(&message.topic) {
            return None;
        }
        let properties = message.properties.as_ref().map(|properties| properties.user.clone()).unwrap_or_default();
        let (topic, payload) = (message.topic.as_ref().into(), message.payload.clone());
        let data = EventData::Topic { topic, payload, properties };
        Some(NewEvent::new(message.qos != QoS::AtMostOnce, data))
    }

    /// As [`Handle::submit`], for an event of [`Handle::topic_event`]. The changes that the same message makes are written in the
    /// same record. Returns the position of the event.
    pub fn submit_topic(
        &self,
        event: NewEvent,
        changes: Vec<BrokerChange>,
        permit: Option<QueuePermit>,
        on_commit: OnCommit,
    ) -> Result<QueuePosition, Error> {
        let (events, preceding) = (vec![event], changes_entry(changes));
        self.append(EventBatch { events, preceding, permit, on_commit, ..EventBatch::default() }, Entry::of_events)
    }

    /// Appends one event of the device and these changes in one record. Does not wait for room in the queue: the number of such
    /// events is bounded by the number of connections.
    pub fn submit_with(&self, device: &Arc<Device>, event: NewEvent, changes: Vec<BrokerChange>, on_commit: OnCommit) {
        let (device, events, preceding) = (Some(device), vec![event], changes_entry(changes));
        let _ =
            self.append(EventBatch { device, events, preceding, on_commit, ..EventBatch::default() }, Entry::of_events);
    }

    /// As [`Handle::submit_topic`], for a message that the effect `by` of a plugin published.
    pub fn submit_published(&self, event: NewEvent, by: Option<EffectKey>, permit: QueuePermit) {
        let batch = EventBatch { events: vec![event], permit: Some(permit), ..EventBatch::default() };
        let _ = self.append(batch, |events| Entry::Events { events, by: vec![by] });
    }

    /// Appends timers that fired at `time_ms`, in this order, each with the effect that set it. Does not block.
    pub fn submit_timers(&self, fired: Vec<(EventData, Option<EffectKey>)>, time_ms: u64, permit: QueuePermit) {
        let (fired, by): (Vec<_>, Vec<_>) = fired.into_iter().unzip();
        let events = fired.into_iter().map(|data| NewEvent::new(true, data)).collect();
        let (time_ms, permit) = (Some(time_ms), Some(permit));
        let batch = EventBatch { events, time_ms, permit, ..EventBatch::default() };
        let _ = self.append(batch, |events| Entry::Events { events, by });
    }

    /// All events before this number have been offered.
    #[must_use]
    pub fn offered(&self) -> Seq {
        self.store.offered()
    }

    /// Ends commands of the device and appends their events, in one record. Each was claimed from its queue before, so that it ends
    /// once. Does not wait for room in the queue: open commands are bounded.
    pub fn submit_command_ends(&self, device: &Arc<Device>, ended: Vec<EndedCommand>, done: Option<EventsCommitted>) {
        let (nums, events): (Vec<_>, Vec<_>) = ended.into_iter().map(ended_command_event).unzip();
        let (device, on_commit) = (Some(device), on_commit(done));
        let batch = EventBatch { device, events, on_commit, ..EventBatch::default() };
        let _ = self.append(batch, |events| Entry::CommandsSettled { nums, events });
    }

    /// Deletes the device, with the ends of its commands as in [`Handle::submit_command_ends`], in one entry. Waits until it is applied.
    pub async fn submit_device_deletion(
        &self,
        device: &Arc<Device>,
        ended: Vec<EndedCommand>,
        revision: Option<u64>,
    ) -> Result<store::Reply, store::Error> {
        let (nums, events): (Vec<_>, Vec<_>) = ended.into_iter().map(ended_command_event).unzip();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done: store::CommitCallback = Box::new(move |reply| drop(sender.send(reply)));
        let num = device.num;
        let (device, on_commit) = (Some(device), OnCommit::Call(done));
        let batch = EventBatch { device, events, on_commit, ..EventBatch::default() };
        // If the journal is closed, `done` has been called with that error.
        let _ = self.append(batch, |events| Entry::DeviceDeleted { num, revision, nums, events });
        receiver.await.map_err(|_| store::Error::Closed)?
    }

    /// Records that the device connected or disconnected. Does not wait for room in the queue: there are at most two for each connection.
    pub fn submit_lifecycle_event(&self, device: &Arc<Device>, data: EventData) {
        let (device, events) = (Some(device), vec![NewEvent::new(false, data)]);
        let _ = self.append(EventBatch { device, events, ..EventBatch::default() }, Entry::of_events);
    }

    /// Appends the batch under the order of its device or topic, and offers its events to the plugins. `entry` makes the entry of the events.
    /// Does not block. Returns the position of the entry; its error is that the journal is closed.
    pub fn append(
        &self,
        batch: EventBatch<'_>,
        entry: impl FnOnce(Vec<Event>) -> Entry,
    ) -> Result<QueuePosition, Error> {
        let EventBatch { device, events, time_ms, order, preceding, permit, on_commit } = batch;
        let _order = order.or_else(|| match device {
            Some(device) => Some(device.order()),
            None => self.topic_locks.of(&events).map(Mutex::lock),
        });
        let time_ms = time_ms.unwrap_or_else(clock::now_ms);
        let sync = events.iter().any(|event| event.durable);
        let traces = self.traces.on();
        let contexts = if traces.is_some() { trace_contexts(&events) } else { Vec::new() };
        let mut events: Vec<Event> = events
            .into_iter()
            .map(|NewEvent { durable, mut data, .. }| {
                if let (EventData::State { version, payload }, Some(device)) = (&mut data, device) {
                    *version = device.next_state_version();
                    device.record_submitted_state(payload);
                }
                Event { seq: Seq(0), time_ms, device: device.map(|device| device.num), durable, data }
            })
            .collect();
        let appended = self.store.append(preceding, entry(events.clone()), sync, permit, on_commit);
        let (first, position) = appended.ok_or(Error::Closed)?;
        for (index, context) in contexts {
            traces.iter().for_each(|traces| traces.join(Seq(first.0 + index), context));
        }
        for (event, seq) in events.iter_mut().zip(first.0..) {
            event.seq = Seq(seq);
        }
        // The writer is woken last, so that the plugins are working already when it waits for them. Until then the store counts the events
        // as not offered.
        let handling = self.sink.offer(device, events);
        self.store.wake(first, handling);
        Ok(position)
    }
}

/// The events, by index, that belong to a trace: the one that their sender named, or that of the API call in progress.
fn trace_contexts(events: &[NewEvent]) -> Vec<(u64, Context)> {
    let api_call = telemetry::current();
    let context = |event: &NewEvent| event.trace.as_deref().copied().or(api_call);
    (0..).zip(events).filter_map(|(index, event)| Some((index, context(event)?))).collect()
}

/// The entry of the changes. Returns `None` if there are none.
fn changes_entry(changes: Vec<BrokerChange>) -> Option<Entry> {
    (!changes.is_empty()).then_some(Entry::Broker(changes))
}

fn on_commit(done: Option<EventsCommitted>) -> OnCommit {
    done.map(|done| -> store::CommitCallback { Box::new(|reply| done(reply.map(drop).map_err(Error::from))) }).into()
}

/// A command's number, and the event that says that it has ended.
fn ended_command_event(EndedCommand { num, id, status }: EndedCommand) -> (u64, NewEvent) {
    (num, NewEvent::new(true, EventData::CommandSettled { id, status }))
}
