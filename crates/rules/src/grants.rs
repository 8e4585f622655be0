//! What a plugin may do: what its component asks for ∩ what the operator granted. Pure; never looks a device up.

use std::collections::BTreeMap;

use globset::GlobSet;
use serde::{Deserialize, Serialize};

use crate::{
    limits::{GRANTS, plugin_names as names},
    names::{DeviceName, RegistryName},
    pattern::{check_count, check_patterns, globs},
    topic,
};

/// A kind of call that needs a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    Config,
    Command,
    Method,
    Read,
    Publish,
}

impl Capability {
    pub const ALL: [Self; 5] = [Self::Config, Self::Command, Self::Method, Self::Read, Self::Publish];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Command => "command",
            Self::Method => "method",
            Self::Read => "read",
            Self::Publish => "publish",
        }
    }
}

/// One thing a component asks for. `pattern` is a glob on devices: `lamp-*` in the registry of the event, `hall/*` in
/// the registry `hall` beside it, or a full resource name; for `publish` it is a topic filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRequest {
    pub capability: Capability,
    pub pattern: String,
}

/// What the operator granted: patterns by capability. A capability that is not there is not granted.
pub type GrantPatterns = BTreeMap<Capability, Vec<String>>;

/// What a plugin may do, compiled for checks: both asked for and granted.
#[derive(Debug, Clone)]
pub struct EffectiveGrants {
    requested: CompiledPatterns,
    /// `None` if the operator granted all that the component asks for.
    granted: Option<CompiledPatterns>,
}

#[derive(Debug, Clone)]
struct CompiledPatterns {
    devices: [GlobSet; 4],
    topics: Vec<String>,
}

impl EffectiveGrants {
    /// `granted` is `None` if everything is granted. The error names the invalid pattern.
    pub fn new(requested: &[GrantRequest], granted: Option<&GrantPatterns>) -> Result<Self, String> {
        let mut by_capability = GrantPatterns::new();
        for grant in requested {
            by_capability.entry(grant.capability).or_default().push(grant.pattern.clone());
        }
        Ok(Self {
            requested: CompiledPatterns::new(&by_capability)?,
            granted: granted.map(CompiledPatterns::new).transpose()?,
        })
    }

    /// Grants that allow nothing.
    #[must_use]
    pub fn none() -> Self {
        let nothing = [GlobSet::empty(), GlobSet::empty(), GlobSet::empty(), GlobSet::empty()];
        Self { requested: CompiledPatterns { devices: nothing, topics: Vec::new() }, granted: None }
    }

    /// Checks a call on a device; `home` is the registry of the event. The error names the missing grant and where it is
    /// missing.
    pub fn device(&self, capability: Capability, device: &DeviceName, home: &RegistryName) -> Result<(), String> {
        let allows = |patterns: &CompiledPatterns| patterns.device(capability, device, home);
        self.both(allows).map_err(|by| denied(capability, &shortest(device, home), by))
    }

    /// Checks a publish on this topic.
    pub fn topic(&self, topic: &str) -> Result<(), String> {
        let allows = |patterns: &CompiledPatterns| patterns.topics.iter().any(|filter| topic::matches(filter, topic));
        self.both(allows).map_err(|by| denied(Capability::Publish, topic, by))
    }

    fn both(&self, allows: impl Fn(&CompiledPatterns) -> bool) -> Result<(), &'static str> {
        if !allows(&self.requested) {
            return Err("the component does not ask for it in its description");
        }
        match &self.granted {
            Some(granted) if !allows(granted) => Err("the plugin's settings do not grant it"),
            _ => Ok(()),
        }
    }
}

fn denied(capability: Capability, pattern: &str, by: &str) -> String {
    let capability = capability.as_str();
    format!("{capability} of {pattern} needs the grant {capability} = [\"{pattern}\"]: {by}")
}

/// The device as a pattern would name it.
fn shortest(device: &DeviceName, home: &RegistryName) -> String {
    if device.registry == *home {
        device.id.to_string()
    } else if beside(device, home) {
        format!("{}/{}", device.registry.id(), device.id)
    } else {
        device.to_string()
    }
}

fn beside(device: &DeviceName, home: &RegistryName) -> bool {
    device.registry.project() == home.project() && device.registry.location() == home.location()
}

