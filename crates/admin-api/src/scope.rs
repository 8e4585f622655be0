//! What a caller may do: steps, each holding those before it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// In order: each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// No token is needed: for health checks. No token has this scope.
    #[serde(skip)]
    Open,
    /// Act as one device, which shows its own credential. No token has it.
    #[serde(skip)]
    Device,
    /// Look at everything but tokens and the audit log.
    Read,
    /// Send to devices, and take dead letters up again.
    Operate,
    /// Change what is there: registries, devices, plugins, tokens.
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
