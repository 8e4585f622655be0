//! The host itself: its addresses, its access tokens and its audit log.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

use super::{scalars::Time, scope::Scope};

/// The addresses of the host.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Listeners {
    pub mqtt: String,
    pub mqtts: Option<String>,
    pub ws: Option<String>,
    pub wss: Option<String>,
    /// The names in the host's certificate.
    pub tls_names: Vec<String>,
    /// The file of the authority that devices have to trust, on the host's machine, if it is known.
    pub tls_authority: Option<PathBuf>,
}

/// A token of this API.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    pub name: String,
    pub scope: Scope,
    pub create_time: Option<Time>,
    /// The secret. It is shown once, when the token is created.
    pub token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateTokenRequest {
    // Bounded by `fields::TOKEN_NAME`.
    pub name: String,
    pub scope: Scope,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ListTokensResponse {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
}

/// A line of the audit log: a write and its status.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLine {
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// The token's name.
    #[serde(rename = "who")]
    pub caller: String,
    pub address: String,
    /// Method and path, without parameters.
    pub call: String,
    /// The full names of the objects that the path and the body name.
    pub object: Option<String>,
    /// The important parameters; secrets are left out.
    pub parameters: Option<Map<String, Value>>,
    /// The HTTP status of the answer.
    pub status: u16,
}
