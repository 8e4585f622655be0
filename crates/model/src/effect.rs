//! What a plugin (or an operator) wants to happen: collected while an event is handled, committed all together.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceNum;

use super::{
    event::{self, Property},
    message::QoS,
    timer::Timer,
};

/// One effect. All effects of an event commit together with "this plugin has handled this event".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// A new config version for the device, unless the current one has the same bytes. With `expected`, that version must be the
    /// current one (0: none yet).
    Config { device: DeviceNum, payload: Bytes, expected: Option<u64> },
    /// A message to the device. `ttl_ms` 0: only if it is connected and subscribed now. `properties` are as those of an event.
    Command { device: DeviceNum, id: String, subfolder: String, payload: Bytes, properties: Vec<Property>, ttl_ms: u64 },
    /// A write to the plugin's own state, already checked and numbered.
    Kv(KvWrite),
    /// A message on an ordinary topic, which was checked.
    Publish { topic: String, payload: Bytes, qos: QoS, retain: bool },
    /// A JSON merge patch (RFC 7396) on the device's config, done when the effects are applied, so that of two patches
    /// none is lost. Makes a new version, unless it changes nothing. With `expected` the version in force must be that one.
    PatchDesired { device: DeviceNum, patch: Bytes, expected: Option<u64> },
    /// Sets a timer of the plugin, which replaces one of the same name.
    TimerSet(Box<Timer>),
    /// Cancels a timer of the plugin. Does nothing if there is no such timer.
    TimerCancel { name: String },
    /// As `Config`, but a new version in any case. Only operators can ask for it.
    ConfigForced { device: DeviceNum, payload: Bytes, expected: Option<u64> },
}

/// A device or topic that an event reaches: by an effect, or by a method call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    Device(DeviceNum),
    Topic(&'a str),
}

impl Effect {
    /// The device or topic that it acts on. `None` if it concerns the plugin alone.
    #[must_use]
    pub fn target(&self) -> Option<Target<'_>> {
        match self {
            Self::Publish { topic, .. } => Some(Target::Topic(topic)),
            other => other.device().map(Target::Device),
        }
    }

    /// The device of the effect. `None` if it has none.
    #[must_use]
    pub fn device(&self) -> Option<DeviceNum> {
        match self {
            Self::Config { device, .. }
            | Self::ConfigForced { device, .. }
            | Self::Command { device, .. }
            | Self::PatchDesired { device, .. } => Some(*device),
            Self::Kv(_) | Self::Publish { .. } | Self::TimerSet(_) | Self::TimerCancel { .. } => None,
        }
    }

    /// Bytes that it brings to a device, a topic or a timer.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Config { payload, .. } | Self::ConfigForced { payload, .. } | Self::Publish { payload, .. } => {
                payload.len()
            }
            Self::Command { payload, properties, .. } => payload.len() + event::size(properties),
            Self::PatchDesired { patch, .. } => patch.len(),
            Self::TimerSet(timer) => timer.payload.len(),
            Self::Kv(_) | Self::TimerCancel { .. } => 0,
        }
    }
}

/// One write of a plugin's key-value state. A `value` of `None` deletes the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    pub key: String,
    pub value: Option<Bytes>,
    /// The revision of the key after this write.
    pub revision: u64,
}
