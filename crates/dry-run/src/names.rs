//! Names of devices in files: only the id in the default registry, the full resource name elsewhere. Pure.

use std::sync::Arc;

use switchbox_model::{DeviceName, DeviceNum, RegistryName};
use switchbox_rules::names::DEFAULT_REGISTRY;

/// The short form that [`parse`] reads. That of a device in the default registry is not copied.
#[must_use]
pub fn short(name: &DeviceName) -> Arc<str> {
    if name.registry.as_str() == DEFAULT_REGISTRY { name.id.clone().into() } else { name.to_string().into() }
}

/// The short form, or the number of a device that `name` does not know.
pub(crate) fn of(num: DeviceNum, name: &dyn Fn(DeviceNum) -> Option<DeviceName>) -> Arc<str> {
    name(num).map_or_else(|| format!("#{}", num.num_id()).into(), |name| short(&name))
}

/// Parses the result of [`short`], or the form `registry/device`.
///
/// # Errors
///
/// The text is not the name of a device.
pub fn parse(text: &str) -> Result<DeviceName, switchbox_model::InvalidName> {
    DeviceName::parse(text, &RegistryName::default_registry())
}
