//! One plugin that runs: its backlog, the versions of it, and what bounds its effects.

use std::{
    collections::HashSet,
    sync::{Arc, Weak, atomic::Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    backlog::{Backlog, CatchUp, Task},
    context::Context,
    guard::Guard,
    queue::Job,
    status::Counters,
    version::{Version, Versions},
};
use switchbox_core::registry::Device;
use switchbox_model::{Event, EventData, PluginName, Seq};
use switchbox_support::log_limit::LogLimits;

/// Bytes of effects of one plugin that are held back at the same time.
const DELAYED_BYTES: usize = 16 * 1024 * 1024;
/// One permit to hold effects back is for so many bytes.
pub(super) const UNIT_BYTES: usize = 1_024;
pub(super) const DELAYED_UNITS: usize = DELAYED_BYTES / UNIT_BYTES;
/// Lines of one kind about one plugin's events that the log gets in a minute.
const LINES_A_MINUTE: u32 = 10;

/// Begins the tasks of a runner. They work on the runner, so it does not name them.
#[derive(Clone, Copy)]
pub(super) struct Starts {
    pub(super) worker: fn(&Arc<Runner>),
    pub(super) catch_up: fn(&Arc<Runner>),
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
    pub(super) versions: Versions,
    pub(super) backlog: Backlog,
    /// Dead letters that wait in the queue again, or are being handled.
    letters: Mutex<HashSet<u64>>,
}

impl Runner {
    /// Handles nothing before [`Runner::begin`].
    pub(super) fn new(
        name: PluginName,
        context: Arc<Context>,
        version: Version,
        catch_up: CatchUp,
        starts: Starts,
    ) -> Arc<Self> {
        let begin = |me: Weak<Self>| {
            move |task: Task| {
                let Some(runner) = me.upgrade() else { return };
                match task {
                    Task::Worker => (starts.worker)(&runner),
                    Task::CatchUp => (starts.catch_up)(&runner),
                }
            }
        };
        Arc::new_cyclic(|me| Self {
            name,
            context,
            counters: Counters::default(),
            log_limits: LogLimits::new(LINES_A_MINUTE),
            guard: Mutex::default(),
            delayed: Arc::new(Semaphore::new(DELAYED_UNITS)),
            ending: CancellationToken::new(),
            versions: Versions::new(version),
            backlog: Backlog::new(catch_up, begin(me.clone())),
            letters: Mutex::default(),
        })
    }

    pub(super) fn version(&self) -> Arc<Version> {
        self.versions.current()
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
    pub(super) fn offer(&self, jobs: impl Iterator<Item = Job>) -> usize {
        let offered = self.backlog.offer(jobs);
        if offered.falls_behind {
            self.counters.lagged.fetch_add(1, Ordering::Relaxed);
        }
        offered.queued
    }

    /// Events that have their number by now are read from the log; later ones are offered.
    pub(super) fn begin(&self) {
        self.backlog.begin(Seq(self.context.store.next_seq().0.saturating_sub(1)));
    }

    /// Takes nothing new, lets go of what waits, and waits for the events that are being handled.
    pub(super) async fn stop(&self) {
        self.backlog.refuse();
        self.ending.cancel();
        self.backlog.drain().await;
    }

    /// False when the letter is under way already.
    pub(super) fn claim_letter(&self, id: u64) -> bool {
        self.letters.lock().insert(id)
    }

    /// That the letter is gone is queued for the log.
    pub(super) fn release_letter(&self, id: u64) {
        self.letters.lock().remove(&id);
    }
}
