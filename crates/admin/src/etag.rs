//! ETags of devices, registries and service accounts: the revision that a caller has read, and the one that it expects to change. The
//! revision is compared when the change is applied, so that no other change can come between.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderName, header, request::Parts},
};
use serde_json::Value;

use super::error::Error;

/// An answer with the revision of its object.
pub(super) type Tagged = Result<([(HeaderName, String); 1], Json<Value>), Error>;

pub(super) fn tagged(shown: Value, revision: u64) -> Tagged {
    Ok(([(header::ETAG, text(revision))], Json(shown)))
}

/// The revision as the value of an `ETag` header.
pub(super) fn text(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revision that must be current. Is `None` if any revision may be.
pub(super) struct IfMatch(pub(super) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let mut given = parts.headers.get_all(header::IF_MATCH).iter();
        match (given.next().map(|value| value.to_str().map(read)), given.next()) {
            (None, _) => Ok(Self(None)),
            (Some(Ok(Some(revision))), None) => Ok(Self(revision)),
            _ => Err(Error::invalid("If-Match must be one ETag as an answer of this API had it, such as \"7\", or *")),
        }
    }
}

/// Reads an `If-Match` header. Returns `None` if it is neither an ETag of this API nor `*`.
fn read(value: &str) -> Option<Option<u64>> {
    match value.trim() {
        "*" => Some(None),
        tag => tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_one_revision_in_quotation_marks() {
        assert_eq!(read(&text(7)), Some(Some(7)));
        assert_eq!(read(" * "), Some(None));
        for wrong in ["", "7", "\"7", "\"x\"", "W/\"7\"", "\"7\", \"8\"", "\"-1\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
