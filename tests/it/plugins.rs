//! The plugin folder of a running host: what is put there runs, what is no good is named and harms nothing, and neither
//! a swap nor a hostile plugin costs another one's events.

mod life;

use std::{
    fs::{self, File},
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use rumqttc::QoS;
use switchbox_model::Outcome;
use switchbox_tests::{
    COUNTER, Device, HOSTILE, Journal, Place, Process, component_of, config, events, stamped, until,
};

fn counter() -> Vec<u8> {
    fs::read(COUNTER).unwrap()
}

/// Settings for the counter. The deadline leaves room for a busy machine.
fn counting(marker: &str, more: &str) -> String {
    format!("[limits]\ndeadline = \"30s\"\n[settings]\nmarker = \"{marker}\"\n{more}\n")
}

/// A source and the target that is told its count.
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

    /// Publishes an event and waits for the config that comes of it.
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
    let place = Place::new();
    let host = place.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    assert!(admin.plugin("counter").is_none());
    pair.source.event("before there was a plugin");

    place.plugin("counter.wasm", counter());
    host.logged(&["counter", "in force"]);
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("a"), expected("", 1, "a"));

    // Other settings: the same component, and what it has kept.
    place.plugin("counter.toml", counting("edited", ""));
    admin.wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("edited"));
    assert_eq!(pair.round_trip("b"), expected("edited", 2, "b"));

    // Another component under the same name.
    place.plugin("counter.wasm", stamped(&counter(), "two"));
    let second = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != first["digest"]);
    assert_eq!(pair.round_trip("c"), expected("edited", 3, "c"));

    // Switched off, and on again: what came meanwhile is not for it.
    place.plugin("counter.toml", format!("enabled = false\n{}", counting("edited", "")));
    admin.wait_plugin("counter", "to be disabled", |plugin| plugin["state"] == "disabled");
    pair.source.event("while it was off");
    place.plugin("counter.toml", counting("on again", ""));
    admin.wait_plugin("counter", "to run again", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("d"), expected("on again", 4, "d"));

    place.remove_plugin("counter.wasm");
    place.remove_plugin("counter.toml");
    host.logged(&["counter", "removed"]);
    assert!(admin.plugin("counter").is_none());
    pair.source.event("after it was removed");
    host.stop();

    let (journal, _) = Journal::open(&place);
    let executions = journal.executions_of("counter");
    let handled: Vec<_> = journal.telemetry().filter(|(event, _)| executions.contains_key(&event.seq)).collect();
    assert_eq!(handled.iter().map(|(_, payload)| payload.as_ref()).collect::<Vec<_>>(), [b"a", b"b", b"c", b"d"]);
    assert_eq!(executions[&handled[3].0.seq][0].digest, second["digest"]);
}

