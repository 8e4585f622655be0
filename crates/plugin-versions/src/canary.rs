//! Canaries that have ended. Pure.

use serde::{Deserialize, Serialize};

/// A canary that has ended, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndedCanary {
    /// `sha256:…` of its component.
    pub digest: String,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The share of all devices that it acted for. `None` if `devices` selected them.
    pub share: Option<f64>,
    pub devices: Option<String>,
    pub events: u64,
    pub traps: u64,
    pub errors: u64,
    pub dead_letters: u64,
    /// The median guest time for an event, microseconds.
    pub median_us: u64,
    pub in_force_median_us: u64,
    pub why: String,
    pub ended_ms: u64,
    pub by_guard: bool,
    /// The event with which it violated its guard.
    pub event: Option<u64>,
}
