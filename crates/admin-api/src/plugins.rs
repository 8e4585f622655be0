//! Plugins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use switchbox_rules::grants::GrantPatterns;

use super::scalars::Time;

/// A plugin: its state, versions, counters and limits.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Plugin {
    pub name: String,
    /// `running`, `disabled`, `broken` or `waiting-for-consent`.
    pub state: String,
    /// `sha256:…` of the component; empty when none was loaded.
    pub digest: String,
    /// The file, or `builtin:…`.
    pub component: String,
    pub version: String,
    pub summary: String,
    /// The settings as the component got them: JSON.
    pub settings: String,
    /// What the component has where the settings say nothing: JSON.
    pub default_settings: String,
    pub triggers: Vec<String>,
    /// What the component asks for.
    pub grants: Vec<String>,
    /// What is left of that with the settings' `[grants]`: what it may do.
    pub grants_in_force: Vec<String>,
    pub counters: PluginCounters,
    /// Events that wait in memory for it.
    pub queued: usize,
    /// More events wait for it in the journal.
    pub lagging: bool,
    pub timers: PluginTimers,
    #[serialize_always]
    pub last_error: Option<String>,
    /// The version that its files say, where that failed and the one before it runs.
    pub taken_back: Option<PluginTakenBack>,
    /// By the limit's name: how often it was hit.
    pub limits_hit: BTreeMap<String, u64>,
    /// What an operator should look at, such as plugins that feed each other.
    pub warnings: Vec<String>,
}

/// How many events a plugin got, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginCounters {
    pub events: u64,
    pub done: u64,
    pub retried: u64,
    pub rejected: u64,
    pub failed: u64,
    pub dead: u64,
}

/// The timers that a plugin has set.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginTimers {
    pub count: usize,
    /// When the next one is due.
    pub next_time: Option<Time>,
}

/// A version that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginTakenBack {
    pub digest: String,
    pub error: String,
    pub time: Time,
    /// What ends it.
    pub until: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListPluginsResponse {
    pub plugins: Vec<Plugin>,
}

/// What was written for a plugin.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginFile {
    pub name: String,
    pub file: Option<String>,
    /// Where the call waited for it: the plugin's state by then.
    pub state: Option<String>,
}

/// A change of a plugin's settings file.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginPatch {
    pub enabled: Option<bool>,
    /// Merged into the plugin's own settings; null takes a key away.
    #[serde(skip_serializing_if = "Map::is_empty")]
    // Bounded by the body; the plugin's own limit is `settings-bytes`.
    pub settings: Map<String, Value>,
}

/// An operator's consent.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GrantRequest {
    /// Patterns by capability; absent: all that the component asks for.
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    // Bounded by the body; the plugin's own limits are `grants` and `patterns-bytes`.
    pub grants: Option<GrantPatterns>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GrantResponse {
    pub name: String,
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub grants: GrantPatterns,
}

/// A plugin that is part of the host: `component = "builtin:NAME"` runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Builtin {
    pub name: String,
    /// One sentence for people.
    pub summary: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListBuiltinsResponse {
    pub builtins: Vec<Builtin>,
}