#[test]
fn what_is_no_good_is_named_and_what_ran_before_runs_on() {
    let place = Place::new();
    place.plugin("counter.wasm", counter());
    place.plugin("counter.toml", counting("good", ""));
    let host = place.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let sockets = r#"(component (import "wasi:sockets/tcp-create-socket@0.2.3" (instance)))"#;
    let old = r#"(component (component $c) (instance $i (instantiate $c))
        (export "switchbox:plugin/handler@0.2.0" (instance $i)))"#;
    let half = &counter()[..100_000];
    let mut count = 0;
    for (file, content, expect) in [
        ("counter.wasm", b"#!/bin/sh\n".to_vec(), "does not begin with"),
        ("counter.wasm", wat("(module)"), "wasm32-wasip2"),
        ("counter.wasm", wat(sockets), "wasi:sockets/tcp-create-socket@0.2.3"),
        ("counter.wasm", wat("(component)"), "does not export"),
        ("counter.wasm", wat(old), "switchbox:plugin/handler@0.2.0"),
        ("counter.wasm", half.to_vec(), "ends in the middle of a section"),
        ("counter.toml", b"colour = \"red\"".to_vec(), "colour: is no key"),
        ("counter.toml", b"[settings]\ncolour = \"red\"".to_vec(), "unknown field `colour`"),
        ("counter.toml", b"[settings]\nrefuse = true".to_vec(), "told to refuse"),
        ("counter.toml", b"[limits]\ndeadline = \"soon\"".to_vec(), "limits.deadline"),
        ("counter.toml", b"enabled = ".to_vec(), "line 1 is no TOML"),
        ("counter.toml", b"component = \"builtin:nothing\"".to_vec(), "there is no builtin:nothing"),
        ("counter.toml", b"component = \"elsewhere.wasm\"".to_vec(), "there is no elsewhere.wasm"),
    ] {
        place.plugin(file, &content);
        let shown = admin.wait_plugin("counter", expect, |plugin| {
            plugin["lastError"].as_str().is_some_and(|error| error.contains(expect))
        });
        assert_eq!(shown["state"], "running", "{expect}");
        host.logged(&["ERROR", "counter", expect, "the version before keeps running"]);
        count += 1;
        assert_eq!(pair.round_trip(&format!("n{count}")), expected("good", count, &format!("n{count}")));
        // Mended: what was wrong is no longer shown.
        let good = if file == "counter.wasm" { counter() } else { counting("good", "").into_bytes() };
        place.plugin(file, good);
        admin.wait_plugin("counter", "to be mended", |plugin| plugin["lastError"].is_null());
    }
    // One that was never any good is broken, and shown.
    place.plugin("never.wasm", wat("(component)"));
    let never = admin.wait_plugin("never", "to be broken", |plugin| plugin["state"] == "broken");
    assert!(never["lastError"].as_str().unwrap().contains("does not export"), "{never}");
    host.stop();
}

