//! Messages on ordinary topics, collected as effects.

use super::{
    super::{
        bindings::imports::switchbox::plugin::{
            topic::{Host, Options as PublishOptions},
            types::Error,
        },
        grants::Capability,
        sandbox::State,
    },
    args::{MESSAGE, TOPIC},
};
use switchbox_model::{
    Effect, QoS,
    limits::{TOPIC_BYTES, TOPIC_LEVELS},
};

impl Host for State {
    fn publish(&mut self, topic: String, payload: Vec<u8>, options: PublishOptions) -> Result<(), Error> {
        let host = self.admit_effect([TOPIC.of(&topic), MESSAGE.of(&payload)])?;
        check_topic(&topic)?;
        let granted = self.setup.grants.topic(&topic);
        host.grant_asked(Capability::Publish, &topic, granted.is_ok());
        granted.map_err(Error::Denied)?;
        let qos =
            QoS::of(options.qos).ok_or_else(|| Error::Invalid(format!("qos {} is not 0, 1 or 2", options.qos)))?;
        self.check_effects()?;
        self.call.add_effect(Effect::Publish { topic, payload: payload.into(), qos, retain: options.retain });
        Ok(())
    }
}

/// The host's own topics report what devices did, so plugins may not publish on them.
fn check_topic(topic: &str) -> Result<(), Error> {
    let short = || topic.chars().take(80).collect::<String>();
    let rule = if topic.is_empty() {
        "must not be empty"
    } else if topic.len() > TOPIC_BYTES || topic.split('/').count() > TOPIC_LEVELS {
        "is too long: at most 1024 bytes and 128 levels are allowed"
    } else if topic.contains(['+', '#', '\0']) {
        "must not hold + # or NUL"
    } else if topic.starts_with("/devices/") || topic.starts_with("registries/") || topic.starts_with('$') {
        let text =
            format!("{:?} is a topic of the hub itself: publish on another, or use config, command or method", short());
        return Err(Error::Denied(text));
    } else {
        return Ok(());
    };
    Err(Error::Invalid(format!("topic {:?} {rule}", short())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_topics_are_published_to() {
        let long = "x".repeat(TOPIC_BYTES + 1);
        let deep = "/".repeat(TOPIC_LEVELS);
        for topic in ["a", "a/b", "/a", "devices/x", "/devices", "registries", "a/$x", "ä/ö"] {
            assert!(check_topic(topic).is_ok(), "{topic}");
        }
        for topic in ["", "a/+", "#", "a\0", &long, &deep] {
            assert!(matches!(check_topic(topic), Err(Error::Invalid(_))), "{topic}");
        }
        for topic in ["/devices/lamp-1/config", "/devices/", "registries/r/devices/d/events", "$SYS/x", "$share/a/b"] {
            assert!(matches!(check_topic(topic), Err(Error::Denied(_))), "{topic}");
        }
    }
}
