//! The effects of an execution, with devices by name: as in recordings and cases, and as they are compared. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{names, payload::Payload};
use switchbox_model::{DeviceName, DeviceNum, Effect, QoS, timer::Schedule};
use switchbox_plugin_runtime::{Execution, KvChange, Verdict};
use switchbox_support::clock;

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

    /// What the title does not say, without the payload; a field with its default value is left out.
    fn details(&self) -> Vec<String> {
        let expects = |version: &Option<u64>| version.map(|version| format!("expects version {version}"));
        match self {
            Self::Config { expected, .. } | Self::PatchDesired { expected, .. } => {
                expects(expected).into_iter().collect()
            }
            Self::State { expected, .. } => {
                expected.map(|revision| format!("expects revision {revision}")).into_iter().collect()
            }
            Self::Command { subfolder, properties, ttl_ms, .. } => {
                let subfolder = (!subfolder.is_empty()).then(|| format!("sub-folder {subfolder}"));
                let properties = properties.iter().map(|(key, value)| format!("property {key}={value}"));
                let ttl = (*ttl_ms > 0).then(|| format!("time-to-live {ttl_ms} ms"));
                subfolder.into_iter().chain(properties).chain(ttl).collect()
            }
            Self::Publish { qos, retain, .. } => {
                let qos = (*qos > 0).then(|| format!("QoS {qos}"));
                qos.into_iter().chain(retain.then(|| "retained".to_owned())).collect()
            }
            Self::TimerSet { schedule, due_ms, .. } => {
                let due = format!("due {}", clock::rfc3339(*due_ms));
                schedule_text(schedule).into_iter().chain([due]).collect()
            }
            Self::TimerCancel { .. } => Vec::new(),
        }
    }

    /// A text for users, with the payload.
    #[must_use]
    pub fn to_text(&self) -> String {
        let payload = self.clone().payload_mut().map(|payload| match std::str::from_utf8(&payload.0) {
            Ok(text) => format!(" {text}"),
            Err(_) => format!(" ({} bytes)", payload.0.len()),
        });
        let details = self.details();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
        format!("{}{details}{}", self.title(), payload.unwrap_or_default())
    }
}

/// Returns `None` for a timer that fires once at a given time.
fn schedule_text(schedule: &Schedule) -> Option<String> {
    match schedule {
        Schedule::Once | Schedule::Start => None,
        Schedule::After { delay_ms } => Some(format!("after {delay_ms} ms")),
        Schedule::Every { period_ms } => Some(format!("every {period_ms} ms")),
        Schedule::Cron { expression, time_zone } => Some(format!("cron {expression} in {time_zone}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_every_field_that_is_not_the_default() {
        let text = |text: &str| serde_json::from_str::<EffectLine>(text).unwrap().to_text();
        for (line, expected) in [
            (r#"{"publish":{"topic":"out/a","payload":"1","qos":0,"retain":false}}"#, "publish out/a 1"),
            (
                r#"{"publish":{"topic":"out/a","payload":"1","qos":1,"retain":true}}"#,
                "publish out/a (QoS 1, retained) 1",
            ),
            (r#"{"command":{"device":"lamp-1","id":"c","payload":"1","ttlMs":0}}"#, "command lamp-1 1"),
            (
                r#"{"command":{"device":"lamp-1","id":"c","subfolder":"s","payload":"1","properties":[["a","b"]],"ttlMs":5000}}"#,
                "command lamp-1 (sub-folder s, property a=b, time-to-live 5000 ms) 1",
            ),
            (r#"{"config":{"device":"lamp-1","payload":"1"}}"#, "config lamp-1 1"),
            (r#"{"config":{"device":"lamp-1","payload":"1","expected":3}}"#, "config lamp-1 (expects version 3) 1"),
            (r#"{"state":{"key":"k","expected":2}}"#, "state k deleted (expects revision 2)"),
        ] {
            assert_eq!(text(line), expected);
        }
        let timer = |schedule| {
            let (name, payload, due_ms) = ("off".into(), Payload::default(), 5_000);
            EffectLine::TimerSet { name, schedule, payload, due_ms }.to_text()
        };
        let due = "due 1970-01-01T00:00:05.000Z";
        let cron = Schedule::Cron { expression: "0 7 * * *".into(), time_zone: "UTC".into() };
        assert!(timer(Schedule::Once).starts_with(&format!("timer-set off ({due})")));
        assert!(timer(Schedule::Every { period_ms: 60_000 }).contains(&format!("(every 60000 ms, {due})")));
        assert!(timer(Schedule::After { delay_ms: 5_000 }).contains(&format!("(after 5000 ms, {due})")));
        assert!(timer(cron).contains(&format!("(cron 0 7 * * * in UTC, {due})")));
    }
}
