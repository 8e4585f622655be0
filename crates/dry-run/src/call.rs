//! The calls of the host that a plugin made in an execution, with their answers: the world of a recording. Pure.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{names, payload::Payload};
use switchbox_model::{DeviceName, DeviceNum};
use switchbox_plugin_runtime::{ConfigView, DeviceView, MethodError, MethodResponse};

/// A call of the host with its answer. Several functions of `wit/plugin.wit` may make the same call, and one function may make
/// several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all_fields = "camelCase")]
pub enum HostCall {
    #[serde(rename = "registry.get")]
    Device { device: Arc<str>, answer: Option<DeviceLine> },
    /// Whether the device exists.
    #[serde(rename = "registry.has")]
    Has { device: Arc<str>, answer: bool },
    #[serde(rename = "registry.list")]
    List { registry: String, pattern: String, after: Option<String>, limit: usize, answer: Vec<DeviceLine> },
    #[serde(rename = "config.get")]
    Config { device: Arc<str>, answer: Option<ConfigLine> },
    #[serde(rename = "twin.get")]
    Twin { device: Arc<str>, answer: Result<Payload, String> },
    #[serde(rename = "state.get")]
    StateGet { key: String, answer: Option<StateLine> },
    #[serde(rename = "state.keys")]
    StateKeys { prefix: String, after: Option<String>, limit: usize, answer: Vec<String> },
    /// Bytes of the plugin's keys and values.
    #[serde(rename = "state.bytes")]
    StateBytes { answer: usize },
    /// How many more commands may wait for the device.
    #[serde(rename = "command.room")]
    CommandRoom { device: Arc<str>, answer: usize },
    #[serde(rename = "timer.count")]
    TimerCount { answer: usize },
    #[serde(rename = "timer.has")]
    TimerHas { name: String, answer: bool },
    #[serde(rename = "method.call")]
    Method { device: Arc<str>, method: String, payload: Payload, timeout_ms: u64, answer: MethodLine },
}

/// The fields of a device that plugins can read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceLine {
    pub name: Arc<str>,
    pub connected: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub blocked: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub gateway: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    pub config_version: u64,
    pub state_version: u64,
    pub last_event_ms: Option<u64>,
    pub accepts_commands: bool,
    pub accepts_methods: bool,
}

fn is_false(it_is: &bool) -> bool {
    !it_is
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigLine {
    pub version: u64,
    pub time_ms: u64,
    pub payload: Payload,
    pub acknowledged_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateLine {
    pub value: Payload,
    pub revision: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodLine {
    Answered {
        status: u16,
        payload: Payload,
    },
    Offline(String),
    TimedOut(String),
    Invalid(String),
    Unavailable(String),
    /// The plugin had reached as many new devices and topics as it may within a minute.
    NewTargets(String),
    /// A limit of the plugin ended the wait for the answer.
    NoAnswer,
}

impl HostCall {
    /// The name of the call in the file, and its target.
    #[must_use]
    pub fn title(&self) -> String {
        let what = match self {
            Self::Device { device, .. } => return format!("registry.get {device}"),
            Self::Has { device, .. } => return format!("registry.has {device}"),
            Self::List { pattern, .. } => return format!("registry.list {pattern}"),
            Self::Config { device, .. } => return format!("config.get {device}"),
            Self::Twin { device, .. } => return format!("twin.get {device}"),
            Self::StateGet { key, .. } => return format!("state.get {key}"),
            Self::StateKeys { prefix, .. } => return format!("state.keys {prefix}*"),
            Self::CommandRoom { device, .. } => return format!("command.room {device}"),
            Self::TimerHas { name, .. } => return format!("timer.has {name}"),
            Self::Method { device, method, .. } => return format!("method.call {device} {method}"),
            Self::StateBytes { .. } => "state.bytes",
            Self::TimerCount { .. } => "timer.count",
        };
        what.to_owned()
    }
}

impl DeviceLine {
    #[must_use]
    pub fn of(view: &DeviceView) -> Self {
        Self {
            name: names::short(&view.name),
            connected: view.connected,
            blocked: view.blocked,
            gateway: view.gateway,
            metadata: (*view.metadata).clone(),
            config_version: view.config_version,
            state_version: view.state_version,
            last_event_ms: view.last_event_ms,
            accepts_commands: view.accepts_commands,
            accepts_methods: view.accepts_methods,
        }
    }

    pub(crate) fn view(&self, num: DeviceNum, name: DeviceName) -> DeviceView {
        DeviceView {
            num,
            name,
            connected: self.connected,
            blocked: self.blocked,
            gateway: self.gateway,
            metadata: Arc::new(self.metadata.clone()),
            config_version: self.config_version,
            state_version: self.state_version,
            last_event_ms: self.last_event_ms,
            accepts_commands: self.accepts_commands,
            accepts_methods: self.accepts_methods,
        }
    }
}

impl ConfigLine {
    pub(crate) fn of(view: &ConfigView) -> Self {
        Self {
            version: view.version,
            time_ms: view.time_ms,
            payload: (&view.payload).into(),
            acknowledged_ms: view.acknowledged_ms,
        }
    }

    pub(crate) fn view(&self) -> ConfigView {
        ConfigView {
            version: self.version,
            time_ms: self.time_ms,
            payload: self.payload.0.clone(),
            acknowledged_ms: self.acknowledged_ms,
        }
    }
}

impl MethodLine {
    pub(crate) fn of(answer: &Result<MethodResponse, MethodError>) -> Self {
        match answer {
            Ok(MethodResponse { status, payload }) => Self::Answered { status: *status, payload: payload.into() },
            Err(MethodError::Offline(text)) => Self::Offline(text.clone()),
            Err(MethodError::TimedOut(text)) => Self::TimedOut(text.clone()),
            Err(MethodError::Invalid(text)) => Self::Invalid(text.clone()),
            Err(MethodError::Unavailable(text)) => Self::Unavailable(text.clone()),
            Err(MethodError::NewTargets(text)) => Self::NewTargets(text.clone()),
        }
    }

    /// Returns `None` if the call was not answered.
    pub(crate) fn answer(&self) -> Option<Result<MethodResponse, MethodError>> {
        Some(match self.clone() {
            Self::Answered { status, payload } => Ok(MethodResponse { status, payload: payload.0 }),
            Self::Offline(text) => Err(MethodError::Offline(text)),
            Self::TimedOut(text) => Err(MethodError::TimedOut(text)),
            Self::Invalid(text) => Err(MethodError::Invalid(text)),
            Self::Unavailable(text) => Err(MethodError::Unavailable(text)),
            Self::NewTargets(text) => Err(MethodError::NewTargets(text)),
            Self::NoAnswer => return None,
        })
    }
}

/// A time-out in milliseconds, as in the file.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
