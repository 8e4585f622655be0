//! What a switch says: the value of one field of its JSON. Knows no host.

use switchbox_plugin::serde_json::{Map, Value, from_slice};

/// The text that `field` holds in this JSON object. The error says what is wrong.
pub(crate) fn read(payload: &[u8], field: &str) -> Result<String, String> {
    let mut object: Map<String, Value> =
        from_slice(payload).map_err(|e| format!("payload is not a JSON object: {e}"))?;
    match object.remove(field) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(format!("field {field:?} is {other}, not a text")),
        None => Err(format!("field {field:?} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_read_or_the_reason_is_said() {
        for (payload, expected) in [
            (r#"{"state": "awake"}"#, Ok("awake")),
            (r#"{"battery": 3, "state": "asleep", "more": {"state": "x"}}"#, Ok("asleep")),
            (r#"{"State": "awake"}"#, Err("field \"state\" is missing")),
            (r#"{"state": 1}"#, Err("field \"state\" is 1, not a text")),
            (r#"{"state": null}"#, Err("field \"state\" is null, not a text")),
            ("awake", Err("payload is not a JSON object: expected value at line 1 column 1")),
            ("[1]", Err("payload is not a JSON object: invalid type: sequence, expected a map at line 1 column 0")),
        ] {
            assert_eq!(read(payload.as_bytes(), "state"), expected.map(Into::into).map_err(Into::into), "{payload}");
        }
    }
}
