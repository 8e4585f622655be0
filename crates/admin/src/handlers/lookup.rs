//! Finds the device that a path or a field names.

use std::sync::Arc;

use super::registry_name;
use crate::{app::App, details, error::Error};
use switchbox_core::registry::Device;
use switchbox_model::{DeviceId, DeviceName, DeviceNum, RegistryName};

/// Finds it by its id, or by its `numId` if no device has that id, as Google's API allows. The call's answer and its line in the audit
/// log name the device that was found.
pub(super) fn find(app: &App, registry: RegistryName, id: &str) -> Result<Arc<Device>, Error> {
    let name = DeviceName { registry, id: DeviceId::new(id)? };
    let by_number = || {
        let device = app.handles.registry.get(DeviceNum::parse_num_id(id)?)?;
        (device.name.registry == name.registry).then_some(device)
    };
    let found = app.handles.registry.find(&name).or_else(by_number);
    let found = found.ok_or_else(|| app.no_device(&name))?;
    details::object(&found.name);
    Ok(found)
}

pub(super) fn found(app: &App, (p, l, r, d): &(String, String, String, String)) -> Result<Arc<Device>, Error> {
    find(app, registry_name(p, l, r)?, d)
}
