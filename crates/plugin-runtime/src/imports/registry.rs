//! Devices, read only.

use std::cell::{Cell, RefCell};

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            registry::{Device, Host},
            types::{Error, Property},
        },
        grants::Capability,
        host::{DeviceView, HostCalls},
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
        let left_out = LeftOut::default();
        // Devices that the plugin may not read are left out.
        let readable = |id: &str| {
            let name = DeviceId::new(id).map(|id| DeviceName { registry: home.clone(), id });
            let granted = name.is_ok_and(|name| grants.device(Capability::Read, &name, home).is_ok());
            if !granted {
                left_out.add(id);
            }
            granted
        };
        let matches = |id: &str| glob.is_match(id) && readable(id);
        let (mut found, mut bytes) = (Vec::new(), 0_usize);
        host.list(home, &pattern, after.as_deref(), limit, &matches, &mut |device| {
            bytes = bytes.saturating_add(weight(&device));
            let fits = bytes <= LIST_BYTES;
            if fits {
                host.grant_checked(Capability::Read, device.name.id.as_str(), true);
                found.push(view(device));
            }
            fits
        });
        left_out.report(&*host, &pattern);
        if bytes > LIST_BYTES {
            return Err(self.call.refused(calls::list_too_large()));
        }
        Ok(found)
    }
}

/// Most devices that one list names as left out; of the others there is the number.
const LEFT_OUT_NAMED: usize = 3;

/// The devices that a list left out because the plugin may not read them.
#[derive(Default)]
struct LeftOut {
    first: RefCell<Vec<String>>,
    all: Cell<usize>,
}

impl LeftOut {
    fn add(&self, id: &str) {
        self.all.set(self.all.get() + 1);
        let mut first = self.first.borrow_mut();
        if first.len() < LEFT_OUT_NAMED {
            first.push(id.to_owned());
        }
    }

    fn report(self, host: &dyn HostCalls, pattern: &str) {
        let first = self.first.into_inner();
        first.iter().for_each(|id| host.grant_checked(Capability::Read, id, false));
        let more = self.all.get() - first.len();
        if more > 0 {
            let plural = if more == 1 { "" } else { "s" };
            host.grant_checked(Capability::Read, &format!("{more} more device{plural} of the list {pattern}"), false);
        }
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
