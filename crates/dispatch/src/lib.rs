//! Gives events to plugins: matches triggers, queues events by device, runs workers, retries, and appends the effects to the
//! journal. Owns the running plugins. Applies no effect itself.

mod approval_decisions;
mod approval_wait;
mod approvals;
mod backlog;
mod behaviour;
mod blast_radius;
mod canary;
mod canary_control;
mod canary_end;
mod catch_up;
mod connections;
mod context;
mod cycles;
mod delay;
mod effect_admission;
mod entry_batch;
mod host;
mod journal_recording;
mod kv;
mod lifecycle;
mod listing;
mod loop_guard;
mod manager;
mod migration;
mod outcome;
mod prepare;
mod queue;
mod recorded_instance;
mod recording;
mod recordings;
mod recovery;
mod redrive;
mod removal;
mod retry;
mod routes;
mod runner;
mod shadow;
mod shadow_feed;
mod shadow_run;
mod status;
mod stored_windows;
mod traces;
mod try_event;
mod uncommitted;
mod unhandled;
mod version;
mod version_guard;
mod warnings;
mod windows;
mod worker;

use std::sync::Arc;

pub use approval_decisions::ApprovalError;
pub use approvals::Approval;
pub use canary_control::{CanaryFiles, CanaryRequest};
pub use connections::Connections;
pub use journal_recording::JournalRecording;
pub use lifecycle::REMOVED_KEPT;
pub use manager::Manager;
pub use prepare::{Component, Error, PreviousVersion, version_id};
pub use recording::{RecordError, RecordRequest};
pub use redrive::RedriveError;
pub use removal::DeleteError;
pub use shadow_run::{ShadowError, ShadowRequest, ShadowStatus};
pub use status::{GuardStatus, PluginState, PluginStatus, Totals};
pub use stored_windows::{GuardWindow, StoredCanary, Windows};
pub use try_event::{TryError, TryRequest, TryResult};

use context::Context;
use queue::Job;
use routes::Routes;

use switchbox_core::{
    ingest::EventSink,
    registry::{self, Device},
    timers,
};
use switchbox_model::{Event, Seq};
use switchbox_store as store;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

/// Offers events to the plugins. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    context: Arc<Context>,
    routes: Arc<Routes>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dispatch::Handle")
    }
}

impl Handle {
    /// Plugins run on the runtime that calls this.
    #[must_use]
    pub fn new(store: store::Handle, registry: registry::Handle, tasks: Tasks, metrics: Metrics) -> Self {
        let context = Arc::new(Context::new(store, registry, tasks, metrics));
        Self { routes: Arc::new(Routes::new(context.clone())), context }
    }

    /// Sets what plugins use of the devices' connections. Has to be called once, before the first plugin is installed.
    pub fn set_connections(&self, connections: Arc<dyn Connections>) {
        let _ = self.context.connections.set(connections);
    }

    /// The timers of plugins, for the task that fires them.
    #[must_use]
    pub fn timers(&self) -> timers::Handle {
        self.context.timers.clone()
    }

    /// The number of the oldest event that some plugin has not handled. Plugins that do not run because their files are broken count too.
    /// Every event with a number below `next` must have been offered to [`EventSink::offer`].
    #[must_use]
    pub fn low_water(&self, next: Seq) -> Seq {
        // Before and after the table: a plugin that starts to run is added to the table before it is removed from `recovery`, and one that is
        // switched off is added to `recovery` before it is removed from the table.
        let starting = self.context.recovery.lock().oldest();
        let table = self.routes.table();
        let running = table.iter().filter_map(|runner| runner.backlog.oldest()).fold(next, Seq::min);
        let ending = self.context.recovery.lock().oldest();
        starting.into_iter().chain(ending).fold(running, Seq::min)
    }

    /// Waits until the plugins have handled the events that they are handling, and stops them. Queued events stay in the journal.
    pub async fn stop(&self) {
        self.context.stopping.cancel();
        for runner in self.routes.take_all().iter() {
            runner.stop().await;
        }
        self.context.tasks.close();
        self.context.tasks.wait().await;
    }
}

impl EventSink for Handle {
    fn wants_topic(&self, topic: &str) -> bool {
        self.routes.wants_topic(topic)
    }

    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize {
        let plugins = self.routes.snapshot();
        if plugins.table.is_empty() {
            return 0;
        }
        let first = events.first().map_or(Seq(0), |event| event.seq);
        let _span = tracing::debug_span!("event", %first, count = events.len()).entered();
        let mut handling = 0;
        let job = |event| Job { event, device: device.cloned(), attempt: 1, dead_letter_id: None };
        let mut batch = events;
        // Usually all events of a batch go to the same plugins.
        while let Some(first) = batch.first() {
            let runners = plugins.find(device, first);
            let rest = batch.split_off(1 + batch.iter().skip(1).take_while(|event| same_route(first, event)).count());
            if let Some((last, others)) = runners.split_last() {
                if let Some(traces) = self.context.metrics.traces.on() {
                    traces.events(device.map(|device| &device.name), &batch);
                }
                handling +=
                    others.iter().map(|runner| runner.backlog.offer(batch.iter().cloned().map(job))).sum::<usize>();
                handling += last.backlog.offer(batch.into_iter().map(job));
            }
            batch = rest;
        }
        handling
    }
}

/// Both events have the same entry in the table of routes.
fn same_route(first: &Event, event: &Event) -> bool {
    use switchbox_model::EventData::{Timer, Topic};
    !matches!(event.data, Timer { .. } | Topic { .. })
        && first.data.kind() == event.data.kind()
        && same(first.data.subfolder(), event.data.subfolder())
}

/// Two empty strings are equal without `memcmp`: the pointer of an empty `String` is not mapped, which costs `memcmp` with masked
/// loads (AVX-512) a hundred nanoseconds.
fn same(one: &str, other: &str) -> bool {
    one.is_empty() && other.is_empty() || one == other
}
