//! Matches events with a plugin's triggers. Pure.

use globset::GlobSet;
use serde::{Deserialize, Serialize};

use super::limits::names;
use switchbox_model::{EventData, EventKind, event::FILE_UPLOADED, limits::TRIGGERS, timer};
use switchbox_rules::{
    pattern::{check_count, check_patterns, globs},
    topic::{check_plugin_filter, matches},
};

/// One kind of event that a plugin sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    pub event: EventKind,
    /// A glob on the device's id; for `topic` a topic filter. Not used for timers.
    #[serde(default = "any")]
    pub device: String,
    /// For telemetry only: a glob on the sub-folder. With `None` every sub-folder matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subfolder: Option<String>,
}

fn any() -> String {
    "*".into()
}

/// A plugin's triggers, compiled.
#[derive(Debug, Clone, Default)]
pub struct Triggers(Vec<Compiled>);

#[derive(Debug, Clone)]
struct Compiled {
    event: EventKind,
    device: GlobSet,
    subfolder: Option<GlobSet>,
    /// Its sub-folder is named in full, so that it matches one of the host's own.
    names_subfolder: bool,
    /// For `topic`.
    filter: String,
}

impl Triggers {
    /// The error names the pattern that is not a glob.
    pub fn new(triggers: &[Trigger]) -> Result<Self, String> {
        check_count("triggers", triggers.len(), names::TRIGGERS, TRIGGERS)?;
        let subfolders = triggers.iter().filter_map(|trigger| trigger.subfolder.as_deref());
        check_patterns(triggers.iter().map(|trigger| trigger.device.as_str()).chain(subfolders))?;
        let compile = |trigger: &Trigger| {
            Ok(Compiled {
                event: trigger.event,
                device: match trigger.event {
                    EventKind::Topic => {
                        check_topic(trigger)?;
                        GlobSet::empty()
                    }
                    _ => globs(std::slice::from_ref(&trigger.device))?,
                },
                subfolder: trigger.subfolder.as_ref().map(|glob| globs(std::slice::from_ref(glob))).transpose()?,
                names_subfolder: trigger.subfolder.as_deref() == Some(FILE_UPLOADED),
                filter: trigger.device.clone(),
            })
        };
        triggers.iter().map(compile).collect::<Result<_, String>>().map(Self)
    }

    /// Whether some trigger is on messages.
    #[must_use]
    pub fn any_topic(&self) -> bool {
        self.0.iter().any(|trigger| trigger.event == EventKind::Topic)
    }

    /// Whether some trigger is on timers.
    #[must_use]
    pub fn sees_timers(&self) -> bool {
        self.0.iter().any(|trigger| trigger.event == EventKind::Timer)
    }

    /// Whether some trigger is on messages on this topic.
    #[must_use]
    pub fn match_topic(&self, topic: &str) -> bool {
        self.0.iter().any(|t| t.event == EventKind::Topic && matches(&t.filter, topic))
    }

    /// Whether a plugin with these triggers gets the event. It gets the timers that it set, whatever its triggers are.
    #[must_use]
    pub fn reach_plugin(&self, data: &EventData, device: &str) -> bool {
        match data {
            EventData::Timer { name, .. } => name != timer::START || self.sees_timers(),
            _ => self.match_event(data, device),
        }
    }

    /// `device`: the id of the event's device; empty if it has none.
    #[must_use]
    pub fn match_event(&self, data: &EventData, device: &str) -> bool {
        let kind = data.kind();
        self.0.iter().filter(|trigger| trigger.event == kind).any(|trigger| match data {
            EventData::Timer { .. } => true,
            EventData::Topic { topic, .. } => matches(&trigger.filter, topic),
            _ => {
                trigger.device.is_match(device)
                    && (trigger.names_subfolder || data.subfolder() != FILE_UPLOADED)
                    && trigger.subfolder.as_ref().is_none_or(|glob| glob.is_match(data.subfolder()))
            }
        })
    }
}

