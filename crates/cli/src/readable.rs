//! The host's JSON for users and scripts: a payload that is text is shown decoded beside its base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// Fields that contain base64.
const PAYLOADS: [&str; 2] = ["binaryData", "payload"];
/// The name of the decoded field.
const DECODED: &str = "data";
/// Fields with contents of others, which are not the API's.
const FOREIGN: [&str; 6] = ["metadata", "desired", "reported", "differs", "patch", "settings"];

/// Adds `data` beside each `binaryData` and `payload` that is UTF-8: a JSON object or array as such, anything else as text.
pub(super) fn with_data(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(with_data).collect()),
        Value::Object(fields) => Value::Object(fields_with_data(fields)),
        other => other,
    }
}

fn fields_with_data(fields: Map<String, Value>) -> Map<String, Value> {
    let data = PAYLOADS.into_iter().find_map(|field| decoded(fields.get(field)?));
    let inner = fields.into_iter().map(|(name, value)| {
        let value = if FOREIGN.contains(&name.as_str()) { value } else { with_data(value) };
        (name, value)
    });
    let mut fields: Map<_, _> = inner.collect();
    fields.extend(data.map(|data| (DECODED.to_owned(), data)));
    fields
}

/// Returns `None` if it is not base64, or not text.
fn decoded(value: &Value) -> Option<Value> {
    let text = String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()?;
    let json = serde_json::from_str(&text).ok().filter(|value| matches!(value, Value::Object(_) | Value::Array(_)));
    Some(json.unwrap_or(Value::String(text)))
}

/// The items of an answer that consists of a list, for output by lines. Returns `None` for any other answer.
pub(super) fn only_list(answer: &Value) -> Option<&[Value]> {
    let mut fields =
        answer.as_object()?.iter().filter(|(name, _)| !["nextPageToken", "searchedTo"].contains(&name.as_str()));
    match (fields.next(), fields.next()) {
        (Some((_, Value::Array(items))), None) => Some(items),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_that_are_text_stand_beside_their_base64() {
        for (answer, expect) in [
            (json!({"binaryData": "b24="}), json!({"binaryData": "b24=", "data": "on"})),
            (json!({"binaryData": ""}), json!({"binaryData": "", "data": ""})),
            (json!({"status": 200, "payload": "b24="}), json!({"status": 200, "payload": "b24=", "data": "on"})),
            (
                json!({"binaryData": "eyJvbiI6dHJ1ZX0="}),
                json!({"binaryData": "eyJvbiI6dHJ1ZX0=", "data": {"on": true}}),
            ),
            (json!({"binaryData": "NDI="}), json!({"binaryData": "NDI=", "data": "42"})),
            (json!({"binaryData": "/w=="}), json!({"binaryData": "/w=="})),
            (json!({"binaryData": 7}), json!({"binaryData": 7})),
            (
                json!({"events": [{"binaryData": "b24="}], "config": {"binaryData": "b24="}}),
                json!({"events": [{"binaryData": "b24=", "data": "on"}], "config": {"binaryData": "b24=", "data": "on"}}),
            ),
            (json!({"metadata": {"payload": "b24="}}), json!({"metadata": {"payload": "b24="}})),
        ] {
            assert_eq!(with_data(answer), expect);
        }
    }

    #[test]
    fn a_list_is_one_field_with_its_items() {
        let list = json!({"devices": [1, 2], "nextPageToken": "x"});
        assert_eq!(only_list(&list), Some(&[json!(1), json!(2)][..]));
        assert_eq!(only_list(&json!({"id": "lamp-1", "credentials": []})), None);
        assert_eq!(only_list(&json!({})), None);
    }
}
