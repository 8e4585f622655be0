//! The plugin folder of a running host: valid plugins run, invalid files are named and harm nothing, and neither a swap nor a
//! hostile plugin costs another one's events.

mod consent;
mod guard;
mod hostile;
mod lifecycle;
mod migration;
mod versions;

use std::{
    fs::{self, File},
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use rumqttc::QoS;
use serde_json::json;
use switchbox_model::Outcome;
use switchbox_tests::{
    COUNTER, Device, HOSTILE, HostFolder, Journal, Process, component_of, config, events, stamped, until,
};

fn counter() -> Vec<u8> {
    fs::read(COUNTER).unwrap()
}

/// Settings for the counter. The deadline leaves room for a busy machine.
fn counting(marker: &str, more: &str) -> String {
    format!("[limits]\ndeadline = \"30s\"\n[settings]\nmarker = \"{marker}\"\n{more}\n")
}

/// A source, and the target that gets its count.
struct Pair {
    source: Device,
    tally: Device,
}

impl Pair {
    fn new(host: &Process, source: &str) -> Self {
        let mut tally = host.device(&format!("tally-{source}"));
        tally.subscribe_config();
        Self { source: host.device(source), tally }
    }

    /// Publishes an event and waits for the resulting config.
    fn round_trip(&mut self, text: &str) -> String {
        self.source.event(text);
        self.tally.message_with(&format!(r#""text":"{text}""#)).text()
    }
}

fn expected(marker: &str, count: u64, text: &str) -> String {
    format!(r#"{{"marker":"{marker}","count":{count},"text":"{text}"}}"#)
}

#[test]
fn files_come_change_and_go() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    assert!(admin.plugin("counter").is_none());
    pair.source.event("before there was a plugin");

    host_folder.plugin("counter.wasm", counter());
    host.logged(&["counter", "in force"]);
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("a"), expected("", 1, "a"));

    // Other settings with the same component; the plugin's state is kept.
    host_folder.plugin("counter.toml", counting("edited", ""));
    admin.wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("edited"));
    assert_eq!(pair.round_trip("b"), expected("edited", 2, "b"));

    // Another component under the same name.
    host_folder.plugin("counter.wasm", stamped(&counter(), "two"));
    let second = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != first["digest"]);
    assert_eq!(pair.round_trip("c"), expected("edited", 3, "c"));

    // Switched off, and on again: what came meanwhile is not for it.
    host_folder.plugin("counter.toml", format!("enabled = false\n{}", counting("edited", "")));
    admin.wait_plugin("counter", "to be disabled", |plugin| plugin["state"] == "disabled");
    pair.source.event("while it was off");
    host_folder.plugin("counter.toml", counting("on again", ""));
    admin.wait_plugin("counter", "to run again", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("d"), expected("on again", 4, "d"));

    host_folder.remove_plugin("counter.wasm");
    host_folder.remove_plugin("counter.toml");
    host.logged(&["counter", "removed"]);
    assert!(admin.plugin("counter").is_none());
    pair.source.event("after it was removed");
    host.stop();

    let (journal, _) = Journal::open(&host_folder);
    let executions = journal.executions_of("counter");
    let handled: Vec<_> = journal.telemetry().filter(|(event, _)| executions.contains_key(&event.seq)).collect();
    assert_eq!(handled.iter().map(|(_, payload)| payload.as_ref()).collect::<Vec<_>>(), [b"a", b"b", b"c", b"d"]);
    assert_eq!(executions[&handled[3].0.seq][0].digest, second["digest"]);
}

