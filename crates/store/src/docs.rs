//! The documents of `state.db`, as the machine writes them and as they are loaded at start.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::broker::BrokerDocs;
use switchbox_model::{
    CallRecord, CommandStatus, DeadLetter, DeviceName, DeviceNum, OpenCommands, PluginName, QoS, RegistryName, Seq,
    ServiceName,
    broker::BrokerChange,
    cause::{Cause, EffectKey},
    life::{Identity, PluginChange, TakenBack},
    registry::{DeviceError, DeviceSpec, GatewayAccess, MethodEndpoint, PasswordHash, RegistrySpec, ServiceSpec},
    timer::Timer,
};

/// One change of a document.
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
    /// What it says is new.
    DeviceError {
        device: DeviceNum,
        error: DeviceError,
    },
    GatewayAccessed {
        device: DeviceNum,
        access: GatewayAccess,
    },
    Seen {
        num: DeviceNum,
        seen: Seen,
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
    Plugin(PluginDoc),
    PluginGone {
        plugin: PluginName,
    },
    DeadLetter(Box<DeadLetter>),
    DeadLetterGone {
        id: u64,
    },
    /// Where the device's methods are called over HTTP; none = nowhere.
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
    PluginLife {
        plugin: PluginName,
        change: PluginChange,
    },
    /// The wall clock was set.
    ClockSet {
        time_ms: u64,
    },
    /// An operator called a method.
    Call(Box<CallRecord>),
    Broker(Box<BrokerChange>),
}

#[derive(Debug, Clone)]
pub struct RegistryDoc {
    pub name: RegistryName,
    pub spec: RegistrySpec,
    pub created_ms: u64,
    /// Another one after each change; no two registries, devices or accounts ever have the same.
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

#[derive(Debug, Clone)]
pub struct DeviceDoc {
    pub num: DeviceNum,
    pub name: DeviceName,
    pub spec: DeviceSpec,
    pub password: Option<PasswordHash>,
    pub created_ms: u64,
    /// As that of a registry. It is another one after a change of the method endpoint as well.
    pub revision: u64,
}

/// When a device was last heard of and spoken to. In a change, none = as before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its telemetry.
    pub event_ms: Option<u64>,
    /// Its PINGREQ.
    pub heartbeat_ms: Option<u64>,
    pub config_sent_ms: Option<u64>,
    /// Also while a newer config is not acknowledged.
    pub config_acknowledged_ms: Option<u64>,
    /// The newest of its `connected` and `disconnected` events is the former.
    pub connected: Option<bool>,
}

impl Seen {
    pub fn fold(&mut self, newer: Self) {
        self.event_ms = newer.event_ms.or(self.event_ms);
        self.heartbeat_ms = newer.heartbeat_ms.or(self.heartbeat_ms);
        self.config_sent_ms = newer.config_sent_ms.or(self.config_sent_ms);
        self.config_acknowledged_ms = newer.config_acknowledged_ms.or(self.config_acknowledged_ms);
        self.connected = newer.connected.or(self.connected);
    }
}

/// One version of a device's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigVersion {
    pub device: DeviceNum,
    pub version: u64,
    pub time_ms: u64,
    pub payload: Bytes,
    pub cause: Cause,
    pub acknowledged_ms: Option<u64>,
}

/// One version of a device's reported state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateVersion {
    pub device: DeviceNum,
    pub version: u64,
    pub time_ms: u64,
    pub payload: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandDoc {
    pub device: DeviceNum,
    /// Its place among the device's commands.
    pub num: u64,
    pub id: String,
    pub subfolder: String,
    pub payload: Bytes,
    pub ttl_ms: u64,
    /// When its time is over; none = with the connection that it was sent on.
    pub expires_ms: Option<u64>,
    /// What becomes of it when its time is over, unless `Expired`.
    pub verdict: Option<CommandStatus>,
    pub status: CommandStatus,
    pub created_ms: u64,
    /// When it was first sent.
    pub sent_ms: Option<u64>,
    /// When it got its final status.
    pub settled_ms: Option<u64>,
    pub cause: Cause,
}

impl CommandDoc {
    /// When it got the status that it has.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.settled_ms.or(self.sent_ms).unwrap_or(self.created_ms)
    }
}

/// Which of a device's commands.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// Only those with smaller numbers.
    pub before: Option<u64>,
    pub status: Option<CommandStatus>,
    pub limit: usize,
}

/// A part of a queue, in its order.
#[derive(Debug, Default)]
pub struct CommandPage {
    pub commands: Vec<CommandDoc>,
    /// Those up to this number may have been sent, also where that was not noted.
    pub in_doubt: u64,
    /// There are no more.
    pub last: bool,
}

/// A command that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCommand {
    pub device: DeviceNum,
    pub num: u64,
    pub id: String,
    /// None = expired.
    pub verdict: Option<CommandStatus>,
}

/// One key of a plugin's state. `value` none = the key is deleted.
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
    /// The effect that set it; none for the host's own.
    pub by: Option<EffectKey>,
}

/// A plugin that is there, and since which event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDoc {
    pub plugin: PluginName,
    pub from: Seq,
}

/// A plugin that there is or was, and what of it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLifeDoc {
    pub plugin: PluginName,
    /// `None`: it has not run since plugins have one.
    pub identity: Option<Identity>,
    /// Since when it is off. `None`: it is on.
    pub off_ms: Option<u64>,
    /// Its files are gone.
    pub removed: bool,
    pub taken_back: Option<TakenBack>,
}

/// Everything that the host keeps in memory, as it stands in `state.db`.
#[derive(Debug, Default)]
pub struct Loaded {
    pub registries: Vec<RegistryDoc>,
    pub services: Vec<Arc<ServiceDoc>>,
    pub devices: Vec<(DeviceDoc, Seen)>,
    /// Gateways, each with a device that is bound to it.
    pub bindings: Vec<(DeviceNum, DeviceNum)>,
    /// The newest of each device.
    pub configs: Vec<ConfigVersion>,
    /// The newest of each device.
    pub states: Vec<StateVersion>,
    pub kv: Vec<KvDoc>,
    pub timers: Vec<TimerDoc>,
    pub plugins: Vec<PluginDoc>,
    pub lives: Vec<PluginLifeDoc>,
    /// Of every device that ever had commands.
    pub commands: HashMap<DeviceNum, OpenCommands>,
    pub endpoints: Vec<(DeviceNum, MethodEndpoint)>,
    /// What last went wrong with each device.
    pub errors: Vec<(DeviceNum, DeviceError)>,
    /// The gateway over which each device was last heard of.
    pub gateway_accesses: Vec<(DeviceNum, GatewayAccess)>,
    /// In the order in which they were committed.
    pub outgoing: Vec<OutgoingDoc>,
    /// In order of their ids.
    pub dead_letters: Vec<(PluginName, u64)>,
    pub last_dead_letter: u64,
    pub last_device: u64,
    /// The newest revision of a registry, a device or an account, of those that are gone too.
    pub last_revision: u64,
    /// All events before this one are handled.
    pub low_water: Seq,
    pub broker: BrokerDocs,
}
