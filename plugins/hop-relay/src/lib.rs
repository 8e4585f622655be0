//! The first built-in: sends the record that a device publishes to the device that the record names, as its config, with
//! one hop more. Keeps nothing between events.

mod record;

use switchbox_plugin::{Error, prelude::*};

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The devices whose telemetry is relayed: a glob.
    pub source: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { source: "*".into() }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct HopRelay;

impl Plugin for HopRelay {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("Sends each record on to the device that it names, with one hop more.")
            .on_telemetry(&settings.source)
            .may_config("*")
            // Also in other registries of the same project and location.
            .may_config("*/*")
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.source.is_empty() {
            return Err("source must not be empty".into());
        }
        Ok(Self)
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        let next = record::next(event.text()?).map_err(reject)?;
        match host.set_config(&next.device, &next.payload) {
            Err(Error::NotFound(_)) => Err(reject(format!("the record names an unknown device: {}", next.device))),
            result => Ok(result?),
        }
    }
}

switchbox_plugin::export!(HopRelay);

#[cfg(test)]
mod tests;
