//! What a phone asks for, and what a door says. Knows no host.

use serde::Deserialize;
use switchbox_plugin::serde_json::{from_slice, value::RawValue, value::to_raw_value};

/// `{"action": "open", "id": 7, "arguments": {…}}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request<'a> {
    pub(crate) action: String,
    /// Comes back with the answer, byte for byte.
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    /// Handed on to the door, byte for byte.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Request<'_> {
    pub(crate) fn arguments(&self) -> &[u8] {
        self.arguments.map_or(&[], |arguments| arguments.get().as_bytes())
    }
}

/// The level before the last.
pub(crate) fn door(topic: &str) -> Option<&str> {
    topic.rsplit('/').nth(1).filter(|door| !door.is_empty())
}

/// The error says what is wrong.
pub(crate) fn read<'a>(payload: &'a [u8], actions: &[String]) -> Result<Request<'a>, String> {
    let request: Request<'_> = from_slice(payload).map_err(|e| format!("payload is no request: {e}"))?;
    if actions.contains(&request.action) {
        return Ok(request);
    }
    Err(format!("action is {:?}, not one of {actions:?}", request.action))
}

/// JSON byte for byte; anything else as text. Returns `None` for an empty payload.
pub(crate) fn json_value(payload: &[u8]) -> Option<Box<RawValue>> {
    if payload.is_empty() {
        return None;
    }
    from_slice(payload).or_else(|_| to_raw_value(&String::from_utf8_lossy(payload))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_is_the_level_before_the_last() {
        for (topic, expected) in [
            ("garage/door-1/request", Some("door-1")),
            ("home/garage/door-2/request", Some("door-2")),
            ("garage//request", None),
            ("request", None),
        ] {
            assert_eq!(door(topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_request_is_read_or_the_reason_is_said() {
        let actions = ["open".to_owned()];
        assert_eq!(read(br#"{"action": "open", "id": 7.0}"#, &actions).unwrap().id.unwrap().get(), "7.0");
        let request = read(br#"{"action": "open", "arguments": {"b": 1e400, "a": 12345678901234567890123}}"#, &actions);
        assert_eq!(request.unwrap().arguments(), br#"{"b": 1e400, "a": 12345678901234567890123}"#);
        for (payload, text) in [
            (r#"{"action": "explode"}"#, r#"action is "explode", not one of ["open"]"#),
            (r#"{"id": 7}"#, "payload is no request: missing field `action`"),
            (r#"{"action": "open", "door": 2}"#, "payload is no request: unknown field `door`"),
            ("open", "payload is no request: expected value"),
        ] {
            let error = read(payload.as_bytes(), &actions).unwrap_err();
            assert!(error.contains(text), "{payload}: {error}");
        }
    }

    #[test]
    fn what_a_door_says_is_json_or_text() {
        let text = |payload: &[u8]| json_value(payload).map(|json_value| json_value.get().to_owned());
        assert_eq!(text(br#"{"n": 1.50}"#).unwrap(), r#"{"n": 1.50}"#);
        assert_eq!(text(b"jammed").unwrap(), r#""jammed""#);
        assert_eq!(text(b""), None);
    }
}
