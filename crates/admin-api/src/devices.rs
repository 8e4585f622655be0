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

/// A device. What only the host says (`numId`, `lastEventTime`, …) is taken and without effect, so that a caller can send back what it
/// was given.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// Its full name. Only the host says it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
    /// Only the host says it.
    pub num_id: Option<Int64>,
    /// Only the host says it.
    pub create_time: Option<Time>,
    /// Only the host says it.
    pub connected: Option<bool>,
    /// The gateway that it is attached to now. Only the host says it.
    // Bounded by the body: it is thrown away.
    pub attached_gateway_id: Option<String>,
    /// Whether the device is refused.
    pub blocked: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by `fields::CREDENTIALS`.
    pub credentials: Vec<DeviceCredential>,
    /// Only the host says it; `:setPassword` gives it one.
    pub has_password: Option<bool>,
    /// Those that a device of Azure IoT Hub signs with. Taken, and never shown.
    pub symmetric_keys: Option<SymmetricKeys>,
    /// Only the host says it.
    pub has_symmetric_keys: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    // Bounded by `fields::METADATA`.
    pub metadata: BTreeMap<String, String>,
    pub log_level: Option<LogLevel>,
    pub gateway_config: Option<GatewayConfig>,
    /// Where its methods are called over HTTP.
    pub method_endpoint: Option<MethodEndpoint>,
    /// The newest config; given at creation, the first one.
    pub config: Option<DeviceConfig>,
    /// The newest state. Only the device says it.
    pub state: Option<DeviceState>,
    /// Only the host says it, as with the times below.
    pub last_heartbeat_time: Option<Time>,
    pub last_event_time: Option<Time>,
    pub last_state_time: Option<Time>,
    pub last_config_ack_time: Option<Time>,
    pub last_config_send_time: Option<Time>,
    pub last_error_time: Option<Time>,
    pub last_error_status: Option<Status>,
    /// What the caller is to look at. Only the host says it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by the body: it is thrown away.
    pub warnings: Vec<String>,
}

/// Where a device's methods are called over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MethodEndpoint {
    /// Empty = nowhere.
    // Bounded by `fields::ENDPOINT_URL`.
    pub url: String,
}

/// What went wrong last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Status {
    /// Of `google.rpc.Code`.
    pub code: u8,
    // Bounded by the body: it is thrown away.
    pub message: String,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListDevicesResponse {
    pub devices: Vec<Device>,
    pub next_page_token: Option<String>,
}
