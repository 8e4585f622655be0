//! Which runners get an event. The triggers are matched once for each (device, kind, sub-folder), and the result is cached, so
//! that a thousand plugins of which one matches cost no more than one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;

use super::{context::Context, runner::Runner};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceNum, Event, EventData, EventKind, PluginName};

/// Cached routes. If there are so many, the cache is cleared.
const MAX_ROUTES: usize = 200_000;

/// Runners: those of all running plugins, or those that get an event.
pub(super) type RunnerTable = Arc<[Arc<Runner>]>;

/// What an event's route depends on, beside the triggers.
#[derive(Hash, PartialEq, Eq)]
struct RouteKey {
    device: DeviceNum,
    kind: EventKind,
    subfolder: Box<str>,
}

/// The same, borrowed from the event, so that a look-up copies no string.
#[derive(Hash)]
struct RouteKeyRef<'a> {
    device: DeviceNum,
    kind: EventKind,
    subfolder: &'a str,
}

impl Equivalent<RouteKey> for RouteKeyRef<'_> {
    fn equivalent(&self, key: &RouteKey) -> bool {
        self.device == key.device && self.kind == key.kind && *self.subfolder == *key.subfolder
    }
}

/// A cached result of matching the triggers.
#[derive(Clone)]
struct Route {
    /// [`Context::route_generation`] when it was found. In a later generation the route is not used.
    generation: u64,
    /// The runners that get the event.
    runners: RunnerTable,
}

/// The runners of all running plugins, and the cached routes of events to them.
pub(super) struct Routes {
    context: Arc<Context>,
    /// Replaced as a whole at each change. Locked only to copy or to replace the pointer: triggers are matched, and events offered, without
    /// a lock. A plugin may so be offered an event after it was removed from here. Its backlog refuses that after `Backlog::close`, which
    /// is called before the removal is acknowledged.
    table: RwLock<RunnerTable>,
    /// Locked only to look up or to store a route.
    cache: RwLock<HashMap<RouteKey, Route>>,
    /// Whether some plugin is triggered by messages on ordinary topics: the generation in which that was found, times two, plus one
    /// if there is such a plugin.
    any_topic_cache: AtomicU64,
}

impl Routes {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            table: RwLock::new(Arc::default()),
            cache: RwLock::default(),
            any_topic_cache: AtomicU64::new(0),
        }
    }

    pub(super) fn table(&self) -> RunnerTable {
        self.table.read().clone()
    }

    pub(super) fn runner(&self, name: &PluginName) -> Option<Arc<Runner>> {
        self.table().iter().find(|runner| runner.name == *name).cloned()
    }

    /// The plugin sees the events that are offered from now on.
    pub(super) fn add(&self, runner: Arc<Runner>) {
        let mut table = self.table.write();
        *table = table.iter().cloned().chain([runner]).collect();
        drop(table);
        self.context.routes_changed();
    }

    /// The plugin sees no more events. Returns the runners that had the name.
    pub(super) fn remove(&self, name: &PluginName) -> Vec<Arc<Runner>> {
        let mut table = self.table.write();
        let (removed, remaining): (Vec<_>, Vec<_>) = table.iter().cloned().partition(|runner| runner.name == *name);
        *table = remaining.into();
        drop(table);
        self.context.routes_changed();
        removed
    }

    /// Removes all runners and returns them: no plugin sees any more events.
    pub(super) fn take_all(&self) -> RunnerTable {
        let runners = std::mem::take(&mut *self.table.write());
        self.context.routes_changed();
        runners
    }

    /// Whether a plugin is triggered by messages on this topic.
    pub(super) fn wants_topic(&self, topic: &str) -> bool {
        self.any_topic() && self.table().iter().any(|runner| runner.version().triggers.match_topic(topic))
    }

    /// Whether a plugin is triggered by messages on ordinary topics. Cached until the plugins or their triggers change.
    fn any_topic(&self) -> bool {
        let generation = self.context.route_generation();
        let cached = self.any_topic_cache.load(Ordering::Acquire);
        if cached >> 1 == generation {
            return cached & 1 == 1;
        }
        let has_any = self.table().iter().any(|runner| runner.version().triggers.any_topic());
        self.any_topic_cache.store(generation << 1 | u64::from(has_any), Ordering::Release);
        has_any
    }

    /// The runners that get events now.
    pub(super) fn snapshot(&self) -> RouteSnapshot<'_> {
        // In this order: the routes cached for a generation are made from its table, or from a later one.
        let generation = self.context.route_generation();
        RouteSnapshot { routes: self, generation, table: self.table() }
    }

    fn store(&self, key: &RouteKeyRef<'_>, route: Route) {
        let key = RouteKey { device: key.device, kind: key.kind, subfolder: key.subfolder.into() };
        let empty = (self.cache.read().len() >= MAX_ROUTES).then(|| HashMap::with_capacity(MAX_ROUTES));
        let mut cache = self.cache.write();
        // The map is replaced by one with the same capacity, which no insertion has to enlarge under the lock.
        let full = empty.map(|empty| std::mem::replace(&mut *cache, empty));
        let replaced = cache.insert(key, route);
        drop(cache);
        // The old map and the replaced route are freed without the lock.
        drop((full, replaced));
    }
}

/// The runners of all running plugins at one time. See [`Routes::snapshot`].
pub(super) struct RouteSnapshot<'a> {
    routes: &'a Routes,
    generation: u64,
    pub(super) table: RunnerTable,
}

impl RouteSnapshot<'_> {
    /// The runners that get the event. `device`: the one that it comes from, if it comes from one. A timer and a message on an ordinary topic
    /// are matched each time, because their routes depend on more than a [`RouteKey`].
    pub(super) fn find(&self, device: Option<&Arc<Device>>, event: &Event) -> RunnerTable {
        let is_cached = !matches!(event.data, EventData::Timer { .. } | EventData::Topic { .. });
        let Some(device) = device.filter(|_| is_cached) else { return triggered(&self.table, device, event) };
        let key = RouteKeyRef { device: device.num, kind: event.data.kind(), subfolder: event.data.subfolder() };
        let generation = self.generation;
        if let Some(route) = self.routes.cache.read().get(&key).filter(|route| route.generation == generation) {
            return route.runners.clone();
        }
        let runners = triggered(&self.table, Some(device), event);
        self.routes.store(&key, Route { generation, runners: runners.clone() });
        runners
    }
}

/// Matches the event with the triggers of each runner in the table.
fn triggered(table: &RunnerTable, device: Option<&Arc<Device>>, event: &Event) -> RunnerTable {
    table.iter().filter(|runner| runner.wants(device, event)).cloned().collect()
}
