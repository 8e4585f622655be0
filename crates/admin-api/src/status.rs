//! The host's status, for the console and the command line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    scalars::{Int64, Time},
    scope::Scope,
};

/// The host's status.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostStatus {
    pub version: String,
    pub start_time: Time,
    pub time: Time,
    /// What is wrong with the host, as text.
    pub problems: Vec<String>,
    pub caller: HostCaller,
    pub devices: HostDevices,
    /// Open MQTT connections.
    pub connections: i64,
    pub commands_open: usize,
    /// The number of plugins in each state.
    pub plugins: BTreeMap<String, usize>,
    pub dead_letters: usize,
    /// Whether there are more dead letters than were counted.
    pub dead_letters_more: bool,
    /// The number of the newest event.
    pub last_event: Int64,
    /// The time of the oldest event in the journal.
    pub oldest_event_time: Option<Time>,
    pub journal_bytes: Int64,
    pub disk_free_bytes: Option<Int64>,
    /// Latencies since the host started.
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

/// Percentiles in microseconds, as precise as the buckets of the histogram. Absent if nothing was measured.
#[skip_serializing_none]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Latency {
    pub count: u64,
    pub p50_us: Option<u64>,
    pub p95_us: Option<u64>,
    pub p99_us: Option<u64>,
}

/// The token of the call, and its scope.
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

/// The last hour: one value of each series for each time. Counts of events, executions, effects and publishes are cumulative;
/// percentiles, in microseconds, cover the time since the previous value, and are null if nothing was measured.
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
