//! The effects of an execution, with devices by name: as in recordings and cases, and as they are compared. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{names, payload::Payload};
use switchbox_model::{DeviceName, DeviceNum, Effect, QoS, timer::Schedule};
use switchbox_plugin_runtime::{Execution, KvChange, Verdict};

/// One effect, or one write of the plugin's own state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum EffectLine {
    Config {
        device: Arc<str>,
        payload: Payload,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<u64>,
    },
    PatchDesired {
        device: Arc<str>,
        patch: Payload,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<u64>,
    },
    Command {
        device: Arc<str>,
        id: String,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        subfolder: String,
        payload: Payload,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        properties: Vec<(String, String)>,
        ttl_ms: u64,
    },
    Publish {
        topic: String,
        payload: Payload,
        qos: u8,
        retain: bool,
    },
    TimerSet {
        name: String,
        schedule: Schedule,
        payload: Payload,
        due_ms: u64,
    },
    TimerCancel {
        name: String,
    },
    /// A write of the plugin's own state. Without a value, the key is deleted.
    State {
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Payload>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected: Option<u64>,
    },
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeLine {
    Done,
    Retry(String),
    Reject(String),
    /// A trap or a limit.
    Failed(String),
}

impl OutcomeLine {
    #[must_use]
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Done => Self::Done,
            Verdict::Retry(text) => Self::Retry(text.clone()),
            Verdict::Reject(text) => Self::Reject(text.clone()),
            Verdict::GuestFailed(text) | Verdict::HostPanicked(text) => Self::Failed(text.clone()),
        }
    }
}

impl OutcomeLine {
    /// A text for users.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Done => "done".into(),
            Self::Retry(text) => format!("retry: {text}"),
            Self::Reject(text) => format!("reject: {text}"),
            Self::Failed(text) => format!("failed: {text}"),
        }
    }
}

/// The effects of an execution, followed by its writes of state, each in order. `name` returns the names of devices.
#[must_use]
pub fn effects_of(execution: &Execution, name: &dyn Fn(DeviceNum) -> Option<DeviceName>) -> Vec<EffectLine> {
    lines(&execution.effects, &execution.kv, name)
}

/// The same for effects and writes that were taken from an execution.
#[must_use]
pub fn lines(effects: &[Effect], kv: &[KvChange], name: &dyn Fn(DeviceNum) -> Option<DeviceName>) -> Vec<EffectLine> {
    let mut lines = Vec::with_capacity(effects.len() + kv.len());
    add_lines(&mut lines, effects, kv, &|num| names::of(num, name));
    lines
}

/// Appends the same. `device` returns the names of devices as they are in files.
pub(crate) fn add_lines(
    lines: &mut Vec<EffectLine>,
    effects: &[Effect],
    kv: &[KvChange],
    device: &dyn Fn(DeviceNum) -> Arc<str>,
) {
    lines.extend(effects.iter().filter_map(|effect| line(effect, device)));
    lines.extend(kv.iter().map(write));
}

/// Returns `None` for an effect that a plugin cannot have.
fn line(effect: &Effect, device: &dyn Fn(DeviceNum) -> Arc<str>) -> Option<EffectLine> {
    Some(match effect {
        Effect::Config { device: num, payload, expected } => {
            EffectLine::Config { device: device(*num), payload: payload.into(), expected: *expected }
        }
        Effect::PatchDesired { device: num, patch, expected } => {
            EffectLine::PatchDesired { device: device(*num), patch: patch.into(), expected: *expected }
        }
        Effect::Command { device: num, id, subfolder, payload, properties, ttl_ms } => EffectLine::Command {
            device: device(*num),
            id: id.clone(),
            subfolder: subfolder.clone(),
            payload: payload.into(),
            properties: properties.clone(),
            ttl_ms: *ttl_ms,
        },
        Effect::Publish { topic, payload, qos, retain } => EffectLine::Publish {
            topic: topic.clone(),
            payload: payload.into(),
            qos: qos_number(*qos),
            retain: *retain,
        },
        Effect::TimerSet(timer) => EffectLine::TimerSet {
            name: timer.name.clone(),
            schedule: timer.schedule.clone(),
            payload: (&timer.payload).into(),
            due_ms: timer.due_ms,
        },
        Effect::TimerCancel { name } => EffectLine::TimerCancel { name: name.clone() },
        Effect::Kv(_) | Effect::ConfigForced { .. } => return None,
    })
}

fn qos_number(qos: QoS) -> u8 {
    qos as u8
}

fn write(change: &KvChange) -> EffectLine {
    let value = change.value.as_ref().map(Payload::from);
    EffectLine::State { key: change.key.clone(), value, expected: change.expected }
}

impl EffectLine {
    /// Its name in files.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } => "config",
            Self::PatchDesired { .. } => "patch-desired",
            Self::Command { .. } => "command",
            Self::Publish { .. } => "publish",
            Self::TimerSet { .. } => "timer-set",
            Self::TimerCancel { .. } => "timer-cancel",
            Self::State { .. } => "state",
        }
    }

    /// A short text without the payload.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Config { device, .. } => format!("config {device}"),
            Self::PatchDesired { device, .. } => format!("patch-desired {device}"),
            Self::Command { device, .. } => format!("command {device}"),
            Self::Publish { topic, .. } => format!("publish {topic}"),
            Self::TimerSet { name, .. } => format!("timer-set {name}"),
            Self::TimerCancel { name } => format!("timer-cancel {name}"),
            Self::State { key, value: Some(_), .. } => format!("state {key}"),
            Self::State { key, value: None, .. } => format!("state {key} deleted"),
        }
    }

    /// The payload, for masking it or making it readable.
    pub(crate) fn payload_mut(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Config { payload, .. }
            | Self::PatchDesired { patch: payload, .. }
            | Self::Command { payload, .. }
            | Self::Publish { payload, .. }
            | Self::TimerSet { payload, .. }
            | Self::State { value: Some(payload), .. } => Some(payload),
            Self::TimerCancel { .. } | Self::State { value: None, .. } => None,
        }
    }

    /// JSON that is easy to read: JSON payloads are embedded as JSON.
    #[must_use]
    pub fn readable(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        let json = self.clone().payload_mut().and_then(|payload| serde_json::from_slice::<Value>(&payload.0).ok());
        let fields = value.as_object_mut().and_then(|variant| variant.values_mut().next()?.as_object_mut());
        if let (Some(json), Some(fields)) = (json, fields) {
            let payload = ["payload", "patch", "value"].into_iter().find(|name| fields.contains_key(*name));
            if let Some(name) = payload {
                fields.insert(name.to_owned(), Value::Object(Map::from_iter([("json".to_owned(), json)])));
            }
        }
        value
    }

    /// A text for users, with the payload.
    #[must_use]
    pub fn to_text(&self) -> String {
        let payload = self.clone().payload_mut().map(|payload| match std::str::from_utf8(&payload.0) {
            Ok(text) => format!(" {text}"),
            Err(_) => format!(" ({} bytes)", payload.0.len()),
        });
        format!("{}{}", self.title(), payload.unwrap_or_default())
    }
}
