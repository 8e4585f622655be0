//! Why something happened: every effect carries its cause, and every event that an effect brought about carries that effect.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{PluginName, Seq};

/// What brought an effect about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A plugin handled an event. `digest` is that of its component, see [`JournaledDigest`]; `attempt` counts from 1, and
    /// (seq, plugin, attempt) names the execution; `index` is the effect's place among those of the event.
    Plugin { seq: Seq, plugin: PluginName, digest: Arc<str>, attempt: u32, index: u32 },
    /// A call of the admin API. `caller` is the name of its access token.
    Api {
        #[serde(rename = "who")]
        caller: String,
    },
}

impl Cause {
    /// None for API calls.
    #[must_use]
    pub fn effect_key(&self) -> Option<EffectKey> {
        match self {
            Self::Plugin { seq, plugin, index, .. } => {
                Some(EffectKey { seq: *seq, plugin: plugin.clone(), index: *index })
            }
            Self::Api { .. } => None,
        }
    }
}

/// What the journal has as the digest of the component that handled an event: `sha256:…`, and for a canary `sha256:…/canary`, since a
/// canary may have the component of the version in force, with other settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournaledDigest<'a> {
    /// `sha256:…` of the component.
    pub component: &'a str,
    pub by_canary: bool,
}

impl<'a> JournaledDigest<'a> {
    const CANARY: &'static str = "/canary";

    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        match text.strip_suffix(Self::CANARY) {
            Some(component) => Self { component, by_canary: true },
            None => Self { component: text, by_canary: false },
        }
    }

    /// As the journal has it.
    #[must_use]
    pub fn of_canary(component: &str) -> Arc<str> {
        format!("{component}{}", Self::CANARY).into()
    }
}

/// Identifies a plugin's effect, the same on every replay. Written `{seq}.{plugin}.{index}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectKey {
    /// The event that was handled.
    pub seq: Seq,
    pub plugin: PluginName,
    /// Its place among the effects of the event.
    pub index: u32,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.seq, self.plugin, self.index)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an effect key")]
pub struct InvalidEffectKey(String);

impl FromStr for EffectKey {
    type Err = InvalidEffectKey;

    /// A plugin's name may hold points itself.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (seq, rest) = text.split_once('.')?;
            let (plugin, index) = rest.rsplit_once('.')?;
            let plugin = PluginName::new(plugin).ok()?;
            Some(Self { seq: Seq(seq.parse().ok()?), plugin, index: index.parse().ok()? })
        };
        read().ok_or_else(|| InvalidEffectKey(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_with_the_component_in_force_is_told_apart() {
        let canary = JournaledDigest::of_canary("sha256:ab");
        assert_eq!(JournaledDigest::parse(&canary), JournaledDigest { component: "sha256:ab", by_canary: true });
        let in_force = JournaledDigest { component: "sha256:ab", by_canary: false };
        assert_eq!(JournaledDigest::parse("sha256:ab"), in_force);
    }

    #[test]
    fn an_effects_key_is_read_as_it_is_written() {
        for text in ["42.wake.0", "1.wake.v2.17"] {
            assert_eq!(text.parse::<EffectKey>().unwrap().to_string(), text);
        }
        for text in ["", "42", "42.wake", "x.wake.0", "42.wake.m0", "42..0"] {
            assert!(text.parse::<EffectKey>().is_err(), "{text}");
        }
    }
}
