//! Patterns of triggers and grants, matched with the host's code.

use std::rc::Rc;

use switchbox_rules::{
    grants::{self, EffectiveGrants},
    names::{DeviceName, RegistryName},
    pattern::{self, GlobSet},
    topic,
};

use crate::{
    Error, EventData, EventKind, Result,
    bindings::exports::switchbox::plugin::handler::{Capability, Grant, Trigger},
};

/// Compiles the pattern.
pub(super) fn globs(text: &str) -> Result<GlobSet> {
    pattern::globs(&[text.to_owned()]).map_err(Error::Invalid)
}

/// Whether a trigger's pattern matches. An invalid glob matches nothing.
fn glob(pattern: &str, text: &str) -> bool {
    globs(pattern).is_ok_and(|globs| globs.is_match(text))
}

/// The plugin's grants, compiled once for all calls of a plugin. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SharedGrants(Rc<Result<EffectiveGrants>>);

impl SharedGrants {
    pub(super) fn new(asked: &[Grant]) -> Self {
        let asked = asked
            .iter()
            .map(|grant| grants::GrantRequest { capability: of(grant.capability), pattern: grant.pattern.clone() });
        Self(Rc::new(EffectiveGrants::new(&asked.collect::<Vec<_>>(), None).map_err(Error::Invalid)))
    }

    fn get(&self) -> Result<&EffectiveGrants> {
        (*self.0).as_ref().map_err(Clone::clone)
    }
}

/// Whether the plugin may do this to the device, seen from the registry `home`.
pub(super) fn device_granted(
    granted: &SharedGrants,
    capability: Capability,
    device: &DeviceName,
    home: &RegistryName,
) -> Result<()> {
    granted.get()?.device(of(capability), device, home).map_err(Error::Denied)
}

/// Whether the plugin may publish on this topic.
pub(super) fn topic_granted(granted: &SharedGrants, topic: &str) -> Result<()> {
    granted.get()?.topic(topic).map_err(Error::Denied)
}

fn of(capability: Capability) -> grants::Capability {
    match capability {
        Capability::Config => grants::Capability::Config,
        Capability::Command => grants::Capability::Command,
        Capability::Method => grants::Capability::Method,
        Capability::Read => grants::Capability::Read,
        Capability::Publish => grants::Capability::Publish,
    }
}

pub(super) fn triggered(triggers: &[Trigger], kind: EventKind, device: &str, data: &EventData) -> bool {
    triggers.iter().filter(|trigger| trigger.event == kind).any(|trigger| match data {
        EventData::Timer(_) => true,
        EventData::Topic(message) => topic::matches(&trigger.device, &message.topic),
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
    fn a_grant_on_one_registry_is_none_on_another_as_in_the_host() {
        let config =
            |pattern: &str| SharedGrants::new(&[Grant { capability: Capability::Config, pattern: pattern.into() }]);
        for (pattern, device, allowed) in [
            ("lamp-*", "lamp-1", true),
            ("lamp-*", "switch-1", false),
            ("*", "hall/lamp-1", false),
            ("hall/*", "hall/lamp-1", true),
            ("*/*", "hall/lamp-1", true),
            ("**", "projects/other/locations/local/registries/hall/devices/lamp-1", true),
        ] {
            let home = RegistryName::default_registry();
            let name = DeviceName::parse(device, &home).unwrap();
            let answer = device_granted(&config(pattern), Capability::Config, &name, &home);
            assert_eq!(answer.is_ok(), allowed, "{pattern} on {device}: {answer:?}");
            let other = device_granted(&config(pattern), Capability::Command, &name, &home);
            assert!(matches!(other, Err(Error::Denied(_))), "{other:?}");
        }
    }

    #[test]
    fn a_wildcard_matches_no_topic_that_begins_with_a_dollar() {
        let publish = SharedGrants::new(&[Grant { capability: Capability::Publish, pattern: "#".into() }]);
        assert!(topic_granted(&publish, "a/b").is_ok());
        assert!(matches!(topic_granted(&publish, "$SYS/a"), Err(Error::Denied(_))));
    }

    #[test]
    fn what_is_no_glob_is_an_error_and_no_trigger() {
        assert!(matches!(globs("["), Err(Error::Invalid(_))));
        assert!(!glob("[", "["));
    }
}
