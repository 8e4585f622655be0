//! Changes of the registry, as they stand in the log.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceName, DeviceNum, RegistryName, ServiceName};

use super::{
    patch::{CredentialOwner, DevicePatch, NewDevice, RegistryPatch, ServicePatch},
    registry::{Credential, DeviceSpec, MethodEndpoint, PasswordHash, RegistrySpec, ServiceSpec},
};

/// A change of the registry. It is refused or made as a whole when it is applied, which is when it is known what there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryChange {
    /// Of older logs; `RegistryCreatedAs` came in its place.
    RegistryCreated {
        name: RegistryName,
        time_ms: u64,
    },
    RegistryDeleted {
        name: RegistryName,
    },
    /// Of older logs; `DeviceCreatedAs` came in its place.
    DeviceCreated {
        num: DeviceNum,
        name: DeviceName,
        spec: DeviceSpec,
        time_ms: u64,
    },
    /// Of older logs; `DevicePatched` came in its place.
    DeviceChanged {
        num: DeviceNum,
        spec: DeviceSpec,
    },
    DeviceDeleted {
        num: DeviceNum,
    },
    /// A registry that is made with more than its name.
    RegistryCreatedAs {
        name: RegistryName,
        spec: Box<RegistrySpec>,
        time_ms: u64,
    },
    /// Of older logs; `RegistryPatched` came in its place.
    RegistryChanged {
        name: RegistryName,
        spec: Box<RegistrySpec>,
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
    /// None: the device has no password any more.
    DevicePassword {
        num: DeviceNum,
        hash: Option<PasswordHash>,
    },
    ServiceCreated {
        name: ServiceName,
        spec: ServiceSpec,
        time_ms: u64,
    },
    /// Of older logs; `ServicePatched` came in its place.
    ServiceChanged {
        name: ServiceName,
        spec: ServiceSpec,
    },
    /// None: the account has no password any more.
    ServicePassword {
        name: ServiceName,
        hash: Option<PasswordHash>,
    },
    ServiceDeleted {
        name: ServiceName,
    },
    /// Of older logs; `DevicePatched` came in its place. None: the device's methods are called over MQTT.
    DeviceEndpoint {
        num: DeviceNum,
        endpoint: Option<MethodEndpoint>,
    },
    DeviceCreatedAs(Box<NewDevice>),
    DevicePatched {
        num: DeviceNum,
        patch: Box<DevicePatch>,
    },
    RegistryPatched {
        name: RegistryName,
        patch: Box<RegistryPatch>,
    },
    ServicePatched {
        name: ServiceName,
        patch: Box<ServicePatch>,
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
    /// One authority's certificate more.
    AuthorityAdded {
        name: RegistryName,
        certificate: String,
    },
    AuthorityRemoved {
        name: RegistryName,
        certificate: String,
    },
    /// Those of these devices go that enrolled by themselves and were never used.
    DevicesPruned {
        nums: Vec<DeviceNum>,
    },
}
