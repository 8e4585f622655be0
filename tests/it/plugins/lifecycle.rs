//! The lifecycle of a plugin's versions and of its state, and its log lines.

use std::fs;

use switchbox_tests::{HostFolder, events, stamped, until};

use super::{Pair, counter, counting, expected};

#[test]
fn a_rollback_is_shown_and_survives_a_restart() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("good", 1, "a"));
    host_folder.plugin("counter.wasm", stamped(&counter(), "two"));
    host_folder.plugin("counter.toml", counting("bad", "trap = true"));
    host.admin().wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("bad"));
    assert_eq!(pair.round_trip("b"), expected("good", 2, "b"));
    let shown = host.admin().plugin("counter").unwrap();
    assert!(shown["rolledBack"]["error"].as_str().unwrap().contains("told to trap"), "{shown}");
    assert!(shown["settings"].to_string().contains("good"), "it shows what runs: {shown}");
    host.stop();
    let host = host_folder.start();
    let admin = host.admin();
    let shown = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert!(shown["settings"].to_string().contains("good"), "{shown}");
    assert!(shown["rolledBack"]["until"].as_str().unwrap().contains("change"), "{shown}");
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("c"), expected("good", 3, "c"));
    host_folder.plugin("counter.toml", counting("corrected", ""));
    let shown =
        admin.wait_plugin("counter", "corrected", |plugin| plugin["settings"].to_string().contains("corrected"));
    assert!(shown["rolledBack"].is_null(), "{shown}");
    assert_eq!(pair.round_trip("d"), expected("corrected", 4, "d"));
    host.stop();
}

#[test]
fn state_belongs_to_a_plugin_as_long_as_it_exists() {
    let host_folder = HostFolder::new();
    let files = |component: &[u8]| {
        host_folder.plugin("counter.toml", counting("", ""));
        host_folder.plugin("counter.wasm", component);
    };
    files(&counter());
    let host = host_folder.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    let gone = || until("the plugin to go", || admin.plugin("counter").is_none().then_some(()));
    let remove = || {
        host_folder.remove_plugin("counter.toml");
        host_folder.remove_plugin("counter.wasm");
        gone();
    };
    let digest = admin.plugin("counter").unwrap()["digest"].clone();
    let runs =
        || admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running" && plugin["digest"] == digest);
    assert_eq!(pair.round_trip("a"), expected("", 1, "a"));
    remove();
    files(&counter());
    runs();
    assert_eq!(pair.round_trip("b"), expected("", 2, "b"), "its files were away for a moment");
    // Another component takes the name and gives it back.
    host_folder.plugin("counter.wasm", fs::read(switchbox_tests::DEPUTY).unwrap());
    host_folder.plugin("counter.toml", "");
    host.logged(&["counter", "is another plugin than \"counter\""]);
    files(&counter());
    host.logged(&["counter", "is another plugin than \"deputy\""]);
    runs();
    assert_eq!(pair.round_trip("c"), expected("", 1, "c"));
    let removed = host.cli(&host_folder, &["plugin", "remove", "counter", "--purge-state"]);
    assert!(removed.contains("deleted"), "{removed}");
    gone();
    host.stop();
    files(&counter());
    let host = host_folder.start();
    assert_eq!(Pair::new(&host, "source-1").round_trip("d"), expected("", 1, "d"));
    host.stop();
}

#[test]
fn events_that_are_tried_again_when_their_plugin_is_disabled_are_dead_letters_and_can_be_handled_later() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("", "retry = true"));
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pair = Pair::new(&host, "source-1");
    // The second waits behind the first, which is tried again.
    pair.source.event("a");
    pair.source.event("b");
    admin
        .wait_plugin("counter", "to try again", |plugin| plugin["counters"]["retried"].as_u64().is_some_and(|n| n > 0));
    host_folder.plugin("counter.toml", format!("enabled = false\n{}", counting("", "")));
    admin.wait_plugin("counter", "to be disabled", |plugin| plugin["state"] == "disabled");
    let dead_letters = admin.dead_letters();
    let was_disabled = |letter: &serde_json::Value| letter["error"].to_string().contains("the plugin was disabled");
    assert!(dead_letters.len() == 2 && dead_letters.iter().all(was_disabled), "{dead_letters:?}");
    host_folder.plugin("counter.toml", counting("", ""));
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let _ = host.cli(&host_folder, &["dead-letters", "redrive", "--plugin", "counter"]);
    let last = pair.tally.message_with(r#""text":"b""#).text();
    assert_eq!(last, expected("", 2, "b"), "each is handled once, in their order");
    until("the dead letters to go", || admin.dead_letters().is_empty().then_some(()));
    host.stop();
}

/// Log lines of one kind are bounded, and the log says how many were left out.
#[test]
fn a_plugin_that_rejects_everything_does_not_fill_the_log() {
    const EVENTS: usize = 3_000;
    let host_folder = HostFolder::new();
    host_folder
        .plugin("thermostat.toml", "component = \"builtin:switch-wakes-device\"\n[settings]\ntarget = \"lamp-1\"\n");
    let host = host_folder.start();
    let mut switch = host.device("switch-1");
    for _ in 0..EVENTS {
        switch.publish(&events("switch-1"), "no JSON");
    }
    host.admin().wait_plugin("thermostat", "to reject them", |plugin| {
        plugin["counters"]["rejected"].as_u64() == Some(EVENTS as u64)
    });
    let log = host.log();
    let lines = log.lines().filter(|line| line.contains("becomes a dead letter")).count();
    assert!((1..=12).contains(&lines), "{lines} lines");
    assert!(log.contains("1000 of these"), "{log}");
    host.stop();
}
