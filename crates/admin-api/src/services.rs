//! Service accounts of programs that are not devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{credentials::DeviceCredential, scalars::Time};

/// A service account.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceAccount {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// Whether the account is refused.
    pub disabled: bool,
    // Bounded by `fields::CREDENTIALS`.
    pub credentials: Vec<DeviceCredential>,
    /// Output only; `:setPassword` sets a password.
    pub has_password: Option<bool>,
    /// Topic filters to which it may publish.
    // Bounded by `fields::SERVICE_FILTERS`, each by `fields::SERVICE_FILTER`.
    pub publish: Vec<String>,
    /// Topic filters to which it may subscribe.
    // Bounded by the same as `publish`: `fields::SERVICE_FILTERS`.
    pub subscribe: Vec<String>,
    /// Output only.
    pub create_time: Option<Time>,
    /// Warnings for the caller. Output only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by the body: it is thrown away.
    pub warnings: Vec<String>,
}
