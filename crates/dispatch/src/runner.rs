//! One plugin that runs: its queue, its workers and the version in force. A slow plugin's queue is bounded: past it, the
//! plugin reads its events from the log again until it has caught up ([`super::catch_up`]).

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    catch_up,
    context::Context,
    delay::DELAYED_UNITS,
    guard::{Guard, Paces},
    queue::{Job, QueueKey, Queues, Work},
    status::Counters,
    worker,
};
use switchbox_core::registry::Device;
use switchbox_model::{Event, EventData, PluginName, Seq};
use switchbox_plugin_runtime::{Component, Description, Grant, Instance, Setup, Trigger, Triggers};
use switchbox_support::log_limit::LogLimits;

/// Events that wait in memory for one plugin.
const QUEUE_EVENTS: usize = 10_000;
/// Bytes of events that wait in memory for one plugin.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Events of one device that a worker takes at once.
const TAKE: usize = 32;
/// Workers of one plugin that compute; those that wait for a device's answer come on top.
const WORKERS: usize = 2;
/// Workers of one plugin in all.
const WORKERS_MAX: usize = 1_024;
/// A new version that traps within so many events is taken back.
const TRIAL_EVENTS: u64 = 10;

/// Lines of one kind about one plugin's events that the log gets in a minute.
const LINES_A_MINUTE: u32 = 10;

/// A component with its settings, ready to handle events.
pub(super) struct Version {
    pub(super) component: Component,
    pub(super) digest: Arc<str>,
    /// Stands for the component and all of its settings.
    pub(super) id: String,
    pub(super) setup: Arc<Setup>,
    pub(super) triggers: Triggers,
    /// The same, to be shown.
    pub(super) shown_triggers: Vec<Trigger>,
    pub(super) description: Description,
    /// What is asked for and granted, to be shown.
    pub(super) grants_in_force: Vec<Grant>,
    /// What of its files is of no use.
    pub(super) warnings: Vec<String>,
    /// How fast its effects may come.
    pub(super) paces: Paces,
}

/// The plugin reads from the log because its queue was full, or because the host has just started.
pub(super) struct Lag {
    /// The next event to read.
    pub(super) cursor: Seq,
    /// The newest event that was offered; read up to here, and the plugin is back.
    pub(super) newest: Seq,
    /// Events from the cursor on that were handled before the host stopped.
    pub(super) handled: HashSet<Seq>,
}

#[derive(Default)]
struct Inner {
    queues: Queues,
    lag: Option<Lag>,
    /// All events before this one were read from the log.
    read: Seq,
    workers: usize,
    idle: usize,
    /// Workers that wait for a device's answer.
    waiting: usize,
    /// Events whose effects are held back.
    held: usize,
    stopped: bool,
}

/// The versions, newest last in force.
struct Versions {
    current: Arc<Version>,
    previous: Option<Arc<Version>>,
    /// Events handled by the current one.
    handled: u64,
}

pub(super) struct Runner {
    pub(super) name: PluginName,
    pub(super) context: Arc<Context>,
    pub(super) counters: Counters,
    /// Of lines about its events, by what they are about.
    pub(super) log_limits: LogLimits<&'static str>,
    /// The loop guard.
    pub(super) guard: Mutex<Guard>,
    /// Room for effects that are held back.
    pub(super) delayed: Arc<Semaphore>,
    /// Nothing new is begun, and what is held back is let go.
    pub(super) ending: CancellationToken,
    versions: RwLock<Versions>,
    /// Grows whenever another version is in force.
    turns: AtomicU64,
    /// The version in force may still be taken back.
    on_trial: AtomicBool,
    inner: Mutex<Inner>,
    /// Dead letters that wait in the queue again, or are being handled.
    letters: Mutex<HashSet<u64>>,
    work: Notify,
    room: Notify,
    done: Notify,
}

impl Runner {
    /// Takes nothing before [`Runner::begin`].
    pub(super) fn new(name: PluginName, context: Arc<Context>, version: Version, lag: Lag) -> Arc<Self> {
        let versions = Versions { current: Arc::new(version), previous: None, handled: TRIAL_EVENTS };
        Arc::new(Self {
            name,
            context,
            counters: Counters::default(),
            log_limits: LogLimits::new(LINES_A_MINUTE),
            guard: Mutex::default(),
            delayed: Arc::new(Semaphore::new(DELAYED_UNITS)),
            ending: CancellationToken::new(),
            versions: RwLock::new(versions),
            turns: AtomicU64::new(0),
            on_trial: AtomicBool::new(false),
            letters: Mutex::default(),
            inner: Mutex::new(Inner { lag: Some(lag), ..Inner::default() }),
            work: Notify::new(),
            room: Notify::new(),
            done: Notify::new(),
        })
    }

    pub(super) fn version(&self) -> Arc<Version> {
        self.versions.read().current.clone()
    }

