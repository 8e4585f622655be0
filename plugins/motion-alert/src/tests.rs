//! The plugin against the fake host.

use switchbox_plugin::{
    Schedule,
    prelude::*,
    serde_json::{Value, from_slice},
    testing::Harness,
};

use super::MotionAlert;

const MOVES: &str = r#"{"motion": true}"#;

fn harness() -> Harness<MotionAlert> {
    let mut t = Harness::new(json!({})).unwrap();
    t.device("motion-1").device("motion-2");
    t
}

fn alerts(t: &Harness<MotionAlert>) -> Vec<(String, Value)> {
    t.messages().into_iter().map(|m| (m.topic, from_slice(&m.payload).unwrap())).collect()
}

fn alert(sensor: &str, movements: u64, time: u64) -> (String, Value) {
    (format!("alerts/{sensor}"), json!({"sensor": sensor, "movements": movements, "time": time}))
}

#[test]
fn a_sensor_that_moves_alerts_the_phone() {
    let mut t = harness();
    t.at(1_000).telemetry("motion-1", MOVES).unwrap();
    t.telemetry("motion-2", r#"{"motion": false, "battery": 70}"#).unwrap();
    assert_eq!(alerts(&t), [alert("motion-1", 1, 1_000)]);
    assert_eq!(t.timer("motion-1"), Some(Schedule::After(60_000)));
}

#[test]
fn a_sensor_is_quiet_for_a_minute_and_then_reports_what_it_held_back() {
    let mut t = harness();
    t.at(1_000).telemetry("motion-1", MOVES).unwrap();
    t.at(2_000).telemetry("motion-1", MOVES).unwrap();
    t.at(3_000).telemetry("motion-1", MOVES).unwrap();
    assert_eq!(alerts(&t).len(), 1);
    t.at(61_000).fire("motion-1").unwrap();
    assert_eq!(alerts(&t)[1..], [alert("motion-1", 2, 3_000)]);
    assert!(t.timer("motion-1").is_some(), "the summary begins another quiet minute");
}

#[test]
fn a_sensor_that_was_still_may_alert_again() {
    let mut t = harness();
    t.at(1_000).telemetry("motion-1", MOVES).unwrap();
    t.at(61_000).fire("motion-1").unwrap();
    assert_eq!((alerts(&t).len(), t.timer("motion-1"), t.state("quiet/motion-1")), (1, None, None));
    t.at(90_000).telemetry("motion-1", MOVES).unwrap();
    assert_eq!(alerts(&t)[1..], [alert("motion-1", 1, 90_000)]);
}

#[test]
fn sensors_do_not_quiet_each_other() {
    let mut t = harness();
    t.at(1_000).telemetry("motion-1", MOVES).unwrap();
    t.telemetry("motion-2", MOVES).unwrap();
    assert_eq!(alerts(&t), [alert("motion-1", 1, 1_000), alert("motion-2", 1, 1_000)]);
}

#[test]
fn what_does_not_say_whether_something_moved_is_rejected() {
    let mut t = harness();
    for payload in ["moved", "{}", r#"{"motion": "yes"}"#] {
        assert!(matches!(t.telemetry("motion-1", payload), Err(Disposition::Reject(_))), "{payload}");
    }
    assert!(alerts(&t).is_empty());
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, text) in [
        (json!({"topic": ""}), "topic must be a topic without wildcards"),
        (json!({"quiet_s": 0}), "quiet_s must be at least 1"),
        (json!({"quite_s": 5}), "unknown field `quite_s`"),
    ] {
        let Err(error) = Harness::<MotionAlert>::new(settings) else { panic!("taken: {text}") };
        assert!(error.contains(text), "{error}");
    }
}