#[test]
fn what_is_no_good_is_named_and_what_ran_before_runs_on() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let store = r#"(component (import "wasi:keyvalue/store@0.2.0" (instance)))"#;
    let old = r#"(component (component $c) (instance $i (instantiate $c))
        (export "switchbox:plugin/handler@0.2.0" (instance $i)))"#;
    let half = &counter()[..100_000];
    let mut count = 0;
    for (file, content, expect) in [
        ("counter.wasm", b"#!/bin/sh\n".to_vec(), "does not begin with"),
        ("counter.wasm", wat("(module)"), "wasm32-wasip2"),
        ("counter.wasm", wat(store), "wasi:keyvalue/store@0.2.0"),
        ("counter.wasm", wat("(component)"), "does not export"),
        ("counter.wasm", wat(old), "switchbox:plugin/handler@0.2.0"),
        ("counter.wasm", half.to_vec(), "ends in the middle of a section"),
        ("counter.toml", b"colour = \"red\"".to_vec(), "colour: is not a key"),
        ("counter.toml", b"[settings]\ncolour = \"red\"".to_vec(), "unknown field `colour`"),
        ("counter.toml", b"[settings]\nrefuse = true".to_vec(), "told to refuse"),
        ("counter.toml", b"[limits]\ndeadline = \"soon\"".to_vec(), "limits.deadline"),
        ("counter.toml", b"enabled = ".to_vec(), "line 1 is not TOML"),
        ("counter.toml", b"component = \"builtin:nothing\"".to_vec(), "there is no builtin:nothing"),
        ("counter.toml", b"component = \"elsewhere.wasm\"".to_vec(), "there is no elsewhere.wasm"),
        ("counter.toml", vec![b'#'; 256 * 1024 + 1], "the limit \"settings-file-bytes\" is 262144"),
        (
            "counter.toml",
            "[[trigger]]\nevent = \"telemetry\"\n".repeat(257).into_bytes(),
            "the limit \"triggers\" is 256",
        ),
    ] {
        host_folder.plugin(file, &content);
        let shown = admin.wait_plugin("counter", expect, |plugin| {
            plugin["lastError"].as_str().is_some_and(|error| error.contains(expect))
        });
        assert_eq!(shown["state"], "running", "{expect}");
        host.logged(&["ERROR", "counter", expect, "the version before keeps running"]);
        count += 1;
        assert_eq!(pair.round_trip(&format!("n{count}")), expected("good", count, &format!("n{count}")));
        // Repaired: the error is no longer shown.
        let valid = if file == "counter.wasm" { counter() } else { counting("good", "").into_bytes() };
        host_folder.plugin(file, valid);
        admin.wait_plugin("counter", "to be corrected", |plugin| plugin["lastError"].is_null());
    }
    let hits = &admin.plugin("counter").unwrap()["limitsHit"];
    assert_eq!(hits, &json!({"settings-file-bytes": 1, "triggers": 1}));
    // One that was never any good is broken, and shown.
    host_folder.plugin("never.wasm", wat("(component)"));
    let never = admin.wait_plugin("never", "to be broken", |plugin| plugin["state"] == "broken");
    assert!(never["lastError"].as_str().unwrap().contains("does not export"), "{never}");
    host.stop();
}

#[test]
fn a_file_that_is_still_being_written_is_waited_for() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let bytes = counter();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut file = File::create(host_folder.plugins().join("late.wasm")).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // The host reads this file after half of the other one.
    host_folder.plugin("other.wasm", stamped(&bytes, "other"));
    host.logged(&["other", "in force"]);
    file.write_all(second).unwrap();
    drop(file);
    host.logged(&["late", "in force"]);
    assert!(!host.log().contains("ERROR"), "{}", host.log());
}

/// Eight devices each send what they get on and on while the relay is swapped ten times.
#[test]
fn a_swap_under_load_loses_nothing_and_handles_nothing_twice() {
    const DEVICES: usize = 8;
    const SWAPS: usize = 10;
    let host_folder = HostFolder::new();
    let relay = component_of("hop-relay");
    let settings = "[limits]\ndeadline = \"30s\"\n";
    host_folder.plugin("relay.wasm", &relay);
    host_folder.plugin("relay.toml", settings);
    let host = host_folder.start();
    let admin = host.admin();
    let mut digests =
        vec![admin.wait_plugin("relay", "to run", |plugin| plugin["state"] == "running")["digest"].clone()];
    let swapped = AtomicBool::new(false);
    let hops: Vec<usize> = std::thread::scope(|scope| {
        let devices: Vec<_> = (0..DEVICES)
            .map(|n| {
                let (host, swapped) = (&host, &swapped);
                scope.spawn(move || go_round(host.device(&format!("hop-{n}")), swapped))
            })
            .collect();
        for n in 0..SWAPS {
            // The way of an event goes through each version.
            let done = admin.plugin("relay").unwrap()["counters"]["done"].as_u64();
            admin.wait_plugin("relay", "to handle events", |plugin| plugin["counters"]["done"].as_u64() > done);
            host_folder.plugin("relay.wasm", stamped(&relay, &format!("swap {n}")));
            let newest = digests.last().unwrap().clone();
            digests.push(
                admin.wait_plugin("relay", "to be swapped", |plugin| plugin["digest"] != newest)["digest"].clone(),
            );
        }
        let done = admin.plugin("relay").unwrap()["counters"]["done"].as_u64();
        admin.wait_plugin("relay", "to handle events", |plugin| plugin["counters"]["done"].as_u64() > done);
        swapped.store(true, Ordering::Relaxed);
        devices.into_iter().map(|device| device.join().expect("a device failed")).collect()
    });
    host.stop();

    let (journal, _) = Journal::open(&host_folder);
    let executions = journal.executions_of("relay");
    for (event, _) in journal.telemetry() {
        let of_event = executions.get(&event.seq).map_or(&[][..], Vec::as_slice);
        assert_eq!(of_event.len(), 1, "event {} was handled {} times", event.seq, of_event.len());
        assert!(matches!(of_event[0].outcome, Outcome::Done { .. }), "{:?}", of_event[0]);
        assert_eq!(of_event[0].effects().len(), 1);
    }
    assert_eq!(executions.len(), hops.iter().sum::<usize>());
    for (n, hops) in hops.iter().enumerate() {
        assert_eq!(journal.configs(&format!("hop-{n}")).len(), *hops);
    }
    for digest in &digests {
        let digest = digest.as_str().unwrap();
        assert!(journal.executions.iter().any(|done| done.digest == digest), "no event was handled by {digest}");
    }
}

