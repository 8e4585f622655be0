//! Symmetric keys of requests.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::error::Error;
use switchbox_admin_api as api;
use switchbox_auth::symmetric;
use switchbox_model::{
    limits::{MIN_SYMMETRIC_KEY_BYTES, fields},
    symmetric::{SymmetricKey, SymmetricKeys},
};

pub(crate) fn keys(given: api::SymmetricKeys) -> Result<SymmetricKeys, Error> {
    let made = symmetric::generate()?;
    Ok(SymmetricKeys {
        primary: key("primaryKey", given.primary_key)?.unwrap_or(made.primary),
        secondary: key("secondaryKey", given.secondary_key)?.unwrap_or(made.secondary),
    })
}

fn key(field: &str, text: Option<String>) -> Result<Option<SymmetricKey>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    fields::SYMMETRIC_KEY.check_len("a symmetric key", text.len()).map_err(|e| Error::from(e).of_field(field))?;
    let long = STANDARD.decode(&text).is_ok_and(|bytes| bytes.len() >= MIN_SYMMETRIC_KEY_BYTES);
    let wrong = || {
        let text = format!("{field} must be base64 of {MIN_SYMMETRIC_KEY_BYTES} bytes at least");
        Error::invalid(text).of_field(field)
    };
    if long { Ok(Some(SymmetricKey(text.into()))) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_or_made() {
        let keys = |text: &str| super::keys(serde_json::from_str(text).unwrap());
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
