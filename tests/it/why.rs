//! Explanations by the API and on the command line: why did this lamp turn on?

mod follow;

use std::ffi::OsStr;

use serde_json::Value;
use switchbox_tests::{Admin, Device, HOSTILE, HostFolder, Process, config, until};

const WAKE: &str = "component = \"builtin:switch-wakes-device\"\n[limits]\ndeadline = \"30s\"\n";
const AWAKE: &str = r#"{"state":"awake"}"#;

/// What `switchbox` prints with these arguments.
fn run(host_folder: &HostFolder, host: &Process, arguments: &[&str]) -> String {
    let (admin, data) = (host.admin(), host_folder.data());
    let all = arguments.iter().copied().chain(["--admin", admin.base(), "--data", data.to_str().unwrap()]);
    let mut command = Process::run(host_folder, all.map(OsStr::new));
    assert!(command.wait().success(), "{arguments:?}: {}", command.log());
    command.output()
}

fn why(admin: &Admin, id: &str) -> String {
    admin.get(&format!("/v1/explain/{id}")).ok()["text"].as_str().unwrap().to_owned()
}

/// The newest of what the API lists there.
fn newest(admin: &Admin, list: &str, field: &str) -> Value {
    admin.get(list).ok()[field][0].clone()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn readable(time: &str) -> String {
    time.replace('T', " ").replace('Z', " UTC")
}

fn lamp(host: &Process) -> Device {
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    lamp
}

/// The config version's life in one: its payload, and how long the device took.
fn acknowledged(admin: &Admin, version: &str) -> Value {
    until("the config to be acknowledged", || {
        let found = newest(admin, &Admin::device_path("lamp-1", "/configVersions"), "deviceConfigs");
        (found["version"] == version && found["deviceAckTime"].is_string()).then_some(found)
    })
}

/// The part of a line between these.
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split_once(before).and_then(|(_, rest)| rest.split_once(after)).expect("not in the text").0
}

#[test]
fn why_a_lamp_turned_on_is_explained_exactly_also_after_a_restart() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    host_folder.plugin("other.toml", format!("{WAKE}[[trigger]]\nevent = \"connected\"\n"));
    let host = host_folder.start();
    let admin = host.admin();
    let lamp = lamp(&host);
    host.device("switch-1").event(AWAKE);
    lamp.message("the config", |message| message.topic == config("lamp-1"));
    let version = acknowledged(&admin, "1");

    let event = newest(&admin, "/v1/events?device=switch-1&kind=telemetry", "events");
    let id = text(&event, "id");
    let execution = newest(&admin, &format!("/v1/executions?plugin=wake&event={id}"), "executions");
    let digest = text(&execution, "digest").get(..19).unwrap();
    let chain_text = why(&admin, "lamp-1@1");
    let later = between(&chain_text, "acknowledged ", " later");
    let chain = format!(
        "switch-1 sent {AWAKE} at {} (event {id})\n\
         → plugin wake ({digest}…, execution {id}.wake, {} µs)\n\
         → config version 1 for lamp-1: {AWAKE} → sent → acknowledged {later} later\n",
        readable(text(&event, "time")),
        execution["tookUs"],
    );
    assert_eq!(chain_text, chain);
    assert!(later.ends_with("s") && text(&version, "deviceAckTime") >= text(&version, "cloudUpdateTime"));

    // The same object by all its names, and on the command line.
    let full = "projects/local/locations/local/registries/default/devices/lamp-1/configVersions/1";
    for id in ["lamp-1", full, &format!("{id}.wake"), &format!("{id}.wake.0"), id] {
        let same = why(&admin, id);
        assert_eq!(same.replace("  →", "→"), chain, "{id}");
        assert_eq!(run(&host_folder, &host, &["explain", id]).trim_end(), same.trim_end());
    }
    let unknown = admin.get("/v1/explain/what%20is%20this");
    assert_eq!(unknown.status, 400);
    assert!(text(&unknown.body["error"], "message").contains("lamp-1@7"), "{unknown:?}");

    host.stop();
    let host = host_folder.start();
    assert_eq!(why(&host.admin(), "lamp-1@1"), chain);
    host.stop();
}

