//! How the host is, for a page or a command that shows it to a person.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    scalars::{Int64, Time},
    scope::Scope,
};

/// How the host is.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    pub version: String,
    pub start_time: Time,
    pub time: Time,
    /// Why the host does not work as it should, in words.
    pub problems: Vec<String>,
    pub caller: HostCaller,
    pub devices: HostDevices,
    /// MQTT connections that are open.
    pub connections: i64,
    pub commands_open: usize,
    /// How many plugins are in each state.
    pub plugins: BTreeMap<String, usize>,
    pub dead_letters: usize,
    /// There are more dead letters than were counted.
    pub dead_letters_more: bool,
    /// The number of the newest event.
    pub last_event: Int64,
    /// When the oldest event was that the journal still has.
    pub oldest_event_time: Option<Time>,
    pub journal_bytes: Int64,
    pub disk_free_bytes: Option<Int64>,
    /// How long things took since the host started.
    pub latencies: HostLatencies,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostLatencies {
    /// Durable commits, until they are on the disk.
    pub commit: Latency,
    /// From a config version to the device's PUBACK.
    pub delivery: Latency,
}

/// Percentiles in microseconds, as near as the buckets of the histogram tell; none where nothing was measured.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Latency {
    pub count: u64,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// Whose token the call shows, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostCaller {
    pub name: String,
    pub scope: Scope,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HostDevices {
    pub registered: usize,
    pub connected: usize,
}

/// The last hour: of each one value for each of the times. Those of events, executions, effects and publishes grow; percentiles, in
/// microseconds, are of what was measured since the time before, and null where that is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSeries {
    pub every_seconds: u64,
    pub times: Vec<Time>,
    pub connections: Vec<i64>,
    pub devices_connected: Vec<usize>,
    pub events: Vec<u64>,
    pub executions: Vec<u64>,
    pub effects: Vec<u64>,
    pub publishes_in: Vec<u64>,
    pub publishes_out: Vec<u64>,
    pub commit_p50_us: Vec<Option<u64>>,
    pub commit_p99_us: Vec<Option<u64>>,
    pub delivery_p50_us: Vec<Option<u64>>,
    pub delivery_p99_us: Vec<Option<u64>>,
}
