//! What a caller may do. Each scope includes the ones before it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In order: each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// No token is needed: for health checks. No token has this scope.
    #[serde(skip)]
    Open,
    /// Act as one device, with the device's own credential. No token has this scope.
    #[serde(skip)]
    Device,
    /// Read everything except tokens and the audit log.
    Read,
    /// Send to devices, and redrive dead letters.
    Operate,
    /// Change registries, devices, plugins and tokens.
    Admin,
}

impl Scope {
    /// Whether the call needs a token.
    #[must_use]
    pub fn needs_token(self) -> bool {
        self > Self::Device
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Device => "device",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}
