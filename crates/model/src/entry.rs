//! The entries of the log: the only durable writes there are. Replaying them in order from an empty store gives the
//! same store again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceName, DeviceNum, PluginName, RegistryName, Seq, ServiceName};

use super::{
    broker::BrokerChange,
    call::CallRecord,
    cause::{Cause, EffectKey},
    effect::Effect,
    event::{CommandStatus, Event},
    life::PluginChange,
    registry::{DeviceError, DeviceSpec, GatewayAccess, MethodEndpoint, PasswordHash, RegistrySpec, ServiceSpec},
};

/// One atomic thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// Append these events.
    Events(Vec<Event>),
    /// This plugin has handled this event, with these effects.
    Handled(Handled),
    /// What devices said of what was delivered to them.
    Settled(Vec<Settlement>),
    /// An operator's change.
    Registry(RegistryChange),
    /// Effects that an operator asked for.
    Operator {
        time_ms: u64,
        cause: Cause,
        effects: Vec<Effect>,
    },
    /// A plugin is there from this event on.
    PluginAdded {
        plugin: PluginName,
        from: Seq,
    },
    PluginRemoved {
        plugin: PluginName,
    },
    /// Dead letters that an operator threw away, or that were taken up again.
    DeadLettersDropped {
        ids: Vec<u64>,
    },
    /// Nothing; its commit says that all before it is durable.
    Barrier,
    /// Methods of devices were called.
    Called(Vec<CallRecord>),
    /// Commands of one device that have ended, each with its `CommandSettled` event: one record, so that neither is there
    /// without the other. `nums` are the commands' numbers among those of their device, one for each event.
    CommandsSettled {
        nums: Vec<u64>,
        events: Vec<Event>,
    },
    /// This plugin has handled these events. Readers of the log get it as one `Handled` each.
    HandledRun(HandledRun),
    /// Sessions that outlive their connections, and retained messages.
    Broker(Vec<BrokerChange>),
    /// A plugin that sees timers is new or changed: its timer `$start` is due. `version` stands for component and settings.
    PluginStarts {
        plugin: PluginName,
        version: String,
        time_ms: u64,
    },
    /// Events that the host itself brought about, timers and what plugins published, each with the effect that it came of;
    /// none where that is not known.
    EventsBy {
        events: Vec<Event>,
        by: Vec<Option<EffectKey>>,
    },
    /// A rate held the effects of an event back. It stands before the `Handled` of the same event, and only explains it.
    HeldBack(HeldBack),
    /// A change in the life of a plugin.
    Plugin {
        plugin: PluginName,
        change: Box<PluginChange>,
    },
    /// The wall clock says this, after a start or after it went back. No repeating timer, delay, time-to-live or expiry of a
    /// stored message lasts longer from here than from the moment it was set.
    ClockSet {
        time_ms: u64,
    },
}

impl Entry {
    /// The events that it puts into the journal.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            _ => &[],
        }
    }

    /// The events that it puts into the journal.
    pub fn events_mut(&mut self) -> &mut [Event] {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            _ => &mut [],
        }
    }

    /// The events that it puts into the journal.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            _ => Vec::new(),
        }
    }

    /// Its events, each with the effect that it came of.
    pub fn into_events_by(self) -> impl Iterator<Item = (Event, Option<EffectKey>)> {
        let (events, by) = match self {
            Self::EventsBy { events, by } => (events, by),
            other => (other.into_events(), Vec::new()),
        };
        events.into_iter().zip(by.into_iter().chain(std::iter::repeat(None)))
    }

    /// The event with this number, with the effect that it came of.
    #[must_use]
    pub fn into_event(self, seq: Seq) -> Option<(Event, Option<EffectKey>)> {
        self.into_events_by().find(|(event, _)| event.seq == seq)
    }
}

/// The end of one event for one plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handled {
    pub plugin: PluginName,
    /// `sha256:…` of the component.
    pub digest: Arc<str>,
    pub seq: Seq,
    pub attempt: u32,
    /// When it ended, and its effects were no longer held back. Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Guest time, microseconds.
    pub took_us: u32,
    /// The plugin's log lines.
    pub logs: Vec<String>,
    pub outcome: Outcome,
}

