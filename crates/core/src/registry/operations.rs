//! The operations of operators. Each is one journal entry, which is accepted or refused as a whole when it is applied, and the caller waits
//! until it is durable. Nothing is decided here from the current registry, as it may change until then.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::OwnedRwLockWriteGuard;

use super::{Error, Handle, bounds, device::Device};
use switchbox_model::{
    DeviceName, DeviceNum, Entry, RegistryChange, RegistryName,
    enrollment::Enrollment,
    limits::fields,
    patch::{CredentialOwner, DevicePatch, FirstConfig, KeyOwner, NewDevice, RegistryPatch},
    registry::{Credential, DeviceSpec, MethodEndpoint, PasswordHash, RegistrySpec},
    symmetric::{KeySlot, SymmetricKey},
};
use switchbox_store::{EntryRefusal, Reply};
use switchbox_support::clock;

/// What a device is registered with, in one entry.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    pub spec: DeviceSpec,
    /// The endpoint of its methods over HTTP. The caller has checked its URL.
    pub endpoint: Option<MethodEndpoint>,
    pub config: Option<FirstConfig>,
}

/// Operations with `revision` are done only if what they change has that one; see `Error::OtherRevision`.
impl Handle {
    pub async fn create_registry(&self, name: RegistryName, spec: RegistrySpec) -> Result<(), Error> {
        bounds::check_registry(&spec)?;
        let subject = registry(&name);
        let change = RegistryChange::RegistryCreated { name, spec: Box::new(spec), time_ms: clock::now_ms() };
        self.change(change, None, &subject).await
    }

    pub async fn patch_registry(
        &self,
        name: &RegistryName,
        patch: RegistryPatch,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let mut spec = RegistrySpec::default();
        patch.apply(&mut spec);
        bounds::check_registry(&spec)?;
        let change = RegistryChange::RegistryPatched { name: name.clone(), patch: Box::new(patch) };
        self.change(change, revision, &registry(name)).await
    }

    pub async fn add_authority(
        &self,
        name: &RegistryName,
        certificate: String,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let change = RegistryChange::AuthorityAdded { name: name.clone(), certificate };
        self.change(change, revision, &registry(name)).await
    }

    pub async fn remove_authority(
        &self,
        name: &RegistryName,
        certificate: String,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let change = RegistryChange::AuthorityRemoved { name: name.clone(), certificate };
        self.change(change, revision, &registry(name)).await
    }

    /// Creates an enrolment. Refused if there is one with this id, or one for the same device.
    pub async fn create_enrollment(
        &self,
        name: &RegistryName,
        id: String,
        enrollment: Enrollment,
    ) -> Result<(), Error> {
        bounds::check_enrollment(&enrollment)?;
        let subject = format!("enrolment {id}");
        let change = RegistryChange::EnrollmentCreated { name: name.clone(), id, enrollment: Box::new(enrollment) };
        self.change(change, None, &subject).await
    }

    /// Refused if the enrolment is not equal to `expected` any more. `enrollment` has the same registration id.
    pub async fn replace_enrollment(
        &self,
        name: &RegistryName,
        id: String,
        expected: Enrollment,
        enrollment: Enrollment,
    ) -> Result<(), Error> {
        bounds::check_enrollment(&enrollment)?;
        let subject = format!("enrolment {id}");
        let (name, before, enrollment) = (name.clone(), Box::new(expected), Box::new(enrollment));
        self.change(RegistryChange::EnrollmentReplaced { name, id, before, enrollment }, None, &subject).await
    }

    /// Deletes an enrolment; devices that it has registered stay. With `expected`, only if the enrolment is equal to that.
    pub async fn delete_enrollment(
        &self,
        name: &RegistryName,
        id: String,
        expected: Option<Enrollment>,
    ) -> Result<(), Error> {
        let subject = format!("enrolment {id}");
        let name = name.clone();
        let change = match expected {
            None => RegistryChange::EnrollmentDeleted { name, id },
            Some(expected) => RegistryChange::EnrollmentDeletedIf { name, id, before: Box::new(expected) },
        };
        self.change(change, None, &subject).await
    }

