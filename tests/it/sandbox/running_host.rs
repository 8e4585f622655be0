//! The fake host of native tests gives the same answers as a host that runs, with its registry, its connections and its journal. The
//! devices and calls are fewer than those of `same_answers`, because each event waits for the journal.

use caller::{Asks, Call as Asked, Caller};
use proptest::{collection::vec, prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use switchbox_plugin::{serde_json, testing::Harness};
use switchbox_tests::{HostFolder, InProcess, until};

use super::asked;

/// Events that the plugin gets.
const EVENTS: usize = 60;

/// A method that is called takes time, and has no answer on the fake host. What is rejected has no execution.
fn is_for_both(call: &Asked) -> bool {
    match call {
        Asked::Method { device, .. } => !["lamp-1", "pump"].contains(&device.as_str()),
        call => !matches!(call, Asked::Reject(_)),
    }
}

/// Without what each host numbers or measures in its own way.
fn comparable(line: &str) -> &str {
    let is_command = line.contains(".caller.") || line.contains(".plugin-under-test.");
    if is_command { "a command's id" } else { line }
}

/// What the running host logged for the newest event, after so many earlier ones.
fn logged(host: &InProcess, before: usize) -> Vec<String> {
    let admin = host.admin();
    until("the execution", || {
        let found = admin.get("/v1/executions?plugin=caller&pageSize=1000").ok();
        let found = found["executions"].as_array().unwrap();
        (found.len() > before).then(|| serde_json::from_value(found[0]["logs"].clone()).unwrap_or_default())
    })
}

#[test]
fn a_running_host_answers_as_the_fake_host_does() {
    let mut fake = Harness::<Caller>::new(Asks::default()).unwrap();
    fake.device("switch-1").device("lamp-1").device("pump").offline_device("lamp-2").unsubscribed_device("lamp-3");
    let host_folder = HostFolder::new();
    host_folder.plugin("caller.toml", "[limits]\ndeadline = \"30s\"\n");
    host_folder.plugin("caller.wasm", std::fs::read(env!("GUEST_CALLER")).unwrap());
    let host = host_folder.start_in_process();
    host.admin().wait_plugin("caller", "it runs", |plugin| plugin["state"] == "running");
    drop(host.device("lamp-2"));
    let (mut switch, mut lamp) = (host.device("switch-1"), host.device("lamp-1"));
    let _idle = (host.device("pump"), host.device("lamp-3"));
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    let is_offline = || host.admin().get(&switchbox_tests::Admin::device_path("lamp-2", "")).ok()["connected"] != true;
    until("lamp-2 is gone", || is_offline().then_some(()));

    let mut runner = TestRunner::deterministic();
    let events = vec(asked::calls(), EVENTS).new_tree(&mut runner).unwrap().current();
    for (before, mut calls) in events.into_iter().enumerate() {
        calls.retain(is_for_both);
        let payload = serde_json::to_vec(&calls).unwrap();
        let lines = fake.logs().len();
        fake.at(switchbox_support::clock::now_ms());
        let _ = fake.telemetry("switch-1", &payload);
        let faked: Vec<_> = fake.logs().into_iter().skip(lines).map(|(_, text)| text).collect();
        switch.event(payload);
        let answered = logged(&host, before);
        let answered: Vec<_> =
            answered.iter().map(|line| line.split_once(": ").map_or(&**line, |(_, text)| text)).collect();
        let shown = |lines: &[&str]| lines.iter().map(|line| comparable(line).to_owned()).collect::<Vec<_>>();
        let faked: Vec<_> = faked.iter().map(String::as_str).collect();
        assert_eq!(shown(&faked), shown(&answered), "{before}: {calls:?}");
    }
    host.stop();
}
