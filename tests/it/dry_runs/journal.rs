//! Recordings that are made of the journal: a plugin that asked nothing replays without a difference, and what another one asked is named.

use std::{fs, path::PathBuf};

use serde_json::json;
use switchbox_tests::{COUNTER, HostFolder, Process, until};

use super::{WAKE, replay};

/// What the command says, and the file.
fn recorded(host: &Process, host_folder: &HostFolder, plugin: &str, more: &[&str]) -> (String, PathBuf) {
    // Beside the component, where the replay looks for it.
    let file = host_folder.plugins().join(format!("{plugin}.jsonl"));
    let path = file.display().to_string();
    let command = ["plugin", "record", plugin, "--from-journal", "--file", &path];
    (host.cli(host_folder, &[&command, more].concat()), file)
}

#[test]
fn a_recording_made_of_the_journal_replays_what_asked_for_nothing() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", format!("{WAKE}[settings]\ntarget = \"lamp-1\"\n"));
    host_folder.plugin("counter.wasm", fs::read(COUNTER).unwrap());
    host_folder.plugin("counter.toml", "[[trigger]]\nevent = \"telemetry\"\ndevice = \"source-1\"\n");
    let host = host_folder.start();
    let admin = host.admin();
    for plugin in ["wake", "counter"] {
        admin.wait_plugin(plugin, "to run", |plugin| plugin["state"] == "running");
    }
    for target in ["lamp-1", "lamp-2", "tally-source-1"] {
        drop(host.device(target));
    }
    let (mut switch, mut source) = (host.device("switch-1"), host.device("source-1"));
    for n in 0..20 {
        switch.event(format!(r#"{{"state":"awake","n":{n},"password":"correct-horse-{n}","serial":"S-4711-{n}"}}"#));
        source.event(n.to_string());
    }
    switch.event("not JSON");
    drop((switch, source));
    host.kill();

    let host = host_folder.start();
    // What was not handled before the kill is handled after the start.
    let all = |plugin: &str, executions: &str, more: &[&str]| {
        until(&format!("{executions} executions of {plugin}"), || {
            let (printed, file) = recorded(&host, &host_folder, plugin, more);
            printed
                .starts_with(&format!("{executions} executions of {plugin}; ended: the end of the journal is reached"))
                .then_some(file)
        })
    };
    let file = all("wake", "21", &["--mask", "serial"]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.lines().next().unwrap().contains("\"fromJournal\":true"), "{text}");
    assert!(!text.contains("correct-horse") && !text.contains("S-4711"), "secrets are masked");
    let (code, replayed) = replay(&file, &[]);
    assert_eq!((code, &replayed["executions"], &replayed["different"]), (0, &json!(21), &json!(0)), "{replayed}");

    // Other settings: nothing is made up for a lamp that no effect was on.
    let other = host_folder.root().join("other.toml");
    fs::write(&other, "[settings]\ntarget = \"lamp-2\"\n").unwrap();
    let (code, replayed) = replay(&file, &["--settings", other.to_str().unwrap()]);
    assert_eq!((code, &replayed["different"]), (9, &json!(20)), "{replayed}");
    let differs = replayed["differences"][0]["differs"][0].as_str().unwrap();
    assert_eq!(differs, "differs at call 1: registry.has lamp-2, not in the recording");

    // This one reads its state, which the journal does not say.
    let file = all("counter", "20", &[]);
    let (code, replayed) = replay(&file, &[]);
    assert_eq!((code, &replayed["fromJournal"]), (9, &json!(true)), "{replayed}");
    let differs = replayed["differences"][0]["differs"][0].as_str().unwrap();
    assert_eq!(differs, "differs at call 1: state.get source-1, not in the recording");

    let (printed, _) = recorded(&host, &host_folder, "wake", &["--since", "2999-01-01T00:00:00Z"]);
    assert!(printed.starts_with("0 executions of wake;"), "{printed}");
    host.stop();
}

#[test]
fn the_difference_of_two_versions_is_shown_on_their_last_events() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    let admin = host.admin();
    let first = admin.wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    drop(host.device("lamp-1"));
    let mut switch = host.device("switch-1");
    (0..20).for_each(|n| switch.event(format!(r#"{{"state":"awake","n":{n}}}"#)));
    admin.wait_plugin("wake", "to have handled all", |plugin| plugin["counters"]["done"] == 20);
    host_folder.plugin("wake.toml", format!("{WAKE}[settings]\nvalues = [\"asleep\"]\n"));
    admin.wait_plugin("wake", "to have other settings", |plugin| plugin["settings"] != first["settings"]);
    let text = host.cli(&host_folder, &["plugin", "diff", "wake", "--last", "5"]);
    assert!(text.contains("version 1:\n5 executions of wake replayed, 0 different"), "{text}");
    assert!(text.contains("5 executions of wake replayed, 5 different"), "{text}");
    assert!(text.contains("outcome: was done, is reject"), "{text}");
    host.stop();
}
