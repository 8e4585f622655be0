//! Plugins.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;
use switchbox_rules::grants::GrantPatterns;

use super::scalars::{Base64, Int64, Time};

/// A plugin: its state, versions, counters and limits.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Plugin {
    pub name: String,
    /// `running`, `disabled`, `broken` or `waiting-for-consent`.
    pub state: String,
    /// `sha256:…` of the component; empty if none was loaded.
    pub digest: String,
    /// The file, or `builtin:…`.
    pub component: String,
    pub version: String,
    pub summary: String,
    /// The settings as JSON, as the component got them.
    pub settings: String,
    /// The limits in force, each by its key under `[limits]` and as text: those of the settings file, and the defaults of the others. Without
    /// those that bound nothing; empty if no version runs.
    pub limits: BTreeMap<String, String>,
    /// The component's default settings, as JSON.
    pub default_settings: String,
    /// The schema of the settings, if the component has one; the host refuses settings that violate it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings_schema: Vec<SettingsField>,
    pub triggers: Vec<String>,
    /// The grants that the component asks for.
    pub grants: Vec<String>,
    /// The grants in force: those of them that the settings' `[grants]` give.
    pub grants_in_force: Vec<String>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// Those of them of which the host refuses each call: sockets and HTTP of WASI.
    pub refused_imports: Vec<String>,
    /// Those of them that hold nothing: the files, the environment, the standard input and the terminals of WASI.
    pub empty_imports: Vec<String>,
    /// The schema in which the component keeps the plugin's state; 0 if it does not export the interface `migration`.
    pub state_schema: u32,
    pub counters: PluginCounters,
    /// Events in its queue.
    pub queued: usize,
    /// Whether more events wait for it in the journal.
    pub lagging: bool,
    /// Events whose effects wait for an operator's approval.
    pub waiting_for_approval: usize,
    pub timers: PluginTimers,
    pub last_error: Option<String>,
    /// Its newest recording since the host started.
    pub recording: Option<PluginRecording>,
    /// Present if the version that runs is new and may still be rolled back.
    pub guard: Option<PluginGuard>,
    /// The version in its files, if it failed its guard.
    pub rolled_back: Option<PluginRolledBack>,
    /// How often each limit was hit, by its name.
    pub limits_hit: BTreeMap<String, u64>,
    /// Warnings for operators, for example about plugins that trigger each other.
    pub warnings: Vec<String>,
    /// Present if the call named a device, a topic or an event.
    pub matches: Option<PluginMatches>,
}

/// The triggers and the grants in force that match what a call named, each as it is written in the plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginMatches {
    pub triggers: Vec<String>,
    pub grants: Vec<String>,
}

/// The number of a plugin's events, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginCounters {
    /// Events that were handled: `done` and `dead` together.
    pub events: u64,
    /// Events whose effects are committed.
    pub done: u64,
    /// Executions after which the event was tried again.
    pub retried: u64,
    /// Executions that ended with an error which is not tried again.
    pub rejected: u64,
    /// Executions that trapped or hit a limit.
    pub failed: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// The number of effects of the events that were done.
    pub effects: u64,
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

/// The progress of the window in which a new version may be rolled back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginGuard {
    /// When the version came into force.
    pub since: Time,
    pub events: Int64,
    pub traps: Int64,
    /// Events that it rejected or asked to be retried.
    pub errors: Int64,
    pub dead_letters: Int64,
    /// The window ends after this many events
    pub of_events: Int64,
    /// and this many seconds.
    pub seconds: Int64,
}

/// One of a plugin's settings.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SettingsField {
    pub name: String,
    /// A short title.
    pub title: String,
    /// A sentence of help, or empty.
    pub help: String,
    pub kind: SettingsKind,
    /// The minimum of a number, or of a text's length in characters.
    pub least: Option<f64>,
    pub most: Option<f64>,
    /// Whether a number must be an integer.
    pub whole: bool,
    /// The permitted texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// The type of a setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettingsKind {
    #[default]
    Text,
    Number,
    /// True or false.
    Flag,
    Choice,
}

/// A version that was rolled back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginRolledBack {
    pub digest: String,
    pub error: String,
    pub time: Time,
    /// Whether the version stays in force, because its migration of the state cannot be undone or its settings take something away.
    pub stays: bool,
    /// When the rollback ends.
    pub until: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListPluginsResponse {
    pub plugins: Vec<Plugin>,
}

/// A file that was written for a plugin.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginFile {
    pub name: String,
    pub file: Option<String>,
    /// The plugin's state, if the call waited for it.
    pub state: Option<String>,
    /// The version that was restored.
    pub version: Option<u64>,
}

/// A version of a plugin that has run on this host: a component with its settings.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginVersion {
    /// Starts at 1 for each plugin.
    pub number: u64,
    /// `sha256:…` of the component.
    pub digest: String,
    /// `builtin:…`, or the name of the file in the plugin folder.
    pub component: String,
    /// The component's own version.
    pub version: String,
    /// The settings file: TOML.
    pub settings: String,
    /// When it came into force last.
    pub time: Time,
    /// The name of the token that wrote it. Absent: its files were changed without this API.
    pub by: Option<String>,
    /// The times before that it came into force, the last first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<VersionInForce>,
    /// Whether it is the version that runs.
    pub in_force: bool,
    /// Whether the host has its component, so that it can be restored.
    pub kept: bool,
    pub triggers: Vec<String>,
    /// The grants that the component asks for.
    pub grants: Vec<String>,
    /// The grants in force: those of them that the settings' `[grants]` give.
    pub grants_in_force: Vec<String>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// The schema in which it keeps the plugin's state.
    pub state_schema: u32,
    /// Why it was rolled back.
    pub rolled_back: Option<VersionRolledBack>,
}