impl CompiledPatterns {
    fn new(granted: &GrantPatterns) -> Result<Self, String> {
        check_count("patterns", granted.values().map(Vec::len).sum(), names::GRANTS, GRANTS)?;
        check_patterns(granted.values().flatten().map(String::as_str))?;
        let of = |capability| granted.get(&capability).map_or(&[] as &[String], Vec::as_slice);
        let globs = |capability| globs(of(capability));
        of(Capability::Publish).iter().try_for_each(|filter| topic::check_plugin_filter(filter))?;
        Ok(Self {
            devices: [
                globs(Capability::Config)?,
                globs(Capability::Command)?,
                globs(Capability::Method)?,
                globs(Capability::Read)?,
            ],
            topics: of(Capability::Publish).to_vec(),
        })
    }

    fn device(&self, capability: Capability, device: &DeviceName, home: &RegistryName) -> bool {
        let [config, command, method, read] = &self.devices;
        let globs = match capability {
            Capability::Config => config,
            Capability::Command => command,
            Capability::Method => method,
            Capability::Read => read,
            Capability::Publish => return false,
        };
        if globs.is_empty() {
            return false;
        }
        (device.registry == *home && globs.is_match(device.id.as_str()))
            || (beside(device, home) && globs.is_match(format!("{}/{}", device.registry.id(), device.id)))
            || globs.is_match(device.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(requested: &[&str], granted: Option<&[&str]>) -> EffectiveGrants {
        let requested: Vec<_> =
            requested.iter().map(|p| GrantRequest { capability: Capability::Config, pattern: (*p).into() }).collect();
        let granted = granted.map(|patterns| {
            GrantPatterns::from([(Capability::Config, patterns.iter().map(|p| (*p).into()).collect::<Vec<String>>())])
        });
        EffectiveGrants::new(&requested, granted.as_ref()).unwrap()
    }

    #[test]
    fn only_what_is_asked_and_granted_is_allowed() {
        let home = RegistryName::default_registry();
        let all: &[&str] = &["*"];
        for (requested, granted, device, allowed) in [
            (&["*"] as &[&str], None, "lamp-1", true),
            (&["lamp-*"], None, "lamp-1", true),
            (&["lamp-*"], None, "door-1", false),
            (&[], Some(all), "lamp-1", false),
            (&["*"], Some(&["lamp-*"] as &[&str]), "lamp-1", true),
            (&["*"], Some(&["lamp-*"]), "door-1", false),
            (&["*-1"], Some(&["lamp-*"]), "lamp-1", true),
            (&["*-1"], Some(&["lamp-*"]), "lamp-2", false),
            (&["*"], Some(&[]), "lamp-1", false),
            (&["*"], None, "hall/lamp-1", false),
            (&["hall/*"], None, "hall/lamp-1", true),
            (&["*/*"], None, "hall/lamp-1", true),
            (&["*/*"], None, "projects/other/locations/local/registries/hall/devices/lamp-1", false),
            (&["**"], None, "projects/other/locations/local/registries/hall/devices/lamp-1", true),
            (&["projects/other/**/lamp-*"], None, "projects/other/locations/x/registries/y/devices/lamp-1", true),
            (&["projects/local/locations/local/registries/default/devices/lamp-1"], None, "lamp-1", true),
            (&["default/lamp-1"], None, "lamp-1", true),
            (&["{lamp,door}-?"], None, "door-1", true),
        ] {
            let device = DeviceName::parse(device, &home).unwrap();
            let grants = grants(requested, granted);
            let answer = grants.device(Capability::Config, &device, &home);
            assert_eq!(answer.is_ok(), allowed, "{requested:?} ∩ {granted:?} on {device}");
            assert!(grants.device(Capability::Command, &device, &home).is_err());
        }
    }

    #[test]
    fn a_refusal_names_the_grant_and_what_withholds_it() {
        let home = RegistryName::default_registry();
        let check = |grants: EffectiveGrants, device: &str| {
            let device = DeviceName::parse(device, &home).unwrap();
            grants.device(Capability::Config, &device, &home).unwrap_err()
        };
        assert_eq!(
            check(grants(&["*"], Some(&["lamp-*"])), "door-1"),
            "config of door-1 needs the grant config = [\"door-1\"]: the plugin's settings do not grant it"
        );
        assert_eq!(
            check(grants(&["lamp-*"], None), "hall/door-1"),
            "config of hall/door-1 needs the grant config = [\"hall/door-1\"]: the component does not ask for it in its \
             description"
        );
        assert_eq!(check(EffectiveGrants::none(), "x").split(':').count(), 2);
    }

    #[test]
    fn a_pattern_that_is_no_glob_is_named() {
        let requested = [GrantRequest { capability: Capability::Read, pattern: "lamp-[".into() }];
        assert!(EffectiveGrants::new(&requested, None).unwrap_err().contains("lamp-["));
    }
}
