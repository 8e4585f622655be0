//! Why something happened: every effect carries its cause, and every event that an effect brought about carries that effect.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{PluginName, Seq};

/// What brought an effect about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A plugin handled an event. `digest` is that of its component, `sha256:…`; `attempt` counts from 1, and
    /// (seq, plugin, attempt) names the execution; `index` is the effect's place among those of the event.
    Plugin { seq: Seq, plugin: PluginName, digest: Arc<str>, attempt: u32, index: u32 },
    /// A call of the admin API. `who` is the name of its access token.
    Api { who: String },
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
    fn an_effects_key_is_read_as_it_is_written() {
        for text in ["42.wake.0", "1.wake.v2.17"] {
            assert_eq!(text.parse::<EffectKey>().unwrap().to_string(), text);
        }
        for text in ["", "42", "42.wake", "x.wake.0", "42.wake.m0", "42..0"] {
            assert!(text.parse::<EffectKey>().is_err(), "{text}");
        }
    }
}
