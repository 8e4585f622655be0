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

/// Which of two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeySlot {
    Primary,
    Secondary,
}

impl SymmetricKeys {
    #[must_use]
    pub fn both(&self) -> [&SymmetricKey; 2] {
        [&self.primary, &self.secondary]
    }

    #[must_use]
    pub fn get(&self, which: KeySlot) -> &SymmetricKey {
        match which {
            KeySlot::Primary => &self.primary,
            KeySlot::Secondary => &self.secondary,
        }
    }

    /// Replaces one key. The other stays.
    pub fn set(&mut self, which: KeySlot, key: SymmetricKey) {
        match which {
            KeySlot::Primary => self.primary = key,
            KeySlot::Secondary => self.secondary = key,
        }
    }
}
