//! A guest that carries out the telemetry of `boss` and of the sensors, and reports other events that it handled in configs: reported
//! states, devices that connect and disconnect, its timers. Only for tests.

use switchbox_plugin::{Schedule, StateUpdate, TimerFired, prelude::*, serde_json::Value};

/// One thing to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Instruction {
    Patch {
        device: String,
        patch: Value,
        expected: Option<u64>,
    },
    /// Puts the twin of the device, as the plugin sees it, into the config of `report`.
    Twin {
        device: String,
    },
    After {
        timer: String,
        ms: u64,
    },
    At {
        timer: String,
        time_ms: u64,
    },
    Every {
        timer: String,
        ms: u64,
    },
    Cron {
        timer: String,
        expression: String,
        time_zone: String,
    },
    Cancel {
        timer: String,
    },
    /// Puts this into the config of `report`.
    Say(Value),
    /// Asks for another try, after all the others are done.
    Fail,
}

#[derive(Debug)]
pub struct Deputy;

impl Plugin for Deputy {
    type Settings = switchbox_plugin::NoSettings;

    fn describe(_: &Self::Settings) -> Description {
        Description::new("Does as it is told.")
            .on_telemetry("boss")
            .on_telemetry("sensor-*")
            .on_state("sensor-*")
            .on_connected("sensor-*")
            .on_disconnected("sensor-*")
            .on_timer()
            .may_config("*")
            .may_read("*")
    }

    fn start(_: Self::Settings) -> Result<Self, String> {
        Ok(Self)
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        event.json::<Vec<Instruction>>()?.iter().try_for_each(|instruction| carry_out(instruction, host))
    }

    fn on_state(&mut self, state: &StateUpdate, event: &Event, host: &Host) -> Outcome {
        let report = json!({"state": event.json::<Value>()?, "version": state.version, "of": event.device});
        Ok(host.set_config_json("report", &report)?)
    }

    fn on_connected(&mut self, event: &Event, host: &Host) -> Outcome {
        Ok(host.set_config_json("report", &json!({"connected": event.device}))?)
    }

    fn on_disconnected(&mut self, reason: &str, event: &Event, host: &Host) -> Outcome {
        Ok(host.set_config_json("report", &json!({"disconnected": event.device, "reason": reason}))?)
    }

    fn on_timer(&mut self, timer: &TimerFired, _: &Event, host: &Host) -> Outcome {
        let count = host.state().get_json::<u64>(&timer.name)?.unwrap_or(0) + 1;
        host.state().set_json(&timer.name, &count)?;
        let payload = String::from_utf8_lossy(&timer.payload);
        let report =
            json!({"timer": timer.name, "count": count, "due": timer.due, "late": timer.late, "payload": payload});
        Ok(host.set_config_json("report", &report)?)
    }
}

fn carry_out(instruction: &Instruction, host: &Host) -> Outcome {
    match instruction {
        Instruction::Patch { device, patch, expected: None } => host.patch_desired(device, patch)?,
        Instruction::Patch { device, patch, expected: Some(version) } => {
            host.patch_desired_if(device, *version, patch)?
        }
        Instruction::Twin { device } => {
            let twin = host.twin(device)?;
            let paths: Vec<_> = twin.differs.iter().map(|difference| &difference.path).collect();
            let report = json!({"desired": twin.desired, "version": twin.desired_version, "differs": paths});
            host.set_config_json("report", &report)?;
        }
        Instruction::After { timer, ms } => host.set_timer(timer, &Schedule::After(*ms), timer)?,
        Instruction::At { timer, time_ms } => host.set_timer(timer, &Schedule::At(*time_ms), timer)?,
        Instruction::Every { timer, ms } => host.set_timer(timer, &Schedule::Every(*ms), timer)?,
        Instruction::Cron { timer, expression, time_zone } => {
            let cron = switchbox_plugin::Cron { expression: expression.clone(), time_zone: time_zone.clone() };
            host.set_timer(timer, &Schedule::Cron(cron), timer)?;
        }
        Instruction::Cancel { timer } => host.cancel_timer(timer)?,
        Instruction::Say(value) => host.set_config_json("report", value)?,
        Instruction::Fail => return Err(retry("told to fail")),
    }
    Ok(())
}

switchbox_plugin::export!(Deputy);
