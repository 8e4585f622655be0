//! The host's JSON for people who read it: a payload that is text stands as text beside its base64.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

/// Fields that hold base64, each with the field that gets the text.
const PAYLOADS: [(&str, &str); 2] = [("binaryData", "binaryDataText"), ("payload", "payloadText")];
/// What others wrote: its fields are not the API's.
const FOREIGN: [&str; 6] = ["metadata", "desired", "reported", "differs", "patch", "settings"];

/// Adds `binaryDataText` beside each `binaryData`, and `payloadText` beside each `payload`, that is UTF-8.
pub(super) fn with_texts(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(with_texts).collect()),
        Value::Object(fields) => Value::Object(fields_with_texts(fields)),
        other => other,
    }
}

fn fields_with_texts(fields: Map<String, Value>) -> Map<String, Value> {
    let texts: Vec<_> = PAYLOADS
        .into_iter()
        .filter_map(|(field, text)| Some((text.to_owned(), Value::from(decoded(fields.get(field)?)?))))
        .collect();
    let inner = fields.into_iter().map(|(name, value)| {
        let value = if FOREIGN.contains(&name.as_str()) { value } else { with_texts(value) };
        (name, value)
    });
    let mut fields: Map<_, _> = inner.collect();
    fields.extend(texts);
    fields
}

/// Returns `None` if it is no base64, or no text.
fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn payloads_that_are_text_stand_beside_their_base64() {
        for (answer, expect) in [
            (json!({"binaryData": "b24="}), json!({"binaryData": "b24=", "binaryDataText": "on"})),
            (json!({"binaryData": ""}), json!({"binaryData": "", "binaryDataText": ""})),
            (json!({"status": 200, "payload": "b24="}), json!({"status": 200, "payload": "b24=", "payloadText": "on"})),
            (json!({"binaryData": "/w=="}), json!({"binaryData": "/w=="})),
            (json!({"binaryData": 7}), json!({"binaryData": 7})),
            (
                json!({"events": [{"binaryData": "b24="}], "config": {"binaryData": "b24="}}),
                json!({"events": [{"binaryData": "b24=", "binaryDataText": "on"}],
                       "config": {"binaryData": "b24=", "binaryDataText": "on"}}),
            ),
            (json!({"metadata": {"payload": "b24="}}), json!({"metadata": {"payload": "b24="}})),
        ] {
            assert_eq!(with_texts(answer), expect);
        }
    }
}
