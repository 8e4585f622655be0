//! The plugin against the fake host.

use switchbox_plugin::{
    Response,
    prelude::*,
    serde_json::{Value, from_slice},
    testing::Harness,
};

use super::GarageDoor;

fn garage() -> Harness<GarageDoor> {
    let mut t = Harness::new(json!({})).unwrap();
    t.device("door-1").answers("door-1", "open", |arguments| {
        let slowly = arguments == br#"{"speed": "slow"}"#;
        Response { status: 200, payload: json!({"opens": true, "slowly": slowly}).to_string().into() }
    });
    t
}

fn answers(t: &Harness<GarageDoor>) -> Vec<(String, Value)> {
    t.messages().into_iter().map(|m| (m.topic, from_slice(&m.payload).unwrap())).collect()
}

#[test]
fn the_phones_request_becomes_a_call_and_the_answer_goes_back() {
    let mut t = garage();
    t.message("garage/door-1/request", r#"{"action": "open", "id": "a7", "arguments": {"speed": "slow"}}"#).unwrap();
    let expected = json!({"id": "a7", "ok": true, "status": 200, "answer": {"opens": true, "slowly": true}});
    assert_eq!(answers(&t), [("garage/door-1/response".to_owned(), expected)]);
}

#[test]
fn a_door_that_says_no_is_no_success() {
    let mut t = garage();
    t.answers("door-1", "close", |_| Response { status: 409, payload: b"something is in the way".into() });
    t.message("garage/door-1/request", r#"{"action": "close"}"#).unwrap();
    let expected = json!({"ok": false, "status": 409, "answer": "something is in the way"});
    assert_eq!(answers(&t), [("garage/door-1/response".to_owned(), expected)]);
}

#[test]
fn the_phone_gets_an_error_when_the_door_cannot_be_reached() {
    let mut t = garage();
    t.offline_device("door-1");
    for door in ["door-1", "door-9", "lamp-1"] {
        t.message(&format!("garage/{door}/request"), r#"{"action": "open"}"#).unwrap();
    }
    let errors: Vec<_> = answers(&t).iter().map(|(_, answer)| answer["error"].as_str().unwrap().to_owned()).collect();
    for (error, text) in errors.iter().zip(["offline: ", "not found: ", "denied: "]) {
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn what_is_no_request_is_rejected() {
    let mut t = garage();
    for payload in ["open", r#"{"action": "explode"}"#, "{}"] {
        assert!(matches!(t.message("garage/door-1/request", payload), Err(Disposition::Reject(_))), "{payload}");
    }
    assert!(t.messages().is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, text) in [
        (json!({"topic": "garage/#"}), "is not a topic filter"),
        (json!({"topic": ""}), "topic must be a topic without wildcards"),
        (json!({"actions": []}), "actions must not be empty"),
        (json!({"timeout_s": 301}), "timeout_s must be 1 to 300, not 301"),
        (json!({"door": "door-1"}), "unknown field `door`"),
    ] {
        let Err(error) = Harness::<GarageDoor>::new(settings) else { panic!("taken: {text}") };
        assert!(error.contains(text), "{error}");
    }
}