/// The default of `device` is a glob, which as a filter would match only itself.
fn check_topic(trigger: &Trigger) -> Result<(), String> {
    match trigger.device.as_str() {
        "*" => Err("a trigger on topic needs its topic filter, such as device = \"alerts/#\"".into()),
        filter => check_plugin_filter(filter),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn telemetry(subfolder: &str) -> EventData {
        EventData::Telemetry { subfolder: subfolder.into(), payload: Bytes::new(), properties: vec![] }
    }

    #[test]
    fn a_topic_trigger_has_a_filter_of_its_own() {
        for (filter, good) in [("a/+/#", true), ("a", true), ("*", false), ("", false), ("a/#/b", false), ("a+", false)]
        {
            let trigger = Trigger { event: EventKind::Topic, device: filter.into(), subfolder: None };
            assert_eq!(Triggers::new(&[trigger]).is_ok(), good, "{filter}");
        }
    }

    #[test]
    fn a_plugin_gets_its_own_timers_and_the_first_one_only_if_it_sees_timers() {
        let triggers = |event| Triggers::new(&[Trigger { event, device: "*".into(), subfolder: None }]).unwrap();
        let timer = |name: &str| EventData::Timer {
            plugin: "night".into(),
            name: name.into(),
            payload: Bytes::new(),
            due_ms: 0,
            late: false,
        };
        for (event, name, expected) in [
            (EventKind::Timer, timer::START, true),
            (EventKind::State, timer::START, false),
            (EventKind::State, "off", true),
        ] {
            assert_eq!(triggers(event).reach_plugin(&timer(name), ""), expected, "{event:?} {name}");
        }
    }

    #[test]
    fn a_trigger_matches_kind_device_and_subfolder() {
        let topic = EventData::Topic { topic: "a/b".into(), payload: Bytes::new(), properties: vec![] };
        let trigger = |event, device: &str, subfolder: Option<&str>| Trigger {
            event,
            device: device.into(),
            subfolder: subfolder.map(Into::into),
        };
        for (trigger, data, device, expect) in [
            (trigger(EventKind::Telemetry, "*", None), telemetry(""), "a", true),
            (trigger(EventKind::Telemetry, "*", None), telemetry("x/y"), "a", true),
            (trigger(EventKind::Telemetry, "switch-*", None), telemetry(""), "switch-1", true),
            (trigger(EventKind::Telemetry, "switch-*", None), telemetry(""), "lamp-1", false),
            (trigger(EventKind::Telemetry, "*", Some("buttons")), telemetry("buttons"), "a", true),
            (trigger(EventKind::Telemetry, "*", Some("buttons")), telemetry(""), "a", false),
            (trigger(EventKind::Telemetry, "*", Some("buttons/*")), telemetry("buttons/1"), "a", true),
            (trigger(EventKind::Telemetry, "*", Some("buttons/*")), telemetry("buttons/1/2"), "a", false),
            (trigger(EventKind::Telemetry, "*", Some("buttons/**")), telemetry("buttons/1/2"), "a", true),
            (trigger(EventKind::Telemetry, "*", Some("")), telemetry(""), "a", true),
            (trigger(EventKind::Telemetry, "*", None), telemetry("$file-uploaded"), "a", false),
            (trigger(EventKind::Telemetry, "*", Some("**")), telemetry("$file-uploaded"), "a", false),
            (trigger(EventKind::Telemetry, "*", Some("$file-uploaded")), telemetry("$file-uploaded"), "a", true),
            (trigger(EventKind::State, "*", None), telemetry(""), "a", false),
            (trigger(EventKind::Connected, "*", None), EventData::Connected, "a", true),
            (trigger(EventKind::Topic, "a/#", None), topic.clone(), "", true),
            (trigger(EventKind::Topic, "b/#", None), topic, "", false),
        ] {
            let triggers = Triggers::new(std::slice::from_ref(&trigger)).unwrap();
            assert_eq!(triggers.match_event(&data, device), expect, "{trigger:?} on {data:?} of {device}");
        }
    }
}
