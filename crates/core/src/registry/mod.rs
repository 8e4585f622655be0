//! Devices and registries: which exist, what the operator configured, the newest config and state of each. Holds them in
//! memory; the journal makes them durable. Never talks to a client.

mod apply;
mod bindings;
mod bounds;
mod device;
mod last_gateway;
mod maps;
mod operations;
mod services;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;
use tokio::sync::{self, broadcast};

pub use device::{Device, Registered};
use maps::Maps;
pub use operations::Registration;

use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, RegistryChange, RegistryName, ServiceName,
    limits::TooMuch,
    patch::{CredentialOwner, KeyOwner},
    registry::RegistrySpec,
    symmetric::SymmetricKeys,
};
use switchbox_store as store;
use switchbox_store::{Doc, Loaded, RegistryDoc, Reply};

/// Why an operation of an operator is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{0} does not exist")]
    NoSuch(String),
    #[error("{0} exists already")]
    Exists(String),
    #[error("{0} still has devices; delete them first")]
    NotEmpty(String),
    #[error("{0} still has bound devices; unbind them first")]
    HasBound(String),
    #[error("{device} is not bound to {gateway}")]
    NotBound { gateway: DeviceName, device: DeviceName },
    #[error("{0} cannot be bound: only a device that is not a gateway can be bound, and only to a gateway")]
    NotBindable(String),
    #[error("{0} has no such credential")]
    NoSuchCredential(String),
    #[error("{0} has that credential already")]
    HasCredential(String),
    /// The object was changed since it was read.
    #[error("{subject} has revision {current} now, not {expected}: it was changed meanwhile")]
    OtherRevision { subject: String, expected: u64, current: u64 },
    /// A call that changes a device with its config expects another version of the config.
    #[error("version {current} of the config is in force, not version {expected}")]
    OtherVersion { expected: u64, current: u64 },
    /// A merge patch that cannot be applied to what there is.
    #[error("{0}")]
    Patch(String),
    /// There are as many of something as there may be.
    #[error(transparent)]
    Full(TooMuch),
    /// A field holds more than it may.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// How many changes a listener may be behind. If it is further behind, it has to check everything.
const CHANGES: usize = 1_024;

/// A change after which connections have to be revalidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    Device(DeviceNum),
    /// The device was deleted.
    Deleted(DeviceNum),
    /// The registry's authorities changed, which may end connections of its devices.
    Registry(RegistryName),
    Service(ServiceName),
    /// The wall clock went ahead: credentials may have expired.
    Clock,
}

impl Changed {
    /// What connections have to be revalidated for after a change. Returns `None` if none have to be.
    fn of(change: &RegistryChange) -> Option<Self> {
        match change {
            RegistryChange::DevicePatched { patch, .. } if patch.is_endpoint_only() => None,
            RegistryChange::DevicePatched { num, .. }
            | RegistryChange::DevicePassword { num, .. }
            | RegistryChange::Unbound { device: num, .. } => Some(Self::Device(*num)),
            RegistryChange::TwinChanged(change) => change.tags.as_ref().map(|_| Self::Device(change.num)),
            RegistryChange::KeyRenewed { owner, .. } => Some(match owner {
                KeyOwner::Device(num) => Self::Device(*num),
                KeyOwner::AccessKey { registry, .. } => Self::Registry(registry.clone()),
            }),
            RegistryChange::RegistryPatched { name, .. }
            | RegistryChange::AuthorityAdded { name, .. }
            | RegistryChange::AuthorityRemoved { name, .. } => Some(Self::Registry(name.clone())),
            RegistryChange::ServicePatched { name, .. }
            | RegistryChange::ServicePassword { name, .. }
            | RegistryChange::ServiceDeleted { name } => Some(Self::Service(name.clone())),
            RegistryChange::CredentialAdded { owner, .. } | RegistryChange::CredentialRemoved { owner, .. } => {
                Some(match owner {
                    CredentialOwner::Device(num) => Self::Device(*num),
                    CredentialOwner::Service(name) => Self::Service(name.clone()),
                })
            }
            RegistryChange::ServiceCreated { .. }
            | RegistryChange::RegistryCreated { .. }
            | RegistryChange::RegistryDeleted { .. }
            | RegistryChange::DeviceCreated(_)
            | RegistryChange::DevicesPruned { .. }
            | RegistryChange::EnrollmentCreated { .. }
            | RegistryChange::EnrollmentDeleted { .. }
            | RegistryChange::EnrollmentDeletedIf { .. }
            | RegistryChange::EnrollmentReplaced { .. }
            | RegistryChange::Bound { .. } => None,
        }
    }
}

