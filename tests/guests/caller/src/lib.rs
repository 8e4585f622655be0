//! A guest that makes the calls that the telemetry says, and logs the answer of each on a line of its own. Never used outside the
//! tests.

use std::{fmt::Debug, time::Duration};

use switchbox_plugin::{CommandOptions, Cron, PublishOptions, Result, Schedule, Telemetry, prelude::*};

/// One call of the host. `bytes` is the size of a payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Device(String),
    Devices(String),
    Config(String),
    SetConfig { device: String, bytes: usize, expected: Option<u64> },
    Patch { device: String, patch: String, expected: Option<u64> },
    Twin(String),
    Command { device: String, bytes: usize, subfolder: String, ttl_ms: u64, properties: Option<Vec<(String, String)>> },
    Method { device: String, name: String, bytes: usize, timeout_ms: u64 },
    State(String),
    SetState { key: String, bytes: usize, revision: Option<u64> },
    DeleteState(String),
    Keys { prefix: String, after: Option<String>, limit: u32 },
    SetTimer { name: String, when: When, bytes: usize },
    CancelTimer(String),
    Publish { topic: String, bytes: usize, qos: u8 },
}

/// When a timer is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    After(u64),
    At(u64),
    Every(u64),
    Cron(String, String),
}

/// A plugin that calls host functions.
#[derive(Debug)]
pub struct Caller;

impl Plugin for Caller {
    type Settings = switchbox_plugin::NoSettings;

    fn describe(_: &Self::Settings) -> Description {
        Description::new("Makes the calls that it is told to make.")
            .on_telemetry("*")
            .may_config("lamp-*")
            .may_command("lamp-*")
            .may_call("lamp-*")
            .may_read("lamp-*")
            .may_publish("alerts/#")
    }

    fn start(_: Self::Settings) -> std::result::Result<Self, String> {
        Ok(Self)
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        for call in event.json::<Vec<Call>>()? {
            host.info(answer(&call, host));
        }
        Ok(())
    }
}

/// The beginning of the answer: a log line has a bound.
fn answer_text<T: Debug>(answer: Result<T>) -> String {
    let text = match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    };
    text.chars().take(300).collect()
}

fn payload(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

fn answer(call: &Call, host: &Host) -> String {
    match call {
        Call::Device(device) => answer_text(host.device(device)),
        Call::Devices(pattern) => {
            answer_text(host.devices(pattern).map(|device| Ok(device?.id)).collect::<Result<Vec<String>>>())
        }
        // Each host has a clock of its own.
        Call::Config(device) => {
            answer_text(host.config(device).map(|config| config.map(|it| (it.number, it.payload.len()))))
        }
        Call::SetConfig { device, bytes, expected: None } => answer_text(host.set_config(device, payload(*bytes))),
        Call::SetConfig { device, bytes, expected: Some(expected) } => {
            answer_text(host.set_config_if(device, *expected, payload(*bytes)))
        }
        Call::Patch { device, patch, expected } => {
            let patch = switchbox_plugin::serde_json::value::RawValue::from_string(patch.clone());
            match (patch, expected) {
                (Err(error), _) => error.to_string(),
                (Ok(patch), None) => answer_text(host.patch_desired(device, &patch)),
                (Ok(patch), Some(expected)) => answer_text(host.patch_desired_if(device, *expected, &patch)),
            }
        }
        Call::Twin(device) => answer_text(host.twin(device).map(|twin| twin.desired_version)),
        Call::Command { device, bytes, subfolder, ttl_ms, properties } => {
            let options = CommandOptions { subfolder: subfolder.clone(), ttl_ms: *ttl_ms };
            match properties {
                None => answer_text(host.send_command_with(device, payload(*bytes), &options)),
                Some(properties) => {
                    let pairs: Vec<_> =
                        properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    answer_text(host.send_command_with_properties(device, payload(*bytes), &options, &pairs))
                }
            }
        }
        Call::Method { device, name, bytes, timeout_ms } => {
            answer_text(host.call_method(device, name, payload(*bytes), Duration::from_millis(*timeout_ms)))
        }
        Call::State(key) => {
            answer_text(host.state().entry(key).map(|entry| entry.map(|it| (it.revision, it.value.len()))))
        }
        Call::SetState { key, bytes, revision: None } => answer_text(host.state().set(key, payload(*bytes))),
        Call::SetState { key, bytes, revision: Some(revision) } => {
            answer_text(host.state().set_if(key, *revision, payload(*bytes)))
        }
        Call::DeleteState(key) => answer_text(host.state().delete(key)),
        Call::Keys { prefix, after, limit } => answer_text(host.state().keys(prefix, after.as_deref(), *limit)),
        Call::SetTimer { name, when, bytes } => answer_text(host.set_timer(name, &schedule(when), payload(*bytes))),
        Call::CancelTimer(name) => answer_text(host.cancel_timer(name)),
        Call::Publish { topic, bytes, qos } => {
            answer_text(host.publish_with(topic, payload(*bytes), PublishOptions { qos: *qos, retain: false }))
        }
    }
}

fn schedule(when: &When) -> Schedule {
    match when {
        When::After(ms) => Schedule::After(*ms),
        When::At(ms) => Schedule::At(*ms),
        When::Every(ms) => Schedule::Every(*ms),
        When::Cron(expression, time_zone) => {
            Schedule::Cron(Cron { expression: expression.clone(), time_zone: time_zone.clone() })
        }
    }
}

switchbox_plugin::export!(Caller);
