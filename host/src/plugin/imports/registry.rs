//! Devices, read only.

use globset::GlobBuilder;

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            registry::{Device, Host},
            types::{Error, Property},
        },
        grants::Capability,
        host::DeviceView,
        sandbox::State,
    },
    list_size, no_such_device,
};
use crate::model::{DeviceId, DeviceName};

impl Host for State {
    fn get(&mut self, device: String) -> Result<Device, Error> {
        let host = self.admit()?;
        let name = self.granted(Capability::Read, &device)?;
        host.device(&name).map(view).ok_or_else(|| no_such_device(&name))
    }

    fn list(&mut self, pattern: String, after: Option<String>, limit: u32) -> Result<Vec<Device>, Error> {
        let host = self.admit()?;
        let limit = list_size(limit)?;
        let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| Error::Invalid(format!("{pattern:?} is no glob: {}", error.kind())))?;
        let (glob, home, grants) = (glob.compile_matcher(), &self.current.home, &self.setup.grants);
        // What may not be read is not there.
        let readable = |id: &str| {
            let name = DeviceId::new(id).map(|id| DeviceName { registry: home.clone(), id });
            name.is_ok_and(|name| grants.device(Capability::Read, &name, home).is_ok())
        };
        let wanted = |id: &str| glob.is_match(id) && readable(id);
        Ok(host.list(home, after.as_deref(), limit, &wanted).into_iter().map(view).collect())
    }
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
