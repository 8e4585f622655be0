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
fn effects_that_would_wait_for_approval_are_said_to() {
    let device = json!({"metadata": {"night-restart": "true"}});
    let case = json!({"world": {"devices": {"lamp-1": device, "lamp-2": device}}, "events": [{"data": {"timer": {"name": "night"}}}]});
    let limited = |most| run_case("night-restart", &format!("[limits]\nmax-targets-per-event = {most}\n"), &case);
    let (free, waits) = (limited(2), limited(1));
    assert_eq!((free[0].effects.len(), &free[0].approval), (2, &None));
    let why = "limits.max-targets-per-event: 2 targets; up to 1 need no approval; max-targets-per-event = 2 under [limits] of its .toml raises it";
    assert_eq!(waits[0].approval.as_deref(), Some(why));
    assert!(golden(&waits).contains(why) && !golden(&free).contains("approval"));
    assert_eq!(differences(&free, &waits), [format!("event 1: expected no approval, was {why}")]);
}

#[test]
fn settings_that_a_host_would_refuse_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        let component =
            offline::load(Bytes::from_static(switchbox_builtins::find("thermostat").unwrap())).await.unwrap();
        let case = serde_json::from_value(json!({"settings": {"temperature": 500}, "events": []})).unwrap();
        let name = PluginName::new("thermostat").unwrap();
        run(&component, &name, &PluginSettings::default(), case).await.unwrap_err().to_string()
    });
    assert!(error.contains("temperature is 500, and must be at most 100"), "{error}");
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

#[test]
fn the_text_of_a_failure_is_not_compared_and_every_other_outcome_is() {
    let with = |outcome| [EventResult { outcome, ..EventResult::default() }];
    let failed = |line: u32| with(Some(OutcomeLine::Failed(format!("trap at rule.js:{line}"))));
    assert_eq!(differences(&failed(3), &failed(4)), Vec::<String>::new());
    for (expected, actual, text) in [
        (failed(3), with(Some(OutcomeLine::Done)), "event 1: expected failed: trap at rule.js:3, was done"),
        (failed(3), with(None), "event 1: expected failed: trap at rule.js:3, was not seen"),
        (
            with(Some(OutcomeLine::Reject("a".into()))),
            with(Some(OutcomeLine::Reject("b".into()))),
            "event 1: expected reject: a, was reject: b",
        ),
    ] {
        assert_eq!(differences(&expected, &actual), [text]);
    }
}

#[test]
fn an_event_without_data_is_refused() {
    let error = serde_json::from_str::<Case>(r#"{"events": [{"device": "lamp-1"}]}"#).unwrap_err().to_string();
    assert!(error.starts_with("missing field `data`"), "{error}");
    let case: Case = serde_json::from_str(r#"{"events": [{"device": "lamp-1", "data": "connected"}]}"#).unwrap();
    let [event] = &case.events[..] else { panic!("{case:?}") };
    assert_eq!((event.number, event.time_ms, event.attempt), (0, 0, 1));
}