/// A limit of a plugin held the effects of an event back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    pub plugin: PluginName,
    pub seq: Seq,
    pub attempt: u32,
    /// For how long, milliseconds.
    pub held_ms: u64,
    /// The limit, and what reached it.
    pub why: String,
}

/// Guest time from which on an execution is slow, microseconds.
const SLOW_US: u32 = 10_000;

impl Handled {
    /// Bytes that its effects bring to devices, topics and timers.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match &self.outcome {
            Outcome::Done { effects } => effects.iter().map(Effect::payload_bytes).sum(),
            Outcome::Dead { .. } => 0,
        }
    }

    /// It failed, was tried more than once, or took long.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        matches!(self.outcome, Outcome::Dead { .. }) || self.attempt > 1 || self.took_us >= SLOW_US
    }

    /// Something happened in it: it has effects or lines in its log, or it is notable.
    #[must_use]
    pub fn is_interesting(&self) -> bool {
        let quiet = matches!(&self.outcome, Outcome::Done { effects } if effects.is_empty());
        !quiet || !self.logs.is_empty() || self.is_notable()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    Done {
        effects: Vec<Effect>,
    },
    /// Rejected, or retried too often: to the dead letters.
    Dead {
        error: String,
        event: Box<Event>,
    },
}

/// Events that one plugin handled one after the other at the first try, without a word: what `Handled` says of each, with
/// what they have in common said once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandledRun {
    pub plugin: PluginName,
    pub digest: Arc<str>,
    pub time_ms: u64,
    pub events: Vec<HandledInRun>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandledInRun {
    pub seq: Seq,
    /// Guest time, microseconds.
    pub took_us: u32,
    pub effects: Vec<Effect>,
}

impl HandledRun {
    /// The attempt of all of its events.
    pub const ATTEMPT: u32 = 1;

    /// The same, at length.
    pub fn each(self) -> impl Iterator<Item = Handled> {
        let Self { plugin, digest, time_ms, events } = self;
        events.into_iter().map(move |HandledInRun { seq, took_us, effects }| Handled {
            plugin: plugin.clone(),
            digest: digest.clone(),
            seq,
            attempt: Self::ATTEMPT,
            time_ms,
            took_us,
            logs: Vec::new(),
            outcome: Outcome::Done { effects },
        })
    }
}

/// What became of something delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    ConfigAcknowledged {
        device: DeviceNum,
        version: u64,
        time_ms: u64,
    },
    /// Of older logs; [`Entry::CommandsSettled`] and [`Settlement::CommandSent`] came in its place.
    Command {
        device: DeviceNum,
        id: String,
        status: CommandStatus,
        time_ms: u64,
    },
    /// A plugin's message was given to its subscribers; `id` is the effect's key.
    Published {
        id: String,
    },
    /// The command was handed to the device's connection. `num` is its number among those of its device.
    CommandSent {
        device: DeviceNum,
        num: u64,
        time_ms: u64,
    },
    /// When the device last did what is not worth an entry each time, told when its connection ends.
    LastSeen {
        device: DeviceNum,
        heartbeat_ms: Option<u64>,
        config_sent_ms: Option<u64>,
    },
    /// What last went wrong with the device, told when its connection ends.
    Failed {
        device: DeviceNum,
        error: DeviceError,
    },
    /// The host was killed while the device was connected: it may have been sent any of its commands up to this number,
    /// whether that was noted or not.
    CommandsInDoubt {
        device: DeviceNum,
        upto: u64,
    },
    /// A gateway speaks for the device, or last did so then: told when it is attached, and when that ends.
    GatewayAccessed {
        device: DeviceNum,
        access: GatewayAccess,
    },
}

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

/// An event that a plugin could not handle, kept for an operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Grows by one from 1.
    pub id: u64,
    pub plugin: PluginName,
    pub digest: Arc<str>,
    pub attempt: u32,
    pub time_ms: u64,
    pub error: String,
    pub logs: Vec<String>,
    pub event: Event,
}
