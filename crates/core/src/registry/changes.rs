//! Changes that operators make: each is one entry of the log, and its call returns when that is durable.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use super::{Device, Error, Handle};
use switchbox_model::{
    DeviceName, DeviceNum, Entry, RegistryChange, RegistryName,
    limits::fields,
    registry::{DeviceSpec, MethodEndpoint, PasswordHash, RegistrySpec},
};
use switchbox_store::{Refused, Reply};
use switchbox_support::clock;

impl Handle {
    pub async fn create_registry(&self, name: RegistryName, spec: RegistrySpec) -> Result<(), Error> {
        let what = format!("registry {name}");
        self.change(RegistryChange::RegistryCreatedAs { name, spec, time_ms: clock::now_ms() }, &what).await
    }

    /// Replaces what an operator says of a registry.
    pub async fn change_registry(&self, name: &RegistryName, spec: RegistrySpec) -> Result<(), Error> {
        let what = format!("registry {name}");
        self.change(RegistryChange::RegistryChanged { name: name.clone(), spec }, &what).await
    }

    pub async fn delete_registry(&self, name: &RegistryName) -> Result<(), Error> {
        self.change(RegistryChange::RegistryDeleted { name: name.clone() }, &format!("registry {name}")).await
    }

    /// Registers a device.
    pub async fn create(&self, name: DeviceName, spec: DeviceSpec) -> Result<Arc<Device>, Error> {
        check(&spec)?;
        if self.registry(&name.registry).is_none() {
            return Err(Error::NoSuch(format!("registry {}", name.registry)));
        }
        let num = DeviceNum(self.last_num.fetch_add(1, Ordering::Relaxed) + 1);
        let time_ms = clock::now_ms();
        let change = RegistryChange::DeviceCreated { num, name: name.clone(), spec, time_ms };
        self.change(change, &name.to_string()).await?;
        self.get(num).ok_or_else(|| Error::NoSuch(name.to_string()))
    }

    /// Replaces what an operator says of a device.
    pub async fn change_spec(&self, device: &Device, spec: DeviceSpec) -> Result<(), Error> {
        check(&spec)?;
        self.change(RegistryChange::DeviceChanged { num: device.num, spec }, &device.name.to_string()).await
    }

    /// None takes the password away.
    pub async fn set_password(&self, device: &Device, hash: Option<PasswordHash>) -> Result<(), Error> {
        self.change(RegistryChange::DevicePassword { num: device.num, hash }, &device.name.to_string()).await
    }

    /// Where the device's methods are called over HTTP; none = over MQTT. The URL has been checked.
    pub async fn set_endpoint(&self, device: &Device, endpoint: Option<MethodEndpoint>) -> Result<(), Error> {
        if device.endpoint().as_deref() == endpoint.as_ref() {
            return Ok(());
        }
        self.change(RegistryChange::DeviceEndpoint { num: device.num, endpoint }, &device.name.to_string()).await
    }

    pub async fn delete(&self, device: &Device) -> Result<(), Error> {
        self.change(RegistryChange::DeviceDeleted { num: device.num }, &device.name.to_string()).await
    }

    /// May the gateway speak for the device? A lookup in memory.
    #[must_use]
    pub fn bound(&self, gateway: DeviceNum, device: DeviceNum) -> bool {
        self.maps.read().bindings.has(gateway, device)
    }

    /// The devices bound to a gateway.
    #[must_use]
    pub fn devices_of(&self, gateway: DeviceNum) -> BTreeSet<DeviceNum> {
        self.maps.read().bindings.devices_of(gateway)
    }

    /// The gateways that a device is bound to.
    #[must_use]
    pub fn gateways_of(&self, device: DeviceNum) -> BTreeSet<DeviceNum> {
        self.maps.read().bindings.gateways_of(device)
    }

    /// Lets the gateway speak for the device; nothing changes when it may already.
    pub async fn bind(&self, gateway: &Device, device: &Device) -> Result<(), Error> {
        if self.bound(gateway.num, device.num) {
            return Ok(());
        }
        let devices = self.devices_of(gateway.num).len() + 1;
        fields::DEVICES_OF_GATEWAY.check_len(&format!("devices of {}", gateway.name), devices).map_err(Error::Full)?;
        let gateways = self.gateways_of(device.num).len() + 1;
        fields::GATEWAYS_OF_DEVICE.check_len(&format!("gateways of {}", device.name), gateways).map_err(Error::Full)?;
        let change = RegistryChange::Bound { gateway: gateway.num, device: device.num };
        self.change(change, &format!("{} to {}", device.name, gateway.name)).await
    }

    /// Takes back what [`Handle::bind`] gave.
    pub async fn unbind(&self, gateway: &Device, device: &Device) -> Result<(), Error> {
        let change = RegistryChange::Unbound { gateway: gateway.num, device: device.num };
        match self.store.call(Entry::Registry(change)).await? {
            Reply::Refused(_) => Err(Error::NotBound { gateway: gateway.name.clone(), device: device.name.clone() }),
            _ => Ok(()),
        }
    }

    pub(super) async fn change(&self, change: RegistryChange, what: &str) -> Result<(), Error> {
        match self.store.call(Entry::Registry(change)).await? {
            Reply::Refused(why) => Err(refused(&why, what.to_owned())),
            _ => Ok(()),
        }
    }
}

fn refused(why: &Refused, what: String) -> Error {
    match why {
        Refused::AlreadyExists => Error::Exists(what),
        Refused::NotEmpty => Error::NotEmpty(what),
        Refused::HasBound => Error::HasBound(what),
        Refused::NotBindable => Error::NotBindable(what),
        _ => Error::NoSuch(what),
    }
}

fn check(spec: &DeviceSpec) -> Result<(), Error> {
    let bytes = spec.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    fields::METADATA.check_len("metadata", bytes)?;
    Ok(fields::CREDENTIALS.check_len("credentials of a device", spec.credentials.len())?)
}
