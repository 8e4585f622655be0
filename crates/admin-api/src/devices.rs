//! Devices.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    credentials::DeviceCredential,
    documents::{DeviceConfig, DeviceState},
    enums::LogLevel,
    gateways::GatewayConfig,
    hub::SymmetricKeys,
    scalars::{Int64, Time},
};

/// A device. Fields that only the host sets (`numId`, `lastEventTime`, …) are accepted and ignored, so that a caller can send back
/// what it read.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// Its full name. Output only.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
    /// Output only.
    pub num_id: Option<Int64>,
    /// Output only.
    pub create_time: Option<Time>,
    /// Output only.
    pub connected: Option<bool>,
    /// The gateway that it is attached to now. Output only.
    // Bounded by the body: it is thrown away.
    pub attached_gateway_id: Option<String>,
    /// Whether the device is refused.
    pub blocked: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by `fields::CREDENTIALS`.
    pub credentials: Vec<DeviceCredential>,
    /// Output only; `:setPassword` sets a password.
    pub has_password: Option<bool>,
    /// The keys that a device of Azure IoT Hub signs with. Input only.
    pub symmetric_keys: Option<SymmetricKeys>,
    /// Output only.
    pub has_symmetric_keys: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    // Bounded by `fields::METADATA`.
    pub metadata: BTreeMap<String, String>,
    pub log_level: Option<LogLevel>,
    pub gateway_config: Option<GatewayConfig>,
    /// The endpoint of its methods over HTTP.
    pub method_endpoint: Option<MethodEndpoint>,
    /// The newest config. At creation: the first config.
    pub config: Option<DeviceConfig>,
    /// The newest state. Output only.
    pub state: Option<DeviceState>,
    /// Output only, as are the times below.
    pub last_heartbeat_time: Option<Time>,
    pub last_event_time: Option<Time>,
    pub last_state_time: Option<Time>,
    pub last_config_ack_time: Option<Time>,
    pub last_config_send_time: Option<Time>,
    pub last_error_time: Option<Time>,
    pub last_error_status: Option<Status>,
    /// Warnings for the caller. Output only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by the body: it is thrown away.
    pub warnings: Vec<String>,
}

/// The endpoint of a device's methods over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MethodEndpoint {
    /// Is empty if the device has no endpoint.
    // Bounded by `fields::ENDPOINT_URL`.
    pub url: String,
}

/// The last error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Status {
    /// A `google.rpc.Code`.
    pub code: u8,
    // Bounded by the body: it is thrown away.
    pub message: String,
}
