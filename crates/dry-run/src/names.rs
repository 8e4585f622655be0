//! Devices by name in files: the id alone in the default registry, the full resource name elsewhere. Pure.

use switchbox_model::{DeviceName, RegistryName};

/// As [`parse`] reads it.
#[must_use]
pub fn short(name: &DeviceName) -> String {
    if name.registry == RegistryName::default_registry() { name.id.to_string() } else { name.to_string() }
}

/// Reads what [`short`] wrote, or the form `registry/device`.
///
/// # Errors
///
/// It is no device's name.
pub fn parse(text: &str) -> Result<DeviceName, switchbox_model::InvalidName> {
    DeviceName::parse(text, &RegistryName::default_registry())
}