#[test]
fn a_file_that_is_still_being_written_is_waited_for() {
    let place = Place::new();
    let host = place.start();
    let bytes = counter();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut file = File::create(place.plugins().join("late.wasm")).unwrap();
    file.write_all(first).unwrap();
    file.sync_all().unwrap();
    // The host looks at this one after the half of the other.
    place.plugin("other.wasm", stamped(&bytes, "other"));
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
    let place = Place::new();
    let relay = component_of("hop-relay");
    let settings = "[limits]\ndeadline = \"30s\"\n";
    place.plugin("relay.wasm", &relay);
    place.plugin("relay.toml", settings);
    let host = place.start();
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
            place.plugin("relay.wasm", stamped(&relay, &format!("swap {n}")));
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

    let (journal, _) = Journal::open(&place);
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
fn a_hostile_plugin_hurts_only_itself() {
    let place = Place::new();
    // One that is ended for good, with what the dead letter says of it.
    let fatal = [
        ("loop", "deadline"),
        ("allocate", "memory"),
        ("recurse", "stack"),
        ("sleep 100000", "deadline"),
        ("panic", "out of cheese"),
        ("trap", "unreachable"),
        ("exit", "exit("),
        ("reject", "not mine"),
    ];
    // One that is only cut short, with the limit that counts it.
    let cut = [
        ("print 1000", "log-lines"),
        ("print-bytes 100000", "output"),
        ("host-calls 2000", "host-calls"),
        ("effects 100", "effects-per-event"),
    ];
    place.plugin("hostile.wasm", fs::read(HOSTILE).unwrap());
    place.plugin(
        "hostile.toml",
        "[[trigger]]\nevent = \"telemetry\"\ndevice = \"villain-*\"\n[limits]\ndeadline = \"1s\"\n",
    );
    place.plugin("counter.wasm", counter());
    let source = "[[trigger]]\nevent = \"telemetry\"\ndevice = \"source-*\"\n";
    place.plugin("counter.toml", format!("{source}{}", counting("", "")));
    let host = place.start();
    let admin = host.admin();
    drop(["lamp-1", "report"].map(|id| host.device(id)));
    let mut pair = Pair::new(&host, "source-1");
    for (n, (misdeed, _)) in fatal.iter().chain(&cut).enumerate() {
        host.device(&format!("villain-{n}")).event(*misdeed);
    }
    // Others do not notice: their events go their way while the villains are tried five times each.
    let mut count = 0;
    while admin.dead_letters().len() < fatal.len() {
        count += 1;
        assert_eq!(pair.round_trip(&format!("n{count}")), expected("", count, &format!("n{count}")));
    }
    assert!(count >= 10, "{count} round trips in all the time that five tries take");
    let letters = admin.dead_letters();
    for (misdeed, expect) in fatal {
        let said = |letter: &&serde_json::Value| letter["error"].as_str().is_some_and(|error| error.contains(expect));
        let letter = letters.iter().find(said).unwrap_or_else(|| panic!("no dead letter of {misdeed}: {letters:?}"));
        assert_eq!(letter["plugin"], "hostile");
        assert_eq!(letter["attempt"], if misdeed == "reject" { 1 } else { 5 }, "{letter}");
    }
    let hostile = admin.plugin("hostile").unwrap();
    for (misdeed, limit) in cut {
        assert!(hostile["limitsHit"][limit].as_u64() >= Some(1), "{misdeed}: {hostile}");
    }
    assert_eq!(hostile["state"], "running");
    // And it still does what is right.
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    host.device("villain-0").event("relay lamp-1");
    lamp.message_with("relayed");
    host.stop();
}

#[test]
fn a_plugin_that_has_work_waiting_ends_when_it_is_to_and_so_does_the_host() {
    let place = Place::new();
    for name in ["taken-away", "stopped"] {
        place.plugin(&format!("{name}.toml"), "component = \"slow.wasm\"\n[limits]\ndeadline = \"30s\"\n");
    }
    place.plugin("slow.wasm", fs::read(HOSTILE).unwrap());
    let host = place.start();
    let admin = host.admin();
    // More devices than a plugin has workers.
    for device in 0..8 {
        host.device(&format!("sleeper-{device}")).event("sleep 500");
    }
    place.remove_plugin("taken-away.toml");
    until("the plugin to go", || admin.plugin("taken-away").is_none().then_some(()));
    host.stop();
}

#[test]
fn a_new_version_that_traps_in_its_first_events_is_taken_back() {
    let place = Place::new();
    place.plugin("counter.wasm", counter());
    place.plugin("counter.toml", counting("good", ""));
    let host = place.start();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("good", 1, "a"));
    place.plugin("counter.toml", counting("bad", "trap = true"));
    host.admin().wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("bad"));
    // It has set the config and counted already when it traps: none of that is there afterwards.
    assert_eq!(pair.round_trip("b"), expected("good", 2, "b"));
    host.logged(&["counter", "the one before is back"]);
    assert_eq!(pair.round_trip("c"), expected("good", 3, "c"));
    assert!(pair.tally.seen().messages.iter().all(|message| !message.text().contains("bad")));
    assert!(host.admin().dead_letters().is_empty());
    let shown = host.admin().plugin("counter").unwrap();
    assert!(shown["lastError"].as_str().unwrap().contains("told to trap"), "{shown}");
    host.stop();
}

#[test]
fn a_plugin_goes_back_to_the_component_that_ran_before_also_after_a_restart() {
    let place = Place::new();
    place.plugin("counter.wasm", counter());
    place.plugin("counter.toml", counting("", ""));
    let host = place.start();
    let admin = host.admin();
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let nothing = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({}));
    assert_eq!(nothing.status, 400, "{nothing:?}");
    place.plugin("counter.wasm", stamped(&counter(), "two"));
    let second = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != first["digest"]);
    host.stop();
    let host = place.start();
    let admin = host.admin();
    for digest in [&first["digest"], &second["digest"]] {
        let _ = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({})).ok();
        admin.wait_plugin("counter", "to go back", |plugin| plugin["digest"] == *digest);
    }
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("", 1, "a"));
    host.stop();
}

