//! What a phone asks for, and what a door says. Knows no host.

use serde::Deserialize;
use switchbox_plugin::serde_json::{Value, from_slice, to_vec};

/// `{"action": "open", "id": 7, "arguments": {…}}`.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) action: String,
    /// Comes back with the answer.
    pub(crate) id: Option<Value>,
    /// Handed on to the door.
    arguments: Option<Value>,
}

impl Request {
    pub(crate) fn arguments(&self) -> Vec<u8> {
        self.arguments.as_ref().and_then(|arguments| to_vec(arguments).ok()).unwrap_or_default()
    }
}

/// The level before the last.
pub(crate) fn door(topic: &str) -> Option<&str> {
    topic.rsplit('/').nth(1).filter(|door| !door.is_empty())
}

/// The error says what is wrong.
pub(crate) fn read(payload: &[u8], actions: &[String]) -> Result<Request, String> {
    let request: Request = from_slice(payload).map_err(|e| format!("payload is no request: {e}"))?;
    if actions.contains(&request.action) {
        return Ok(request);
    }
    Err(format!("action is {:?}, not one of {actions:?}", request.action))
}

/// JSON as it is, anything else as text; none where there is nothing.
pub(crate) fn said(payload: &[u8]) -> Option<Value> {
    if payload.is_empty() {
        return None;
    }
    Some(from_slice(payload).unwrap_or_else(|_| String::from_utf8_lossy(payload).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_plugin::serde_json::json;

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
        assert_eq!(read(br#"{"action": "open", "id": 7}"#, &actions).unwrap().id, Some(json!(7)));
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
        assert_eq!(said(br#"{"door": "open"}"#), Some(json!({"door": "open"})));
        assert_eq!(said(b"jammed"), Some(json!("jammed")));
        assert_eq!(said(b""), None);
    }
}
