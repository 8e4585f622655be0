//! Symmetric keys and connection strings, in the format of Azure IoT Hub.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

/// Two keys in base64. A missing key is generated.
#[skip_serializing_none]
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SymmetricKeys {
    // Bounded by `fields::SYMMETRIC_KEY`.
    pub primary_key: Option<String>,
    // Bounded by `fields::SYMMETRIC_KEY`.
    pub secondary_key: Option<String>,
}

impl fmt::Debug for SymmetricKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymmetricKeys").finish_non_exhaustive()
    }
}

/// Which of two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HubKey {
    Primary,
    Secondary,
}

/// The owner of the connection string.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HubConnectionStringRequest {
    // Bounded by the names that there are.
    pub policy: Option<String>,
    // Bounded by `fields::ID`.
    pub device_id: Option<String>,
    // Bounded by the body: it is only shown.
    pub host_name: Option<String>,
    /// The key to show; by default the primary one.
    pub key: Option<HubKey>,
    /// Replaces this key first. From then on, tokens that are signed with the old key are refused, and connections that used it
    /// end.
    pub new_key: Option<HubKey>,
}

/// A connection string, which contains a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HubConnectionStringResponse {
    pub connection_string: String,
}
