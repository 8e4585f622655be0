//! What a device sends over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::scalars::Base64;

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishEventRequest {
    // Bounded by `PayloadLimits::telemetry`.
    pub binary_data: Base64,
    // Bounded by `fields::SUBFOLDER`.
    pub subfolder: String,
    /// `subfolder` under the name that Google's API uses here.
    // Bounded by `fields::SUBFOLDER`.
    pub sub_folder: Option<String>,
    /// Accepted and ignored: the path has it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetStateRequest {
    pub state: DeviceStateData,
    /// Accepted and ignored: the path has it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceStateData {
    // Bounded by `PayloadLimits::state`.
    pub binary_data: Base64,
}