/// Sends its record on until the swaps are over: every config has exactly one hop more. Returns the hops.
fn go_round(mut device: Device, over: &AtomicBool) -> usize {
    device.subscribe_config();
    let id = device.id.clone();
    let record = |hops: usize| format!(r#"{{"deviceId":"{id}","hops":{hops}}}"#);
    let mut hops = 0;
    while !over.load(Ordering::Relaxed) {
        device.send(&events(&id), QoS::AtLeastOnce, record(hops));
        hops += 1;
        let message = device.wait("the next hop", |seen| seen.messages.get(hops - 1).cloned());
        assert_eq!((message.topic.as_str(), message.text()), (config(&id).as_str(), record(hops)));
    }
    hops
}

#[test]
fn a_plugin_that_has_work_waiting_ends_when_it_is_to_and_so_does_the_host() {
    let host_folder = HostFolder::new();
    for name in ["taken-away", "stopped"] {
        host_folder.plugin(&format!("{name}.toml"), "component = \"slow.wasm\"\n[limits]\ndeadline = \"30s\"\n");
    }
    host_folder.plugin("slow.wasm", fs::read(HOSTILE).unwrap());
    let host = host_folder.start();
    let admin = host.admin();
    // More devices than a plugin has workers.
    for device in 0..8 {
        host.device(&format!("sleeper-{device}")).event("sleep 500");
    }
    host_folder.remove_plugin("taken-away.toml");
    until("the plugin to go", || admin.plugin("taken-away").is_none().then_some(()));
    host.stop();
}

#[test]
fn settings_outside_of_what_the_component_says_are_refused_by_the_api_and_in_the_file() {
    let host_folder = HostFolder::new();
    host_folder.plugin("heat.toml", "component = \"builtin:thermostat\"\n");
    let host = host_folder.start();
    let admin = host.admin();
    let shown = admin.wait_plugin("heat", "to run", |plugin| plugin["state"] == "running");
    let fields: Vec<_> =
        shown["settingsSchema"].as_array().unwrap().iter().map(|field| field["name"].clone()).collect();
    assert_eq!(fields, ["thermostat", "heater", "temperature", "hysteresis"], "{shown}");
    let change = |settings| admin.patch("/v1/plugins/heat", &json!({ "settings": settings }));
    let refused = change(json!({"hysteresis": 12, "heater": ""}));
    let text = refused.body["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(refused.status, 400, "{text}");
    assert!(text.contains("heater must not be empty; hysteresis is 12, and must be at most 9.9"), "{text}");
    drop(change(json!({"hysteresis": 1.5})).ok());
    admin.wait_plugin("heat", "to have it", |plugin| plugin["settings"].as_str().unwrap().contains("1.5"));
    // A settings file is checked when it is loaded: the version that ran before stays active.
    host_folder.plugin("heat.toml", "component = \"builtin:thermostat\"\n[settings]\ntemperature = 1000\n");
    let shown = admin.wait_plugin("heat", "to say what is wrong", |plugin| !plugin["lastError"].is_null());
    assert!(shown["lastError"].as_str().unwrap().contains("temperature is 1000, and must be at most 100"), "{shown}");
    assert_eq!(shown["state"], "running", "{shown}");
    host.stop();
}