    /// While this stays the same, so does the version.
    pub(super) fn turn(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// The next event is handled by this version.
    pub(super) fn replace(&self, version: Version) {
        let mut versions = self.versions.write();
        let before = std::mem::replace(&mut versions.current, Arc::new(version));
        // One that is still on trial itself is nothing to go back to.
        if versions.previous.is_none() || !self.on_trial.load(Ordering::Acquire) {
            versions.previous = Some(before);
        }
        versions.handled = 0;
        self.on_trial.store(true, Ordering::Release);
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// A worker's instance trapped. If its version was new, the one before it is in force again and is returned.
    pub(super) fn take_back(&self, failed: &Arc<Version>) -> Option<Arc<Version>> {
        let mut versions = self.versions.write();
        if versions.handled >= TRIAL_EVENTS || !Arc::ptr_eq(&versions.current, failed) {
            return None;
        }
        let previous = versions.previous.take()?;
        versions.current = previous.clone();
        versions.handled = TRIAL_EVENTS;
        self.on_trial.store(false, Ordering::Release);
        self.turns.fetch_add(1, Ordering::Release);
        Some(previous)
    }

    /// A version that has handled its first events stays.
    pub(super) fn note_handled(&self, version: &Arc<Version>) {
        if !self.on_trial.load(Ordering::Acquire) {
            return;
        }
        let mut versions = self.versions.write();
        if Arc::ptr_eq(&versions.current, version) {
            versions.handled += 1;
            if versions.handled >= TRIAL_EVENTS {
                versions.previous = None;
                self.on_trial.store(false, Ordering::Release);
            }
        }
    }

    pub(super) fn wants(&self, device: Option<&Arc<Device>>, event: &Event) -> bool {
        // It has set the timer, so it wants it, whatever its triggers are.
        if let EventData::Timer { plugin, .. } = &event.data {
            return plugin == self.name.as_str();
        }
        let id = device.map_or("", |device| device.name.id.as_str());
        self.version().triggers.match_event(&event.data, id)
    }

    /// Events for this plugin, in the order of the journal, whichever device they are from. Returns how many it
    /// handles now; the others it reads from the log.
    pub(super) fn offer(self: &Arc<Self>, mut jobs: impl Iterator<Item = Job>) -> usize {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return 0;
        }
        let mut queued = 0;
        while let Some(job) = jobs.next() {
            let seq = job.event.seq;
            if seq < inner.read {
                // It had its number but was not offered yet when the plugin read up to it.
                continue;
            }
            if let Some(lag) = &mut inner.lag {
                lag.newest = lag.newest.max(seq);
            } else if inner.queues.len() >= QUEUE_EVENTS || inner.queues.bytes() >= QUEUE_BYTES {
                self.counters.lagged.fetch_add(1, Ordering::Relaxed);
                inner.lag = Some(Lag { cursor: seq, newest: seq, handled: HashSet::new() });
                self.context.spawn(catch_up::run(self.clone()));
            } else {
                inner.queues.push_first_of(job, jobs.size_hint().0);
                queued += 1;
            }
        }
        self.staff(&mut inner);
        queued
    }

    /// False when the letter is under way already.
    pub(super) fn claim_letter(&self, id: u64) -> bool {
        self.letters.lock().insert(id)
    }

    /// That the letter is gone is queued for the log.
    pub(super) fn release_letter(&self, id: u64) {
        self.letters.lock().remove(&id);
    }

    /// An event that was a dead letter. False when the plugin has stopped.
    pub(super) fn redrive(self: &Arc<Self>, job: Job) -> bool {
        let mut inner = self.inner.lock();
        if !inner.stopped {
            inner.queues.push(job);
            self.staff(&mut inner);
        }
        !inner.stopped
    }

    /// Makes sure that somebody works on what is ready; nobody does once the plugin has stopped.
    fn staff(self: &Arc<Self>, inner: &mut Inner) {
        if inner.stopped || !inner.queues.has_ready() {
            return;
        }
        if inner.idle > 0 {
            self.work.notify_one();
        } else if inner.workers < (WORKERS + inner.waiting).min(WORKERS_MAX) {
            inner.workers += 1;
            self.context.spawn(worker::run(self.clone()));
        }
    }

    /// The next events for a worker; none when it is to end.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Work> {
        loop {
            let woken = self.work.notified();
            {
                let mut inner = self.inner.lock();
                if inner.stopped || inner.workers > WORKERS + inner.waiting {
                    inner.workers -= 1;
                    self.staff(&mut inner);
                    drop(inner);
                    self.done.notify_waiters();
                    return None;
                }
                if let Some(work) = inner.queues.take(TAKE) {
                    self.staff(&mut inner);
                    return Some(work);
                }
                inner.idle += 1;
            }
            woken.await;
            self.inner.lock().idle -= 1;
        }
    }

