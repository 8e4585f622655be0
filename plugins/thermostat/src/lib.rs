//! Switches a heater by what a thermostat reports and what it is set to, with hysteresis. Keeps nothing: both are in the
//! devices' twins.

mod control;

use switchbox_plugin::{Field, SettingsSchema, StateUpdate, prelude::*, serde_json::Value};

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Reports `{"temperature": 19.5}` as its state; its desired twin says what it should be.
    pub thermostat: String,
    /// Gets `{"heating": true}` or `{"heating": false}` into its desired twin.
    pub heater: String,
    /// What it should be where the thermostat's desired twin has no `temperature`, °C.
    pub temperature: f64,
    /// The heater is switched on this much below the desired temperature, and off this much above, °C.
    pub hysteresis: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { thermostat: "thermostat-1".into(), heater: "heater-1".into(), temperature: 20.0, hysteresis: 0.5 }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct Thermostat {
    settings: Settings,
}

impl Plugin for Thermostat {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("Switches a heater by the reported and the desired temperature.")
            .on_state(&settings.thermostat)
            .may_read(&settings.thermostat)
            .may_read(&settings.heater)
            .may_config(&settings.heater)
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.thermostat.is_empty() || settings.heater.is_empty() {
            return Err("thermostat and heater must not be empty".into());
        }
        if !(settings.hysteresis > 0.0 && settings.hysteresis < 10.0) {
            return Err(format!("hysteresis must be more than 0 and less than 10, not {}", settings.hysteresis));
        }
        Ok(Self { settings })
    }

    fn on_state(&mut self, _: &StateUpdate, event: &Event, host: &Host) -> Outcome {
        let Settings { heater, temperature, hysteresis, .. } = &self.settings;
        let reported: Value = event.json()?;
        let reported = number(&reported).ok_or_else(|| reject("the state has no number \"temperature\""))?;
        let desired = number(&host.twin(&event.device)?.desired).unwrap_or(*temperature);
        let heating = host.twin(heater)?.desired.get("heating").and_then(Value::as_bool);
        if let Some(heating) = control::heating(reported, desired, *hysteresis, heating) {
            host.patch_desired(heater, &json!({ "heating": heating }))?;
        }
        Ok(())
    }
}

fn number(document: &Value) -> Option<f64> {
    document.get("temperature").and_then(Value::as_f64)
}

impl SettingsSchema for Thermostat {
    fn fields() -> Vec<Field> {
        vec![
            Field::text("thermostat", "Thermostat")
                .required()
                .help("The device that reports {\"temperature\": 19.5} as its state."),
            Field::text("heater", "Heater")
                .required()
                .help("The device whose desired twin gets {\"heating\": true} or false."),
            Field::number("temperature", "Temperature, °C")
                .between(-50.0, 100.0)
                .help("What it should be where the thermostat's desired twin does not say."),
            Field::number("hysteresis", "Hysteresis, °C")
                .between(0.01, 9.9)
                .help("The heater is switched on this much below the desired temperature, and off this much above it."),
        ]
    }
}

switchbox_plugin::export!(Thermostat, settings_schema);

#[cfg(test)]
mod tests;
