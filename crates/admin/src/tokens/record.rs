//! A token as it is stored.

use serde::{Deserialize, Serialize};

use switchbox_admin_api::Scope;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRecord {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) created_ms: u64,
    /// SHA-256 of its text.
    pub(super) hash: [u8; 32],
}
