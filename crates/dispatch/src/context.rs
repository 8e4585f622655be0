//! State that all runners share.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::runtime;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    approvals::Approvals, connections::Connections, cycles::Cycles, kv::Kv, lifecycle::Lifecycles,
    recordings::Recordings, recovery::Recovery, warnings::Warnings,
};
use switchbox_core::{registry, timers};
use switchbox_model::{PluginName, Seq, lifecycle::RolledBack};
use switchbox_plugin_runtime::CanaryStatus;
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

pub(super) struct Context {
    pub(super) store: store::Handle,
    pub(super) registry: registry::Handle,
    /// The state of all plugins.
    pub(super) kv: Kv,
    pub(super) recordings: Recordings,
    pub(super) approvals: Approvals,
    pub(super) timers: timers::Handle,
    /// The tasks of all plugins, for waiting until they have ended.
    pub(super) tasks: TaskTracker,
    /// Counts panics of tasks.
    pub(super) supervisor: Tasks,
    pub(super) metrics: Metrics,
    /// The runtime of the plugins' tasks.
    runtime: runtime::Handle,
    /// Cancelled when the host stops.
    pub(super) stopping: CancellationToken,
    /// The last event that was in the journal when the host started.
    pub(super) boot: OnceLock<Seq>,
    /// The plugins that were installed when the host stopped and do not run yet.
    pub(super) recovery: Mutex<Recovery>,
    /// Of each plugin that has run and is not deleted: whether it is on, and its component.
    pub(super) lifecycles: Mutex<Lifecycles>,
    /// Incremented whenever cached routes become invalid.
    route_generation: AtomicU64,
    /// The zero of the loop guard's clock.
    pub(super) started: Instant,
    /// Plugins that trigger each other.
    pub(super) cycles: Mutex<Cycles>,
    pub(super) warnings: Mutex<Warnings>,
    /// Empty until the connections are set; plugins are installed later.
    pub(super) connections: OnceLock<Arc<dyn Connections>>,
    pub(super) on_rolled_back: OnceLock<OnRolledBack>,
    pub(super) on_canary_ended: OnceLock<OnCanaryEnded>,
}

/// Called when a version was rolled back, on a worker: it must not block.
pub(super) type OnRolledBack = Box<dyn Fn(&PluginName, &RolledBack) + Send + Sync>;
/// Called when a canary has ended, on a worker: it must not block.
pub(super) type OnCanaryEnded = Box<dyn Fn(&PluginName, &CanaryStatus) + Send + Sync>;

impl Context {
    pub(super) fn new(store: store::Handle, registry: registry::Handle, supervisor: Tasks, metrics: Metrics) -> Self {
        Self {
            store,
            registry,
            kv: Kv::default(),
            recordings: Recordings::default(),
            approvals: Approvals::default(),
            timers: timers::Handle::default(),
            tasks: TaskTracker::new(),
            supervisor,
            metrics,
            runtime: runtime::Handle::current(),
            stopping: CancellationToken::new(),
            boot: OnceLock::new(),
            recovery: Mutex::default(),
            lifecycles: Mutex::default(),
            route_generation: AtomicU64::new(1),
            started: Instant::now(),
            cycles: Mutex::default(),
            warnings: Mutex::default(),
            connections: OnceLock::new(),
            on_rolled_back: OnceLock::new(),
            on_canary_ended: OnceLock::new(),
        }
    }

    /// Spawns a task on the plugins' runtime. The caller may be a connection's task on the low-priority runtime, where a worker must not
    /// run.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // After a panic the event is unhandled and in the journal, from where the next start reads it.
        self.tasks.spawn_on(self.supervisor.clone().guard("dispatch", task), &self.runtime);
    }

    /// Makes all cached routes invalid: a plugin's triggers, or the set of plugins, changed.
    pub(super) fn routes_changed(&self) {
        self.route_generation.fetch_add(1, Ordering::AcqRel);
    }

    /// A cached route is valid as long as this number is the same.
    pub(super) fn route_generation(&self) -> u64 {
        self.route_generation.load(Ordering::Acquire)
    }
}
