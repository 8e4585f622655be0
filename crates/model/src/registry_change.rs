//! Changes of the registry, as they stand in the log.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceName, DeviceNum, RegistryName, ServiceName};

use super::registry::{DeviceSpec, MethodEndpoint, PasswordHash, RegistrySpec, ServiceSpec};

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryChange {
    RegistryCreated {
        name: RegistryName,
        time_ms: u64,
    },
    RegistryDeleted {
        name: RegistryName,
    },
    DeviceCreated {
        num: DeviceNum,
        name: DeviceName,
        spec: DeviceSpec,
        time_ms: u64,
    },
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
        spec: RegistrySpec,
        time_ms: u64,
    },
    RegistryChanged {
        name: RegistryName,
        spec: RegistrySpec,
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
    /// None: the device's methods are called over MQTT.
    DeviceEndpoint {
        num: DeviceNum,
        endpoint: Option<MethodEndpoint>,
    },
}
