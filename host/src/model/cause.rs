//! Why something happened: every effect carries its cause.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{PluginName, Seq};

/// What brought an effect about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// A plugin handled an event. `digest` is that of its component, `sha256:…`; `attempt` counts from 1, and
    /// (seq, plugin, attempt) names the execution; `index` is the effect's place among those of the event.
    Plugin { seq: Seq, plugin: PluginName, digest: Arc<str>, attempt: u32, index: u32 },
    /// A call of the admin API; `who` is the token's name.
    Api { who: String },
}

impl Cause {
    /// The effect's key, the same on every replay: `{seq}.{plugin}.{index}`. None for API calls.
    #[must_use]
    pub fn effect_id(&self) -> Option<String> {
        match self {
            Self::Plugin { seq, plugin, index, .. } => Some(format!("{seq}.{plugin}.{index}")),
            Self::Api { .. } => None,
        }
    }
}
