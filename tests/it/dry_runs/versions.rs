//! Recordings of several versions, settings that a host would refuse, and triggers.

use std::{fs, path::Path};

use serde_json::json;
use switchbox_tests::{COUNTER, Device, HOSTILE, HostFolder, Process, limited_scripted_plugin, stamped};

use super::{WAKE, record, recorded, replay, replay_output, stop_recording};

fn counting(marker: &str) -> String {
    format!("[limits]\ndeadline = \"30s\"\n[settings]\nmarker = \"{marker}\"\n")
}

/// A host on which the counter runs with settings of its own.
fn counter() -> (HostFolder, Process) {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.toml", counting("first"));
    host_folder.plugin("counter.wasm", fs::read(COUNTER).unwrap());
    let host = host_folder.start();
    record(&host, "counter");
    (host_folder, host)
}

/// A candidate acts for one event, and ends.
fn canary(
    host: &Process,
    host_folder: &HostFolder,
    files: &[&str],
    (source, tally): &mut (Device, Device),
    text: &str,
) {
    let command = ["plugin", "canary", "counter", "--share", "100%"];
    let _ = host.cli(host_folder, &[&command, files].concat());
    source.event(text);
    let _ = tally.message_with(&format!(r#""text":"{text}""#));
    let _ = host.cli(host_folder, &["plugin", "canary", "counter", "--abort"]);
}

/// The digests and the settings of the versions in a file.
fn versions(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of = |line: serde_json::Value| {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        (line["kind"] == "version").then(|| (text("digest"), text("settings")))
    };
    lines.filter_map(of).collect()
}

#[test]
fn each_version_of_a_recording_is_replayed_with_its_component_and_settings() {
    let (host_folder, host) = counter();
    let mut tally = host.device("tally-source-1");
    tally.subscribe_config();
    let mut pair = (host.device("source-1"), tally);
    let root = host_folder.root();
    let mut files = Vec::new();
    for (name, text) in [("second.toml", counting("second")), ("third.toml", counting("third"))] {
        fs::write(root.join(name), text).unwrap();
        files.push(root.join(name).to_str().unwrap().to_owned());
    }
    let component = root.join("counter-2.wasm");
    fs::write(&component, stamped(&fs::read(COUNTER).unwrap(), "another")).unwrap();
    let component = component.to_str().unwrap();
    // Two candidates with other settings only, one after the other; then one with another component.
    canary(&host, &host_folder, &["--settings", &files[0]], &mut pair, "a");
    canary(&host, &host_folder, &["--settings", &files[1]], &mut pair, "b");
    canary(&host, &host_folder, &["--component", component], &mut pair, "c");
    pair.0.event("d");
    let _ = pair.1.message_with(r#""text":"d""#);
    recorded(&host, "counter", 4);
    let file = root.join("counter.jsonl");
    stop_recording(&host, &host_folder, "counter", &file);
    host.stop();
    let settings: Vec<_> = versions(&file).into_iter().map(|(_, settings)| settings).collect();
    for marker in ["first", "second", "third"] {
        assert!(settings.iter().any(|settings| settings.contains(marker)), "{settings:?}");
    }

    // Only the component in force lies beside the file: what the other did is named, and not replayed with this one.
    fs::copy(COUNTER, root.join("counter.wasm")).unwrap();
    let (code, replayed) = replay(&file, &[]);
    let counts = (&replayed["executions"], &replayed["different"], &replayed["notReplayed"]);
    assert_eq!((code, counts), (9, (&json!(3), &json!(0), &json!(1))), "{replayed}");
    let digests: Vec<_> = versions(&file).into_iter().map(|(digest, _)| digest).collect();
    let missing = replayed["missing"][0]["digest"].as_str().unwrap();
    assert!(digests.iter().any(|digest| digest == missing), "{replayed}");
    let (code, replayed) = replay(&file, &["--component", component]);
    assert_eq!((code, &replayed["executions"], &replayed["different"]), (0, &json!(4), &json!(0)), "{replayed}");
    // Neither of them is here.
    fs::remove_file(root.join("counter.wasm")).unwrap();
    let output = replay_output(&file, &[]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains(missing) && printed.contains("--component"), "{printed}");
}

#[test]
fn a_recording_without_an_execution_is_no_success() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    record(&host, "wake");
    let file = host_folder.root().join("wake.jsonl");
    stop_recording(&host, &host_folder, "wake", &file);
    host.stop();
    let output = replay_output(&file, &[]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains("has no execution of wake to replay"), "{printed}");
}

#[test]
fn other_triggers_are_a_difference_and_refused_settings_an_error() {
    let host_folder = HostFolder::new();
    host_folder.plugin("thermostat.toml", "component = \"builtin:thermostat\"\n");
    let host = host_folder.start();
    record(&host, "thermostat");
    drop(host.device("heater-1"));
    let mut device = host.device("thermostat-1");
    device.publish("/devices/thermostat-1/state", r#"{"temperature":15}"#);
    recorded(&host, "thermostat", 1);
    let file = host_folder.root().join("thermostat.jsonl");
    stop_recording(&host, &host_folder, "thermostat", &file);
    assert_eq!(replay(&file, &[]).0, 0);
    let settings = |text: &str| {
        let path = host_folder.root().join("other.toml");
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let other = settings("[[trigger]]\nevent = \"state\"\ndevice = \"thermostat-2\"\n");
    let (code, replayed) = replay(&file, &["--settings", &other]);
    assert_eq!((code, &replayed["notTriggered"]), (9, &json!(1)), "{replayed}");
    assert_eq!(replayed["differences"][0]["differs"], json!(["its triggers do not match"]), "{replayed}");
    let refused = settings("[settings]\nhysteresis = 50.0\n");
    let output = replay_output(&file, &["--settings", &refused]);
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains("hysteresis is 50"), "{printed}");
    let command = ["plugin", "try", "thermostat", "--device", "thermostat-1", "--state", r#"{"temperature":15}"#];
    let output = host.command(&host_folder, &[&command[..], &["--settings", &refused]].concat()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && printed.contains("hysteresis is 50"), "{printed}");
    host.stop();
}

#[test]
fn a_try_says_that_its_effects_would_wait_for_approval() {
    let host_folder = HostFolder::new();
    let actions = r#"{ config = { device = "lamp-1" } }, { config = { device = "lamp-2" } }"#;
    limited_scripted_plugin(&host_folder, "fleet", ("telemetry", "switch-*"), "max-targets-per-event = 1", actions);
    let host = host_folder.start();
    host.admin().wait_plugin("fleet", "to run", |plugin| plugin["state"] == "running");
    ["lamp-1", "lamp-2"].into_iter().for_each(|lamp| drop(host.device(lamp)));
    let text = host.cli(&host_folder, &["plugin", "try", "fleet", "--device", "switch-1", "on"]);
    let note =
        "would wait for an operator's approval: limits.max-targets-per-event: 2 targets; up to 1 need no approval";
    assert!(text.contains(note), "{text}");
    host.stop();
}

#[test]
fn a_secret_of_the_settings_is_masked_wherever_the_plugin_writes_it() {
    let host_folder = HostFolder::new();
    host_folder.plugin("rogue.wasm", fs::read(HOSTILE).unwrap());
    // The hostile guest writes what an event says. So it has the place of a plugin that writes what its settings say.
    host_folder.plugin("rogue.toml", "[settings]\napi-key = \"sesame-open\"\n");
    let host = host_folder.start();
    record(&host, "rogue");
    drop(host.device("report"));
    let mut device = host.device("rogue-1");
    ["nothing sesame-open", "publish alerts/sesame-open"].into_iter().for_each(|attack| device.event(attack));
    recorded(&host, "rogue", 2);
    let file = host_folder.root().join("rogue.jsonl");
    stop_recording(&host, &host_folder, "rogue", &file);
    host.stop();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("sesame-open"), "{text}");
    for masked in ["nothing (masked 1)", r#""topic":"alerts/(masked 1)""#, r#"\"api-key\":\"(masked 1)\""#] {
        assert!(text.contains(masked), "{masked}: {text}");
    }
}
