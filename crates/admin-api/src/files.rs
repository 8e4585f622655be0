//! Files that devices have uploaded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::scalars::{Int64, Time};

/// A file that a device has uploaded.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceFile {
    /// The device's id.
    pub device: String,
    pub name: String,
    pub bytes: Int64,
    /// When it was uploaded.
    pub time: Time,
}
