//! Applies changes to the desired document. The journal's application and the plugins' calls both count versions with this code, so
//! a plugin gets the conflicts that its effects would have.

use bytes::Bytes;
use switchbox_rules::json::PatchError;

use switchbox_model::limits::CONFIG_BYTES;

/// The desired document after a merge patch (RFC 7396). `None` when the patch changes nothing.
pub fn patched(desired: &[u8], patch: &[u8]) -> Result<Option<Bytes>, PatchError> {
    Ok(switchbox_rules::json::patched(desired, patch, CONFIG_BYTES)?.map(Bytes::from))
}

/// The config in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// 0 if there is none yet.
    pub version: u64,
    pub document: Bytes,
}

impl Desired {
    /// Creates a new version, also with the same content.
    pub fn replace(&mut self, document: Bytes) {
        self.version += 1;
        self.document = document;
    }

    /// Creates a new version, unless the current one has the same bytes.
    pub fn set(&mut self, document: &Bytes) {
        if self.version == 0 || self.document != document {
            self.replace(document.clone());
        }
    }

    /// Applies a merge patch, which creates a new version unless it changes nothing.
    pub fn patch(&mut self, patch: &[u8]) -> Result<(), PatchError> {
        if let Some(document) = patched(&self.document, patch)? {
            self.replace(document);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_make_versions() {
        let mut desired = Desired::default();
        desired.patch(b"{}").unwrap();
        assert_eq!(desired, Desired::default());
        desired.set(&Bytes::new());
        assert_eq!(desired.version, 1, "an empty config is one");
        for (change, version, document) in [
            (r#"{"a":1}"#, 2, r#"{"a":1}"#),
            (r#"{"a":1.0}"#, 2, r#"{"a":1}"#),
            (r#"{"b":null}"#, 2, r#"{"a":1}"#),
            (r#"{"b":2}"#, 3, r#"{"a":1,"b":2}"#),
        ] {
            desired.patch(change.as_bytes()).unwrap();
            assert_eq!((desired.version, &desired.document[..]), (version, document.as_bytes()), "{change}");
        }
        desired.set(&Bytes::from_static(br#"{"a":1,"b":2}"#));
        assert_eq!(desired.version, 3);
        desired.set(&Bytes::from_static(br#"{"a": 1,"b":2}"#));
        assert_eq!(desired.version, 4);
        desired.replace(desired.document.clone());
        assert_eq!(desired.version, 5);
        assert!(desired.patch(b"[]").is_err());
    }

    #[test]
    fn a_patch_cannot_make_a_config_too_large() {
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(CONFIG_BYTES));
        assert!(patched(b"{}", large.as_bytes()).unwrap_err().to_string().contains("at most 65536"));
    }
}
