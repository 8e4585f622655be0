//! Cases with built-in plugins.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::offline;

fn run_case(builtin: &str, settings: &str, case: &Value) -> Vec<EventResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bytes = Bytes::from_static(switchbox_builtins::find(builtin).unwrap());
        let component = offline::load(bytes).await.unwrap();
        let case = serde_json::from_value(case.clone()).unwrap();
        let settings = PluginSettings::parse(settings).unwrap();
        run(&component, &PluginName::new(builtin).unwrap(), &settings, case).await.unwrap()
    })
}

fn switch(state: &str) -> Value {
    json!({"device": "switch-1", "data": {"telemetry": {"payload": {"json": {"state": state}}}}})
}

#[test]
fn a_case_runs_with_the_hosts_own_triggers_and_grants() {
    let other = json!({"device": "door-1", "data": {"telemetry": {"payload": "x"}}});
    let case = json!({"world": {"devices": {"lamp-1": {}}}, "events": [switch("awake"), other]});
    let result = run_case("switch-wakes-device", "", &case);
    assert_eq!(result[0].outcome, Some(OutcomeLine::Done));
    assert_eq!(result[1].outcome, None, "its triggers do not match");
    let written = golden(&result);
    assert!(written.contains("\"json\": {"), "{written}");
    let expected: Vec<EventResult> = serde_json::from_str(&written).unwrap();
    assert_eq!(differences(&expected, &result), [""; 0]);

    let denied = run_case("switch-wakes-device", "[grants]\nconfig = [\"lamp-2\"]\n", &case);
    let found = differences(&expected, &denied);
    assert!(found[0].starts_with("event 1: expected done, was reject: denied"), "{found:?}");
    assert!(
        found[1].starts_with("event 1, effect 1: expected config lamp-1 {\"state\":\"awake\"}, was none"),
        "{found:?}"
    );
}

#[test]
fn what_an_event_wanted_is_done_for_the_next_one() {
    let moved = |ms: u64| json!({"timeMs": ms, "device": "motion-1", "data": {"telemetry": {"payload": {"json": {"motion": true}}}}});
    let fired = json!({"timeMs": 60_000, "data": {"timer": {"name": "motion-1"}}});
    let case = json!({"events": [moved(1), moved(2), fired]});
    let result = run_case("motion-alert", "", &case);
    let publishes =
        |run_case: &EventResult| run_case.effects.iter().filter(|e| matches!(e, EffectLine::Publish { .. })).count();
    assert_eq!(result.iter().map(publishes).collect::<Vec<_>>(), [1, 0, 1], "{result:#?}");
    let shown = result[2].effects.iter().map(EffectLine::to_text).collect::<String>();
    assert!(shown.contains(r#"{"movements":1,"sensor":"motion-1","time":2}"#), "{shown}");
}

#[test]
fn methods_have_the_answers_of_the_case() {
    let ask = json!({"data": {"topic": {"topic": "garage/door-1/request", "payload": "{\"action\":\"open\"}"}}});
    let answer = json!({"device": "door-1", "method": "open", "payload": {"json": {"door": "open"}}});
    let case = json!({"world": {"devices": {"door-1": {}}, "methods": [answer]}, "events": [ask]});
    let result = run_case("garage-door", "", &case);
    assert_eq!(result[0].methods.len(), 1);
    let mut other = result.clone();
    other[0].methods.clear();
    let found = differences(&other, &result);
    assert!(
        found[0].contains("expected the calls [], were [{\"call\":\"method.call\",\"device\":\"door-1\""),
        "{found:?}"
    );
    assert!(result[0].effects[0].to_text().contains("\"answer\":{\"door\":\"open\"}"), "{result:#?}");
}