    pub async fn delete_registry(&self, name: &RegistryName, revision: Option<u64>) -> Result<(), Error> {
        self.change(RegistryChange::RegistryDeleted { name: name.clone() }, revision, &registry(name)).await
    }

    /// Registers a device, with its endpoint and its first config.
    pub async fn create(&self, name: DeviceName, registration: Registration) -> Result<Arc<Device>, Error> {
        let Registration { spec, endpoint, config } = registration;
        bounds::check_device(&spec)?;
        if let Some(FirstConfig { payload, .. }) = &config {
            fields::CONFIG.check_len("a config", payload.len())?;
        }
        let num = DeviceNum(self.last_num.fetch_add(1, Ordering::Relaxed) + 1);
        let new_device = NewDevice { num, name: name.clone(), spec, endpoint, config, time_ms: clock::now_ms() };
        match self.call(RegistryChange::DeviceCreated(Box::new(new_device)), None).await? {
            Reply::Refused(EntryRefusal::NotFound) => return Err(Error::NoSuch(registry(&name.registry))),
            Reply::Refused(why) => return Err(refused(why, name.to_string(), None)),
            _ => {}
        }
        self.get(num).ok_or_else(|| Error::NoSuch(name.to_string()))
    }

    pub async fn patch(&self, device: &Device, patch: DevicePatch, revision: Option<u64>) -> Result<(), Error> {
        let mut spec = DeviceSpec::default();
        patch.apply(&mut spec);
        bounds::check_device(&spec)?;
        let change = RegistryChange::DevicePatched { num: device.num, patch: Box::new(patch) };
        self.change(change, revision, &device.name.to_string()).await
    }

    /// Sets the password, or removes it if `hash` is `None`.
    pub async fn set_password(
        &self,
        device: &Device,
        hash: Option<PasswordHash>,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let change = RegistryChange::DevicePassword { num: device.num, hash };
        self.change(change, revision, &device.name.to_string()).await
    }

    pub async fn add_credential(
        &self,
        owner: CredentialOwner,
        credential: Credential,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let subject = self.owner(&owner);
        self.change(RegistryChange::CredentialAdded { owner, credential }, revision, &subject).await
    }

    /// `key` is the credential's PEM text.
    pub async fn remove_credential(
        &self,
        owner: CredentialOwner,
        key: String,
        revision: Option<u64>,
    ) -> Result<(), Error> {
        let subject = self.owner(&owner);
        self.change(RegistryChange::CredentialRemoved { owner, key }, revision, &subject).await
    }

    /// Replaces one of two symmetric keys; the other stays as it is.
    pub async fn renew_key(&self, owner: KeyOwner, which: KeySlot, key: SymmetricKey) -> Result<(), Error> {
        let subject = match &owner {
            KeyOwner::Device(num) => self.named(*num),
            KeyOwner::AccessKey { registry: name, .. } => registry(name),
        };
        self.change(RegistryChange::KeyRenewed { owner, which, key }, None, &subject).await
    }

    fn owner(&self, owner: &CredentialOwner) -> String {
        match owner {
            CredentialOwner::Device(num) => self.named(*num),
            CredentialOwner::Service(name) => name.to_string(),
        }
    }

    /// The name of a device, for an error.
    fn named(&self, num: DeviceNum) -> String {
        self.get(num).map_or_else(|| "the device".into(), |device| device.name.to_string())
    }

    /// While the guard is held, no other change of the registry is made, so that the result of [`Handle::check_delete`] stays true.
    pub async fn lock_changes(&self) -> OwnedRwLockWriteGuard<()> {
        self.change_lock.clone().write_owned().await
    }

    /// Whether the deletion of the device would be refused now.
    pub fn check_delete(&self, device: &Device, revision: Option<u64>) -> Result<(), Error> {
        let current = device.registered().revision;
        if let Some(expected) = revision.filter(|expected| *expected != current) {
            return Err(Error::OtherRevision { subject: device.name.to_string(), expected, current });
        }
        if self.maps.read().bindings.has_devices(device.num) {
            return Err(Error::HasBound(device.name.to_string()));
        }
        Ok(())
    }

