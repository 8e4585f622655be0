//! Which plugins see an event: asked of the triggers once for each (device, kind, sub-folder), then remembered, so that a
//! thousand plugins of which one matches cost no more than one.

use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;

use super::runner::Runner;
use switchbox_core::registry::Device;
use switchbox_model::{DeviceNum, Event, EventData, EventKind};

/// Routes remembered before all are forgotten.
const MAX_ROUTES: usize = 200_000;

/// The plugins that run. Replaced as a whole.
#[derive(Default)]
pub(super) struct Table {
    pub(super) runners: Vec<Arc<Runner>>,
}

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
    runners: Arc<[Arc<Runner>]>,
}

#[derive(Default)]
pub(super) struct Routes {
    known: RwLock<HashMap<Key, Route>>,
}

impl Routes {
    /// `generation` was read before the table was.
    pub(super) fn find(
        &self,
        table: &Table,
        generation: u64,
        device: Option<&Arc<Device>>,
        event: &Event,
    ) -> Arc<[Arc<Runner>]> {
        let cached = !matches!(event.data, EventData::Timer { .. } | EventData::Topic { .. });
        let Some(device) = device.filter(|_| cached) else { return ask(table, device, event) };
        let key = KeyRef { device: device.num, kind: event.data.kind(), subfolder: event.data.subfolder() };
        if let Some(route) = self.known.read().get(&key).filter(|route| route.generation == generation) {
            return route.runners.clone();
        }
        let runners = ask(table, Some(device), event);
        self.remember(&key, Route { generation, runners: runners.clone() });
        runners
    }

    fn remember(&self, key: &KeyRef<'_>, route: Route) {
        let mut known = self.known.write();
        if known.len() >= MAX_ROUTES {
            known.clear();
        }
        known.insert(Key { device: key.device, kind: key.kind, subfolder: key.subfolder.into() }, route);
    }
}

fn ask(table: &Table, device: Option<&Arc<Device>>, event: &Event) -> Arc<[Arc<Runner>]> {
    table.runners.iter().filter(|runner| runner.wants(device, event)).cloned().collect()
}
