//! The devices by name and by number, and what a change does to them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use hashbrown::HashMap;

use super::Device;
use crate::{
    model::{DeviceId, DeviceName, DeviceNum, RegistryChange, RegistryName},
    store::{DeviceDoc, Doc, Loaded, Refused},
};

#[derive(Debug, Default)]
struct Registry {
    created_ms: u64,
    devices: BTreeMap<DeviceId, Arc<Device>>,
}

#[derive(Debug, Default)]
pub(super) struct Maps {
    registries: BTreeMap<RegistryName, Registry>,
    by_num: HashMap<DeviceNum, Arc<Device>>,
}

impl Maps {
    pub(super) fn load(loaded: &Loaded) -> Self {
        let mut maps = Self::default();
        for (name, created_ms) in &loaded.registries {
            maps.registries.insert(name.clone(), Registry { created_ms: *created_ms, devices: BTreeMap::new() });
        }
        for (doc, seen_ms) in &loaded.devices {
            maps.insert(Device::new(doc.clone(), *seen_ms));
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

    fn insert(&mut self, device: Device) {
        let device = Arc::new(device);
        let registry = self.registries.entry(device.name.registry.clone()).or_default();
        registry.devices.insert(device.name.id.clone(), device.clone());
        self.by_num.insert(device.num, device);
    }

    pub(super) fn find(&self, name: &DeviceName) -> Option<Arc<Device>> {
        self.registries.get(&name.registry)?.devices.get(&name.id).cloned()
    }

    pub(super) fn get(&self, num: DeviceNum) -> Option<Arc<Device>> {
        self.by_num.get(&num).cloned()
    }

    pub(super) fn list(
        &self,
        registry: &RegistryName,
        after: Option<&DeviceId>,
        limit: usize,
        keep: &dyn Fn(&Device) -> bool,
    ) -> Option<Vec<Arc<Device>>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let devices = self.registries.get(registry)?.devices.range::<DeviceId, _>((from, Bound::Unbounded));
        Some(devices.map(|(_, device)| device).filter(|device| keep(device)).take(limit).cloned().collect())
    }

    pub(super) fn registries(&self) -> Vec<(RegistryName, u64)> {
        self.registries.iter().map(|(name, registry)| (name.clone(), registry.created_ms)).collect()
    }

    pub(super) fn devices(&self) -> usize {
        self.by_num.len()
    }

    pub(super) fn apply(&mut self, change: RegistryChange, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        match change {
            RegistryChange::RegistryCreated { name, time_ms } => self.create_registry(name, time_ms, docs),
            RegistryChange::RegistryDeleted { name } => self.delete_registry(name, docs),
            RegistryChange::DeviceCreated { num, name, spec, time_ms } => {
                self.create_device(DeviceDoc { num, name, spec, created_ms: time_ms }, docs)
            }
            RegistryChange::DeviceChanged { num, spec } => {
                let device = self.by_num.get(&num).ok_or(Refused::NotFound)?;
                device.set_spec(spec);
                docs.push(Doc::Device(Box::new(device.doc())));
                Ok(())
            }
            RegistryChange::DeviceDeleted { num } => self.delete_device(num, docs),
        }
    }

    fn create_registry(&mut self, name: RegistryName, time_ms: u64, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        if self.registries.contains_key(&name) {
            return Err(Refused::AlreadyExists);
        }
        docs.push(Doc::Registry { name: name.clone(), time_ms });
        self.registries.insert(name, Registry { created_ms: time_ms, devices: BTreeMap::new() });
        Ok(())
    }

    fn delete_registry(&mut self, name: RegistryName, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        let registry = self.registries.get(&name).ok_or(Refused::NotFound)?;
        if !registry.devices.is_empty() {
            return Err(Refused::NotEmpty);
        }
        self.registries.remove(&name);
        docs.push(Doc::RegistryGone { name });
        Ok(())
    }

    fn create_device(&mut self, doc: DeviceDoc, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        let registry = self.registries.get(&doc.name.registry).ok_or(Refused::NotFound)?;
        if registry.devices.contains_key(&doc.name.id) {
            return Err(Refused::AlreadyExists);
        }
        docs.push(Doc::Device(Box::new(doc.clone())));
        self.insert(Device::new(doc, None));
        Ok(())
    }

    fn delete_device(&mut self, num: DeviceNum, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        let device = self.by_num.remove(&num).ok_or(Refused::NotFound)?;
        device.set_deleted();
        if let Some(registry) = self.registries.get_mut(&device.name.registry) {
            registry.devices.remove(&device.name.id);
        }
        docs.push(Doc::DeviceGone { num });
        Ok(())
    }
}
