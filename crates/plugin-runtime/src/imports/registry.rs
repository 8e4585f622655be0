//! Devices, read only.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            registry::{Device, Host},
            types::{Error, Property},
        },
        grants::Capability,
        host::DeviceView,
        sandbox::StoreData,
    },
    args::Of as _,
    no_such_device,
};
use switchbox_model::{DeviceId, DeviceName, limits::LIST_BYTES};
use switchbox_rules::{
    calls::{self, DEVICE, LIST, PATTERN},
    pattern,
};

impl Host for StoreData {
    fn get(&mut self, device: String) -> Result<Device, Error> {
        let host = self.admit([DEVICE.of(&device)])?;
        let name = self.check_device(Capability::Read, &device)?;
        host.device(&name).map(view).ok_or_else(|| no_such_device(&name))
    }

    fn list(&mut self, pattern: String, after: Option<String>, limit: u32) -> Result<Vec<Device>, Error> {
        let host = self.admit([PATTERN.of(&pattern), DEVICE.of(&after), LIST.of(&limit)])?;
        let limit = self.checked(calls::list_size(limit))?;
        let glob = pattern::globs(std::slice::from_ref(&pattern)).map_err(Error::Invalid)?;
        let (home, grants) = (&self.call.home, &self.setup.grants);
        // Devices that the plugin may not read are left out.
        let readable = |id: &str| {
            let name = DeviceId::new(id).map(|id| DeviceName { registry: home.clone(), id });
            name.is_ok_and(|name| grants.device(Capability::Read, &name, home).is_ok())
        };
        let wanted = |id: &str| glob.is_match(id) && readable(id);
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        host.list(home, &pattern, after.as_deref(), limit, &wanted, &mut |device| {
            bytes = bytes.saturating_add(weight(&device));
            let fits = bytes <= LIST_BYTES;
            if fits {
                found.push(view(device));
            }
            fits
        });
        if bytes > LIST_BYTES {
            return Err(self.call.refused(calls::list_too_large()));
        }
        Ok(found)
    }
}

fn weight(device: &DeviceView) -> usize {
    let metadata = device.metadata.iter().map(|(name, value)| name.len() + value.len());
    calls::device_weight(device.name.id.as_str().len(), device.name.registry.as_str().len(), metadata)
}

fn view(device: DeviceView) -> Device {
    let metadata = device.metadata.iter().map(|(name, value)| Property { name: name.clone(), value: value.clone() });
    Device {
        name: device.name.to_string(),
        id: device.name.id.to_string(),
        connected: device.connected,
        blocked: device.blocked,
        gateway: device.gateway,
        metadata: metadata.collect(),
        config_version: device.config_version,
        state_version: device.state_version,
        last_event: device.last_event_ms,
    }
}