    /// Deletes a device without open commands. A device with open commands is deleted by `delivery::Handle::delete`.
    pub async fn delete(&self, device: &Device, revision: Option<u64>) -> Result<(), Error> {
        let (nums, events) = (Vec::new(), Vec::new());
        let reply = self.submit(Entry::DeviceDeleted { num: device.num, revision, nums, events }).await?;
        self.deletion_result(reply, device, revision)
    }

    /// The result of a deletion, from the reply to its `Entry::DeviceDeleted`.
    pub fn deletion_result(&self, reply: Reply, device: &Device, revision: Option<u64>) -> Result<(), Error> {
        match reply {
            Reply::Refused(why) => Err(refused(why, device.name.to_string(), revision)),
            _ => Ok(()),
        }
    }

    /// Deletes those of these devices that enrolled by themselves and were never used; see [`Device::never_used`]. Returns the deleted ones.
    pub async fn prune(&self, nums: Vec<DeviceNum>) -> Result<Vec<DeviceNum>, Error> {
        match self.call(RegistryChange::DevicesPruned { nums }, None).await? {
            Reply::Pruned(nums) => Ok(nums),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the device is bound to the gateway. A lookup in memory.
    #[must_use]
    pub fn is_bound(&self, gateway: DeviceNum, device: DeviceNum) -> bool {
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

    /// Binds the device to the gateway. Nothing changes if it is bound already.
    pub async fn bind(&self, gateway: &Device, device: &Device) -> Result<(), Error> {
        let change = RegistryChange::Bound { gateway: gateway.num, device: device.num };
        self.change(change, None, &format!("{} to {}", device.name, gateway.name)).await.map_err(full)
    }

    /// Unbinds the device from the gateway.
    pub async fn unbind(&self, gateway: &Device, device: &Device) -> Result<(), Error> {
        let change = RegistryChange::Unbound { gateway: gateway.num, device: device.num };
        match self.call(change, None).await? {
            Reply::Refused(_) => Err(Error::NotBound { gateway: gateway.name.clone(), device: device.name.clone() }),
            _ => Ok(()),
        }
    }

    /// Makes a change. `subject`: the changed object, for the error if the change is refused.
    pub(crate) async fn change(
        &self,
        change: RegistryChange,
        revision: Option<u64>,
        subject: &str,
    ) -> Result<(), Error> {
        match self.call(change, revision).await? {
            Reply::Refused(why) => Err(refused(why, subject.to_owned(), revision)),
            _ => Ok(()),
        }
    }

    async fn call(&self, change: RegistryChange, revision: Option<u64>) -> Result<Reply, Error> {
        self.submit(Entry::Registry { change, revision }).await
    }

    async fn submit(&self, entry: Entry) -> Result<Reply, Error> {
        let _change_lock = self.change_lock.read().await;
        Ok(self.store.call(entry).await?)
    }
}

fn registry(name: &RegistryName) -> String {
    format!("registry {name}")
}

/// Converts a limit that was hit into [`Error::Full`]: there are as many objects as there may be.
pub(super) fn full(error: Error) -> Error {
    match error {
        Error::TooMuch(error) => Error::Full(error),
        error => error,
    }
}

fn refused(why: EntryRefusal, subject: String, revision: Option<u64>) -> Error {
    match why {
        EntryRefusal::AlreadyExists => Error::Exists(subject),
        EntryRefusal::NotEmpty => Error::NotEmpty(subject),
        EntryRefusal::HasBound => Error::HasBound(subject),
        EntryRefusal::NotBindable => Error::NotBindable(subject),
        EntryRefusal::NoSuchCredential => Error::NoSuchCredential(subject),
        EntryRefusal::HasCredential => Error::HasCredential(subject),
        EntryRefusal::OtherRevision { current } => {
            Error::OtherRevision { subject, expected: revision.unwrap_or_default(), current }
        }
        EntryRefusal::TooMuch(error) => Error::TooMuch(error),
        EntryRefusal::Conflict { expected, current, .. } => Error::OtherVersion { expected, current },
        EntryRefusal::Patch(problem) => Error::Patch(problem),
        EntryRefusal::NotFound | EntryRefusal::NotBound => Error::NoSuch(subject),
    }
}
