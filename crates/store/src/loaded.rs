//! Everything that the host keeps in memory, as it is loaded from `state.db` at its start.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    broker_docs::BrokerDocs,
    docs::{
        ConfigVersion, DeviceDoc, KvDoc, LastSeen, OutgoingDoc, PluginDoc, PluginLifecycleDoc, RegistryDoc, ServiceDoc,
        StateVersion, TimerDoc,
    },
};
use switchbox_model::{
    DeviceNum, OpenCommands, PluginName, Seq,
    registry::{DeviceError, GatewayAccess, MethodEndpoint},
};

/// Everything that the host keeps in memory, as it is stored in `state.db`.
#[derive(Debug, Default)]
pub struct Loaded {
    pub registries: Vec<RegistryDoc>,
    pub services: Vec<Arc<ServiceDoc>>,
    pub devices: Vec<(DeviceDoc, LastSeen)>,
    /// Gateways, each with a device that is bound to it.
    pub bindings: Vec<(DeviceNum, DeviceNum)>,
    /// The newest of each device.
    pub configs: Vec<ConfigVersion>,
    /// The newest of each device.
    pub states: Vec<StateVersion>,
    pub kv: Vec<KvDoc>,
    pub timers: Vec<TimerDoc>,
    pub plugins: Vec<PluginDoc>,
    pub lifecycles: Vec<PluginLifecycleDoc>,
    /// The open commands of every device that ever had commands.
    pub commands: HashMap<DeviceNum, OpenCommands>,
    pub endpoints: Vec<(DeviceNum, MethodEndpoint)>,
    /// The last error of each device.
    pub errors: Vec<(DeviceNum, DeviceError)>,
    /// The gateway over which something was last received from each device.
    pub gateway_accesses: Vec<(DeviceNum, GatewayAccess)>,
    /// In the order in which they were committed.
    pub outgoing: Vec<OutgoingDoc>,
    /// In order of their ids.
    pub dead_letters: Vec<(PluginName, u64)>,
    /// The highest id that a dead letter ever had.
    pub last_dead_letter: u64,
    /// The highest number that a device ever had.
    pub last_device: u64,
    /// The highest revision that a registry, a device or an account ever had.
    pub last_revision: u64,
    /// How many commands may wait for a device; 0 in a new store.
    pub queue_limit: u64,
    /// All events before this one are handled.
    pub low_water: Seq,
    pub broker: BrokerDocs,
}
