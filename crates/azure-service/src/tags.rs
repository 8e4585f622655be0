//! A twin's tags: one JSON object in the device's metadata. Other programs may use other metadata keys.

use serde_json::{Map, Value};

use crate::error::ServiceError;
use switchbox_model::{limits, registry::DeviceSpec};
use switchbox_rules::json;

/// The metadata key.
pub(crate) const KEY: &str = "tags";

/// The tags in the metadata. Anything but an object counts as empty.
pub(crate) fn of(spec: &DeviceSpec) -> Map<String, Value> {
    spec.metadata.get(KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The text of a new device's tags. Returns `None` if there are none; a tag with `null` is none.
pub(crate) fn first(tags: &Map<String, Value>) -> Result<Option<String>, ServiceError> {
    let text = Value::Object(tags.clone()).to_string();
    let first = json::patched(b"{}", text.as_bytes(), limits::METADATA_BYTES);
    first.map_err(|problem| ServiceError::invalid(format!("tags: {problem}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_an_object_in_the_metadata() {
        let first = |tags: Value| first(tags.as_object().unwrap()).unwrap();
        assert_eq!(first(json!({"a": {"b": 1, "c": null}, "d": null})).unwrap(), r#"{"a":{"b":1}}"#);
        assert_eq!((first(json!({})), first(json!({"a": null}))), (None, None));
        let mut spec = DeviceSpec::default();
        assert!(of(&spec).is_empty());
        spec.metadata.insert(KEY.into(), r#"{"a":1}"#.into());
        assert_eq!(Value::Object(of(&spec)), json!({"a": 1}));
        spec.metadata.insert(KEY.into(), "what an operator wrote".into());
        assert!(of(&spec).is_empty());
    }
}
