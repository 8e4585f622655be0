//! An event in a file: the name of its device, what happened, and when. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{names, payload::Payload};
use switchbox_model::{self as model, CommandStatus, DeviceName, InvalidName, PluginName, RegistryName, Seq};

/// One event. Only `data` has no default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventLine {
    /// Its number in the journal; 0 if not given.
    #[serde(default)]
    pub number: u64,
    /// When the host received it, milliseconds since the Unix epoch: the plugin's clock. 0 if not given.
    #[serde(default)]
    pub time_ms: u64,
    /// The device that it came from; empty for a timer and for a message on an ordinary topic.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub device: Arc<str>,
    /// Starts at 1.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    pub data: Data,
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn first_attempt() -> u32 {
    1
}

/// 2026-01-01T12:00:00Z: the time of the first event of a case, if it gives none.
const DEFAULT_TIME_MS: u64 = 1_767_268_800_000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Data {
    Telemetry {
        #[serde(default, skip_serializing_if = "String::is_empty")]
        subfolder: String,
        payload: Payload,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        properties: Vec<(String, String)>,
    },
    State {
        #[serde(default = "first")]
        version: u64,
        payload: Payload,
    },
    Connected,
    Disconnected {
        #[serde(default)]
        reason: String,
    },
    CommandSettled {
        id: String,
        status: CommandStatus,
    },
    Timer {
        name: String,
        #[serde(default)]
        payload: Payload,
        #[serde(default)]
        due_ms: u64,
        #[serde(default)]
        late: bool,
    },
    Topic {
        topic: String,
        payload: Payload,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        properties: Vec<(String, String)>,
    },
}

fn first() -> u64 {
    1
}

/// An event for the sandbox, and the device that it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxEvent {
    pub event: model::Event,
    pub device: Option<DeviceName>,
    pub attempt: u32,
}

impl EventLine {
    /// Converts an event of the journal. Short device names are in the default registry.
    #[must_use]
    pub fn of(event: &model::Event, device: Option<&DeviceName>, attempt: u32) -> Self {
        Self {
            number: event.seq.0,
            time_ms: event.time_ms,
            device: device.map(names::short).unwrap_or_default(),
            attempt,
            data: data_of(&event.data),
        }
    }

    /// Sets the number, if the event has none, and the time: one second after the previous event. Numbers start at 1.
    #[must_use]
    pub fn nth(mut self, number: u64) -> Self {
        if self.number == 0 {
            self.number = number;
        }
        if self.time_ms == 0 {
            self.time_ms = DEFAULT_TIME_MS.saturating_add(number.saturating_sub(1).saturating_mul(1_000));
        }
        self
    }

    /// Converts the event for the sandbox. A timer becomes one of `plugin`.
    ///
    /// # Errors
    ///
    /// `device` is not the name of a device.
    pub fn for_sandbox(&self, plugin: &PluginName) -> Result<SandboxEvent, InvalidName> {
        let home = RegistryName::default_registry();
        let device = (!self.device.is_empty()).then(|| DeviceName::parse(&self.device, &home)).transpose()?;
        let event = model::Event {
            seq: Seq(self.number),
            time_ms: self.time_ms,
            device: None,
            durable: true,
            data: self.data.event_data(plugin),
        };
        Ok(SandboxEvent { event, device, attempt: self.attempt })
    }
}

fn data_of(data: &model::EventData) -> Data {
    use model::EventData as From;
    match data {
        From::Telemetry { subfolder, payload, properties } => {
            Data::Telemetry { subfolder: subfolder.clone(), payload: payload.into(), properties: properties.clone() }
        }
        From::State { version, payload } => Data::State { version: *version, payload: payload.into() },
        From::Connected => Data::Connected,
        From::Disconnected { reason } => Data::Disconnected { reason: reason.clone() },
        From::CommandSettled { id, status } => Data::CommandSettled { id: id.clone(), status: *status },
        From::Timer { name, payload, due_ms, late, .. } => {
            Data::Timer { name: name.clone(), payload: payload.into(), due_ms: *due_ms, late: *late }
        }
        From::Topic { topic, payload, properties } => {
            Data::Topic { topic: topic.clone(), payload: payload.into(), properties: properties.clone() }
        }
    }
}

impl Data {
    fn event_data(&self, plugin: &PluginName) -> model::EventData {
        use model::EventData as To;
        match self.clone() {
            Self::Telemetry { subfolder, payload, properties } => {
                To::Telemetry { subfolder, payload: payload.0, properties }
            }
            Self::State { version, payload } => To::State { version, payload: payload.0 },
            Self::Connected => To::Connected,
            Self::Disconnected { reason } => To::Disconnected { reason },
            Self::CommandSettled { id, status } => To::CommandSettled { id, status },
            Self::Timer { name, payload, due_ms, late } => {
                To::Timer { plugin: plugin.to_string(), name, payload: payload.0, due_ms, late }
            }
            Self::Topic { topic, payload, properties } => To::Topic { topic, payload: payload.0, properties },
        }
    }
}
