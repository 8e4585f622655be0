//! ETags: that of a device's identity is its revision; that of its twin is the revision and the version of desired. Callers treat
//! them as opaque.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::error::ServiceError;
use switchbox_core::registry::Registered;

/// The ETag of a device's identity, without quotes, as in bodies.
pub(crate) fn of_identity(registered: &Registered) -> String {
    STANDARD.encode(registered.revision.to_string())
}

/// The ETag of a device's twin. `version` is that of the config.
pub(crate) fn of_twin(registered: &Registered, version: u64) -> String {
    STANDARD.encode(format!("{}.{version}", registered.revision))
}

/// The value of If-Match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// The header is missing.
    Absent,
    /// `*`, which any ETag matches.
    Any,
    Tag(String),
}

impl IfMatch {
    pub(crate) fn new(text: Option<&str>) -> Self {
        match text.map(|text| text.trim().trim_start_matches("W/").trim_matches('"')) {
            None => Self::Absent,
            Some("*" | "") => Self::Any,
            Some(tag) => Self::Tag(tag.to_owned()),
        }
    }

    /// Whether an object with this ETag may be changed.
    pub(crate) fn allows(&self, tag: &str) -> bool {
        match self {
            Self::Absent | Self::Any => true,
            Self::Tag(requested) => requested == tag,
        }
    }

    pub(crate) fn is_tag(&self) -> bool {
        matches!(self, Self::Tag(_))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ServiceError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Absent) };
        let text = value.to_str().map_err(|_| ServiceError::invalid("If-Match is not text"))?;
        Ok(Self::new(Some(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_is_read_with_quotes_or_without() {
        for (text, expect) in [
            (None, IfMatch::Absent),
            (Some("*"), IfMatch::Any),
            (Some("\"*\""), IfMatch::Any),
            (Some("\"Nw==\""), IfMatch::Tag("Nw==".into())),
            (Some("W/\"Nw==\""), IfMatch::Tag("Nw==".into())),
            (Some("Nw=="), IfMatch::Tag("Nw==".into())),
        ] {
            assert_eq!(IfMatch::new(text), expect, "{text:?}");
        }
        assert!(IfMatch::new(Some("\"Nw==\"")).allows("Nw==") && !IfMatch::new(Some("\"Nw==\"")).allows("OA=="));
    }
}
