//! Changes of the registry, as they are in the journal.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceNum, RegistryName, ServiceName};

use super::{
    enrollment::Enrollment,
    patch::{CredentialOwner, DevicePatch, KeyOwner, NewDevice, RegistryPatch, ServicePatch},
    registry::{Credential, PasswordHash, RegistrySpec, ServiceSpec},
    symmetric::{KeySlot, SymmetricKey},
    twin_change::TwinChange,
};

/// A change of the registry. It is refused or made as a whole when it is applied, which is when it is known what there is. New
/// variants are at the end, as those of [`Entry`](super::Entry) are, where the deletion of a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryChange {
    RegistryCreated {
        name: RegistryName,
        spec: Box<RegistrySpec>,
        time_ms: u64,
    },
    RegistryPatched {
        name: RegistryName,
        patch: Box<RegistryPatch>,
    },
    RegistryDeleted {
        name: RegistryName,
    },
    /// One authority's certificate more.
    AuthorityAdded {
        name: RegistryName,
        certificate: String,
    },
    AuthorityRemoved {
        name: RegistryName,
        certificate: String,
    },
    DeviceCreated(Box<NewDevice>),
    DevicePatched {
        num: DeviceNum,
        patch: Box<DevicePatch>,
    },
    /// `None` removes the device's password.
    DevicePassword {
        num: DeviceNum,
        hash: Option<PasswordHash>,
    },
    /// Those of these devices go that enrolled by themselves and were never used.
    DevicesPruned {
        nums: Vec<DeviceNum>,
    },
    /// The gateway may speak for the device.
    Bound {
        gateway: DeviceNum,
        device: DeviceNum,
    },
    Unbound {
        gateway: DeviceNum,
        device: DeviceNum,
    },
    ServiceCreated {
        name: ServiceName,
        spec: ServiceSpec,
        time_ms: u64,
    },
    ServicePatched {
        name: ServiceName,
        patch: Box<ServicePatch>,
    },
    /// `None` removes the account's password.
    ServicePassword {
        name: ServiceName,
        hash: Option<PasswordHash>,
    },
    ServiceDeleted {
        name: ServiceName,
    },
    /// One public key or certificate more.
    CredentialAdded {
        owner: CredentialOwner,
        credential: Credential,
    },
    /// Every credential with this PEM text goes, whenever it expires.
    CredentialRemoved {
        owner: CredentialOwner,
        key: String,
    },
    /// A registry has one enrolment more; `id` is new.
    EnrollmentCreated {
        name: RegistryName,
        id: String,
        enrollment: Box<Enrollment>,
    },
    EnrollmentDeleted {
        name: RegistryName,
        id: String,
    },
    /// An enrolment takes the place of one that must still be as `before`.
    EnrollmentReplaced {
        name: RegistryName,
        id: String,
        before: Box<Enrollment>,
        enrollment: Box<Enrollment>,
    },
    /// As `EnrollmentDeleted`, if the enrolment is still as `before`.
    EnrollmentDeletedIf {
        name: RegistryName,
        id: String,
        before: Box<Enrollment>,
    },
    /// One of two symmetric keys is replaced.
    KeyRenewed {
        owner: KeyOwner,
        which: KeySlot,
        key: SymmetricKey,
    },
    TwinChanged(Box<TwinChange>),
}