#[test]
fn a_method_call_and_a_command_lead_back_to_the_event_that_they_were_made_for() {
    let host_folder = HostFolder::new();
    host_folder.plugin("hostile.wasm", std::fs::read(HOSTILE).unwrap());
    host_folder.plugin("hostile.toml", "[limits]\ndeadline = \"30s\"\n");
    let host = host_folder.start();
    let admin = host.admin();
    let mut lamp = lamp(&host);
    drop(host.device("report"));
    assert!(lamp.subscribe("/devices/lamp-1/methods/#"));
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    let mut switch = host.device("switch-1");

    switch.event("method lamp-1");
    let call = lamp.message("the call", |message| message.topic.contains("/methods/blink/request/"));
    let answer = call.topic.replace("/request/", "/response/") + "/207";
    lamp.publish(&answer, "done");
    let execution = until("the execution", || {
        Some(newest(&admin, "/v1/executions?plugin=hostile", "executions")).filter(|found| !found.is_null())
    });
    let event = text(&execution, "event").to_owned();
    let chain_text = why(&admin, &format!("{event}.hostile.m0"));
    assert!(chain_text.starts_with("switch-1 sent method lamp-1 at "), "{chain_text}");
    assert!(
        chain_text.contains("\n→ method blink of lamp-1 called with 3 at ")
            && chain_text.contains("→ answered 207 done"),
        "{chain_text}"
    );
    // The event shows the call beside the effect.
    let chain_text = why(&admin, &event);
    assert!(
        chain_text.contains("  → method blink of lamp-1") && chain_text.contains("  → config version 1 for report"),
        "{chain_text}"
    );

    switch.event("command lamp-1");
    lamp.message("the command", |message| message.topic.contains("/commands/"));
    let event = until("the execution", || {
        let found = newest(&admin, "/v1/executions?plugin=hostile", "executions");
        (text(&found, "event") != event).then(|| text(&found, "event").to_owned())
    });
    let id = format!("{event}.hostile.0");
    let chain_text = until("the command to be acknowledged", || {
        Some(why(&admin, &id))
            .filter(|chain_text| chain_text.contains("acknowledged") && !chain_text.contains("not acknowledged"))
    });
    assert!(chain_text.starts_with("switch-1 sent command lamp-1 at "), "{chain_text}");
    assert!(
        chain_text.contains(&format!("\n→ command {id} for lamp-1 on a/b: go → sent → acknowledged ")),
        "{chain_text}"
    );
    host.stop();
}

#[test]
fn dead_letters_are_looked_at_driven_again_and_thrown_away() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    let admin = host.admin();
    let mut switch = host.device("switch-1");
    // The same content as before would make no version.
    for payload in [AWAKE, &AWAKE.replace("awake", "asleep"), AWAKE] {
        switch.event(payload);
    }
    until("the dead letters", || (admin.dead_letters().len() == 3).then_some(()));
    let list = run(&host_folder, &host, &["dead-letters", "list", "--plugin", "wake"]);
    assert!(
        list.starts_with("LETTER") && list.contains("unknown device: lamp-1") && list.lines().count() == 4,
        "{list}"
    );
    assert_eq!(run(&host_folder, &host, &["dead-letters", "list", "--plugin", "other"]).lines().count(), 1);
    let one = run(&host_folder, &host, &["dead-letters", "show", "1"]);
    assert!(one.contains(AWAKE) && one.contains("sha256:"), "{one}");
    assert!(why(&admin, "deadLetters/1").contains("unknown device: lamp-1 → dead letter 1"));

    // The missing part exists now.
    let lamp = lamp(&host);
    let chain_text = run(&host_folder, &host, &["dead-letters", "redrive", "--plugin", "wake"]);
    assert_eq!(chain_text.trim(), "3 dead letters are being handled again");
    until("the letters to go", || admin.dead_letters().is_empty().then_some(()));
    lamp.message_with("awake");
    let version = newest(&admin, &Admin::device_path("lamp-1", "/configVersions"), "deviceConfigs");
    assert_eq!(version["version"], "3", "each was handled once");
    assert!(why(&admin, "lamp-1@3").starts_with(&format!("switch-1 sent {AWAKE} at ")));

    for _ in 0..2 {
        switch.event("no JSON");
    }
    until("the dead letters", || (admin.dead_letters().len() == 2).then_some(()));
    assert_eq!(run(&host_folder, &host, &["dead-letters", "purge", "4"]).trim(), "dead letter 4 is gone");
    assert_eq!(run(&host_folder, &host, &["dead-letters", "purge", "--all"]).trim(), "1 dead letters are gone");
    assert!(admin.dead_letters().is_empty());
    host.stop();
}

#[test]
fn what_explains_a_document_outlives_the_journal() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start_with(&["--journal-keep-bytes", "0"]);
    let admin = host.admin();
    let lamp = lamp(&host);
    host.device("switch-1").event(AWAKE);
    lamp.message_with("awake");
    acknowledged(&admin, "1");
    let before = why(&admin, "lamp-1");
    let event = text(&newest(&admin, "/v1/events?device=switch-1&kind=telemetry", "events"), "id").to_owned();

    // The journal continues in another file, and the first one is deleted.
    let first = host_folder.data().join("log/00000000000000000000.log");
    assert!(first.is_file());
    let mut filler = host.device("filler");
    until("the first file of the journal to go", || {
        (0..10).for_each(|_| filler.event("x".repeat(250 * 1024)));
        (!first.exists()).then_some(())
    });
    let events = admin.get("/v1/events?pageSize=1000&device=switch-1").ok();
    assert_eq!(events["events"], serde_json::json!([]), "the event is still in the journal");

    let after = |admin: &Admin| {
        assert_eq!(why(admin, "lamp-1"), before);
        assert!(why(admin, &event).contains("→ plugin wake"));
        let executions = admin.get("/v1/executions?plugin=wake&interesting=true").ok();
        assert_eq!(executions["executions"].as_array().unwrap().len(), 1, "{executions}");
    };
    after(&admin);
    host.stop();
    let host = host_folder.start();
    after(&host.admin());
    host.stop();
}
