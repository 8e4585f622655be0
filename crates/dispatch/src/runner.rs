//! A runner: the host's part of one running plugin. It has the plugin's backlog of events and its workers, its versions, and the limits of its
//! effects. The plugin's code runs in the instances of its workers (`worker.rs`).

use std::{
    collections::HashSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    backlog::{Backlog, BacklogTask, CatchUp},
    blast_radius::BlastRadius,
    canary::Canary,
    context::Context,
    loop_guard::LoopGuard,
    queue::Job,
    shadow::Shadow,
    status::Counters,
    version::{Version, Versions},
};
use switchbox_core::registry::Device;
use switchbox_model::{Event, EventData, PluginName, Seq};
use switchbox_plugin_runtime::CanaryEnd;
use switchbox_support::log_limit::LogLimits;

/// Bytes of effects of one plugin that are held back at the same time.
const DELAYED_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of held-back effects for one permit.
pub(super) const UNIT_BYTES: usize = 1_024;
pub(super) const DELAYED_UNITS: usize = DELAYED_BYTES / UNIT_BYTES;
/// Log lines of one kind about one plugin's events, per minute.
const LINES_A_MINUTE: u32 = 10;

/// Functions that spawn a runner's tasks. The tasks' modules import the runner, so it cannot import them.
#[derive(Clone, Copy)]
pub(super) struct TaskSpawners {
    pub(super) worker: fn(&Arc<Runner>),
    pub(super) catch_up: fn(&Arc<Runner>),
}

/// One running plugin, shared by its workers and by the tasks that offer events. It exists from when a plugin is put in force until the plugin is
/// disabled or removed; a new version of the plugin comes into force in the same runner.
pub(super) struct Runner {
    /// The plugin's name.
    pub(super) name: PluginName,
    pub(super) context: Arc<Context>,
    /// Executions, effects and limits that were hit, since the host started.
    pub(super) counters: Counters,
    /// Limits log lines about the plugin's events, by their subject.
    pub(super) log_limits: LogLimits<&'static str>,
    /// The rates of the plugin's effects.
    pub(super) loop_guard: Mutex<LoopGuard>,
    /// The devices and topics that the plugin has reached.
    pub(super) blast_radius: Mutex<BlastRadius>,
    /// Permits for held-back effects, each for [`UNIT_BYTES`].
    pub(super) delay_permits: Arc<Semaphore>,
    /// Cancelled when the plugin stops: effects that are held back or wait for approval are dropped, and their events are left unfinished.
    pub(super) ending: CancellationToken,
    /// The version in force and the one before it.
    pub(super) versions: Versions,
    /// Locked while another version comes into force.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The events that wait for the plugin, and the number of its workers.
    pub(super) backlog: Backlog,
    /// The newest shadow, running or ended.
    shadow: RwLock<Option<Arc<Shadow>>>,
    /// Whether a shadow was ever set. It is read for every event, so that the lock is taken only if there is one.
    has_shadow: AtomicBool,
    /// The newest canary, running or ended.
    canary: RwLock<Option<Arc<Canary>>>,
    /// Whether a canary may be running. It is read for every event, as `has_shadow` is.
    has_canary: AtomicBool,
    /// The ids of dead letters that are queued again or being handled.
    dead_letters: Mutex<HashSet<u64>>,
    /// Events that the plugin has begun and not finished because it stops, and that are in no queue: their effects were held back or waited
    /// for approval.
    unfinished: Mutex<Vec<Job>>,
}

impl Runner {
    /// Handles no events before [`Runner::begin`]. `catch_up`: from where the plugin reads the journal first.
    pub(super) fn new(
        name: PluginName,
        context: Arc<Context>,
        version: Version,
        catch_up: CatchUp,
        spawners: TaskSpawners,
    ) -> Arc<Self> {
        let spawn_task = |weak: Weak<Self>| {
            move |task: BacklogTask| {
                let Some(runner) = weak.upgrade() else { return };
                match task {
                    BacklogTask::Worker => (spawners.worker)(&runner),
                    BacklogTask::CatchUp => (spawners.catch_up)(&runner),
                    BacklogTask::FallBehind => {
                        runner.counters.lagged.fetch_add(1, Ordering::Relaxed);
                        (spawners.catch_up)(&runner);
                    }
                }
            }
        };
        Arc::new_cyclic(|weak| Self {
            name,
            context,
            counters: Counters::default(),
            log_limits: LogLimits::new(LINES_A_MINUTE),
            loop_guard: Mutex::default(),
            blast_radius: Mutex::default(),
            delay_permits: Arc::new(Semaphore::new(DELAYED_UNITS)),
            ending: CancellationToken::new(),
            versions: Versions::new(version),
            changing: tokio::sync::Mutex::default(),
            backlog: Backlog::new(catch_up, spawn_task(weak.clone())),
            shadow: RwLock::default(),
            has_shadow: AtomicBool::new(false),
            canary: RwLock::default(),
            has_canary: AtomicBool::new(false),
            dead_letters: Mutex::default(),
            unfinished: Mutex::default(),
        })
    }

