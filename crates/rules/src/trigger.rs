//! A plugin's triggers: checked, and matched with events. Pure.

use globset::GlobSet;
use serde::{Deserialize, Serialize};

use crate::{
    event::{EventKind, FILE_UPLOADED, TriggerInput},
    limits::{TRIGGERS, plugin_names as names},
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
    /// The error names the pattern that is not a glob, the filter that is not one, or the limit.
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
        self.match_event(TriggerInput { kind: EventKind::Topic, device: "", subfolder: "", topic })
    }

    /// Whether some trigger is on this event.
    #[must_use]
    pub fn match_event(&self, event: TriggerInput<'_>) -> bool {
        self.0.iter().filter(|trigger| trigger.event == event.kind).any(|trigger| match event.kind {
            EventKind::Timer => true,
            EventKind::Topic => matches(&trigger.filter, event.topic),
            _ => {
                trigger.device.is_match(event.device)
                    && (trigger.names_subfolder || event.subfolder != FILE_UPLOADED)
                    && trigger.subfolder.as_ref().is_none_or(|glob| glob.is_match(event.subfolder))
            }
        })
    }

    /// Whether some trigger is on events of this kind of this device, in some sub-folder.
    #[must_use]
    pub fn match_device(&self, kind: EventKind, device: &str) -> bool {
        let of_device = !matches!(kind, EventKind::Timer | EventKind::Topic);
        of_device && self.0.iter().any(|trigger| trigger.event == kind && trigger.device.is_match(device))
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
    use super::*;

    fn trigger(event: EventKind, device: &str, subfolder: Option<&str>) -> Trigger {
        Trigger { event, device: device.into(), subfolder: subfolder.map(Into::into) }
    }

    #[test]
    fn a_topic_trigger_has_a_filter_of_its_own() {
        for (filter, valid) in [
            ("a/+/#", true),
            ("a", true),
            ("*", false),
            ("", false),
            ("a/#/b", false),
            ("a+", false),
            ("$share/g/a", false),
        ] {
            assert_eq!(Triggers::new(&[trigger(EventKind::Topic, filter, None)]).is_ok(), valid, "{filter}");
        }
    }

    #[test]
    fn too_many_triggers_and_what_is_no_glob_are_refused() {
        let many = |count| vec![trigger(EventKind::State, "*", None); count];
        assert!(Triggers::new(&many(TRIGGERS)).is_ok());
        assert!(Triggers::new(&many(TRIGGERS + 1)).unwrap_err().contains("\"triggers\""));
        for (device, subfolder) in [("[", None), ("*", Some("["))] {
            let wrong = Triggers::new(&[trigger(EventKind::Telemetry, device, subfolder)]);
            assert!(wrong.unwrap_err().contains("is not a valid glob"));
        }
    }

    #[test]
    fn a_trigger_matches_kind_device_and_subfolder() {
        use EventKind::{Connected, State, Telemetry, Timer, Topic};
        // The trigger; kind, device, and sub-folder or topic of the event.
        for ((on, pattern, subfolder), (kind, device, part), expect) in [
            ((Telemetry, "*", None), (Telemetry, "a", ""), true),
            ((Telemetry, "*", None), (Telemetry, "a", "x/y"), true),
            ((Telemetry, "switch-*", None), (Telemetry, "switch-1", ""), true),
            ((Telemetry, "switch-*", None), (Telemetry, "lamp-1", ""), false),
            ((Telemetry, "*", Some("buttons")), (Telemetry, "a", "buttons"), true),
            ((Telemetry, "*", Some("buttons")), (Telemetry, "a", ""), false),
            ((Telemetry, "*", Some("buttons/*")), (Telemetry, "a", "buttons/1"), true),
            ((Telemetry, "*", Some("buttons/*")), (Telemetry, "a", "buttons/1/2"), false),
            ((Telemetry, "*", Some("buttons/**")), (Telemetry, "a", "buttons/1/2"), true),
            ((Telemetry, "*", Some("buttons/#")), (Telemetry, "a", "buttons/1"), false),
            ((Telemetry, "*", Some("")), (Telemetry, "a", ""), true),
            ((Telemetry, "*", None), (Telemetry, "a", "$file-uploaded"), false),
            ((Telemetry, "*", Some("**")), (Telemetry, "a", "$file-uploaded"), false),
            ((Telemetry, "*", Some("$file-uploaded")), (Telemetry, "a", "$file-uploaded"), true),
            ((State, "*", None), (Telemetry, "a", ""), false),
            ((Connected, "*", None), (Connected, "a", ""), true),
            ((Timer, "*", None), (Timer, "", ""), true),
            ((Topic, "a/#", None), (Topic, "", "a/b"), true),
            ((Topic, "b/#", None), (Topic, "", "a/b"), false),
            ((Topic, "#", None), (Topic, "", "$SYS/a"), false),
        ] {
            let triggers = Triggers::new(&[trigger(on, pattern, subfolder)]).unwrap();
            let (subfolder, topic) = if kind == Topic { ("", part) } else { (part, "") };
            let seen = TriggerInput { kind, device, subfolder, topic };
            assert_eq!(triggers.match_event(seen), expect, "{on:?} {pattern} on {seen:?}");
            assert!(!expect || device.is_empty() || triggers.match_device(kind, device));
        }
    }
}
