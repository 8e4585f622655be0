//! Which plugins see which event, in what order, how often, and what becomes of what they want. Owns the plugins that
//! run; never applies an effect itself: it hands them to the log.

mod catch_up;
mod context;
mod cycles;
mod delay;
mod ending;
mod guard;
mod host;
mod kv;
mod life;
mod manager;
mod outcome;
mod queue;
mod recovery;
mod redrive;
mod routes;
mod runner;
mod status;
mod worker;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

pub use ending::DeleteError;
pub use host::Reach;
pub use life::REMOVED_KEPT;
pub use manager::{Component, Error, Manager, RedriveError, version_id};
pub use status::{PluginState, PluginStatus, Totals};

use context::Context;
use queue::Job;
use routes::Routes;

use switchbox_core::{
    ingest::Offer,
    registry::{self, Device},
    timers,
};
use switchbox_model::{Event, Seq};
use switchbox_store as store;
use switchbox_support::tasks::Tasks;

/// The door for events. Cheap to clone.
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
    /// Plugins run on the runtime that this is called on.
    #[must_use]
    pub fn new(store: store::Handle, registry: registry::Handle, tasks: Tasks) -> Self {
        Self { context: Arc::new(Context::new(store, registry, tasks)), routes: Arc::default() }
    }

    /// The connections, for the plugins. To be set once, before the first plugin is installed.
    pub fn set_reach(&self, reach: Arc<dyn Reach>) {
        let _ = self.context.reach.set(reach);
    }

    /// The plugins' timers, for the task that fires them.
    #[must_use]
    pub fn timers(&self) -> timers::Handle {
        self.context.timers.clone()
    }

    /// All events before this one are handled by all plugins that run, or will when their files are mended. `next` is a number that no event has got that
    /// could still be on its way to [`Offer::offer`].
    #[must_use]
    pub fn low_water(&self, next: Seq) -> Seq {
        // In this order: a plugin that begins to run is in the table before it is no longer left.
        let left = self.context.left.lock().oldest();
        let table = self.context.table.read().clone();
        table.runners.iter().filter_map(|runner| runner.oldest()).chain(left).fold(next, Seq::min)
    }

    /// Lets the plugins finish the events that they are handling, and ends them. What waits is in the journal.
    pub async fn stop(&self) {
        self.context.stopping.cancel();
        let table = std::mem::take(&mut *self.context.table.write());
        self.context.changed();
        for runner in &table.runners {
            runner.stop().await;
        }
        self.context.tasks.close();
        self.context.tasks.wait().await;
    }
}

impl Offer for Handle {
    fn wants_topic(&self, topic: &str) -> bool {
        self.context.topics.load(Ordering::Acquire) && {
            let table = self.context.table.read().clone();
            table.runners.iter().any(|runner| runner.version().triggers.match_topic(topic))
        }
    }

    fn offer(&self, device: Option<&Arc<Device>>, events: Vec<Event>) -> usize {
        let generation = self.context.generation();
        let table = self.context.table.read().clone();
        if table.runners.is_empty() {
            return 0;
        }
        let mut handling = 0;
        let job = |event| Job { event, device: device.cloned(), attempt: 1, letter: None };
        let mut batch = events;
        // Mostly all events of a batch take the same way.
        while let Some(first) = batch.first() {
            let runners = self.routes.find(&table, generation, device, first);
            let rest = batch.split_off(1 + batch.iter().skip(1).take_while(|event| same_way(first, event)).count());
            if let Some((last, others)) = runners.split_last() {
                handling += others.iter().map(|runner| runner.offer(batch.iter().cloned().map(job))).sum::<usize>();
                handling += last.offer(batch.into_iter().map(job));
            }
            batch = rest;
        }
        handling
    }
}

fn same_way(first: &Event, event: &Event) -> bool {
    use switchbox_model::EventData::{Timer, Topic};
    !matches!(event.data, Timer { .. } | Topic { .. })
        && first.data.kind() == event.data.kind()
        && same(first.data.subfolder(), event.data.subfolder())
}

/// Nothing is not compared with nothing: where an empty `String` points there is no memory, which costs `memcmp` with masked
/// loads (AVX-512) a hundred nanoseconds.
fn same(one: &str, other: &str) -> bool {
    one.is_empty() && other.is_empty() || one == other
}

/// Which events each plugin had handled when the host stopped.
type HandledBefore = HashMap<switchbox_model::PluginName, std::collections::HashSet<Seq>>;
