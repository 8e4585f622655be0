//! A twin's tags: one JSON object in the device's metadata. Other programs may use other metadata keys.

use crate::{
    error::ServiceError,
    members::{self, Members},
};
use switchbox_model::{limits, registry::DeviceSpec};
use switchbox_rules::json;

/// The metadata key.
pub(crate) const KEY: &str = "tags";

/// The tags in the metadata. Anything but an object counts as empty.
pub(crate) fn of(spec: &DeviceSpec) -> Members {
    members::of_text(text(spec))
}

/// Their text; it may be anything.
pub(crate) fn text(spec: &DeviceSpec) -> &[u8] {
    spec.metadata.get(KEY).map(String::as_bytes).unwrap_or_default()
}

/// The text of a new device's tags. Returns `None` if there are none; a tag with `null` is none.
pub(crate) fn first(tags: &Members) -> Result<Option<String>, ServiceError> {
    let text = members::text(tags).map_err(|problem| ServiceError::invalid(format!("tags: {problem}")))?;
    let first = json::patched(b"{}", text.as_bytes(), limits::METADATA_BYTES);
    first.map_err(|problem| ServiceError::invalid(format!("tags: {problem}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn tags_are_an_object_in_the_metadata() {
        let first = |tags: Value| first(&serde_json::from_value(tags).unwrap()).unwrap();
        assert_eq!(first(json!({"a": {"b": 1, "c": null}, "d": null})).unwrap(), r#"{"a":{"b":1}}"#);
        assert_eq!((first(json!({})), first(json!({"a": null}))), (None, None));
        let mut spec = DeviceSpec::default();
        assert!(of(&spec).is_empty());
        spec.metadata.insert(KEY.into(), r#"{"a":1.50}"#.into());
        assert_eq!(members::text(&of(&spec)).unwrap(), r#"{"a":1.50}"#);
        spec.metadata.insert(KEY.into(), "what an operator wrote".into());
        assert!(of(&spec).is_empty());
    }
}
