//! Applies changes of devices and of their bindings to gateways.

use std::sync::Arc;

use crate::registry::{
    bounds,
    device::{Device, Registered},
    maps::Maps,
};
use switchbox_model::{
    DeviceNum,
    limits::fields,
    patch::{DevicePatch, NewDevice},
};
use switchbox_store::{DeviceDoc, Doc, EntryRefusal, LastSeen};

impl Maps {
    /// Creates the device without its first config, which the engine makes.
    pub(super) fn create_device(&mut self, new: NewDevice, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        let NewDevice { num, name, spec, endpoint, config: _, time_ms } = new;
        let registry = self.registries.get(&name.registry).ok_or(EntryRefusal::NotFound)?;
        if registry.devices.contains_key(&name.id) {
            return Err(EntryRefusal::AlreadyExists);
        }
        let revision = self.next_revision();
        let doc = DeviceDoc { num, name, spec, password: None, created_ms: time_ms, revision };
        docs.push(Doc::Device(Box::new(doc.clone())));
        let device = Device::new(doc, LastSeen::default());
        if let Some(endpoint) = endpoint {
            docs.push(Doc::Endpoint { device: num, endpoint: Some(endpoint.clone()) });
            device.load_endpoint(endpoint);
        }
        self.insert(device);
        Ok(())
    }

    pub(super) fn patch_device(
        &mut self,
        num: DeviceNum,
        patch: DevicePatch,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        let device = self.get(num).ok_or(EntryRefusal::NotFound)?;
        let mut spec = device.spec().as_ref().clone();
        patch.apply(&mut spec);
        bounds::check_device(&spec).map_err(EntryRefusal::TooMuch)?;
        if spec.gateway.is_none() && self.bindings.has_devices(num) {
            return Err(EntryRefusal::HasBound);
        }
        if spec.gateway.is_some() && !self.bindings.gateways_of(num).is_empty() {
            return Err(EntryRefusal::NotBindable);
        }
        let endpoint = patch.endpoint;
        if let Some(endpoint) = &endpoint {
            docs.push(Doc::Endpoint { device: num, endpoint: endpoint.clone() });
        }
        self.update_device(num, docs, |device| {
            device.spec = Arc::new(spec);
            if let Some(endpoint) = endpoint {
                device.endpoint = endpoint.map(Arc::new);
            }
        })
    }

    pub(super) fn update_device(
        &mut self,
        num: DeviceNum,
        docs: &mut Vec<Doc>,
        change: impl FnOnce(&mut Registered),
    ) -> Result<(), EntryRefusal> {
        let device = self.get(num).ok_or(EntryRefusal::NotFound)?;
        let revision = self.next_revision();
        device.update(|registered| {
            change(registered);
            registered.revision = revision;
        });
        docs.push(Doc::Device(Box::new(device.doc())));
        Ok(())
    }

    pub(super) fn delete_device(&mut self, num: DeviceNum, docs: &mut Vec<Doc>) -> Result<(), EntryRefusal> {
        if self.bindings.has_devices(num) {
            return Err(EntryRefusal::HasBound);
        }
        let device = self.by_num.remove(&num).ok_or(EntryRefusal::NotFound)?;
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

    /// Deletes those devices that were never used and are not connected. Returns the deleted ones.
    pub(super) fn prune(&mut self, nums: Vec<DeviceNum>, docs: &mut Vec<Doc>) -> Vec<DeviceNum> {
        let mut pruned = nums;
        pruned.retain(|num| {
            let is_unused = self.by_num.get(num).is_some_and(|device| device.never_used() && !device.is_connected());
            is_unused && self.bindings.gateways_of(*num).is_empty() && self.delete_device(*num, docs).is_ok()
        });
        pruned
    }

    pub(super) fn bind(
        &mut self,
        gateway: DeviceNum,
        device: DeviceNum,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        let find = |num| self.by_num.get(&num).ok_or(EntryRefusal::NotFound);
        let (hub, bound) = (find(gateway)?, find(device)?);
        let fits = hub.spec().gateway.is_some() && bound.spec().gateway.is_none();
        if !fits || hub.name.registry != bound.name.registry {
            return Err(EntryRefusal::NotBindable);
        }
        if self.bindings.has(gateway, device) {
            return Ok(());
        }
        let devices = self.bindings.devices_of(gateway).len() + 1;
        let checked = fields::DEVICES_OF_GATEWAY.check_len(&format!("devices of {}", hub.name), devices);
        checked.map_err(EntryRefusal::TooMuch)?;
        let gateways = self.bindings.gateways_of(device).len() + 1;
        let checked = fields::GATEWAYS_OF_DEVICE.check_len(&format!("gateways of {}", bound.name), gateways);
        checked.map_err(EntryRefusal::TooMuch)?;
        self.bindings.insert(gateway, device);
        docs.push(Doc::Bound { gateway, device });
        Ok(())
    }

    pub(super) fn unbind(
        &mut self,
        gateway: DeviceNum,
        device: DeviceNum,
        docs: &mut Vec<Doc>,
    ) -> Result<(), EntryRefusal> {
        if !self.bindings.remove(gateway, device) {
            return Err(EntryRefusal::NotBound);
        }
        docs.push(Doc::Unbound { gateway, device });
        Ok(())
    }
}
