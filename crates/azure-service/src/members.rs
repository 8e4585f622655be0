//! JSON objects of callers and devices whose values keep their text: a number keeps all of its digits. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use switchbox_rules::json::{self, Invalid, Object, compact};

/// The members of an object, by name. Of members with the same name the last one counts.
pub(crate) type Members = BTreeMap<String, Box<RawValue>>;

/// A document that is not a JSON object has none.
pub(crate) fn of_text(document: &[u8]) -> Members {
    json::object(document).map(|object| of_object(&object)).unwrap_or_default()
}

pub(crate) fn of_object(object: &Object<'_>) -> Members {
    let text = |text: &str| RawValue::from_string(text.to_owned()).unwrap_or_default();
    let names = object.sorted().map(|member| (String::from_utf8_lossy(&member.key).into_owned(), &member.value));
    names.map(|(name, value)| (name, text(value.text))).collect()
}

/// The object on one line. Refused if it is nested too deep.
pub(crate) fn text(members: &Members) -> Result<String, Invalid> {
    on_one_line(raw(members).get())
}

/// The value on one line. Refused if it is nested too deep.
pub(crate) fn on_one_line(value: &str) -> Result<String, Invalid> {
    json::parse(value.as_bytes()).map(|value| compact(&value))
}

pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    // What this crate shows can always be JSON.
    to_raw_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text() {
        let document = br#"{"z": 1.50, "n": 12345678901234567890123, "e": 1e400, "o": {"a": [1.0, -0]}}"#;
        let kept = r#"{"e":1e400,"n":12345678901234567890123,"o":{"a":[1.0,-0]},"z":1.50}"#;
        assert_eq!(text(&of_text(document)).unwrap(), kept);
        assert_eq!(text(&serde_json::from_slice(document).unwrap()).unwrap(), kept);
        assert!(of_text(b"awake").is_empty() && of_text(b"[1]").is_empty());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(on_one_line(&deep).is_err());
    }
}
