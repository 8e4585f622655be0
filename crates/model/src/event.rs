//! What happened: events as the journal holds them and as plugins see them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::{
    calls,
    event::TriggerInput,
    names::{DeviceNum, Seq},
};

pub use switchbox_rules::event::{EventKind, FILE_UPLOADED};

/// One event. Its `seq` is its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub seq: Seq,
    /// When the host received it, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The device that it came from. `None` for timers and ordinary topics.
    pub device: Option<DeviceNum>,
    /// Whether the event is handled again after a crash. False for QoS 0, which promises no delivery.
    pub durable: bool,
    pub data: EventData,
}

/// Name and value of what a sender says beside its payload: what the application names (a user property of MQTT 5), or what the
/// message says of itself, under a name of [`about`].
pub type Property = (String, String);

/// A property that a message cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PropertyError(String);

/// Returns an error if a property cannot be carried by every protocol of a device.
pub fn check_command(properties: &[Property]) -> Result<(), PropertyError> {
    match properties.iter().find(|(name, value)| !calls::is_property(name, value)) {
        Some((name, _)) => Err(PropertyError(calls::no_property(name))),
        None => Ok(()),
    }
}

/// Bytes of names and values.
#[must_use]
pub fn size(properties: &[Property]) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Names of system properties. They begin with `$`, and are the same for all protocols.
pub mod about {
    pub const MESSAGE_ID: &str = "$message-id";
    pub const CORRELATION_ID: &str = "$correlation-id";
    pub const USER_ID: &str = "$user-id";
    pub const CONTENT_TYPE: &str = "$content-type";
    pub const CONTENT_ENCODING: &str = "$content-encoding";
    pub const CREATION_TIME: &str = "$creation-time";
    pub const EXPIRY_TIME: &str = "$expiry-time";
    /// The part of the device that sent it.
    pub const COMPONENT: &str = "$component";
    /// The interface of the device's model that the message belongs to.
    pub const INTERFACE: &str = "$interface";

    /// The property is what the message says of itself.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        name.starts_with('$')
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventData {
    /// `subfolder` is empty or the topic levels after `events/`.
    Telemetry {
        subfolder: String,
        payload: Bytes,
        properties: Vec<Property>,
    },
    State {
        version: u64,
        payload: Bytes,
    },
    Connected,
    Disconnected {
        reason: String,
    },
    CommandSettled {
        id: String,
        status: CommandStatus,
    },
    /// `due_ms`: milliseconds since the Unix epoch. `plugin`: whose timer it is.
    Timer {
        plugin: String,
        name: String,
        payload: Bytes,
        due_ms: u64,
        late: bool,
    },
    Topic {
        topic: String,
        payload: Bytes,
        properties: Vec<Property>,
    },
}

impl EventData {
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Telemetry { .. } => EventKind::Telemetry,
            Self::State { .. } => EventKind::State,
            Self::Connected => EventKind::Connected,
            Self::Disconnected { .. } => EventKind::Disconnected,
            Self::CommandSettled { .. } => EventKind::CommandSettled,
            Self::Timer { .. } => EventKind::Timer,
            Self::Topic { .. } => EventKind::Topic,
        }
    }

    /// What triggers look at. `device`: the id of the event's device; empty if it has none.
    #[must_use]
    pub fn trigger_input<'a>(&'a self, device: &'a str) -> TriggerInput<'a> {
        let topic = match self {
            Self::Topic { topic, .. } => topic,
            _ => "",
        };
        TriggerInput { kind: self.kind(), device, subfolder: self.subfolder(), topic }
    }

    /// Empty for everything but telemetry.
    #[must_use]
    pub fn subfolder(&self) -> &str {
        match self {
            Self::Telemetry { subfolder, .. } => subfolder,
            _ => "",
        }
    }

    /// Telemetry that a device sent itself.
    #[must_use]
    pub fn is_from_device(&self) -> bool {
        matches!(self, Self::Telemetry { subfolder, .. } if subfolder != FILE_UPLOADED)
    }

    /// The event's own bytes; empty where it has none.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::Telemetry { payload, .. }
            | Self::State { payload, .. }
            | Self::Timer { payload, .. }
            | Self::Topic { payload, .. } => payload,
            _ => &[],
        }
    }
}

/// A command's life. All but the first two are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandStatus {
    Queued,
    Sent,
    Acknowledged,
    Expired,
    Rejected,
    Purged,
    /// It was for a device that acknowledges no commands (its subscription has QoS 0), and is never sent again.
    #[serde(rename = "sent-unconfirmed")]
    SentUnconfirmed,
}

impl CommandStatus {
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Acknowledged => "acknowledged",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Purged => "purged",
            Self::SentUnconfirmed => "sent-unconfirmed",
        }
    }
}
