//! Restarts every device whose metadata asks for it, by a command that waits for those that are asleep. Keeps nothing
//! between events but its timer.

use switchbox_plugin::{CommandOptions, Cron, Error, Schedule, TimerFired, prelude::*};

const TIMER: &str = "night";

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// When: minute, hour, day of the month, month, day of the week.
    pub cron: String,
    /// Where that is the time: an IANA name.
    pub time_zone: String,
    /// The devices that are checked: a glob.
    pub devices: String,
    /// A device is restarted where this entry of its metadata is `true`.
    pub metadata: String,
    /// The command's payload.
    pub command: String,
    /// How long a device that is asleep may take to get it, seconds.
    pub ttl_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cron: "0 3 * * *".into(),
            time_zone: "UTC".into(),
            devices: "*".into(),
            metadata: "night-restart".into(),
            command: "RESTART".into(),
            ttl_s: 30 * 60,
        }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct NightRestart {
    settings: Settings,
}

impl Plugin for NightRestart {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("Restarts, at night, every device whose metadata asks for it.")
            .on_timer()
            .may_read(&settings.devices)
            .may_command(&settings.devices)
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.command.is_empty() || settings.metadata.is_empty() {
            return Err("command and metadata must not be empty".into());
        }
        if settings.ttl_s == 0 {
            return Err("ttl_s must be at least 1".into());
        }
        Ok(Self { settings })
    }

    fn on_start(&mut self, _: &Event, host: &Host) -> Outcome {
        let Settings { cron, time_zone, .. } = &self.settings;
        let schedule = Schedule::Cron(Cron { expression: cron.clone(), time_zone: time_zone.clone() });
        Ok(host.set_timer(TIMER, &schedule, b"")?)
    }

    fn on_timer(&mut self, _: &TimerFired, _: &Event, host: &Host) -> Outcome {
        let Settings { devices, metadata, command, ttl_s, .. } = &self.settings;
        let options = CommandOptions { subfolder: String::new(), ttl_ms: ttl_s * 1_000 };
        let mut restarted = 0;
        for device in host.devices(devices) {
            let device = device?;
            if !device.metadata.iter().any(|entry| entry.name == *metadata && entry.value == "true") {
                continue;
            }
            match host.send_command_with(&device.name, command, &options) {
                Ok(_) => restarted += 1,
                // One device whose queue is full must not keep the others awake all night.
                Err(Error::Limit(why)) => host.warn(format!("{} is not restarted: {why}", device.id)),
                Err(error) => return Err(error.into()),
            }
        }
        host.info(format!("{restarted} devices are told to restart"));
        Ok(())
    }
}

switchbox_plugin::export!(NightRestart);

#[cfg(test)]
mod tests;
