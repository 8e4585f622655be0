//! Candidates beside a plugin (shadow and canary), and effects that wait for approval.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::scalars::{Base64, Int64, Time};

/// The candidate that runs beside the plugin in force, and its share of devices.
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
    /// The share of all devices, more than 0 and at most 1. Absent: all.
    pub share: Option<f64>,
}

/// The results of a plugin's shadow so far.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginShadow {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since: Time,
    /// Why it ended. Absent while it is running.
    pub ended: Option<String>,
    /// The share of all devices.
    pub share: f64,
    pub events: Int64,
    pub equal: Int64,
    /// Both had effects, method calls or outcomes, and they differed.
    pub different: Int64,
    /// Only the plugin in force had effects or method calls.
    pub only_old: Int64,
    /// Only the shadow had effects or method calls.
    pub only_new: Int64,
    /// The shadow trapped or exceeded a limit, and the plugin in force did not.
    pub errors: Int64,
    /// Events that were dropped because the shadow was too slow.
    pub dropped: Int64,
    /// Events that wait for the shadow.
    pub queued: Int64,
    /// Average guest time of the plugin in force for an event, microseconds.
    pub old_micros: Int64,
    pub new_micros: Int64,
    /// The most bytes of memory that an instance of the candidate has had.
    pub memory_bytes: Int64,
    /// Numbers of events by kind of difference, such as `different config` or `only old method-call`. An event may have a kind for its
    /// effects and one for its method calls.
    pub kinds: BTreeMap<String, u64>,
    pub examples: Vec<ShadowExample>,
}

/// An event that a shadow handled differently.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ShadowExample {
    pub event: Int64,
    /// Empty if the event has no device.
    pub device: String,
    pub kind: String,
    pub differs: Vec<String>,
}

/// Effects of a plugin that wait for an operator's approval.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// The id: that of the execution, such as `4711.relay`.
    pub id: String,
    pub plugin: String,
    pub event: Int64,
    /// The device that the event came from.
    pub device: Option<String>,
    /// `sha256:…` of the component that asked for them.
    pub digest: String,
    pub since: Time,
    /// The limit, and by how much the effects exceed it.
    pub why: String,
    /// The number of devices and topics that they reach.
    pub targets: usize,
    /// The first effects, in the format of docs/recordings.md.
    pub effects: Vec<Map<String, Value>>,
    pub effect_count: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListApprovalsResponse {
    pub approvals: Vec<Approval>,
}

/// Why effects are rejected.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RejectRequest {
    // Bounded by `fields::APPROVAL_REASON`.
    pub reason: Option<String>,
}

/// The candidate, and the devices that it acts for.
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
    /// The share of all devices, more than 0 and at most 1. Alternative to `devices`.
    pub share: Option<f64>,
    /// A glob for device ids.
    // Bounded by the body; the limit of a pattern is `pattern-bytes`.
    pub devices: Option<String>,
}

/// The status of a plugin's canary.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PluginCanary {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since: Time,
    /// Why it ended. Absent while it is running.
    pub ended: Option<String>,
    pub ended_time: Option<Time>,
    /// Whether its guard ended it.
    pub ended_by_guard: bool,
    /// The event with which it violated its guard. The version in force handled it again.
    pub ended_by_event: Option<Int64>,
    /// The share of all devices.
    pub share: Option<f64>,
    /// A glob for device ids.
    pub devices: Option<String>,
    pub events: Int64,
    pub traps: Int64,
    /// Events that it rejected or asked to be retried.
    pub errors: Int64,
    pub dead_letters: Int64,
    /// The median guest time for an event, microseconds.
    pub median_micros: Int64,
    /// The median guest time of the version in force, microseconds.
    pub in_force_median_micros: Int64,
}
