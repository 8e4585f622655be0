//! All registries, devices and service accounts, by name and by number.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use hashbrown::HashMap;

use super::{bindings::Bindings, device::Device};
use switchbox_model::{DeviceId, DeviceName, DeviceNum, RegistryName, ServiceName};
use switchbox_store::{Loaded, RegistryDoc, ServiceDoc};

/// A registry and its devices.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) doc: RegistryDoc,
    pub(super) devices: BTreeMap<DeviceId, Arc<Device>>,
}

/// All registries, devices and service accounts.
#[derive(Debug, Default)]
pub(super) struct Maps {
    pub(super) registries: BTreeMap<RegistryName, Registry>,
    pub(super) by_num: HashMap<DeviceNum, Arc<Device>>,
    pub(super) bindings: Bindings,
    pub(super) services: BTreeMap<ServiceName, Arc<ServiceDoc>>,
    /// The newest revision. It grows only with a document that has it, so that it is the same after a restart.
    last_revision: u64,
}

impl Maps {
    pub(super) fn load(loaded: &Loaded) -> Self {
        let mut maps = Self { last_revision: loaded.last_revision, ..Self::default() };
        for doc in &loaded.registries {
            maps.registries.insert(doc.name.clone(), Registry { doc: doc.clone(), devices: BTreeMap::new() });
        }
        for (doc, seen) in &loaded.devices {
            maps.insert(Device::new(doc.clone(), *seen));
        }
        for service in &loaded.services {
            maps.services.insert(service.name.clone(), service.clone());
        }
        for (gateway, device) in &loaded.bindings {
            maps.bindings.insert(*gateway, *device);
        }
        for (num, endpoint) in &loaded.endpoints {
            if let Some(device) = maps.by_num.get(num) {
                device.load_endpoint(endpoint.clone());
            }
        }
        for (num, error) in &loaded.errors {
            if let Some(device) = maps.by_num.get(num) {
                device.set_error(error.clone());
            }
        }
        for (num, access) in &loaded.gateway_accesses {
            if let Some(device) = maps.by_num.get(num) {
                device.set_gateway_access(access.clone());
            }
        }
        for config in &loaded.configs {
            if let Some(device) = maps.by_num.get(&config.device) {
                device.set_config(Arc::new(config.clone()));
            }
        }
        for state in &loaded.states {
            if let Some(device) = maps.by_num.get(&state.device) {
                device.set_state(Arc::new(state.clone()));
            }
        }
        maps
    }

    pub(super) fn connected_at_stop(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.by_num.values().filter(|device| device.is_connected())
    }

    /// Devices that were enrolled and never used. A device that is bound to a gateway counts as used: the gateway may send for it.
    pub(super) fn never_used(&self, registry: Option<&RegistryName>, limit: usize) -> Vec<Arc<Device>> {
        let of_registry = |device: &&Arc<Device>| registry.is_none_or(|registry| device.name.registry == *registry);
        let is_unused = |device: &&Arc<Device>| device.never_used() && self.bindings.gateways_of(device.num).is_empty();
        self.by_num.values().filter(of_registry).filter(is_unused).take(limit).cloned().collect()
    }

    /// The revision of what is changed now.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.last_revision += 1;
        self.last_revision
    }

    pub(super) fn insert(&mut self, device: Device) {
        let device = Arc::new(device);
        if let Some(registry) = self.registries.get_mut(&device.name.registry) {
            registry.devices.insert(device.name.id.clone(), device.clone());
            self.by_num.insert(device.num, device);
        }
    }

    pub(super) fn find(&self, name: &DeviceName) -> Option<&Arc<Device>> {
        self.registries.get(&name.registry)?.devices.get(&name.id)
    }

    pub(super) fn get(&self, num: DeviceNum) -> Option<Arc<Device>> {
        self.by_num.get(&num).cloned()
    }

    pub(super) fn list(
        &self,
        registry: &RegistryName,
        after: Option<&DeviceId>,
        limit: usize,
        matches: &dyn Fn(&Device) -> bool,
    ) -> Option<Vec<Arc<Device>>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let devices = self.registries.get(registry)?.devices.range::<DeviceId, _>((from, Bound::Unbounded));
        Some(devices.map(|(_, device)| device).filter(|device| matches(device)).take(limit).cloned().collect())
    }

    /// In order of their names.
    pub(super) fn registries(&self) -> impl Iterator<Item = &RegistryDoc> {
        self.registries.values().map(|registry| &registry.doc)
    }

    pub(super) fn registry(&self, name: &RegistryName) -> Option<&RegistryDoc> {
        self.registries.get(name).map(|registry| &registry.doc)
    }

    pub(super) fn device_count(&self) -> usize {
        self.by_num.len()
    }
}
