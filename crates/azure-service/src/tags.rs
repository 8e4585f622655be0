//! A twin's tags: one JSON object in the device's metadata. Other programs may use other metadata keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::ServiceError;
use switchbox_model::{limits, patch::DevicePatch, registry::DeviceSpec};
use switchbox_rules::json;

/// The metadata key.
pub(crate) const KEY: &str = "tags";

/// The tags in the metadata. Anything but an object counts as empty.
pub(crate) fn of(spec: &DeviceSpec) -> Map<String, Value> {
    spec.metadata.get(KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn text_of(spec: &DeviceSpec) -> &str {
    let text = spec.metadata.get(KEY).map(String::as_str);
    text.filter(|text| json::object(text.as_bytes()).is_ok()).unwrap_or("{}")
}

/// The tags after a merge patch. Returns `None` if the patch changes nothing.
pub(crate) fn patched(spec: &DeviceSpec, patch: &Value) -> Result<Option<DevicePatch>, ServiceError> {
    let changed = json::patched(text_of(spec).as_bytes(), patch.to_string().as_bytes(), limits::METADATA_BYTES);
    let changed = changed.map_err(|problem| ServiceError::invalid(format!("tags: {problem}")))?;
    Ok(changed.map(set))
}

/// Replaces all tags. Returns `None` if they are the same.
pub(crate) fn replaced(spec: &DeviceSpec, tags: &Map<String, Value>) -> Option<DevicePatch> {
    (of(spec) != *tags).then(|| set(Value::Object(tags.clone()).to_string()))
}

fn set(text: String) -> DevicePatch {
    let text = (text != "{}").then_some(text);
    DevicePatch { metadata_keys: BTreeMap::from([(KEY.to_owned(), text)]), ..DevicePatch::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tags_are_patched_beside_other_metadata() {
        let mut spec = DeviceSpec::default();
        spec.metadata.insert("room".into(), "hall".into());
        let mut apply = |patch: Value, expect: Value| {
            if let Some(patch) = patched(&spec, &patch).unwrap() {
                patch.apply(&mut spec);
            }
            assert_eq!(Value::Object(of(&spec)), expect);
            assert_eq!(spec.metadata["room"], "hall");
        };
        apply(json!({"a": {"b": 1}}), json!({"a": {"b": 1}}));
        apply(json!({"a": {"c": 2}, "d": null}), json!({"a": {"b": 1, "c": 2}}));
        apply(json!({"a": null}), json!({}));
        assert!(patched(&spec, &json!({})).unwrap().is_none());
        assert!(patched(&spec, &json!([1])).is_err());
        spec.metadata.insert(KEY.into(), "what an operator wrote".into());
        assert!(of(&spec).is_empty() && patched(&spec, &json!({"a": 1})).unwrap().is_some());
    }
}
