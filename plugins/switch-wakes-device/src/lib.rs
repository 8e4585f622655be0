//! The second built-in: a switch publishes a state, and the target's config becomes that state. A target that is offline
//! takes it when it next connects. Keeps nothing between events.

mod press;

use switchbox_plugin::{Error, prelude::*, serde_json::Map};

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The switches: a glob.
    pub source: String,
    /// The device that they wake.
    pub target: String,
    /// The field of the switch's JSON that counts.
    pub field: String,
    /// The values that it may have.
    pub values: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: "switch-*".into(),
            target: "lamp-1".into(),
            field: "state".into(),
            values: vec!["awake".into(), "asleep".into()],
        }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct SwitchWakesDevice {
    settings: Settings,
}

impl Plugin for SwitchWakesDevice {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("A switch sets the state that another device is to take.")
            .on_telemetry(&settings.source)
            .may_config(target_id(&settings.target))
    }

    fn start(settings: Settings) -> Result<Self, String> {
        for (name, value) in [("source", &settings.source), ("target", &settings.target), ("field", &settings.field)] {
            if value.is_empty() {
                return Err(format!("{name} must not be empty"));
            }
        }
        if settings.values.is_empty() {
            return Err("values must not be empty".into());
        }
        Ok(Self { settings })
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        let Settings { target, field, values, .. } = &self.settings;
        let value = press::read(event.payload(), field).map_err(reject)?;
        if !values.contains(&value) {
            return Err(reject(format!("field {field:?} is {value:?}, not one of {values:?}")));
        }
        let config = Map::from_iter([(field.clone(), value.into())]);
        match host.set_config_json(target, &config) {
            Err(Error::NotFound(_)) => Err(reject(format!("the target is an unknown device: {target}"))),
            result => Ok(result?),
        }
    }
}

/// Grants are for device ids: the last part of a longer name.
fn target_id(target: &str) -> &str {
    target.rsplit('/').next().unwrap_or(target)
}

switchbox_plugin::export!(SwitchWakesDevice);

#[cfg(test)]
mod tests;