/// A time at which a version came into force.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionInForce {
    pub time: Time,
    /// The name of the token that wrote it. Absent: its files were changed without this API.
    pub by: Option<String>,
    /// Why it was rolled back then.
    pub rolled_back: Option<VersionRolledBack>,
}

/// Why and when a version was rolled back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VersionRolledBack {
    pub why: String,
    pub time: Time,
    /// Whether it stays in force, because its migration of the state cannot be undone or its settings take something away.
    pub stays: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListPluginVersionsResponse {
    pub versions: Vec<PluginVersion>,
}

/// The version to restore.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RollbackRequest {
    /// Its number, or the beginning of its digest. Absent: the previous version that its guard did not roll back.
    // Bounded by the body; what names no version is refused.
    pub to: Option<String>,
}

/// A change of a plugin's settings file.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PluginPatch {
    pub enabled: Option<bool>,
    /// A JSON merge patch (RFC 7396) of the plugin's own settings: null removes a key, also within a table.
    #[serde(skip_serializing_if = "Map::is_empty")]
    // Bounded by the body; the plugin's own limit is `settings-bytes`.
    pub settings: Map<String, Value>,
}

/// An operator's consent to grants.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GrantRequest {
    /// Patterns by capability. Absent: all that the component asks for.
    #[schemars(with = "Option<BTreeMap<String, Vec<String>>>")]
    // Bounded by the body; the plugin's own limits are `grants` and `patterns-bytes`.
    pub grants: Option<GrantPatterns>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GrantResponse {
    pub name: String,
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub grants: GrantPatterns,
    /// What the plugin may do with them: those that it asks for. Empty if the host does not know yet what it asks for.
    pub grants_in_force: Vec<String>,
}

/// A plugin that is part of the host: `component = "builtin:NAME"` runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Builtin {
    pub name: String,
    /// A sentence that says what it does.
    pub summary: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListBuiltinsResponse {
    pub builtins: Vec<Builtin>,
}

/// An event to try a plugin on, and how the world differs from the live one.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TryPluginRequest {
    /// The event in the format of docs/recordings.md. Alternative to `eventNumber`.
    // Bounded by the body; the plugin's own limits are those of a call of the host.
    pub event: Option<Map<String, Value>>,
    /// The number of an event in the journal.
    pub event_number: Option<Int64>,
    /// The component to try. Absent: the one that runs.
    // Bounded by the body; the limit of a component is `component-bytes`.
    pub component: Option<Base64>,
    /// The settings file (TOML) to try. Absent: the one in force.
    // Bounded by the body; the plugin's own limit is `settings-bytes`.
    pub settings: Option<String>,
    /// The answers of devices to method calls. A device without an answer is offline.
    // Bounded by the body.
    pub method_answers: Vec<TryMethodAnswer>,
}

/// The answer of a device's method in a try.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TryMethodAnswer {
    // Bounded by the body; text that is not a device name matches no device.
    pub device: String,
    // Bounded by the body.
    pub method: String,
    /// Absent: 200.
    pub status: Option<u16>,
    // Bounded by the body; the sandbox bounds what a guest gets.
    pub binary_data: Option<Base64>,
}

/// The result of a try. Nothing was carried out.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TryPluginResponse {
    pub name: String,
    pub digest: String,
    pub event: Map<String, Value>,
    /// Whether the plugin's triggers match the event.
    pub triggered: bool,
    /// The device that the event came from is registered.
    pub registered: bool,
    /// `done`, `retry`, `reject` or `failed`.
    pub outcome: String,
    /// Why it was not done.
    pub reason: Option<String>,
    /// What it wanted, as docs/recordings.md has it.
    pub effects: Vec<Map<String, Value>>,
    /// Why the effects would wait for an operator's approval. Absent: they would not.
    pub approval: Option<String>,
    /// What it asked of the host, with the answers, as docs/recordings.md has it.
    pub calls: Vec<Map<String, Value>>,
    pub logs: Vec<String>,
    /// Such as `config lamp-1`.
    pub grants_used: Vec<String>,
    pub grants_denied: Vec<String>,
    /// Microseconds that the guest computed.
    pub guest_micros: Int64,
    /// Bytes of the instance's memory after the event.
    pub memory_bytes: Int64,
    pub limits_hit: Vec<String>,
}

/// How long a plugin is recorded, and what is masked.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RecordPluginRequest {
    /// Absent: until it is stopped, or its file is full.
    pub seconds: Option<Int64>,
    /// The largest file, bytes. Absent: as large as it may be.
    pub bytes: Option<Int64>,
    /// Patterns of keys whose values are masked, beside the host's own.
    // Bounded by `fields::RECORDING_MASKS`.
    pub mask: Vec<String>,
}

/// A recording of a plugin.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginRecording {
    pub since: Time,
    /// When it ends by itself.
    pub until: Option<Time>,
    pub executions: Int64,
    /// Executions that are left out, as they came too fast or were too large.
    pub skipped: Int64,
    pub bytes: Int64,
    /// Why it ended. Absent while it runs.
    pub ended: Option<String>,
}
