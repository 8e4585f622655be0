//! The patterns of triggers and grants, as the host reads them.

use crate::{
    EventData, EventKind,
    bindings::exports::switchbox::plugin::handler::{Capability, Grant, Trigger},
};

/// A glob on a device id or a sub-folder.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    globset::Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(text))
}

/// An MQTT topic filter.
pub(super) fn filter(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        match (part, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (part, level) if Some(part) == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

pub(super) fn granted(grants: &[Grant], capability: Capability, id: &str) -> bool {
    grants.iter().filter(|grant| grant.capability == capability).any(|grant| match capability {
        Capability::Publish => filter(&grant.pattern, id),
        _ => glob(&grant.pattern, id),
    })
}

pub(super) fn triggered(triggers: &[Trigger], kind: EventKind, device: &str, data: &EventData) -> bool {
    triggers.iter().filter(|trigger| trigger.event == kind).any(|trigger| match data {
        EventData::Timer(_) => true,
        EventData::Topic(message) => filter(&trigger.device, &message.topic),
        EventData::Telemetry(telemetry) => {
            let fits = trigger.subfolder.as_ref().is_none_or(|pattern| glob(pattern, &telemetry.subfolder));
            fits && glob(&trigger.device, device)
        }
        _ => glob(&trigger.device, device),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_filters() {
        for (pattern, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a", false),
            ("b", "a", false),
        ] {
            assert_eq!(filter(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn globs() {
        for (pattern, id, expected) in
            [("*", "lamp-1", true), ("lamp-*", "lamp-1", true), ("lamp-*", "switch-1", false), ("[", "[", false)]
        {
            assert_eq!(glob(pattern, id), expected, "{pattern} {id}");
        }
    }
}
