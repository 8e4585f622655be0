//! The twin of a device: desired and reported together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::scalars::{Document, Int64, Time};

/// Desired and reported, with their differences and since when they differ. The documents are byte for byte as they were set.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Twin {
    pub desired: Document,
    pub desired_version: Int64,
    pub desired_time: Option<Time>,
    /// Why the newest config is not shown in the twin.
    pub desired_problem: Option<String>,
    pub acknowledged_version: Option<Int64>,
    pub acknowledged_time: Option<Time>,
    pub reported: Document,
    pub reported_version: Int64,
    pub reported_time: Option<Time>,
    /// Why the newest state is not shown in the twin.
    pub reported_problem: Option<String>,
    pub differs: Option<Vec<Difference>>,
    /// Differences that were left out because there are too many.
    pub differs_left_out: Option<usize>,
}

/// A path at which reported differs from desired.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Difference {
    pub path: String,
    pub desired: Option<Document>,
    pub reported: Option<Document>,
    pub since: Option<Time>,
    /// Whether the difference may have begun before `since`.
    pub or_before: Option<bool>,
}
