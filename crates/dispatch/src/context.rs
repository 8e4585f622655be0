//! What all runners share.

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
    connections::Connections, cycles::Cycles, kv::Kv, lifecycle::Lifecycles, recovery::Recovery, warnings::Warnings,
};
use switchbox_core::{registry, timers};
use switchbox_model::Seq;
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

pub(super) struct Context {
    pub(super) store: store::Handle,
    pub(super) registry: registry::Handle,
    pub(super) kv: Kv,
    pub(super) timers: timers::Handle,
    pub(super) tasks: TaskTracker,
    pub(super) vital: Tasks,
    pub(super) metrics: Metrics,
    /// Where they run.
    runtime: runtime::Handle,
    pub(super) stopping: CancellationToken,
    /// The last event that was in the log when the host started.
    pub(super) boot: OnceLock<Seq>,
    /// The plugins that were there when the host stopped and do not run yet.
    pub(super) recovery: Mutex<Recovery>,
    pub(super) lifecycles: Mutex<Lifecycles>,
    /// Grows whenever routes have to be asked for again.
    generation: AtomicU64,
    /// Where the clock of the loop guard begins.
    pub(super) began: Instant,
    pub(super) cycles: Mutex<Cycles>,
    pub(super) warnings: Mutex<Warnings>,
    pub(super) connections: OnceLock<Arc<dyn Connections>>,
}

impl Context {
    pub(super) fn new(store: store::Handle, registry: registry::Handle, vital: Tasks, metrics: Metrics) -> Self {
        Self {
            store,
            registry,
            kv: Kv::default(),
            timers: timers::Handle::default(),
            tasks: TaskTracker::new(),
            vital,
            metrics,
            runtime: runtime::Handle::current(),
            stopping: CancellationToken::new(),
            boot: OnceLock::new(),
            recovery: Mutex::default(),
            lifecycles: Mutex::default(),
            generation: AtomicU64::new(1),
            began: Instant::now(),
            cycles: Mutex::default(),
            warnings: Mutex::default(),
            connections: OnceLock::new(),
        }
    }

    /// Begins a task of the plugins, on the host's own threads, whichever thread begins it: a client whose event starts a worker may be
    /// served by threads that stand behind all others.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // A panic here leaves its event unhandled and in the journal: the next start takes it up.
        self.tasks.spawn_on(self.vital.clone().guard("dispatch", task), &self.runtime);
    }

    /// Some plugin's triggers, or the set of plugins, changed.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}