    /// The version in force.
    pub(super) fn version(&self) -> Arc<Version> {
        self.versions.current()
    }

    /// The digests of the components that it runs, and of the one that comes back if the version in force fails.
    pub(super) fn digests(&self) -> Vec<String> {
        let canary = self.canary().map(|canary| canary.version.clone());
        let shadow = self.shadow().map(|shadow| shadow.candidate.clone());
        let versions = [Some(self.version()), self.versions.previous(), canary, shadow];
        versions.into_iter().flatten().map(|version| version.digest.to_string()).collect()
    }

    /// The running shadow.
    pub(super) fn shadow(&self) -> Option<Arc<Shadow>> {
        if !self.has_shadow.load(Ordering::Acquire) {
            return None;
        }
        self.last_shadow().filter(|shadow| !shadow.ending.is_cancelled())
    }

    /// The newest shadow, running or ended.
    pub(super) fn last_shadow(&self) -> Option<Arc<Shadow>> {
        self.shadow.read().clone()
    }

    pub(super) fn set_shadow(&self, shadow: Arc<Shadow>) {
        *self.shadow.write() = Some(shadow);
        self.has_shadow.store(true, Ordering::Release);
    }

    /// The running canary.
    pub(super) fn canary(&self) -> Option<Arc<Canary>> {
        if !self.has_canary.load(Ordering::Acquire) {
            return None;
        }
        self.last_canary().filter(|canary| !canary.is_over())
    }

    /// The newest canary, running or ended.
    pub(super) fn last_canary(&self) -> Option<Arc<Canary>> {
        self.canary.read().clone()
    }

    pub(super) fn set_canary(&self, canary: Arc<Canary>) {
        *self.canary.write() = Some(canary);
        self.has_canary.store(true, Ordering::Release);
        self.versions.recheck_instances();
    }

    /// Ends the canary: the version in force acts for all devices from the next event on. Returns `None` if none is running.
    pub(super) fn end_canary(&self, end: CanaryEnd) -> Option<Arc<Canary>> {
        let canary = self.canary()?;
        canary.end(end);
        self.has_canary.store(false, Ordering::Release);
        self.versions.recheck_instances();
        Some(canary)
    }

    /// Whether the plugin handles the event: its triggers match, or it has set the timer that fired.
    pub(super) fn wants(&self, device: Option<&Arc<Device>>, event: &Event) -> bool {
        // A plugin gets the timers that it set, whatever its triggers are.
        if let EventData::Timer { plugin, .. } = &event.data {
            return plugin == self.name.as_str();
        }
        let id = device.map_or("", |device| device.name.id.as_str());
        self.version().triggers.match_event(event.data.trigger_input(id))
    }

    /// Starts to handle events. Those that have a number by now are read from the journal; later ones are offered.
    pub(super) fn begin(&self) {
        self.backlog.begin(Seq(self.context.store.next_seq().0.saturating_sub(1)));
    }

    /// Accepts no more events, and waits until those that are being handled are done.
    pub(super) async fn stop(&self) {
        self.backlog.close();
        self.ending.cancel();
        self.backlog.drain().await;
    }

    /// The plugin stops before it has finished the event.
    pub(super) fn leave_unfinished(&self, job: Job) {
        self.unfinished.lock().push(job);
    }

    /// Queues the event again, or leaves it unfinished if the plugin stops.
    pub(super) fn handle_again(&self, job: Job) {
        if !self.backlog.redrive(job.clone()) {
            self.leave_unfinished(job);
        }
    }

    /// The events that the plugin has accepted and not handled, after [`Runner::stop`]. Those that it had begun come first.
    pub(super) fn take_unhandled(&self) -> Vec<Job> {
        let mut jobs = std::mem::take(&mut *self.unfinished.lock());
        jobs.extend(self.backlog.take_queued());
        jobs
    }

    /// Returns false if the dead letter is being redriven already.
    pub(super) fn claim_dead_letter(&self, id: u64) -> bool {
        self.dead_letters.lock().insert(id)
    }

    /// Called when the entry that deletes the dead letter is queued for the journal, or if the dead letter does not exist any more.
    pub(super) fn release_dead_letter(&self, id: u64) {
        self.dead_letters.lock().remove(&id);
    }
}

/// While it exists, the plugin handles no event.
pub(super) struct Paused(Arc<Runner>);

impl Paused {
    /// Waits until the events that are being handled are done. Returns `None` if that takes longer than `timeout`.
    pub(super) async fn begin(runner: &Arc<Runner>, timeout: Duration) -> Option<Self> {
        runner.backlog.pause();
        let paused = Self(runner.clone());
        tokio::time::timeout(timeout, runner.backlog.wait_until_idle()).await.ok().map(|()| paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.backlog.resume();
    }
}
