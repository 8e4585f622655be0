//! The twin as plugins see and change it.

use super::*;

#[test]
fn a_reported_state_is_an_event_for_the_plugins_that_ask_for_its_device() {
    let host_folder = host_folder();
    let host = host_folder.start();
    create(&host.admin(), "report");
    let report = subscriber(&host, Session::new("report"));
    host.device("other-1").publish(&state("other-1"), r#"{"x":0}"#);
    let mut sensor = host.device("sensor-1");
    sensor.publish(&state("sensor-1"), r#"{"x":1}"#);
    sensor.publish(&state("sensor-1"), r#"{"x":2}"#);
    report.message_with(r#"{"of":"sensor-1","state":{"x":2},"version":2}"#);
    assert!(texts(&report).iter().all(|text| !text.contains("other-1")), "{:?}", texts(&report));
}

#[test]
fn a_plugin_patches_desired_and_reads_the_twin() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    create(&admin, "report");
    let report = subscriber(&host, Session::new("report"));
    order(
        &host,
        &json!([
            {"patch": {"device": "lamp-1", "patch": {"on": true, "level": 3}}},
            {"patch": {"device": "lamp-1", "patch": {"level": null}, "expected": 1}},
        ]),
    );
    until("the patches", || (twin(&admin, "lamp-1")["desiredVersion"] == "2").then_some(()));
    order(&host, &json!([{"twin": {"device": "lamp-1"}}]));
    report.message_with(r#"{"desired":{"on":true},"differs":["/on"],"version":2}"#);
    // A version that is not in force: none of the event's effects.
    order(
        &host,
        &json!([
            {"patch": {"device": "lamp-1", "patch": {"level": 9}}},
            {"patch": {"device": "lamp-1", "patch": {"on": false}, "expected": 2}},
        ]),
    );
    host.logged(&["deputy", "version 3 is in force"]);
    assert_eq!(twin(&admin, "lamp-1")["desired"], json!({"on": true}));
}

#[test]
fn a_plugin_that_asks_for_what_is_in_force_makes_no_version_and_explain_says_so() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    let lamp = subscriber(&host, Session::new("lamp-1"));
    let patch = json!([{"patch": {"device": "lamp-1", "patch": {"level": 40}, "expected": 0}}]);
    order(&host, &patch);
    lamp.message_with(r#"{"level":40}"#);
    let same = json!([
        {"patch": {"device": "lamp-1", "patch": {"level": 4e1}}},
        {"patch": {"device": "lamp-1", "patch": {}, "expected": 1}},
        {"patch": {"device": "lamp-1", "patch": {"on": true}, "expected": 1}},
        {"patch": {"device": "lamp-1", "patch": {"on": true}, "expected": 2}},
    ]);
    order(&host, &same);
    lamp.message_with("true");
    assert_eq!(texts(&lamp), [r#"{"level":40}"#, r#"{"level":40,"on":true}"#]);
    assert_eq!(twin(&admin, "lamp-1")["desiredVersion"], "2");
    let events = admin.get("/v1/events?device=boss&kind=telemetry").ok();
    let event = events["events"][0]["id"].as_str().unwrap().to_owned();
    let why = admin.get(&format!("/v1/explain/{event}")).ok()["text"].as_str().unwrap().to_owned();
    let in_force = r#"config version 1 for lamp-1: {"level":40} → in force already, so nothing changed"#;
    assert_eq!(why.matches(in_force).count(), 2, "{why}");
    let made = r#"config version 2 for lamp-1: {"level":40,"on":true} → "#;
    assert_eq!((why.matches(made).count(), why.matches("nothing changed").count()), (2, 3), "{why}");
}
