//! The example plugins that the demo can show, each with its settings in the plugin folder.

use std::time::Duration;

/// The pause between two alerts of one sensor.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// An example plugin
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scene {
    /// A phone reads one sensor's events and opens a garage door, as with Azure IoT Hub
    Azure,
    /// A phone opens a garage door and reads what the door answers
    GarageDoor,
    /// A phone is alerted when something moves, but not all the time
    MotionAlert,
    /// A sleeping camera is restarted "at night"; takes up to a minute
    NightRestart,
    /// A heater follows a thermostat
    Thermostat,
}

impl Scene {
    /// Its name, which is also that of its plugin.
    pub fn name(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::GarageDoor => "garage-door",
            Self::MotionAlert => "motion-alert",
            Self::NightRestart => "night-restart",
            Self::Thermostat => "thermostat",
        }
    }

    /// Whether it shows a plugin.
    #[must_use]
    pub fn has_plugin(self) -> bool {
        self != Self::Azure
    }

    /// Its file in the plugin folder, if it has a plugin.
    pub fn settings(self) -> String {
        let settings = match self {
            Self::MotionAlert => format!("\n[settings]\nquiet_s = {}\n", QUIET.as_secs()),
            Self::NightRestart => "\n[settings]\ncron = \"* * * * *\"\n".to_owned(),
            Self::Azure | Self::GarageDoor | Self::Thermostat => String::new(),
        };
        format!("component = \"builtin:{}\"\n{settings}", self.name())
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Azure => {
                "devices and a phone that speak Azure IoT Hub: the phone reads the events of one sensor, and calls a method of the door"
            }
            Self::GarageDoor => {
                "a phone asks on an ordinary topic; the plugin calls a method of the door and publishes its answer"
            }
            Self::MotionAlert => {
                "a phone is alerted when something moves, but not all the time (here: once in 3 s for each sensor)"
            }
            Self::NightRestart => "a camera that sleeps is told to restart at night (here: at the next full minute)",
            Self::Thermostat => "what a thermostat reports becomes what a heater should do",
        }
    }
}
