//! Configs and states of devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::scalars::{Base64, Int64, Time};

/// A version of a device's config.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceConfig {
    pub version: Option<Int64>,
    pub cloud_update_time: Option<Time>,
    /// When the device acknowledged it.
    pub device_ack_time: Option<Time>,
    // Bounded by `fields::CONFIG`.
    pub binary_data: Option<Base64>,
    /// What caused it.
    pub cause: Option<Cause>,
    /// Whether no new version was made, because the current one has the same bytes.
    pub unchanged: Option<bool>,
    /// In an explanation: the device of the config.
    // Bounded by the body: it is thrown away.
    pub device: Option<String>,
    /// In an explanation: how far the version has got.
    pub fate: Option<Fate>,
}

/// How far a config version has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    Acknowledged,
    Waiting,
    /// A newer version came before the device acknowledged it.
    Superseded,
}

/// A version of a device's reported state.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceState {
    pub version: Option<Int64>,
    pub update_time: Option<Time>,
    // Bounded by the body: it is thrown away.
    pub binary_data: Option<Base64>,
}

/// The cause of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// A call of this API.
    Api {
        /// The token's name.
        #[serde(rename = "who")]
        caller: String,
    },
    /// An execution of a plugin.
    Plugin {
        name: String,
        /// The component's digest.
        digest: String,
        /// Whether it was a canary. Absent: it was the version in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        canary: Option<bool>,
        /// The event that the plugin handled.
        event: Int64,
        attempt: u32,
        /// The index among the effects of the execution.
        index: u32,
    },
}

/// The config that a device should have.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModifyCloudToDeviceConfigRequest {
    /// The version that must be current. With 0 any version may be.
    pub version_to_update: Int64,
    // Bounded by `fields::CONFIG`.
    pub binary_data: Base64,
    /// Creates a new version even if the current one has the same bytes.
    pub force: bool,
    /// Accepted and ignored: the path has it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListDeviceConfigVersionsResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_configs: Vec<DeviceConfig>,
}
