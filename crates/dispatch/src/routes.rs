//! Which plugins see an event: asked of the triggers once for each (device, kind, sub-folder), then remembered, so that a
//! thousand plugins of which one matches cost no more than one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;

use super::{context::Context, runner::Runner};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceNum, Event, EventData, EventKind, PluginName};

/// Routes remembered before all are forgotten.
const MAX_ROUTES: usize = 200_000;

/// The plugins that run.
pub(super) type Table = Arc<[Arc<Runner>]>;

#[derive(Hash, PartialEq, Eq)]
struct Key {
    device: DeviceNum,
    kind: EventKind,
    subfolder: Box<str>,
}

#[derive(Hash)]
struct KeyRef<'a> {
    device: DeviceNum,
    kind: EventKind,
    subfolder: &'a str,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.device == key.device && self.kind == key.kind && *self.subfolder == *key.subfolder
    }
}

#[derive(Clone)]
struct Route {
    generation: u64,
    runners: Table,
}

pub(super) struct Routes {
    context: Arc<Context>,
    /// Replaced as a whole.
    table: RwLock<Table>,
    known: RwLock<HashMap<Key, Route>>,
    /// The generation for which it was looked whether some plugin is triggered by messages on ordinary topics, times two; plus one
    /// if there is such a plugin.
    topics: AtomicU64,
}

impl Routes {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context, table: RwLock::new(Arc::default()), known: RwLock::default(), topics: AtomicU64::new(0) }
    }

    pub(super) fn table(&self) -> Table {
        self.table.read().clone()
    }

    pub(super) fn runner(&self, name: &PluginName) -> Option<Arc<Runner>> {
        self.table.read().iter().find(|runner| runner.name == *name).cloned()
    }

    /// It sees the events that are offered from now on.
    pub(super) fn add(&self, runner: Arc<Runner>) {
        let mut table = self.table.write();
        *table = table.iter().cloned().chain([runner]).collect();
        drop(table);
        self.context.changed();
    }

    /// It sees no event any more. Returns what ran under the name.
    pub(super) fn take_out(&self, name: &PluginName) -> Vec<Arc<Runner>> {
        let mut table = self.table.write();
        let (ended, stay): (Vec<_>, Vec<_>) = table.iter().cloned().partition(|runner| runner.name == *name);
        *table = stay.into();
        drop(table);
        self.context.changed();
        ended
    }

    /// No plugin sees an event any more.
    pub(super) fn take_all(&self) -> Table {
        let all = std::mem::take(&mut *self.table.write());
        self.context.changed();
        all
    }

    /// Whether a plugin wants messages on this topic.
    pub(super) fn want_topic(&self, topic: &str) -> bool {
        self.any_topic() && self.table().iter().any(|runner| runner.version().triggers.match_topic(topic))
    }

    /// Looked for again when the plugins, or their triggers, have changed.
    fn any_topic(&self) -> bool {
        let generation = self.context.generation();
        let known = self.topics.load(Ordering::Acquire);
        if known >> 1 == generation {
            return known & 1 == 1;
        }
        let any = self.table.read().iter().any(|runner| runner.version().triggers.any_topic());
        self.topics.store(generation << 1 | u64::from(any), Ordering::Release);
        any
    }

    /// The plugins that see events now; what is found for an event with it stays true for others of the same kind.
    pub(super) fn now(&self) -> Now<'_> {
        // In this order: routes that are remembered for a generation are of its table, or of a later one.
        let generation = self.context.generation();
        Now { routes: self, generation, table: self.table() }
    }

    fn remember(&self, key: &KeyRef<'_>, route: Route) {
        let mut known = self.known.write();
        if known.len() >= MAX_ROUTES {
            known.clear();
        }
        known.insert(Key { device: key.device, kind: key.kind, subfolder: key.subfolder.into() }, route);
    }
}

/// See [`Routes::now`].
pub(super) struct Now<'a> {
    routes: &'a Routes,
    generation: u64,
    table: Table,
}

impl Now<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn find(&self, device: Option<&Arc<Device>>, event: &Event) -> Table {
        let cached = !matches!(event.data, EventData::Timer { .. } | EventData::Topic { .. });
        let Some(device) = device.filter(|_| cached) else { return ask(&self.table, device, event) };
        let key = KeyRef { device: device.num, kind: event.data.kind(), subfolder: event.data.subfolder() };
        let generation = self.generation;
        if let Some(route) = self.routes.known.read().get(&key).filter(|route| route.generation == generation) {
            return route.runners.clone();
        }
        let runners = ask(&self.table, Some(device), event);
        self.routes.remember(&key, Route { generation, runners: runners.clone() });
        runners
    }
}

fn ask(table: &Table, device: Option<&Arc<Device>>, event: &Event) -> Table {
    table.iter().filter(|runner| runner.wants(device, event)).cloned().collect()
}
