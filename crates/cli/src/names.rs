//! Names of devices and registries as users write them, and their paths in the API.

use super::{exit::wrong, url::escape};
use switchbox_model::{DeviceName, DeviceNum, RegistryName};

/// Maps names of users to devices.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Names {
    /// The registry of devices that are named by their id only: its id, or its full name [default: default]
    #[arg(long, value_name = "REGISTRY", env = "SWITCHBOX_REGISTRY", global = true)]
    registry: Option<String>,
}

impl Names {
    /// The registry in which short names are looked up.
    pub(super) fn home(&self) -> anyhow::Result<RegistryName> {
        self.registry.as_deref().map_or_else(|| Ok(RegistryName::default_registry()), registry_name)
    }

    /// A device: `lamp-1`, `hall/lamp-1` or its full name.
    pub(super) fn device(&self, text: &str) -> anyhow::Result<DeviceName> {
        let home = self.home()?;
        let name = DeviceName::parse(text, &home)?;
        if self.registry.is_some() && name.registry != home {
            let of = name.registry;
            return Err(wrong(format!(
                "{text} is a device of {of}, but --registry says {home}; leave one of the two out"
            )));
        }
        if DeviceNum::parse_num_id(name.id.as_str()).is_some() {
            return Err(wrong(format!(
                "{text} is a device's number (numId); name the device by its id, which `switchbox device list` shows"
            )));
        }
        Ok(name)
    }
}

/// A registry: `hall` or its full name.
pub(super) fn registry_name(text: &str) -> anyhow::Result<RegistryName> {
    let home = RegistryName::default_registry();
    if text.contains('/') {
        return Ok(RegistryName::new(text)?);
    }
    Ok(RegistryName::of(home.project(), home.location(), text)?)
}

/// The API's path of a device.
pub(super) fn device_path(name: &DeviceName) -> String {
    escape(&format!("/v1/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_its_id_and_never_by_its_number() {
        let names = Names::default();
        let id = |text: &str| names.device(text).map(|name| name.id.to_string()).map_err(|error| error.to_string());
        assert_eq!(id("2"), Ok("2".into()));
        assert_eq!(id("hall/356938035643809"), Ok("356938035643809".into()));
        let number = DeviceNum(2).num_id();
        for text in [format!("{number}"), format!("default/{number}")] {
            assert!(id(&text).unwrap_err().contains("name the device by its id"), "{text}");
        }
    }
}
