//! The trait that a plugin implements. Says nothing of how the host calls it.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    CommandSettled, Description, Event, EventData, Host, Outcome, StateUpdate, Telemetry, TimerFired, TopicMessage,
    reject,
};

/// The name of the timer event that the host sends by itself when a plugin is new or changed.
pub(crate) const START: &str = "$start";

/// A plugin. Write [`describe`](Self::describe), [`start`](Self::start) and a handler for each kind of event that the
/// description asks for (or [`on_event`](Self::on_event) for all of them).
///
/// While a handler runs, the host collects what it does. `Ok(())` makes all of it happen, together; an `Err` or a panic
/// makes none of it happen. Only method calls happen at once.
pub trait Plugin: Sized {
    /// What an operator can set, `[settings]` in the plugin's file. `Default` is what holds where nothing is set; put
    /// `#[serde(default, deny_unknown_fields)]` on it. [`NoSettings`] for none.
    type Settings: Serialize + DeserializeOwned + Default;

    /// The triggers and grants of the plugin under these settings. Must not depend on anything else.
    fn describe(settings: &Self::Settings) -> Description;

    /// Makes the plugin. The error says what is wrong with the settings. A plugin has several instances, which come and
    /// go: what must outlive an event belongs into [`Host::state`].
    fn start(settings: Self::Settings) -> Result<Self, String>;

    /// Takes every event; unless overridden it calls the handler of its kind.
    fn on_event(&mut self, event: &Event, host: &Host) -> Outcome {
        match &event.data {
            EventData::Telemetry(telemetry) => self.on_telemetry(telemetry, event, host),
            EventData::State(state) => self.on_state(state, event, host),
            EventData::Connected => self.on_connected(event, host),
            EventData::Disconnected(reason) => self.on_disconnected(reason, event, host),
            EventData::CommandSettled(settled) => self.on_command_settled(settled, event, host),
            EventData::Timer(timer) if timer.name == START => self.on_start(event, host),
            EventData::Timer(timer) => self.on_timer(timer, event, host),
            EventData::Topic(message) => self.on_topic(message, event, host),
        }
    }

    /// A device sent data. `event.json()` reads it.
    fn on_telemetry(&mut self, _telemetry: &Telemetry, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// A device reported a new state.
    fn on_state(&mut self, _state: &StateUpdate, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// A device connected.
    fn on_connected(&mut self, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// A device is gone.
    fn on_disconnected(&mut self, _reason: &str, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// A command reached its end.
    fn on_command_settled(&mut self, _settled: &CommandSettled, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// The plugin is new, or its component or its settings changed: the moment to set timers. Comes to plugins that
    /// [see timers](Description::on_timer), once, before any timer of theirs; not again when the host restarts.
    fn on_start(&mut self, _event: &Event, _host: &Host) -> Outcome {
        Ok(())
    }

    /// A timer of this plugin fired.
    fn on_timer(&mut self, _timer: &TimerFired, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }

    /// A message on an ordinary topic.
    fn on_topic(&mut self, _message: &TopicMessage, event: &Event, _host: &Host) -> Outcome {
        unhandled(event)
    }
}

fn unhandled(event: &Event) -> Outcome {
    Err(reject(format!("the plugin has no handler for {:?} events", event.kind())))
}

/// The settings of a plugin that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}
