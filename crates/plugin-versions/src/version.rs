//! A version of a plugin: a component with its settings, when and by whom it came into force, and what its result was. Pure.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a version asks for and may do, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// The component's own version.
    pub version: String,
    pub triggers: Vec<String>,
    pub grants: Vec<String>,
    pub grants_in_force: Vec<String>,
    pub imports: Vec<String>,
    /// The schema in which it keeps its state.
    pub state_schema: u32,
}

/// Why and when the host went back to the version before this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    pub why: String,
    pub time_ms: u64,
    /// It failed, and stays in force nevertheless.
    #[serde(default)]
    pub stays: bool,
}

/// A time at which a version came into force, and how its time ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeInForce {
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The token's name if it was written over the API. Is `None` if its files were changed otherwise.
    #[serde(default)]
    pub by: Option<String>,
    #[serde(default)]
    pub rolled_back: Option<RolledBack>,
}

/// A component with its settings that has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// From 1 for each plugin; stays the same when the version comes into force again.
    pub number: u64,
    /// Stands for the component with all of its settings.
    pub id: String,
    /// `sha256:…` of the component.
    pub digest: String,
    /// `builtin:…`, or the name of the file in the plugin folder.
    pub component: String,
    /// `sha256:…` of the rule in JavaScript that the component was made of, if it was.
    #[serde(default)]
    pub script: Option<String>,
    /// The settings file.
    pub settings: Arc<str>,
    /// When it came into force last, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The token's name if it was written over the API. `None` if its files were changed otherwise.
    #[serde(default)]
    pub by: Option<String>,
    #[serde(flatten)]
    pub about: Summary,
    #[serde(default)]
    pub rolled_back: Option<RolledBack>,
    /// The times before the last that it came into force, oldest first.
    #[serde(default)]
    pub earlier: Vec<TimeInForce>,
}

/// A version that came into force now.
#[derive(Debug, Clone)]
pub struct NewVersion {
    pub id: String,
    pub digest: String,
    pub component: String,
    pub settings: Arc<str>,
    pub time_ms: u64,
    pub by: Option<String>,
    pub about: Summary,
}
