//! A guest that makes the calls that the event says, and logs the answer of each on a line of its own. Its settings say what it is
//! triggered by and what it asks for. Never used outside the tests.

use std::{fmt::Debug, time::Duration};

use switchbox_plugin::{CommandOptions, Cron, PublishOptions, Result, Schedule, prelude::*};

/// One call of the host. `bytes` is the size of a payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Device(String),
    Devices(String),
    Config(String),
    SetConfig {
        device: String,
        bytes: usize,
        expected: Option<u64>,
    },
    Patch {
        device: String,
        patch: String,
        expected: Option<u64>,
    },
    Twin(String),
    Command {
        device: String,
        bytes: usize,
        subfolder: String,
        ttl_ms: u64,
        properties: Option<Vec<(String, String)>>,
    },
    Method {
        device: String,
        name: String,
        bytes: usize,
        timeout_ms: u64,
    },
    State(String),
    SetState {
        key: String,
        bytes: usize,
        revision: Option<u64>,
    },
    DeleteState(String),
    Keys {
        prefix: String,
        after: Option<String>,
        limit: u32,
    },
    SetTimer {
        name: String,
        when: When,
        bytes: usize,
    },
    CancelTimer(String),
    Publish {
        topic: String,
        bytes: usize,
        qos: u8,
    },
    /// The same call so many times; the answer is the last one.
    Repeat {
        call: Box<Call>,
        times: u32,
    },
    /// Timers of the names `timer-{from}` and so on; the answer is the last one.
    Timers {
        from: u32,
        count: u32,
    },
    /// Lines of its own.
    Log {
        lines: u32,
        bytes: usize,
    },
    /// The event is rejected with a text of so many bytes.
    Reject(usize),
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

/// What the plugin says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asks {
    /// Kind, pattern and sub-folder.
    pub triggers: Vec<(String, String, Option<String>)>,
    /// Capability and pattern.
    pub grants: Vec<(String, String)>,
    /// What is called for an event without a payload.
    pub calls: Vec<Call>,
}

impl Default for Asks {
    fn default() -> Self {
        let lamps = ["config", "command", "method", "read"].map(|capability| (capability, "lamp-*"));
        let grants = lamps.into_iter().chain([("publish", "alerts/#")]);
        Self {
            triggers: vec![("telemetry".into(), "*".into(), None)],
            grants: grants.map(|(capability, pattern)| (capability.into(), pattern.into())).collect(),
            calls: Vec::new(),
        }
    }
}

/// A plugin that calls host functions.
#[derive(Debug)]
pub struct Caller {
    asks: Asks,
}

impl Plugin for Caller {
    type Settings = Asks;

    fn describe(asks: &Asks) -> Description {
        let described = Description::new("Makes the calls that it is told to make.");
        let described = asks.triggers.iter().fold(described, |described, (kind, pattern, subfolder)| {
            match (kind.as_str(), subfolder) {
                ("telemetry", None) => described.on_telemetry(pattern),
                ("telemetry", Some(subfolder)) => described.on_telemetry_in(pattern, subfolder),
                ("state", _) => described.on_state(pattern),
                ("connected", _) => described.on_connected(pattern),
                ("disconnected", _) => described.on_disconnected(pattern),
                ("command-settled", _) => described.on_command_settled(pattern),
                ("timer", _) => described.on_timer(),
                _ => described.on_topic(pattern),
            }
        });
        asks.grants.iter().fold(described, |described, (capability, pattern)| match capability.as_str() {
            "config" => described.may_config(pattern),
            "command" => described.may_command(pattern),
            "method" => described.may_call(pattern),
            "read" => described.may_read(pattern),
            _ => described.may_publish(pattern),
        })
    }

    fn start(asks: Asks) -> std::result::Result<Self, String> {
        Ok(Self { asks })
    }

    fn on_event(&mut self, event: &Event, host: &Host) -> Outcome {
        let calls = if event.payload().is_empty() { self.asks.calls.clone() } else { event.json()? };
        for call in calls {
            match call {
                Call::Log { lines, bytes } => (0..lines).for_each(|_| host.info("x".repeat(bytes))),
                Call::Reject(bytes) => return Err(reject("x".repeat(bytes))),
                call => host.info(answer(&call, host)),
            }
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

fn command(
    host: &Host,
    (device, bytes): (&str, usize),
    options: &CommandOptions,
    properties: Option<&[(String, String)]>,
) -> String {
    let Some(properties) = properties else {
        return answer_text(host.send_command_with(device, payload(bytes), options));
    };
    let pairs: Vec<_> = properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    answer_text(host.send_command_with_properties(device, payload(bytes), options, &pairs))
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
        // Each host has a history of its own.
        Call::Twin(device) => answer_text(host.twin(device).map(|twin| {
            let differs: Vec<_> = twin.differs.into_iter().map(|difference| difference.path).collect();
            (twin.desired_version, twin.desired_problem, twin.reported.to_string(), differs)
        })),
        Call::Command { device, bytes, subfolder, ttl_ms, properties } => {
            let options = CommandOptions { subfolder: subfolder.clone(), ttl_ms: *ttl_ms };
            command(host, (device, *bytes), &options, properties.as_deref())
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
        Call::Repeat { call, times } => (0..*times).fold(String::new(), |_, _| answer(call, host)),
        Call::Timers { from, count } => {
            let set = |n: u32| answer_text(host.set_timer(&format!("timer-{n}"), &Schedule::After(1_000), ""));
            (*from..from + count).fold(String::new(), |_, n| set(n))
        }
        Call::Log { .. } | Call::Reject(_) => String::new(),
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
