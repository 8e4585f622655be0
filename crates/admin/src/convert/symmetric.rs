//! Symmetric keys as a caller gives them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::error::Error;
use switchbox_auth::symmetric;
use switchbox_model::{
    limits::{SYMMETRIC_KEY_BYTES_LEAST, fields},
    symmetric::{SymmetricKey, SymmetricKeys},
};

/// Two keys in base64. One that is left out is made.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SymmetricKeysIn {
    /// Bounded by `fields::SYMMETRIC_KEY`.
    primary_key: Option<String>,
    /// Bounded by `fields::SYMMETRIC_KEY`.
    secondary_key: Option<String>,
}

impl std::fmt::Debug for SymmetricKeysIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKeysIn")
    }
}

impl SymmetricKeysIn {
    pub(crate) fn keys(self) -> Result<SymmetricKeys, Error> {
        let made = symmetric::generate()?;
        Ok(SymmetricKeys {
            primary: key("primaryKey", self.primary_key)?.unwrap_or(made.primary),
            secondary: key("secondaryKey", self.secondary_key)?.unwrap_or(made.secondary),
        })
    }
}

fn key(field: &str, text: Option<String>) -> Result<Option<SymmetricKey>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    fields::SYMMETRIC_KEY.check_len("a symmetric key", text.len()).map_err(|e| Error::from(e).of_field(field))?;
    let long = STANDARD.decode(&text).is_ok_and(|bytes| bytes.len() >= SYMMETRIC_KEY_BYTES_LEAST);
    let wrong = || {
        let text = format!("{field} must be base64 of {SYMMETRIC_KEY_BYTES_LEAST} bytes at least");
        Error::invalid(text).of_field(field)
    };
    if long { Ok(Some(SymmetricKey(text.into()))) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_or_made() {
        let keys = |text: &str| serde_json::from_str::<SymmetricKeysIn>(text).unwrap().keys();
        let given = STANDARD.encode([7; 16]);
        let found = keys(&format!(r#"{{"primaryKey": "{given}"}}"#)).unwrap();
        assert_eq!(&*found.primary.0, given);
        assert_eq!(STANDARD.decode(&*found.secondary.0).unwrap().len(), 32);
        assert_ne!(found.secondary, keys("{}").unwrap().secondary);
        for wrong in [STANDARD.encode([7; 15]), "no base64 at all: x".to_owned(), STANDARD.encode([7; 67])] {
            let error = keys(&format!(r#"{{"secondaryKey": "{wrong}"}}"#)).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("secondaryKey"));
            assert!(!error.text.contains(&wrong), "{error}");
        }
    }
}