    /// A worker panicked outside of its guest. What it was at stays in the journal, and its lane waits for the next start.
    pub(super) fn worker_lost(self: &Arc<Self>) {
        let mut inner = self.inner.lock();
        inner.workers -= 1;
        self.staff(&mut inner);
        drop(inner);
        self.done.notify_waiters();
    }

    /// All that was taken of the lane is handed to the log.
    pub(super) fn finish(self: &Arc<Self>, lane: QueueKey) {
        let mut inner = self.inner.lock();
        inner.queues.done(lane);
        self.staff(&mut inner);
        drop(inner);
        self.room.notify_one();
    }

    /// Tries what is left of the work again after the delay.
    pub(super) fn retry(self: &Arc<Self>, work: Work, delay: Duration) {
        let lane = work.lane;
        self.inner.lock().queues.put_back(work);
        let runner = self.clone();
        self.context.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = runner.context.stopping.cancelled() => return,
            }
            let mut inner = runner.inner.lock();
            inner.queues.wake(lane);
            runner.staff(&mut inner);
        });
    }

    /// The effects of the lane's event are held back; the rest of what was taken waits behind it. [`Runner::released`] is to
    /// follow.
    pub(super) fn put_back_behind(&self, working: Seq, rest: Work) {
        let mut inner = self.inner.lock();
        inner.held += 1;
        inner.queues.put_back_behind(working, rest);
    }

    pub(super) fn released(&self) {
        self.inner.lock().held -= 1;
        self.done.notify_waiters();
    }

    /// While the guard lives, one of the workers waits for a device and another may work in its place.
    pub(super) fn waiting(self: &Arc<Self>) -> Waiting {
        let mut inner = self.inner.lock();
        inner.waiting += 1;
        self.staff(&mut inner);
        drop(inner);
        Waiting(self.clone())
    }

    /// Waits until the queue is at most half full. False when the plugin has stopped.
    pub(super) async fn has_room(&self) -> bool {
        loop {
            let room = self.room.notified();
            {
                let inner = self.inner.lock();
                if inner.stopped {
                    return false;
                }
                if inner.queues.len() <= QUEUE_EVENTS / 2 && inner.queues.bytes() <= QUEUE_BYTES / 2 {
                    return true;
                }
            }
            room.await;
        }
    }

    /// Events that have their number by now are read from the log; later ones are offered.
    pub(super) fn begin(self: &Arc<Self>) {
        let store = &self.context.store;
        self.with_lag(|lag| lag.newest = Seq(store.next_seq().0.saturating_sub(1)));
        self.context.spawn(catch_up::run(self.clone()));
    }

    /// For catching up.
    pub(super) fn with_lag<T>(&self, look: impl FnOnce(&mut Lag) -> T) -> Option<T> {
        self.inner.lock().lag.as_mut().map(look)
    }

    /// Everything before `next` was read. Queues the jobs; true when the plugin has caught up.
    pub(super) fn caught_up(self: &Arc<Self>, jobs: Vec<Job>, next: Seq) -> bool {
        let mut inner = self.inner.lock();
        jobs.into_iter().for_each(|job| inner.queues.push(job));
        self.staff(&mut inner);
        let Some(lag) = &mut inner.lag else { return true };
        lag.cursor = lag.cursor.max(next);
        if lag.cursor > lag.newest {
            inner.read = lag.cursor;
            inner.lag = None;
            return true;
        }
        inner.stopped
    }

    /// The oldest event that is not handled; none = no event waits.
    pub(super) fn oldest(&self) -> Option<Seq> {
        let inner = self.inner.lock();
        let lagging = inner.lag.as_ref().map(|lag| lag.cursor);
        [inner.queues.oldest(), lagging].into_iter().flatten().min()
    }

    /// Events that wait in memory, and whether more wait in the log.
    pub(super) fn backlog(&self) -> (usize, bool) {
        let inner = self.inner.lock();
        (inner.queues.len(), inner.lag.is_some())
    }

    /// Takes nothing new, lets go of what waits, and waits for the events that are being handled.
    pub(super) async fn stop(&self) {
        self.inner.lock().stopped = true;
        self.ending.cancel();
        loop {
            let done = self.done.notified();
            self.work.notify_waiters();
            self.room.notify_one();
            let busy = {
                let inner = self.inner.lock();
                inner.workers + inner.held
            };
            if busy == 0 {
                return;
            }
            // A worker may be between looking and waiting.
            let _ = tokio::time::timeout(Duration::from_millis(50), done).await;
        }
    }
}

/// See [`Runner::waiting`].
pub(super) struct Waiting(Arc<Runner>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.inner.lock().waiting -= 1;
    }
}

/// A worker's instance, and of which version it is.
pub(super) struct Running {
    pub(super) version: Arc<Version>,
    /// When it was seen to be the one in force.
    pub(super) turn: u64,
    pub(super) instance: Instance,
}
