//! Which triggers and grants of a plugin concern a device or an event, for operators who ask why something happened or did not. Pure.

use super::{
    grants::{Capability, EffectiveGrants, GrantPatterns, GrantRequest},
    ineffective,
    trigger::{Trigger, Triggers},
};
use switchbox_model::{DeviceName, EventKind};
use switchbox_rules::event::TriggerInput;

/// What is asked about: a device, a topic, or an event with its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub kind: Option<EventKind>,
    pub device: Option<DeviceName>,
    /// Of telemetry; empty for all other kinds.
    pub subfolder: String,
    pub topic: Option<String>,
}

impl Subject {
    /// Whether the trigger is on such an event; without a kind, on some event of this device or topic. Never for timers: a plugin gets
    /// those that it set, whatever its triggers are.
    #[must_use]
    pub fn is_seen_by(&self, trigger: &Trigger) -> bool {
        let Ok(triggers) = Triggers::new(std::slice::from_ref(trigger)) else { return false };
        let device = self.device.as_ref().map(|device| device.id.as_str());
        match (self.kind, &self.topic, device) {
            (Some(EventKind::Timer), ..) => false,
            (None | Some(EventKind::Topic), Some(topic), _) => triggers.match_topic(topic),
            (Some(EventKind::Topic), None, _) | (_, _, None) => false,
            (Some(kind), _, Some(device)) => {
                triggers.match_event(TriggerInput { kind, device, subfolder: &self.subfolder, topic: "" })
            }
            (None, None, Some(device)) => triggers.match_device(trigger.event, device),
        }
    }

    /// Whether a grant in force, as [`ineffective::in_force`] shows it, is on the device, seen from an event of its own registry, or on
    /// the topic.
    #[must_use]
    pub fn is_allowed_by(&self, grant: &GrantRequest) -> bool {
        let (given, requested) = ineffective::both(&grant.pattern);
        let grant_request = GrantRequest { capability: grant.capability, pattern: requested.to_owned() };
        let granted = GrantPatterns::from([(grant.capability, vec![given.to_owned()])]);
        let Ok(grants) = EffectiveGrants::new(&[grant_request], Some(&granted)) else { return false };
        match grant.capability {
            Capability::Publish => self.topic.as_ref().is_some_and(|topic| grants.topic(topic).is_ok()),
            capability => {
                self.device.as_ref().is_some_and(|device| grants.device(capability, device, &device.registry).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use switchbox_model::RegistryName;

    use super::*;

    fn subject(kind: Option<EventKind>, device: &str, subfolder: &str, topic: &str) -> Subject {
        let name = |device| DeviceName::parse(device, &RegistryName::default_registry()).unwrap();
        let (device, topic) = (Some(device).filter(|id| !id.is_empty()), Some(topic).filter(|topic| !topic.is_empty()));
        Subject { kind, device: device.map(name), subfolder: subfolder.into(), topic: topic.map(Into::into) }
    }

    #[test]
    fn a_trigger_is_named_where_the_host_would_call_the_plugin() {
        use EventKind::{State, Telemetry, Timer, Topic};
        for ((event, pattern, subfolder), of, expect) in [
            ((Telemetry, "lamp-*", None), subject(None, "lamp-1", "", ""), true),
            ((Telemetry, "lamp-*", None), subject(None, "hall/lamp-1", "", ""), true),
            ((Telemetry, "lamp-*", Some("a")), subject(None, "lamp-1", "", ""), true),
            ((Telemetry, "lamp-*", None), subject(None, "switch-1", "", ""), false),
            ((Telemetry, "lamp-*", None), subject(Some(State), "lamp-1", "", ""), false),
            ((Telemetry, "*", Some("light/#")), subject(Some(Telemetry), "lamp-1", "light/a", ""), false),
            ((Telemetry, "*", Some("light/**")), subject(Some(Telemetry), "lamp-1", "light/a/b", ""), true),
            ((Telemetry, "*", None), subject(Some(Telemetry), "lamp-1", "$file-uploaded", ""), false),
            ((Topic, "#", None), subject(Some(Topic), "", "", "$SYS/a"), false),
            ((Topic, "a/#", None), subject(Some(Topic), "", "", "a"), true),
            ((Topic, "a/#", None), subject(None, "lamp-1", "", ""), false),
            ((Timer, "*", None), subject(Some(Timer), "", "", ""), false),
        ] {
            let trigger = Trigger { event, device: pattern.into(), subfolder: subfolder.map(Into::into) };
            assert_eq!(of.is_seen_by(&trigger), expect, "{trigger:?} {of:?}");
        }
    }

    #[test]
    fn a_grant_is_named_where_both_of_its_patterns_match() {
        use Capability::{Config, Publish};
        for (capability, pattern, of, expect) in [
            (Config, "lamp-*", subject(None, "lamp-1", "", ""), true),
            (Config, "lamp-*", subject(None, "switch-1", "", ""), false),
            (Config, "lamp-* (of these *-1)", subject(None, "lamp-1", "", ""), true),
            (Config, "lamp-* (of these *-1)", subject(None, "lamp-2", "", ""), false),
            (Config, "**", subject(None, "hall/lamp-1", "", ""), true),
            (Publish, "alerts/#", subject(None, "lamp-1", "", ""), false),
            (Publish, "alerts/#", subject(None, "", "", "alerts/a"), true),
        ] {
            let grant = GrantRequest { capability, pattern: pattern.into() };
            assert_eq!(of.is_allowed_by(&grant), expect, "{grant:?} {of:?}");
        }
    }
}