/// The registry of all registries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    maps: Arc<RwLock<Maps>>,
    /// The highest number that a device ever had.
    last_num: Arc<AtomicU64>,
    /// Notifies of changes after which connections have to be revalidated.
    changes: broadcast::Sender<Changed>,
    /// Operators change the registry under a read lock. With the write lock, no change is made: [`Handle::lock_changes`].
    change_lock: Arc<sync::RwLock<()>>,
    store: store::Handle,
}

impl Handle {
    /// Loads the registry from the documents.
    #[must_use]
    pub fn load(store: store::Handle, loaded: &Loaded) -> Self {
        let last_num = Arc::new(AtomicU64::new(loaded.last_device));
        let changes = broadcast::Sender::new(CHANGES);
        Self { maps: Arc::new(RwLock::new(Maps::load(loaded))), last_num, changes, change_lock: Arc::default(), store }
    }

    /// Creates the default registry if there is no registry.
    pub async fn make_default(&self) -> Result<(), Error> {
        if self.registries().is_empty() {
            self.create_registry(RegistryName::default_registry(), RegistrySpec::default()).await?;
        }
        Ok(())
    }

    #[must_use]
    pub fn find(&self, name: &DeviceName) -> Option<Arc<Device>> {
        self.maps.read().find(name).cloned()
    }

    /// The number of a device. Returns `None` if there is no such device.
    #[must_use]
    pub fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        self.maps.read().find(name).map(|device| device.num)
    }

    #[must_use]
    pub fn get(&self, num: DeviceNum) -> Option<Arc<Device>> {
        self.maps.read().get(num)
    }

    /// Lists devices in the order of their ids: those after `after` for which `matches` returns true, at most `limit`. Returns `None`
    /// if there is no such registry.
    #[must_use]
    pub fn list(
        &self,
        registry: &RegistryName,
        after: Option<&DeviceId>,
        limit: usize,
        matches: &dyn Fn(&Device) -> bool,
    ) -> Option<Vec<Arc<Device>>> {
        self.maps.read().list(registry, after, limit, matches)
    }

    /// All registries, in order of their names.
    #[must_use]
    pub fn registries(&self) -> Vec<RegistryDoc> {
        self.maps.read().registries().cloned().collect()
    }

    #[must_use]
    pub fn registry(&self, name: &RegistryName) -> Option<RegistryDoc> {
        self.maps.read().registry(name).cloned()
    }

    /// The two keys of the registry with this name.
    #[must_use]
    pub fn access_key(&self, registry: &RegistryName, name: &str) -> Option<SymmetricKeys> {
        self.maps.read().registry(registry)?.spec.access_keys.get(name).cloned()
    }

    /// Notifies the listeners of a change after which connections have to be revalidated, and which is not made here.
    pub fn announce(&self, changed: Changed) {
        // There are no receivers while the journal is replayed.
        let _ = self.changes.send(changed);
    }

    /// Receives the changes that are made from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Devices that were connected when the host stopped: the newer of their events `connected` and `disconnected` is `connected`.
    #[must_use]
    pub fn connected_at_stop(&self) -> Vec<Arc<Device>> {
        self.maps.read().connected_at_stop().cloned().collect()
    }

    /// Devices that enrolled by themselves and were never used since; see [`Device::never_used`]. At most `limit`; of one registry
    /// or of all.
    #[must_use]
    pub fn never_used(&self, registry: Option<&RegistryName>, limit: usize) -> Vec<Arc<Device>> {
        self.maps.read().never_used(registry, limit)
    }

    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.maps.read().device_count()
    }

    /// Applies a change that is in the journal; with `revision`, only if what it changes has that one.
    pub fn apply(&self, change: RegistryChange, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        // Also while the journal is replayed, so that no number is given twice.
        if let RegistryChange::DeviceCreated(new) = &change {
            self.last_num.fetch_max(new.num.0, Ordering::Relaxed);
        }
        let changed = Changed::of(&change);
        let applied = self.maps.write().apply(change, revision, docs);
        let reply = match applied {
            Ok(reply) => reply,
            Err(refused) => return Reply::Refused(refused),
        };
        if let Reply::Pruned(nums) = &reply {
            nums.iter().for_each(|num| self.announce(Changed::Deleted(*num)));
        }
        if let Some(changed) = changed {
            self.announce(changed);
        }
        reply
    }
    /// Applies the deletion of a device that is in the journal; with `revision`, only if the device has that one.
    pub fn apply_deletion(&self, num: DeviceNum, revision: Option<u64>, docs: &mut Vec<Doc>) -> Reply {
        let applied = self.maps.write().apply_deletion(num, revision, docs);
        match applied {
            Ok(()) => {
                self.announce(Changed::Deleted(num));
                Reply::Done
            }
            Err(refused) => Reply::Refused(refused),
        }
    }
}
