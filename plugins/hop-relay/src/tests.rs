//! The plugin against the fake host.

use switchbox_plugin::{prelude::*, testing::Harness};

use super::HopRelay;

fn relay(settings: switchbox_plugin::serde_json::Value) -> Harness<HopRelay> {
    let mut t = Harness::new(settings).unwrap();
    t.device("hop-1").device("hop-2").device("hall/hop-3");
    t
}

fn record(device: &str, registry: &str, hops: u64) -> switchbox_plugin::serde_json::Value {
    json!({"deviceId": device, "registryId": registry, "cloudRegion": "local", "hops": hops})
}

#[test]
fn a_record_goes_to_the_device_that_it_names() {
    let mut t = relay(json!({}));
    t.telemetry("hop-1", record("hop-2", "default", 0).to_string()).unwrap();
    t.telemetry("hop-2", record("hop-2", "default", 1).to_string()).unwrap();
    assert_eq!(t.configs("hop-2"), [record("hop-2", "default", 1), record("hop-2", "default", 2)]);
}

#[test]
fn another_registry_of_the_same_place_can_be_named() {
    let mut t = relay(json!({}));
    t.telemetry("hop-1", record("hop-3", "hall", 4).to_string()).unwrap();
    assert_eq!(t.configs("hall/hop-3"), [record("hop-3", "hall", 5)]);
}

#[test]
fn an_unknown_device_is_rejected_by_name() {
    let mut t = relay(json!({}));
    let outcome = t.telemetry("hop-1", record("hop-9", "default", 0).to_string());
    assert_eq!(outcome, Err(reject("the record names an unknown device: default/hop-9")));
}

#[test]
fn what_is_no_record_is_rejected_and_changes_nothing() {
    let mut t = relay(json!({}));
    for payload in [&b"no JSON"[..], b"\xff\xfe", br#"{"deviceId":"hop-2","hops":"many"}"#, b"{}"] {
        let outcome = t.telemetry("hop-1", payload);
        assert!(matches!(outcome, Err(Disposition::Reject(_))), "{outcome:?}");
    }
    assert!(t.configs("hop-2").is_empty());
}

#[test]
fn the_source_pattern_is_the_trigger() {
    let t = relay(json!({"source": "hop-*"}));
    assert!(t.sees_telemetry("hop-1", ""));
    assert!(t.sees_telemetry("hop-1", "a/b"));
    assert!(!t.sees_telemetry("switch-1", ""));
    assert!(relay(json!({})).sees_telemetry("switch-1", ""));
    assert!(Harness::<HopRelay>::new(json!({"source": ""})).is_err());
}
