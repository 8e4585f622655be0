//! A phone asks on an ordinary topic, the door's controller is called, and what it answers goes back to the phone. Keeps
//! nothing between events.

mod request;

use std::time::Duration;

use switchbox_plugin::{
    Error, TopicMessage,
    prelude::*,
    serde_json::{to_string, value::RawValue},
};

/// What an operator can set.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Requests come on `{topic}/{door}/request`, answers go to `{topic}/{door}/response`. The door is a device's id.
    pub topic: String,
    /// The doors that may be asked for: a glob.
    pub doors: String,
    /// What a phone may ask for: the controller's methods.
    pub actions: Vec<String>,
    /// How long a door may take to answer, seconds.
    pub timeout_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            topic: "garage".into(),
            doors: "door-*".into(),
            actions: ["open", "close", "stop", "status"].map(Into::into).into(),
            timeout_s: 20,
        }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct GarageDoor {
    settings: Settings,
}

/// What the phone reads. `id` is copied from the request, so that the phone can match answers to requests.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    ok: bool,
    /// The door's own status.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// What the door said: its JSON, or its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Plugin for GarageDoor {
    type Settings = Settings;

    fn describe(settings: &Settings) -> Description {
        Description::new("Calls a garage door for a phone and tells the phone what the door answered.")
            .on_topic(format!("{}/+/request", settings.topic))
            .may_call(&settings.doors)
            .may_publish(format!("{}/+/response", settings.topic))
    }

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.topic.is_empty() || settings.topic.contains(['+', '#']) {
            return Err("topic must be a topic without wildcards".into());
        }
        if settings.actions.is_empty() {
            return Err("actions must not be empty".into());
        }
        if !(1..=300).contains(&settings.timeout_s) {
            return Err(format!("timeout_s must be 1 to 300, not {}", settings.timeout_s));
        }
        Ok(Self { settings })
    }

    fn on_topic(&mut self, message: &TopicMessage, event: &Event, host: &Host) -> Outcome {
        let Settings { topic, actions, timeout_s, .. } = &self.settings;
        let door = request::door(&message.topic).ok_or_else(|| reject("the topic names no door"))?;
        let request = request::read(event.payload(), actions).map_err(reject)?;
        let called = host.call_method(door, &request.action, request.arguments(), Duration::from_secs(*timeout_s));
        let answer = match called {
            Ok(response) => Answer {
                id: request.id,
                ok: (200..300).contains(&response.status),
                status: Some(response.status),
                answer: request::json_value(&response.payload),
                error: None,
            },
            // The phone waits for an answer, so it gets an error now, instead of a door that moves unexpectedly later.
            Err(error @ (Error::Offline(_) | Error::TimedOut(_) | Error::NotFound(_) | Error::Denied(_))) => {
                Answer { id: request.id, ok: false, status: None, answer: None, error: Some(error.to_string()) }
            }
            Err(error) => return Err(error.into()),
        };
        host.publish(&format!("{topic}/{door}/response"), to_string(&answer)?)?;
        Ok(())
    }
}

switchbox_plugin::export!(GarageDoor);

#[cfg(test)]
mod tests;
