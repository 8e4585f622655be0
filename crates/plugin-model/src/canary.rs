//! What is known of a canary, and why it ended, as a runner has it and as the history of a plugin is written. Only data.

use serde::{Deserialize, Serialize};

use switchbox_model::Seq;

/// The status of a canary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStatus {
    /// `sha256:…` of the candidate.
    pub digest: String,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The share of all devices. `None` if `devices` selects them.
    pub share: Option<f64>,
    pub devices: Option<String>,
    pub events: u64,
    pub traps: u64,
    pub errors: u64,
    pub dead_letters: u64,
    /// The median guest time for an event, microseconds.
    pub median_us: u64,
    /// The median guest time of the version in force, microseconds.
    pub in_force_median_us: u64,
    /// `None` if it is running.
    #[serde(flatten)]
    pub ended: Option<CanaryEnd>,
}

/// Why and when a canary ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CanaryEnd {
    pub why: String,
    /// Milliseconds since the Unix epoch.
    #[serde(rename = "endedMs")]
    pub time_ms: u64,
    pub by_guard: bool,
    /// The event with which it violated its guard. The version in force handles it again.
    pub event: Option<Seq>,
}
