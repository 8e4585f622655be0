//! Symmetric keys: secrets that the host and a client both hold, so that the host can check what the client signed.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// A secret in base64. It is shown only to an operator that requests it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymmetricKey(pub Arc<str>);

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricKey")
    }
}

/// Two of them. Either counts, so that one can be replaced while clients use the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymmetricKeys {
    pub primary: SymmetricKey,
    pub secondary: SymmetricKey,
}

impl SymmetricKeys {
    #[must_use]
    pub fn both(&self) -> [&SymmetricKey; 2] {
        [&self.primary, &self.secondary]
    }
}
