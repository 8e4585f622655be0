//! What a device sends that speaks HTTP.

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
    /// `subfolder` under the name that Google's API has here.
    // Bounded by `fields::SUBFOLDER`.
    pub sub_folder: Option<String>,
    /// Taken and without effect: the path says it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetStateRequest {
    pub state: DeviceStateData,
    /// Taken and without effect: the path says it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceStateData {
    // Bounded by `PayloadLimits::state`.
    pub binary_data: Base64,
}
