//! Candidates beside a plugin (shadow and canary), and effects that wait for approval.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::scalars::{Base64, Int64, Time};

/// What is to run beside a plugin in force, and for whom.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowPluginRequest {
    /// Absent: the component in force.
    // Bounded by the body; the limit of a component is `component-bytes`.
    pub component: Option<Base64>,
    /// A settings file (TOML). Absent: the one in force.
    // Bounded by the body; the plugin's own limit is `settings-bytes`.
    pub settings: Option<String>,
    /// Of all devices, more than 0 and at most 1. Absent: all.
    pub share: Option<f64>,
}

/// What a shadow of a plugin has found so far.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginShadow {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since: Time,
    /// Why it ended. Absent: it goes on.
    pub ended: Option<String>,
    /// Of all devices.
    pub share: f64,
    pub events: Int64,
    pub equal: Int64,
    /// Both had effects, or an outcome, and not the same.
    pub different: Int64,
    /// Only the plugin in force had effects.
    pub only_old: Int64,
    /// Only the shadow had effects.
    pub only_new: Int64,
    /// The shadow trapped or exceeded a limit, and the plugin in force did not.
    pub errors: Int64,
    /// Events that came faster than the shadow could handle them.
    pub dropped: Int64,
    /// Events that wait for it.
    pub queued: Int64,
    /// Microseconds that the plugin in force computed for an event, on average.
    pub old_micros: Int64,
    pub new_micros: Int64,
    /// By kind, such as `different config`: how many events.
    pub kinds: BTreeMap<String, u64>,
    pub examples: Vec<ShadowExample>,
}

/// An event that a shadow handled otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShadowExample {
    pub event: Int64,
    /// Empty: the event came from none.
    pub device: String,
    pub kind: String,
    pub differs: Vec<String>,
}

/// Effects of a plugin that wait for an operator's approval.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// Names them: the execution that wanted them, such as `4711.relay`.
    pub id: String,
    pub plugin: String,
    pub event: Int64,
    /// The device that the event came from.
    pub device: Option<String>,
    /// `sha256:…` of the component that wanted them.
    pub digest: String,
    pub since: Time,
    /// The limit, and by how much they are over it.
    pub why: String,
    /// Devices and topics that they reach.
    pub targets: usize,
    /// The first of them, as docs/recordings.md has them.
    pub effects: Vec<Map<String, Value>>,
    pub effect_count: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListApprovalsResponse {
    pub approvals: Vec<Approval>,
}

/// Why effects are not to happen.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RejectRequest {
    // Bounded by `fields::APPROVAL_REASON`.
    pub reason: Option<String>,
}

/// What is to act for some devices, and for which.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryPluginRequest {
    /// Absent: the component in force.
    // Bounded by the body; the limit of a component is `component-bytes`.
    pub component: Option<Base64>,
    /// A settings file (TOML). Absent: the one in force.
    // Bounded by the body; the plugin's own limit is `settings-bytes`.
    pub settings: Option<String>,
    /// Of all devices, more than 0 and at most 1; or else `devices`.
    pub share: Option<f64>,
    /// A glob on the ids of devices.
    // Bounded by the body; the limit of a pattern is `pattern-bytes`.
    pub devices: Option<String>,
}

/// How a canary of a plugin fares.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginCanary {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since: Time,
    /// Why it ended. Absent: it goes on.
    pub ended: Option<String>,
    /// Of all devices.
    pub share: Option<f64>,
    /// A glob on the ids of devices.
    pub devices: Option<String>,
    pub events: Int64,
    pub traps: Int64,
    /// Events that it refused or wanted again.
    pub errors: Int64,
    pub dead_letters: Int64,
    /// The median guest time for an event, microseconds.
    pub median_micros: Int64,
    /// The same of the version in force.
    pub in_force_median_micros: Int64,
}
