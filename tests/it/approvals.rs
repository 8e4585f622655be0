//! Effects beyond a plugin's limits of targets wait for an operator, visibly and over a restart, and nothing else waits with them.

use serde_json::{Value, json};
use switchbox_tests::{Admin, HostFolder, Process, limited_scripted_plugin, until};

/// A scripted plugin that gives each of these devices the event as its config.
fn host_folder(limits: &str, devices: u32) -> HostFolder {
    let host_folder = HostFolder::new();
    let actions: Vec<_> = (0..devices).map(|n| format!("{{ config = {{ device = \"lamp-{n}\" }} }}")).collect();
    limited_scripted_plugin(&host_folder, "fleet", ("telemetry", "switch-*"), limits, &actions.join(", "));
    host_folder
}

fn waiting(host: &Process, count: usize) -> Vec<Value> {
    until("effects to wait", || {
        let found = host.admin().get("/v1/approvals").ok()["approvals"].as_array().unwrap().clone();
        (found.len() == count).then_some(found)
    })
}

fn version(host: &Process, lamp: &str) -> Value {
    let configs = host.admin().get(&Admin::device_path(lamp, "/configVersions")).ok();
    configs["deviceConfigs"][0]["version"].clone()
}

#[test]
fn effects_on_too_many_targets_wait_for_an_operator_also_over_a_restart() {
    let host_folder = host_folder("max-targets-per-event = 3", 5);
    let host = host_folder.start();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    (0..5).for_each(|n| drop(host.device(&format!("lamp-{n}"))));
    let mut switch = host.device("switch-1");
    (0..3).for_each(|n| switch.event(format!("on {n}")));
    let found = waiting(&host, 3);
    assert_eq!((&found[0]["targets"], &found[0]["effectCount"]), (&json!(5), &json!(5)), "{found:?}");
    let why = "limits.max-targets-per-event: 5 targets; up to 3 need no approval; max-targets-per-event = 6 under [limits] of its .toml raises it";
    assert_eq!(found[0]["why"], why);
    let ids: Vec<_> = found.iter().map(|approval| approval["id"].as_str().unwrap().to_owned()).collect();
    let plugin = host.admin().plugin("fleet").unwrap();
    assert_eq!((&plugin["waitingForApproval"], &plugin["counters"]["done"]), (&json!(3), &json!(0)), "{plugin}");
    assert_eq!(version(&host, "lamp-0"), Value::Null, "nothing has happened");
    let text = host.cli(&host_folder, &["approvals", "show", &ids[0]]);
    assert!(text.contains("config lamp-4 on 0"), "{text}");
    for id in [&*ids[0], ids[0].split_once('.').unwrap().0] {
        let text = host.cli(&host_folder, &["explain", id]);
        let waits = "plugin fleet handled it, and its effects (5) wait for approval since";
        assert!(text.contains(waits) && !text.contains("no plugin has handled it"), "{text}");
    }
    let _ = host.cli(&host_folder, &["approvals", "approve", &ids[0]]);
    assert_eq!([version(&host, "lamp-0"), version(&host, "lamp-4")], ["1", "1"]);
    let text = host.cli(&host_folder, &["explain", &ids[0]]);
    assert!(text.contains("approved by"), "{text}");
    let _ = host.cli(&host_folder, &["approvals", "reject", &ids[1], "--reason", "the wrong floor"]);
    let dead_letters = host.admin().dead_letters();
    assert!(dead_letters[0]["error"].as_str().unwrap().contains("the wrong floor"), "{dead_letters:?}");
    let none = host.admin().post(&format!("/v1/approvals/{}:approve", ids[1]), &json!({}));
    assert_eq!(none.status, 404);
    host.kill();

    // What was decided stays so, and what was not waits again under its name.
    let host = host_folder.start();
    let found = waiting(&host, 1);
    assert_eq!(found[0]["id"], ids[2].as_str());
    assert_eq!((version(&host, "lamp-0"), host.admin().dead_letters().len()), (json!("1"), 1));
    let _ = host.admin().post(&format!("/v1/approvals/{}:approve", ids[2]), &json!({})).ok();
    assert_eq!(version(&host, "lamp-0"), "2");
    host.kill();
    let host = host_folder.start();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    assert_eq!((version(&host, "lamp-0"), waiting(&host, 0).len()), (json!("2"), 0));
    host.stop();
}

#[test]
fn a_plugin_that_reaches_new_targets_too_fast_waits_and_may_use_its_known_ones() {
    let host_folder = HostFolder::new();
    let limits = "max-new-targets-per-minute = 2";
    limited_scripted_plugin(&host_folder, "echo", ("telemetry", "switch-*"), limits, "{ config = {} }");
    let host = host_folder.start();
    host.admin().wait_plugin("echo", "to run", |plugin| plugin["state"] == "running");
    let mut switches: Vec<_> = (0..5).map(|n| host.device(&format!("switch-{n}"))).collect();
    switches.iter_mut().for_each(|switch| switch.event("one"));
    let some = until("some to wait", || {
        let found = host.admin().get("/v1/approvals").ok()["approvals"].as_array().unwrap().clone();
        (!found.is_empty()).then_some(found)
    });
    let why = some[0]["why"].as_str().unwrap();
    let line = "; max-new-targets-per-minute = 4 under";
    assert!(why.contains("new targets within a minute") && why.contains(line), "{why}");
    host.admin().wait_plugin("echo", "to see all", |plugin| {
        plugin["counters"]["done"].as_u64().unwrap() + plugin["waitingForApproval"].as_u64().unwrap_or(0) == 5
    });
    // Instances work side by side, so any of the switches can be the first.
    let name = |number: usize| format!("switch-{number}");
    let known = until("a target to be known", || (0..5).find(|number| version(&host, &name(*number)) == "1"));
    switches[known].event("two");
    until("the effect on the known target to be committed", || (version(&host, &name(known)) == "2").then_some(()));
    host.stop();
}

