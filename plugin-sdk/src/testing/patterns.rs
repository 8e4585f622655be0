//! Triggers and grants: checked and matched with the host's code.

use std::rc::Rc;

use switchbox_rules::{
    description,
    event::{self, TriggerInput},
    grants::{self, EffectiveGrants},
    names::{DeviceName, RegistryName},
    pattern::{self, GlobSet},
    trigger::{self, Triggers},
};

use crate::{
    Error, EventData, EventKind, Result,
    bindings::exports::switchbox::plugin::handler::{Capability, Description, Grant, Trigger},
};

/// Compiles the pattern.
pub(super) fn globs(text: &str) -> Result<GlobSet> {
    pattern::globs(&[text.to_owned()]).map_err(Error::Invalid)
}

/// The plugin's grants, compiled once for all calls of a plugin. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SharedGrants(Rc<EffectiveGrants>);

impl Default for SharedGrants {
    fn default() -> Self {
        Self(Rc::new(EffectiveGrants::none()))
    }
}

/// What the host checks when it loads the component. The error is the one that an operator would see.
pub(super) fn check(described: &Description) -> std::result::Result<(Triggers, SharedGrants), String> {
    let triggers: Vec<_> = described.triggers.iter().map(trigger).collect();
    let grants: Vec<_> = described.grants.iter().map(grant).collect();
    let checked = description::check(&triggers, &grants, &described.default_settings)?;
    Ok((checked.triggers, SharedGrants(Rc::new(checked.grants))))
}

fn trigger(trigger: &Trigger) -> trigger::Trigger {
    trigger::Trigger {
        event: kind(trigger.event),
        device: trigger.device.clone(),
        subfolder: trigger.subfolder.clone(),
    }
}

fn grant(grant: &Grant) -> grants::GrantRequest {
    grants::GrantRequest { capability: of(grant.capability), pattern: grant.pattern.clone() }
}

fn kind(kind: EventKind) -> event::EventKind {
    match kind {
        EventKind::Telemetry => event::EventKind::Telemetry,
        EventKind::State => event::EventKind::State,
        EventKind::Connected => event::EventKind::Connected,
        EventKind::Disconnected => event::EventKind::Disconnected,
        EventKind::CommandSettled => event::EventKind::CommandSettled,
        EventKind::Timer => event::EventKind::Timer,
        EventKind::Topic => event::EventKind::Topic,
    }
}

/// What triggers look at. `device`: the id of the event's device; empty if it has none.
pub(super) fn trigger_input<'a>(device: &'a str, data: &'a EventData) -> TriggerInput<'a> {
    let (subfolder, topic) = match data {
        EventData::Telemetry(telemetry) => (telemetry.subfolder.as_str(), ""),
        EventData::Topic(message) => ("", message.topic.as_str()),
        _ => ("", ""),
    };
    TriggerInput { kind: kind(data.kind()), device, subfolder, topic }
}

/// Whether the plugin may do this to the device, seen from the registry `home`.
pub(super) fn device_granted(
    granted: &SharedGrants,
    capability: Capability,
    device: &DeviceName,
    home: &RegistryName,
) -> Result<()> {
    granted.0.device(of(capability), device, home).map_err(Error::Denied)
}

/// Whether the plugin may publish on this topic.
pub(super) fn topic_granted(granted: &SharedGrants, topic: &str) -> Result<()> {
    granted.0.topic(topic).map_err(Error::Denied)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(capability: Capability, pattern: &str) -> SharedGrants {
        let requested = [grant(&Grant { capability, pattern: pattern.into() })];
        SharedGrants(Rc::new(EffectiveGrants::new(&requested, None).unwrap()))
    }

    #[test]
    fn a_grant_on_one_registry_is_none_on_another_as_in_the_host() {
        let config = |pattern| granted(Capability::Config, pattern);
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
        let publish = granted(Capability::Publish, "#");
        assert!(topic_granted(&publish, "a/b").is_ok());
        assert!(matches!(topic_granted(&publish, "$SYS/a"), Err(Error::Denied(_))));
    }
}
