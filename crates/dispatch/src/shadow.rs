//! A shadow's queue and its report. The plugin in force queues its results and never waits: a result that finds no room is dropped
//! and counted.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{queue::Job, uncommitted::weight, version::Version};
use switchbox_dry_run::{effect::OutcomeLine, recorder::RecordedCalls, shadow_report::ShadowReport};
use switchbox_model::{DeviceName, Effect, Event, EventData, limits, limits::names};
use switchbox_plugin_runtime::KvChange;
use switchbox_support::{clock, metrics::Metrics};

/// A queued result of the plugin in force.
pub(super) struct ObservedEvent {
    pub(super) event: Event,
    pub(super) device: Option<DeviceName>,
    pub(super) attempt: u32,
    pub(super) outcome: OutcomeLine,
    pub(super) effects: Vec<Effect>,
    pub(super) kv: Vec<KvChange>,
    pub(super) recorded_calls: RecordedCalls,
    pub(super) guest_us: u32,
    bytes: usize,
}

/// A result of the plugin in force, before it is copied into the queue.
pub(super) struct InForceResult<'a> {
    pub(super) outcome: OutcomeLine,
    pub(super) effects: &'a [Effect],
    pub(super) kv: &'a [KvChange],
    pub(super) recorded_calls: Option<RecordedCalls>,
    pub(super) guest_us: u32,
}

/// A candidate that runs beside the plugin in force.
pub(super) struct Shadow {
    /// The version in force that it is compared with.
    pub(super) in_force: Arc<Version>,
    pub(super) candidate: Arc<Version>,
    /// How many of 10,000 devices it sees.
    share: u64,
    pub(super) since_ms: u64,
    queue: mpsc::Sender<Box<ObservedEvent>>,
    queued_bytes: AtomicUsize,
    /// Results for which the queue had no room.
    dropped: AtomicU64,
    pub(super) report: Mutex<ShadowReport>,
    /// Cancelled when it ends.
    pub(super) ending: CancellationToken,
    /// Why the shadow ended.
    ended: Mutex<Option<String>>,
}

/// Shares are expressed in this many parts.
pub(super) const SHARE_SCALE: u64 = 10_000;

impl Shadow {
    pub(super) fn new(
        in_force: Arc<Version>,
        candidate: Arc<Version>,
        share: u64,
    ) -> (Arc<Self>, mpsc::Receiver<Box<ObservedEvent>>) {
        let (queue, receiver) = mpsc::channel(limits::SHADOW_QUEUE);
        let shadow = Self {
            in_force,
            candidate,
            share,
            since_ms: clock::now_ms(),
            queue,
            queued_bytes: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            report: Mutex::default(),
            ending: CancellationToken::new(),
            ended: Mutex::default(),
        };
        (Arc::new(shadow), receiver)
    }

    pub(super) fn end(&self, why: &str) {
        self.ended.lock().get_or_insert_with(|| why.to_owned());
        self.ending.cancel();
    }

    /// Why the shadow ended. Returns `None` if it is running.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended.lock().clone()
    }

    pub(super) fn share(&self) -> u64 {
        self.share
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Queues the result of `version`, if the shadow is to see the event.
    pub(super) fn offer(&self, version: &Arc<Version>, job: &Job, result: InForceResult<'_>, metrics: &Metrics) {
        if self.ending.is_cancelled() || !is_in_share(share_key(&job.event), self.share) {
            return;
        }
        if !Arc::ptr_eq(version, &self.in_force) {
            return self.end("another version of the plugin came into force");
        }
        let InForceResult { outcome, effects, kv, recorded_calls, guest_us } = result;
        let writes = kv.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len));
        let call_bytes = recorded_calls.as_ref().map_or(0, |calls| calls.bytes);
        let bytes = job.event.data.payload().len() + weight(effects) + writes.sum::<usize>() + call_bytes;
        if self.queued_bytes.load(Ordering::Relaxed) + bytes > limits::SHADOW_QUEUE_BYTES {
            return self.drop_one(metrics);
        }
        let seen = ObservedEvent {
            event: job.event.clone(),
            device: job.device.as_ref().map(|device| device.name.clone()),
            attempt: job.attempt,
            outcome,
            effects: effects.to_vec(),
            kv: kv.to_vec(),
            recorded_calls: recorded_calls.unwrap_or_default(),
            guest_us,
            bytes,
        };
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.queue.try_send(Box::new(seen)).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.drop_one(metrics);
        }
    }

    fn drop_one(&self, metrics: &Metrics) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        metrics.limit(names::SHADOW_QUEUE);
    }

    /// The event was taken from the queue.
    pub(super) fn dequeued(&self, seen: &ObservedEvent) {
        self.queued_bytes.fetch_sub(seen.bytes, Ordering::Relaxed);
    }
}

/// The key that assigns an event to a share. All events of a device have the same key, so that order and state are kept. Returns
/// `None` for a timer, which belongs to every share.
pub(super) fn share_key(event: &Event) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match (&event.data, event.device) {
        (EventData::Timer { .. }, _) => return None,
        (EventData::Topic { topic, .. }, None) => topic.hash(&mut hasher),
        (_, device) => device.map(|device| device.0).hash(&mut hasher),
    }
    Some(hasher.finish())
}

/// Whether the event of the key is in the share, which is a number of [`SHARE_SCALE`].
pub(super) fn is_in_share(key: Option<u64>, share: u64) -> bool {
    key.is_none_or(|key| key % SHARE_SCALE < share)
}