/// What the plugin wants to publish, as the approval shows it.
fn published(approval: &Value) -> Vec<String> {
    let effects = approval["effects"].as_array().unwrap().iter();
    effects.map(|effect| effect["publish"]["payload"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_method_call_past_the_limit_of_targets_is_refused_and_called_devices_count() {
    let host_folder = HostFolder::new();
    let call = |n| format!("{{ method = {{ device = \"lamp-{n}\", name = \"dim\", report = \"out/x\" }} }}");
    let actions = [call(0), call(0), call(1), call(2)].join(", ");
    limited_scripted_plugin(&host_folder, "fleet", ("telemetry", "switch-*"), "max-targets-per-event = 2", &actions);
    let host = host_folder.start();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    (0..3).for_each(|n| drop(host.device(&format!("lamp-{n}"))));
    host.device("switch-1").event("on");
    // It has called one lamp when the topic is its second target, so the calls of the others are refused.
    let plugin = host.admin().wait_plugin("fleet", "to handle it", |plugin| plugin["counters"]["done"] == 1);
    assert_eq!(plugin["limitsHit"]["max-targets-per-event"], 1, "{plugin}");
    let called = until("its calls to be written", || {
        let called = host.admin().get("/v1/methodCalls?plugin=fleet").ok()["methodCalls"].as_array().unwrap().clone();
        (!called.is_empty()).then_some(called)
    });
    let to_it = |call: &Value| call["device"].as_str().unwrap().ends_with("lamp-0");
    assert!(called.len() == 2 && called.iter().all(to_it), "{called:?}");

    // Effects that exceed the limit together with the called devices wait.
    limited_scripted_plugin(&host_folder, "fleet", ("telemetry", "switch-*"), "max-targets-per-event = 1", &call(1));
    host.admin()
        .wait_plugin("fleet", "to have another limit", |plugin| !plugin["settings"].to_string().contains("lamp-0"));
    host.device("switch-2").event("on");
    let found = waiting(&host, 1);
    let why = found[0]["why"].as_str().unwrap();
    assert!(why.contains("2 targets, with 1 devices whose methods it called"), "{why}");
    host.stop();
}

#[test]
fn a_plugin_that_calls_new_devices_too_fast_is_refused() {
    let host_folder = HostFolder::new();
    let call =
        |n| format!("{{ method = {{ device = \"lamp-{n}\", name = \"dim\", timeout-ms = 300, report = \"out/x\" }} }}");
    let actions = [call(0), call(1), call(0), call(2)].join(", ");
    let limits = "max-new-targets-per-minute = 2";
    limited_scripted_plugin(&host_folder, "fleet", ("telemetry", "switch-*"), limits, &actions);
    let host = host_folder.start();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    let mut lamps: Vec<_> = (0..3).map(|n| host.device(&format!("lamp-{n}"))).collect();
    for (n, lamp) in lamps.iter_mut().enumerate() {
        assert!(lamp.subscribe(&format!("/devices/lamp-{n}/methods/#")));
    }
    host.device("switch-1").event("on");
    // The lamps do not answer. The topic of the reports is one new target too many, so they wait.
    let found = waiting(&host, 1);
    let texts = published(&found[0]);
    assert!(texts.len() == 4 && !texts[..3].iter().any(|text| text.contains("the limit")), "{texts:?}");
    assert!(texts[3].contains("max-new-targets-per-minute") && texts[3].contains("3 new targets"), "{texts:?}");
    let called = host.admin().get("/v1/methodCalls?plugin=fleet").ok();
    assert_eq!(called["methodCalls"].as_array().unwrap().len(), 3, "{called}");
    assert!(lamps[2].seen().messages.is_empty(), "nothing was sent to it");
    let plugin = host.admin().plugin("fleet").unwrap();
    assert_eq!(plugin["limitsHit"]["max-new-targets-per-minute"], 2, "the call, and the effects: {plugin}");
    host.stop();
}

#[test]
fn an_event_that_waits_when_its_plugin_is_disabled_is_a_dead_letter_and_can_be_handled_later() {
    let host_folder = host_folder("max-targets-per-event = 1", 2);
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    (0..2).for_each(|n| drop(host.device(&format!("lamp-{n}"))));
    host.device("switch-1").event("on");
    let id = waiting(&host, 1)[0]["id"].clone();
    let switch = |verb: &str, state: &str| {
        let answer = admin.post(&format!("/v1/plugins/fleet:{verb}"), &json!({})).ok();
        assert_eq!(answer["state"], state);
    };
    switch("disable", "disabled");
    assert_eq!(waiting(&host, 0).len(), 0);
    let dead_letters = admin.dead_letters();
    let error = dead_letters[0]["error"].as_str().unwrap();
    assert!(dead_letters.len() == 1 && error.contains("the plugin was disabled"), "{dead_letters:?}");
    host.logged(&["fleet", "the plugin was disabled before it had handled the event", "dead-letters redrive"]);
    host.kill();
    let host = host_folder.start();
    assert_eq!(host.admin().dead_letters(), dead_letters, "it is on the disk");
    let _ = host.admin().post("/v1/plugins/fleet:enable", &json!({})).ok();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    let _ = host.cli(&host_folder, &["dead-letters", "redrive", "--plugin", "fleet"]);
    assert_eq!(waiting(&host, 1)[0]["id"], id);
    host.stop();
}
