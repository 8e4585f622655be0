//! Alerts a phone when a sensor moves, at most once in a while for each sensor; what moved meanwhile is in the next alert,
//! so nothing goes unseen. Keeps, for each sensor that is quiet for now, what it would have said.

use switchbox_plugin::{Schedule, TimerFired, prelude::*};

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The sensors: a glob.
    pub sensors: String,
    /// The field of a sensor's JSON that says that something moved.
    pub field: String,
    /// Alerts go to `{topic}/{sensor}`.
    pub topic: String,
    /// Minimum time between two alerts of a sensor, seconds.
    pub quiet_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { sensors: "motion-*".into(), field: "motion".into(), topic: "alerts".into(), quiet_s: 60 }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct MotionAlert {
    settings: Settings,
}

/// What a phone reads.
#[derive(Debug, Serialize)]
struct Alert<'a> {
    sensor: &'a str,
    /// Movements in this alert.
    movements: u64,
    /// Milliseconds since 1970: of the newest of them.
    time: u64,
}

/// A sensor that has just alerted.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Quiet {
    /// Movements that were not reported yet.
    unreported: u64,
    newest: u64,
}

impl Plugin for MotionAlert {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("Alerts a phone when a sensor moves, at most once a minute for each sensor.")
            .on_telemetry(&settings.sensors)
            .on_timer()
            .may_publish(format!("{}/+", settings.topic))
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.topic.is_empty() || settings.topic.contains(['+', '#']) {
            return Err("topic must be a topic without wildcards".into());
        }
        if settings.quiet_s == 0 {
            return Err("quiet_s must be at least 1".into());
        }
        Ok(Self { settings })
    }

    fn on_telemetry(&mut self, _: &Telemetry, event: &Event, host: &Host) -> Outcome {
        if !self.moved(event)? {
            return Ok(());
        }
        let sensor = event.device.as_str();
        let key = key(sensor);
        // The sensor's timer may fire at the same time: the second write is refused by the revision, and tried again.
        match host.state().entry(&key)? {
            Some(entry) => {
                let mut quiet = read(&entry.value)?;
                quiet.unreported += 1;
                quiet.newest = event.time;
                Ok(host.state().set_if(&key, entry.revision, json!(quiet).to_string())?)
            }
            None => {
                host.state().set_if(&key, 0, json!(Quiet::default()).to_string())?;
                self.alert(host, &Alert { sensor, movements: 1, time: event.time })
            }
        }
    }

    fn on_timer(&mut self, timer: &TimerFired, _: &Event, host: &Host) -> Outcome {
        let sensor = timer.name.as_str();
        let key = key(sensor);
        let Some(entry) = host.state().entry(&key)? else { return Ok(()) };
        let quiet = read(&entry.value)?;
        if quiet.unreported == 0 {
            return Ok(host.state().delete(&key)?);
        }
        host.state().set_if(&key, entry.revision, json!(Quiet::default()).to_string())?;
        self.alert(host, &Alert { sensor, movements: quiet.unreported, time: quiet.newest })
    }
}

impl MotionAlert {
    fn moved(&self, event: &Event) -> Result<bool, Disposition> {
        let payload: switchbox_plugin::serde_json::Value = event.json()?;
        match payload.get(&self.settings.field).and_then(|value| value.as_bool()) {
            Some(moved) => Ok(moved),
            None => Err(reject(format!("field {:?} is neither true nor false", self.settings.field))),
        }
    }

    /// Alerts the phone, and begins the time in which this sensor is quiet.
    fn alert(&self, host: &Host, alert: &Alert<'_>) -> Outcome {
        host.publish(&format!("{}/{}", self.settings.topic, alert.sensor), json!(alert).to_string())?;
        host.set_timer(alert.sensor, &Schedule::After(self.settings.quiet_s * 1_000), b"")?;
        Ok(())
    }
}

fn key(sensor: &str) -> String {
    format!("quiet/{sensor}")
}

fn read(value: &[u8]) -> Result<Quiet, Disposition> {
    Ok(switchbox_plugin::serde_json::from_slice(value)?)
}

switchbox_plugin::export!(MotionAlert);

#[cfg(test)]
mod tests;
