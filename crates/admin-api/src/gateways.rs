//! Gateways: devices that connect other devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    enums::{GatewayAuthMethod, GatewayType},
    scalars::Time,
};

/// Whether a device is a gateway, and over which gateway something was last received from it.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayConfig {
    pub gateway_type: Option<GatewayType>,
    pub gateway_auth_method: Option<GatewayAuthMethod>,
    /// Output only.
    // Bounded by the body: it is thrown away.
    pub last_accessed_gateway_id: Option<String>,
    /// Output only.
    pub last_accessed_gateway_time: Option<Time>,
}

/// Ids, or numbers as Google's API allows.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindDeviceToGatewayRequest {
    // Bounded by `fields::ID`.
    pub gateway_id: String,
    // Bounded by `fields::ID`.
    pub device_id: String,
    /// Accepted and ignored: the path has it.
    // Bounded by the body: it is thrown away.
    pub parent: Option<String>,
}
