//! Names of devices in files: only the id in the default registry, the full resource name elsewhere. Pure.

use switchbox_model::{DeviceName, RegistryName};
use switchbox_rules::names::DEFAULT_REGISTRY;

/// The short form that [`parse`] reads.
#[must_use]
pub fn short(name: &DeviceName) -> String {
    if name.registry.as_str() == DEFAULT_REGISTRY { name.id.as_str().to_owned() } else { name.to_string() }
}

/// Parses the result of [`short`], or the form `registry/device`.
///
/// # Errors
///
/// The text is not the name of a device.
pub fn parse(text: &str) -> Result<DeviceName, switchbox_model::InvalidName> {
    DeviceName::parse(text, &RegistryName::default_registry())
}
