//! Devices and registries: who exists, what an operator said of them, the newest config and state of each. Holds them in
//! memory; the log makes them durable. Never talks to a client.

mod device;
mod maps;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;

pub use device::Device;
use maps::Maps;

use crate::{
    clock,
    model::{DeviceId, DeviceName, DeviceNum, Entry, RegistryChange, RegistryName, limits, registry::DeviceSpec},
    store::{self, Doc, Loaded, Refused, Reply},
};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{0} does not exist")]
    NoSuch(String),
    #[error("{0} exists already")]
    Exists(String),
    #[error("registry {0} still has devices; delete them first")]
    NotEmpty(RegistryName),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The registry of all registries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    maps: Arc<RwLock<Maps>>,
    last_num: Arc<AtomicU64>,
    store: store::Handle,
}

impl Handle {
    /// From what the store has.
    #[must_use]
    pub fn load(store: store::Handle, loaded: &Loaded) -> Self {
        let last_num = Arc::new(AtomicU64::new(loaded.last_device));
        Self { maps: Arc::new(RwLock::new(Maps::load(loaded))), last_num, store }
    }

    /// Makes the registry that a fresh host has, when there is no registry at all.
    pub async fn make_default(&self) -> Result<(), Error> {
        if self.registries().is_empty() {
            self.create_registry(RegistryName::default_registry()).await?;
        }
        Ok(())
    }

    #[must_use]
    pub fn find(&self, name: &DeviceName) -> Option<Arc<Device>> {
        self.maps.read().find(name)
    }

    #[must_use]
    pub fn get(&self, num: DeviceNum) -> Option<Arc<Device>> {
        self.maps.read().get(num)
    }

    /// In order of their ids, after `after`, that `keep` holds for; at most `limit`. None when there is no such registry.
    #[must_use]
    pub fn list(
        &self,
        registry: &RegistryName,
        after: Option<&DeviceId>,
        limit: usize,
        keep: &dyn Fn(&Device) -> bool,
    ) -> Option<Vec<Arc<Device>>> {
        self.maps.read().list(registry, after, limit, keep)
    }

    /// All registries with the time each was made, in order of their names.
    #[must_use]
    pub fn registries(&self) -> Vec<(RegistryName, u64)> {
        self.maps.read().registries()
    }

    /// How many devices there are.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.maps.read().devices()
    }

    pub async fn create_registry(&self, name: RegistryName) -> Result<(), Error> {
        let change = RegistryChange::RegistryCreated { name: name.clone(), time_ms: clock::now_ms() };
        self.change(change, &name.to_string()).await
    }

    pub async fn delete_registry(&self, name: &RegistryName) -> Result<(), Error> {
        let change = RegistryChange::RegistryDeleted { name: name.clone() };
        match self.change(change, name.as_str()).await {
            Err(Error::Exists(_)) => Err(Error::NotEmpty(name.clone())),
            other => other,
        }
    }

    /// Registers a device.
    pub async fn create(&self, name: DeviceName, spec: DeviceSpec) -> Result<Arc<Device>, Error> {
        check(&spec)?;
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

    pub async fn delete(&self, device: &Device) -> Result<(), Error> {
        self.change(RegistryChange::DeviceDeleted { num: device.num }, &device.name.to_string()).await
    }

    async fn change(&self, change: RegistryChange, what: &str) -> Result<(), Error> {
        match self.store.call(Entry::Registry(change)).await? {
            Reply::Refused(Refused::AlreadyExists | Refused::NotEmpty) => Err(Error::Exists(what.to_owned())),
            Reply::Refused(_) => Err(Error::NoSuch(what.to_owned())),
            Reply::Done | Reply::Configs(_) => Ok(()),
        }
    }

    /// Applies a change that is in the log.
    pub fn apply(&self, change: RegistryChange, docs: &mut Vec<Doc>) -> Reply {
        self.maps.write().apply(change, docs).map_or_else(Reply::Refused, |()| Reply::Done)
    }
}

fn check(spec: &DeviceSpec) -> Result<(), Error> {
    let bytes: usize = spec.metadata.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > limits::METADATA_BYTES {
        return Err(Error::Invalid(format!("metadata holds {bytes} bytes, more than {}", limits::METADATA_BYTES)));
    }
    Ok(())
}
