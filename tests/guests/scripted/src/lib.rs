//! A guest that does, for every event that it sees, what its settings say, with the event's payload. Never used outside the
//! tests.

use std::time::Duration;

use switchbox_plugin::{CommandOptions, CommandStatus, PublishOptions, prelude::*};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    actions: Vec<Action>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Gives the device (the event's where none is named) the payload as its config.
    Config {
        #[serde(default)]
        device: String,
    },
    /// Sends the payload as a command to the device (by default the event's), this many times.
    Command {
        #[serde(default)]
        device: String,
        #[serde(default, rename = "ttl-ms")]
        ttl_ms: u64,
        #[serde(default = "once")]
        times: u32,
        #[serde(default)]
        properties: Vec<(String, String)>,
    },
    /// Reports the ends of commands in the device's config.
    ReportSettled { device: String },
    /// Publishes the payload, this many times.
    Publish {
        topic: String,
        #[serde(default)]
        qos: u8,
        #[serde(default)]
        retain: bool,
        #[serde(default = "once")]
        times: u32,
    },
    /// Calls the method (by default of the event's device) and reports the result: in the config of the device `report`, or, if
    /// that contains a slash, as a message on that topic.
    Method {
        #[serde(default)]
        device: String,
        name: String,
        #[serde(default, rename = "timeout-ms")]
        timeout_ms: u64,
        #[serde(default)]
        report: String,
    },
}

fn once() -> u32 {
    1
}

#[derive(Debug)]
pub struct Scripted {
    actions: Vec<Action>,
}

impl Plugin for Scripted {
    type Settings = Settings;

    fn describe(_: &Settings) -> Description {
        Description::new("Does what its settings say.")
            .on_telemetry("*")
            .may_config("*")
            .may_command("*")
            .may_call("*")
            .may_publish("#")
            .may_publish("$SYS/#")
    }

    fn start(settings: Settings) -> Result<Self, String> {
        Ok(Self { actions: settings.actions })
    }

    fn on_event(&mut self, event: &Event, host: &Host) -> Outcome {
        self.actions.iter().try_for_each(|action| act(action, event, host))
    }
}

fn act(action: &Action, event: &Event, host: &Host) -> Outcome {
    let payload = event.payload();
    let named = |device: &String| if device.is_empty() { event.device.clone() } else { device.clone() };
    match action {
        Action::Config { device } => host.set_config(&named(device), payload)?,
        Action::Command { device, ttl_ms, times, properties } => {
            let options = CommandOptions { subfolder: String::new(), ttl_ms: *ttl_ms };
            let pairs: Vec<_> = properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let send = || match pairs.is_empty() {
                true => host.send_command_with(&named(device), payload, &options),
                false => host.send_command_with_properties(&named(device), payload, &options, &pairs),
            };
            (0..*times).try_for_each(|_| send().map(|_| ()))?;
        }
        Action::ReportSettled { device } => {
            if let EventData::CommandSettled(settled) = &event.data {
                let status = match settled.status {
                    CommandStatus::Acknowledged => "acknowledged",
                    CommandStatus::Expired => "expired",
                    CommandStatus::Rejected => "rejected",
                    CommandStatus::Purged => "purged",
                };
                host.set_config(device, format!("{} {} {}", event.device, settled.id, status))?;
            }
        }
        Action::Publish { topic, qos, retain, times } => {
            let options = PublishOptions { qos: *qos, retain: *retain };
            (0..*times).try_for_each(|_| host.publish_with(topic, payload, options))?;
        }
        Action::Method { device, name, timeout_ms, report } => {
            let device = named(device);
            let timeout = Duration::from_millis(if *timeout_ms == 0 { 60_000 } else { *timeout_ms });
            let text = match host.call_method(&device, name, payload, timeout) {
                Ok(answer) => format!("{device} {} {}", answer.status, String::from_utf8_lossy(&answer.payload)),
                Err(error) => format!("{device} failed: {error}"),
            };
            match report.contains('/') {
                true => host.publish(report, text)?,
                false => host.set_config(&named(report), text)?,
            }
        }
    }
    Ok(())
}

switchbox_plugin::export!(Scripted);