#[test]
fn where_consent_is_needed_a_plugin_waits_for_it_and_says_what_it_asks_for() {
    let place = Place::new();
    place.plugin("counter.wasm", counter());
    std::fs::write(place.root().join("settings.toml"), "[plugins]\ngrant = \"consent\"\n").unwrap();
    let settings = place.root().join("settings.toml");
    let host = place.start_with(&["--settings", settings.to_str().unwrap()]);
    let admin = host.admin();
    let waiting = admin.wait_plugin("counter", "to wait", |plugin| plugin["state"] == "waiting-for-consent");
    assert_eq!(waiting["grants"], serde_json::json!(["config tally-*"]));
    assert_eq!(waiting["grantsInForce"], serde_json::json!([]));
    host.logged(&["counter", "waits for consent"]);
    let mut pair = Pair::new(&host, "source-1");
    pair.source.event("before");
    let granted = admin.post("/v1/plugins/counter:grant", &serde_json::json!({})).ok();
    assert_eq!(granted["grants"], serde_json::json!({"config": ["tally-*"]}));
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("after"), expected("", 1, "after"), "what came before its consent is not for it");
    // Consent that is taken back counts at once.
    place.plugin("counter.toml", "");
    admin.wait_plugin("counter", "to wait again", |plugin| plugin["state"] == "waiting-for-consent");
    host.stop();
}

#[test]
fn grants_that_change_hold_from_the_next_event_on() {
    let place = Place::new();
    let granting = |pattern: &str| format!("component = \"builtin:hop-relay\"\n[grants]\nconfig = [\"{pattern}\"]\n");
    place.plugin("relay.toml", granting("lamp-*"));
    let host = place.start();
    let admin = host.admin();
    let shown = admin.wait_plugin("relay", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(shown["grants"], serde_json::json!(["config *", "config */*"]), "what it asks for");
    assert_eq!(shown["grantsInForce"], serde_json::json!(["config lamp-*"]), "what it may do");
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let record = |hops: u32| format!(r#"{{"deviceId":"lamp-1","hops":{hops}}}"#);
    lamp.event(record(1));
    lamp.message_with(&record(2));
    place.plugin("relay.toml", granting("other-*"));
    let letter = until("an event that it could not handle", || {
        lamp.event(record(10));
        admin.dead_letters().pop()
    });
    assert!(letter.to_string().contains("do not grant it"), "{letter}");
    let before = lamp.seen().messages.len();
    lamp.event(record(20));
    let _ = admin.post("/v1/plugins/relay:grant", &serde_json::json!({"grants": {"config": ["lamp-1"]}})).ok();
    until("an event that it could handle", || {
        lamp.event(record(30));
        lamp.seen().messages.get(before).cloned()
    });
    assert!(lamp.seen().messages.iter().all(|message| message.text() != record(21)));
    host.stop();
}

#[test]
fn compiled_code_that_no_plugin_uses_any_more_goes() {
    let place = Place::new();
    place.plugin("counter.toml", counting("", ""));
    place.plugin("counter.wasm", counter());
    let host = place.start();
    let admin = host.admin();
    let mut digest = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running")["digest"].clone();
    for version in ["two", "three"] {
        place.plugin("counter.wasm", stamped(&counter(), version));
        let next = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != digest);
        digest = next["digest"].clone();
    }
    place.plugin("refused.toml", "[settings]\nstart = \"refuse\"\n");
    place.plugin("refused.wasm", std::fs::read(HOSTILE).unwrap());
    admin.wait_plugin("refused", "to be refused", |plugin| plugin["state"] == "broken");
    let files = || std::fs::read_dir(place.data().join("compiled")).unwrap().count();
    until("the code of what runs to be all that is kept", || (files() == 1).then_some(()));
    host.stop();
}
