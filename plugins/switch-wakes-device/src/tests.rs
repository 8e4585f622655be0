//! The plugin against the fake host.

use switchbox_plugin::{prelude::*, testing::Harness};

use super::SwitchWakesDevice;

fn switch(settings: switchbox_plugin::serde_json::Value) -> Harness<SwitchWakesDevice> {
    let mut t = Harness::new(settings).unwrap();
    t.device("lamp-1").device("pump");
    t
}

#[test]
fn the_target_takes_the_switchs_state() {
    let mut t = switch(json!({}));
    t.telemetry("switch-1", r#"{"state": "awake"}"#).unwrap();
    t.telemetry("switch-2", r#"{"state": "asleep", "battery": 71}"#).unwrap();
    assert_eq!(t.configs("lamp-1"), [json!({"state": "awake"}), json!({"state": "asleep"})]);
}

#[test]
fn every_part_can_be_set() {
    let mut t = switch(json!({"source": "key-*", "target": "pump", "field": "mode", "values": ["on"]}));
    t.telemetry("key-1", r#"{"mode": "on"}"#).unwrap();
    assert_eq!(t.configs("pump"), [json!({"mode": "on"})]);
    assert!(!t.sees_telemetry("switch-1", ""));
}

#[test]
fn other_values_and_other_payloads_are_rejected() {
    let mut t = switch(json!({}));
    for (payload, text) in [
        (r#"{"state": "on"}"#, r#"field "state" is "on", not one of ["awake", "asleep"]"#),
        (r#"{"mode": "awake"}"#, r#"field "state" is missing"#),
    ] {
        assert_eq!(t.telemetry("switch-1", payload), Err(reject(text)));
    }
    assert!(matches!(t.telemetry("switch-1", "awake"), Err(Disposition::Reject(_))));
    assert!(t.configs("lamp-1").is_empty());
}

#[test]
fn an_unknown_target_is_rejected_by_name() {
    let mut t = switch(json!({"target": "lamp-9"}));
    let outcome = t.telemetry("switch-1", r#"{"state": "awake"}"#);
    assert_eq!(outcome, Err(reject("the target is an unknown device: lamp-9")));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, text) in [
        (json!({"target": ""}), "target must not be empty"),
        (json!({"source": ""}), "source must not be empty"),
        (json!({"values": []}), "values must not be empty"),
        (json!({"taget": "lamp-2"}), "unknown field `taget`"),
    ] {
        let Err(error) = Harness::<SwitchWakesDevice>::new(settings) else { panic!("taken: {text}") };
        assert!(error.contains(text), "{error}");
    }
}
