//! A device's config and state read together: desired and reported, where they differ and since when, and desired after
//! a merge patch. Pure: knows documents, keeps none.

mod diff;
mod document;
mod merge;

pub use document::document;
pub use merge::{Problem, patched};

use serde_json::{Map, Value};

/// A JSON object.
type Object = Map<String, Value>;

/// Reads a document as a JSON object; an empty one counts as `{}`. The error says what it is instead.
fn object(document: &[u8]) -> Result<Object, String> {
    if document.trim_ascii().is_empty() {
        return Ok(Object::new());
    }
    match serde_json::from_slice(document) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Array(_)) => Err("it is a JSON array".into()),
        Ok(_) => Err("it is a single JSON value".into()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}
