//! The devices by name and by number, and what a change does to them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use hashbrown::HashMap;

use super::{Device, bindings::Bindings};
use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, RegistryChange, RegistryName, ServiceName, registry::RegistrySpec,
};
use switchbox_store::{DeviceDoc, Doc, Loaded, Refused, RegistryDoc, Seen, ServiceDoc};

#[derive(Debug)]
struct Registry {
    doc: RegistryDoc,
    devices: BTreeMap<DeviceId, Arc<Device>>,
}

#[derive(Debug, Default)]
pub(super) struct Maps {
    registries: BTreeMap<RegistryName, Registry>,
    by_num: HashMap<DeviceNum, Arc<Device>>,
    pub(super) bindings: Bindings,
    pub(super) services: BTreeMap<ServiceName, Arc<ServiceDoc>>,
}

impl Maps {
    pub(super) fn load(loaded: &Loaded) -> Self {
        let mut maps = Self::default();
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
                device.set_endpoint(Some(endpoint.clone()));
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

    pub(super) fn left_connected(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.by_num.values().filter(|device| device.seen().connected == Some(true))
    }

    /// Neither such as are bound to a gateway: it speaks for them.
    pub(super) fn never_used(&self, registry: Option<&RegistryName>, limit: usize) -> Vec<Arc<Device>> {
        let of_registry = |device: &&Arc<Device>| registry.is_none_or(|registry| device.name.registry == *registry);
        let unused = |device: &&Arc<Device>| device.never_used() && self.bindings.gateways_of(device.num).is_empty();
        self.by_num.values().filter(of_registry).filter(unused).take(limit).cloned().collect()
    }

    fn insert(&mut self, device: Device) {
        let device = Arc::new(device);
        if let Some(registry) = self.registries.get_mut(&device.name.registry) {
            registry.devices.insert(device.name.id.clone(), device.clone());
            self.by_num.insert(device.num, device);
        }
    }

    fn named(&self, name: &DeviceName) -> Option<&Arc<Device>> {
        self.registries.get(&name.registry)?.devices.get(&name.id)
    }

    pub(super) fn find(&self, name: &DeviceName) -> Option<Arc<Device>> {
        self.named(name).cloned()
    }

    pub(super) fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        self.named(name).map(|device| device.num)
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

    /// In order of their names.
    pub(super) fn registries(&self) -> impl Iterator<Item = &RegistryDoc> {
        self.registries.values().map(|registry| &registry.doc)
    }

    pub(super) fn registry(&self, name: &RegistryName) -> Option<&RegistryDoc> {
        self.registries.get(name).map(|registry| &registry.doc)
    }

    pub(super) fn devices(&self) -> usize {
        self.by_num.len()
    }

    pub(super) fn apply(&mut self, change: RegistryChange, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        match change {
            RegistryChange::RegistryCreated { name, time_ms } => {
                let spec = RegistrySpec::default();
                self.create_registry(RegistryDoc { name, spec, created_ms: time_ms }, docs)
            }
            RegistryChange::RegistryCreatedAs { name, spec, time_ms } => {
                self.create_registry(RegistryDoc { name, spec, created_ms: time_ms }, docs)
            }
            RegistryChange::RegistryChanged { name, spec } => {
                let registry = self.registries.get_mut(&name).ok_or(Refused::NotFound)?;
                registry.doc.spec = spec;
                docs.push(Doc::Registry(registry.doc.clone()));
                Ok(())
            }
            RegistryChange::RegistryDeleted { name } => self.delete_registry(name, docs),
            RegistryChange::DeviceCreated { num, name, spec, time_ms } => {
                self.create_device(DeviceDoc { num, name, spec, password: None, created_ms: time_ms }, docs)
            }
            RegistryChange::DeviceChanged { num, spec } => {
                let device = self.by_num.get(&num).ok_or(Refused::NotFound)?;
                if spec.gateway.is_none() && self.bindings.has_devices(num) {
                    return Err(Refused::HasBound);
                }
                if spec.gateway.is_some() && !self.bindings.gateways_of(num).is_empty() {
                    return Err(Refused::NotBindable);
                }
                device.set_spec(spec);
                docs.push(Doc::Device(Box::new(device.doc())));
                Ok(())
            }
            RegistryChange::DevicePassword { num, hash } => {
                let device = self.by_num.get(&num).ok_or(Refused::NotFound)?;
                device.set_password(hash);
                docs.push(Doc::Device(Box::new(device.doc())));
                Ok(())
            }
            RegistryChange::DeviceDeleted { num } => self.delete_device(num, docs),
            RegistryChange::ServiceCreated { name, spec, time_ms } => {
                if self.services.contains_key(&name) {
                    return Err(Refused::AlreadyExists);
                }
                self.put_service(ServiceDoc { name, spec, password: None, created_ms: time_ms }, docs);
                Ok(())
            }
            RegistryChange::ServiceChanged { name, spec } => {
                let service = self.services.get(&name).ok_or(Refused::NotFound)?;
                self.put_service(ServiceDoc { spec, ..service.as_ref().clone() }, docs);
                Ok(())
            }
            RegistryChange::ServicePassword { name, hash } => {
                let service = self.services.get(&name).ok_or(Refused::NotFound)?;
                self.put_service(ServiceDoc { password: hash, ..service.as_ref().clone() }, docs);
                Ok(())
            }
            RegistryChange::ServiceDeleted { name } => {
                self.services.remove(&name).ok_or(Refused::NotFound)?;
                docs.push(Doc::ServiceGone { name });
                Ok(())
            }
            RegistryChange::Bound { gateway, device } => self.bind(gateway, device, docs),
            RegistryChange::Unbound { gateway, device } => self.unbind(gateway, device, docs),
            RegistryChange::DeviceEndpoint { num, endpoint } => {
                let device = self.by_num.get(&num).ok_or(Refused::NotFound)?;
                device.set_endpoint(endpoint.clone());
                docs.push(Doc::Endpoint { device: num, endpoint });
                Ok(())
            }
        }
    }

    fn create_registry(&mut self, doc: RegistryDoc, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        if self.registries.contains_key(&doc.name) {
            return Err(Refused::AlreadyExists);
        }
        docs.push(Doc::Registry(doc.clone()));
        self.registries.insert(doc.name.clone(), Registry { doc, devices: BTreeMap::new() });
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
        self.insert(Device::new(doc, Seen::default()));
        Ok(())
    }

    fn put_service(&mut self, service: ServiceDoc, docs: &mut Vec<Doc>) {
        let service = Arc::new(service);
        docs.push(Doc::Service(service.clone()));
        self.services.insert(service.name.clone(), service);
    }

    fn delete_device(&mut self, num: DeviceNum, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        if self.bindings.has_devices(num) {
            return Err(Refused::HasBound);
        }
        let device = self.by_num.remove(&num).ok_or(Refused::NotFound)?;
        for gateway in self.bindings.gateways_of(num) {
            self.bindings.remove(gateway, num);
        }
        device.set_deleted();
        if let Some(registry) = self.registries.get_mut(&device.name.registry) {
            registry.devices.remove(&device.name.id);
        }
        docs.push(Doc::DeviceGone { num });
        Ok(())
    }

    fn bind(&mut self, gateway: DeviceNum, device: DeviceNum, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        let find = |num| self.by_num.get(&num).ok_or(Refused::NotFound);
        let (hub, bound) = (find(gateway)?, find(device)?);
        let fit = hub.spec().gateway.is_some() && bound.spec().gateway.is_none();
        if !fit || hub.name.registry != bound.name.registry {
            return Err(Refused::NotBindable);
        }
        if self.bindings.insert(gateway, device) {
            docs.push(Doc::Bound { gateway, device });
        }
        Ok(())
    }

    fn unbind(&mut self, gateway: DeviceNum, device: DeviceNum, docs: &mut Vec<Doc>) -> Result<(), Refused> {
        if !self.bindings.remove(gateway, device) {
            return Err(Refused::NotBound);
        }
        docs.push(Doc::Unbound { gateway, device });
        Ok(())
    }
}
