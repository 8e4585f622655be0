//! The documents of `state.db`, as the machine writes them and as they are read.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use super::command_docs::CommandDoc;
use switchbox_model::{
    CallRecord, CommandStatus, DeadLetter, DeviceName, DeviceNum, PluginName, QoS, RegistryName, Seq, ServiceName,
    broker::BrokerChange,
    cause::{Cause, EffectKey},
    enrollment::Enrollment,
    lifecycle::{Identity, PluginChange, RolledBack},
    registry::{DeviceError, DeviceSpec, GatewayAccess, MethodEndpoint, PasswordHash, RegistrySpec, ServiceSpec},
    timer::Timer,
};

/// A change of a document.
#[derive(Debug, Clone)]
pub enum Doc {
    Registry(RegistryDoc),
    RegistryGone {
        name: RegistryName,
    },
    Service(Arc<ServiceDoc>),
    ServiceGone {
        name: ServiceName,
    },
    Device(Box<DeviceDoc>),
    DeviceGone {
        num: DeviceNum,
    },
    Bound {
        gateway: DeviceNum,
        device: DeviceNum,
    },
    Unbound {
        gateway: DeviceNum,
        device: DeviceNum,
    },
    /// Replaces the device's last error.
    DeviceError {
        device: DeviceNum,
        error: DeviceError,
    },
    GatewayAccessed {
        device: DeviceNum,
        access: GatewayAccess,
    },
    LastSeen {
        num: DeviceNum,
        seen: LastSeen,
    },
    Config(Arc<ConfigVersion>),
    ConfigAcknowledged {
        device: DeviceNum,
        version: u64,
        time_ms: u64,
    },
    State(StateVersion),
    Command(Box<CommandDoc>),
    CommandSent {
        device: DeviceNum,
        num: u64,
        time_ms: u64,
    },
    CommandSettled {
        device: DeviceNum,
        num: u64,
        status: CommandStatus,
        time_ms: u64,
    },
    /// The device may have been sent any of its commands up to this number.
    CommandsInDoubt {
        device: DeviceNum,
        upto: u64,
    },
    Kv(KvDoc),
    DeadLetter(Box<DeadLetter>),
    DeadLetterGone {
        id: u64,
    },
    /// The endpoint of the device's methods over HTTP. Is `None` if it has none.
    Endpoint {
        device: DeviceNum,
        endpoint: Option<MethodEndpoint>,
    },
    Outgoing(Box<OutgoingDoc>),
    OutgoingGone {
        id: String,
    },
    Timer(Box<TimerDoc>),
    TimerGone {
        plugin: PluginName,
        name: String,
    },
    PluginLifecycle {
        plugin: PluginName,
        change: PluginChange,
    },
    /// The wall clock was set.
    ClockSet {
        time_ms: u64,
    },
    /// How many commands may wait for a device.
    QueueLimit {
        commands: u64,
    },
    /// An operator called a method.
    Call(Box<CallRecord>),
    Broker(Box<BrokerChange>),
}

/// A registry.
#[derive(Debug, Clone)]
pub struct RegistryDoc {
    pub name: RegistryName,
    pub spec: RegistrySpec,
    /// By their ids.
    pub enrollments: Arc<BTreeMap<String, Enrollment>>,
    pub created_ms: u64,
    /// Grows with each change; no two registries, devices or accounts ever have the same.
    pub revision: u64,
}

/// An account of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDoc {
    pub name: ServiceName,
    pub spec: ServiceSpec,
    pub password: Option<PasswordHash>,
    pub created_ms: u64,
    /// As that of a registry.
    pub revision: u64,
}

/// A device, without its config and state.
#[derive(Debug, Clone)]
pub struct DeviceDoc {
    pub num: DeviceNum,
    pub name: DeviceName,
    pub spec: DeviceSpec,
    pub password: Option<PasswordHash>,
    pub created_ms: u64,
    /// As that of a registry. A change of the method endpoint changes it as well.
    pub revision: u64,
}

/// When something was last received from a device and sent to it. In a change, `None` means unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastSeen {
    /// The device's telemetry.
    pub event_ms: Option<u64>,
    /// The device's PINGREQ.
    pub heartbeat_ms: Option<u64>,
    pub config_sent_ms: Option<u64>,
    /// When the device last acknowledged a config, also an older one than the newest.
    pub config_acknowledged_ms: Option<u64>,
    /// Whether the newest of its `connected` and `disconnected` events is `connected`.
    pub connected: Option<bool>,
}

impl LastSeen {
    /// Takes over the fields that the newer one has.
    pub fn fold(&mut self, newer: Self) {
        self.event_ms = newer.event_ms.or(self.event_ms);
        self.heartbeat_ms = newer.heartbeat_ms.or(self.heartbeat_ms);
        self.config_sent_ms = newer.config_sent_ms.or(self.config_sent_ms);
        self.config_acknowledged_ms = newer.config_acknowledged_ms.or(self.config_acknowledged_ms);
        self.connected = newer.connected.or(self.connected);
    }
}

/// A version of a device's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigVersion {
    pub device: DeviceNum,
    pub version: u64,
    pub time_ms: u64,
    pub payload: Bytes,
    pub cause: Cause,
    pub acknowledged_ms: Option<u64>,
}

/// A version of a device's reported state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateVersion {
    pub device: DeviceNum,
    pub version: u64,
    pub time_ms: u64,
    pub payload: Bytes,
}

/// A key of a plugin's state. `value` is `None` if the key is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvDoc {
    pub plugin: PluginName,
    pub key: String,
    pub value: Option<Bytes>,
    pub revision: u64,
}

/// A plugin's message that is not known to have been given to its subscribers. `id` is the effect's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingDoc {
    pub id: String,
    pub topic: String,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
}

/// A timer of a plugin, as it is due next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerDoc {
    pub plugin: PluginName,
    pub timer: Timer,
    /// The effect that set it. `None` for a timer that the host itself set.
    pub by: Option<EffectKey>,
}

/// A plugin that exists, and since which event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDoc {
    pub plugin: PluginName,
    pub from: Seq,
}

/// A plugin that is or was installed, and since when it is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLifecycleDoc {
    pub plugin: PluginName,
    /// `None` when the plugin has not run since this field exists.
    pub identity: Option<Identity>,
    /// Since when the plugin is off. `None` when it is on.
    pub off_ms: Option<u64>,
    /// The plugin's files are gone.
    pub removed: bool,
    pub rolled_back: Option<RolledBack>,
    /// The schema of its state.
    pub schema: u32,
}
