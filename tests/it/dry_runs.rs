//! Plugins tried on events, recorded and replayed: a try carries nothing out, and a recording has the same effects again to the
//! byte, without a host.

mod gaps;
mod journal;
mod mixed_load;
mod versions;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::{Value, json};
use switchbox_demo::{HostLocation, Options, Scene};
use switchbox_tests::{COUNTER, HOSTILE, HostFolder, Process, program, until};

const WAKE: &str = "component = \"builtin:switch-wakes-device\"\n";

/// Begins to record the plugin.
fn record(host: &Process, plugin: &str) {
    let admin = host.admin();
    admin.wait_plugin(plugin, "to run", |plugin| plugin["state"] == "running");
    let begun = admin.post(&format!("/v1/plugins/{plugin}:record"), &json!({})).ok();
    assert!(begun.get("ended").is_none(), "{begun}");
}

/// Waits until this many executions of the plugin are in its recording.
fn recorded(host: &Process, plugin: &str, executions: u64) {
    host.admin().wait_plugin(plugin, "to be recorded", |plugin| {
        plugin["recording"]["executions"].as_str().is_some_and(|count| count.parse::<u64>().unwrap() >= executions)
    });
}

/// Ends the recording of the plugin, and writes it to the file.
fn stop_recording(host: &Process, host_folder: &HostFolder, plugin: &str, file: &Path) {
    let file = file.to_str().unwrap();
    let text = host.cli(host_folder, &["plugin", "record", plugin, "--stop", "--file", file]);
    assert!(text.contains("ended: stopped"), "{text}");
}

/// Replays a file without a host.
fn replay_output(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(["plugin", "replay", "--json"]).arg(file).args(more).env_remove("SWITCHBOX_DATA");
    command.output().unwrap()
}

/// The same: the code, and the answer as JSON.
fn replay(file: &Path, more: &[&str]) -> (i32, Value) {
    let output = replay_output(file, more);
    let text = String::from_utf8(output.stdout).unwrap();
    let answer = serde_json::from_str(&text);
    (output.status.code().unwrap(), answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

#[test]
fn a_try_shows_what_a_plugin_would_do_and_does_none_of_it() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    drop(host.device("lamp-1"));
    let awake = r#"{"state":"awake"}"#;
    let text = host.cli(&host_folder, &["plugin", "try", "wake", "--device", "switch-1", awake]);
    assert!(text.contains(&format!("effect: config lamp-1 {awake}")), "{text}");
    assert!(text.contains("the device that the event came from is not registered"), "{text}");
    assert!(text.contains("config lamp-1"), "{text}");
    // The data may also stand in --data, whatever it is; the environment names the host's data folder.
    let same = host.cli(&host_folder, &["plugin", "try", "wake", "--device", "switch-1", "--data", awake]);
    assert!(same.contains("effect: config lamp-1"), "{same}");
    let other = host.cli(&host_folder, &["plugin", "try", "wake", "--device", "switch-1", "--data", "on"]);
    assert!(other.contains("wake would be reject"), "{other}");
    // The whole event may be in a file.
    let file = host_folder.root().join("event.json");
    fs::write(&file, r#"{"device": "switch-1", "data": {"telemetry": {"payload": {"json": {"state": "awake"}}}}}"#)
        .unwrap();
    let same = host.cli(&host_folder, &["plugin", "try", "wake", "--event", file.to_str().unwrap()]);
    assert!(same.contains("effect: config lamp-1"), "{same}");
    let refused = host.cli(&host_folder, &["plugin", "try", "wake", "--device", "switch-1", "--json", "not json"]);
    let refused: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((&refused["outcome"], &refused["effects"]), (&json!("reject"), &json!([])), "{refused}");

    // A component that is not installed, which counts in its state: each try begins anew.
    for _ in 0..2 {
        let tried = host.cli(&host_folder, &["plugin", "try", COUNTER, "--device", "source-1", "--json", "x"]);
        let tried: Value = serde_json::from_str(&tried).unwrap();
        assert_eq!(tried["effects"], json!([]), "{tried}");
        assert_eq!(tried["outcome"], "reject", "its target is not registered: {tried}");
    }
    assert_eq!(admin.get(&switchbox_tests::Admin::device_path("lamp-1", "/configVersions")).ok(), json!({}));
    assert_eq!(admin.plugin("wake").unwrap()["counters"]["events"], 0);
    assert!(admin.plugin("counter").is_none() && !host_folder.plugins().join("counter.wasm").exists());

    // An event of the journal, tried again.
    host.device("switch-1").event(awake);
    admin.wait_plugin("wake", "to have an event", |plugin| plugin["counters"]["done"] == 1);
    let number = admin.get("/v1/events?kind=telemetry").ok()["events"][0]["id"].as_str().unwrap().to_owned();
    let tried = host.cli(&host_folder, &["plugin", "try", "wake", "--event-number", &number]);
    assert!(tried.contains("wake would be done") && tried.contains("config lamp-1"), "{tried}");
    assert_eq!(admin.plugin("wake").unwrap()["counters"]["done"], 1);
}

/// A message that names a line of the settings file is true wherever a component describes itself.
#[test]
fn the_limits_of_a_settings_file_bound_a_description() {
    let settings = "[limits]\nstart-deadline = \"70ms\"\n[settings]\ndescribe = \"loop\"\n";
    let line = "longer than 70ms; start-deadline = \"140ms\" under [limits] of its .toml raises it";
    let host_folder = HostFolder::new();
    host_folder.plugin("rogue.toml", settings);
    host_folder.plugin("rogue.wasm", fs::read(HOSTILE).unwrap());
    let host = host_folder.start();
    let broken = host.admin().wait_plugin("rogue", "to be broken", |plugin| plugin["state"] == "broken");
    assert!(broken["lastError"].as_str().unwrap().contains(line), "{broken}");

    let folder = host_folder.root().join("project");
    fs::create_dir_all(folder.join("cases")).unwrap();
    fs::write(folder.join("hostile.toml"), settings).unwrap();
    fs::write(folder.join("cases/one.json"), r#"{"events": []}"#).unwrap();
    let file = folder.join("hostile.toml");
    for arguments in [
        &["plugin", "try", HOSTILE, "--device", "switch-1", "x", "--settings", file.to_str().unwrap()][..],
        &["plugin", "test", folder.to_str().unwrap(), "--component", HOSTILE, "--settings", file.to_str().unwrap()],
    ] {
        let output = host.command(&host_folder, arguments).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(!output.status.success() && printed.contains(line), "{arguments:?}: {printed}");
    }
    host.stop();
}

#[test]
fn a_recording_without_a_time_limit_continues_after_a_kill() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", WAKE);
    let host = host_folder.start();
    record(&host, "wake");
    drop(host.device("lamp-1"));
    let awake = r#"{"state":"awake"}"#;
    host.device("switch-1").event(awake);
    let file = host_folder.data().join("recordings/wake.jsonl");
    let written = || fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""kind":"execution""#));
    until("the execution to be written", || written().then_some(()));
    host.kill();
    // As a kill leaves it that comes while a line is written.
    let mut text = fs::read(&file).unwrap();
    text.extend(br#"{"kind":"execution","instance":1,"#);
    fs::write(&file, text).unwrap();

    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("wake", "to be recorded again", |plugin| plugin["recording"].is_object());
    host.device("switch-1").event(awake);
    recorded(&host, "wake", 1);
    let _ = admin.post("/v1/plugins/wake:stopRecording", &json!({})).ok();
    admin.wait_plugin("wake", "to end it", |plugin| plugin["recording"]["ended"] == "stopped");
    let (code, answer) = replay(&file, &[]);
    assert_eq!((code, &answer["executions"], &answer["different"]), (0, &json!(2), &json!(0)), "{answer}");
    host.stop();
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    assert!(plugin["recording"].is_null(), "it was stopped: {plugin}");
    host.stop();
}

#[test]
fn the_scenes_of_the_demo_replay_without_a_difference() {
    let host_folder = HostFolder::new();
    let scenes = [Scene::GarageDoor, Scene::MotionAlert, Scene::NightRestart, Scene::Thermostat];
    for scene in scenes {
        host_folder.plugin(&format!("{}.toml", scene.name()), scene.settings());
    }
    // What the demo shows without a scene.
    host_folder.plugin("hop-relay.toml", "component = \"builtin:hop-relay\"\n[settings]\nsource = \"hop-*\"\n");
    host_folder.plugin("switch-wakes-device.toml", "component = \"builtin:switch-wakes-device\"\n");
    let plugins: Vec<_> = scenes.map(Scene::name).into_iter().chain(["hop-relay", "switch-wakes-device"]).collect();
    let host = host_folder.start();
    plugins.iter().for_each(|plugin| record(&host, plugin));
    let location = HostLocation {
        mqtt: host.mqtt(),
        admin: host.admin().base().to_owned(),
        plugins: host_folder.plugins(),
        data: host_folder.data(),
        azure: None,
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // One scene takes up to a minute; without a scene the demo runs as long as it may.
    for (seconds, scene) in [(180, scenes.to_vec()), (6, Vec::new())] {
        let options = Options { length: Some(Duration::from_secs(seconds)), scene };
        assert!(runtime.block_on(switchbox_demo::run(&location, &options)), "a scene did not work");
    }
    for plugin in plugins {
        let file = host_folder.root().join(format!("{plugin}.jsonl"));
        stop_recording(&host, &host_folder, plugin, &file);
        let (code, replayed) = replay(&file, &[]);
        assert_eq!((code, &replayed["different"]), (0, &json!(0)), "{replayed}");
        assert!(replayed["executions"].as_u64().unwrap() > 0, "{replayed}");
    }
    host.stop();
}

#[test]
fn a_recording_survives_kill_and_names_what_another_version_does_otherwise() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", format!("{WAKE}[settings]\ntarget = \"lamp-1\"\n"));
    let host = host_folder.start();
    record(&host, "wake");
    for lamp in ["lamp-1", "lamp-2"] {
        drop(host.device(lamp));
    }
    let mut switch = host.device("switch-1");
    for n in 0..50 {
        switch.event(format!(r#"{{"state":"awake","n":{n},"password":"correct-horse-{n}"}}"#));
    }
    recorded(&host, "wake", 50);
    let file = host_folder.data().join("recordings/wake.jsonl");
    until("the recording to be written", || {
        (fs::read_to_string(&file).unwrap().matches("\"kind\":\"execution\"").count() >= 50).then_some(())
    });
    host.kill();
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("correct-horse") && text.contains("(masked 1)"), "secrets are masked");
    // What the host was writing when it was killed.
    fs::write(&file, format!("{text}{{\"kind\":\"execu")).unwrap();
    let (code, replayed) = replay(&file, &[]);
    assert_eq!((code, &replayed["different"], &replayed["cutOff"]), (0, &json!(0), &json!(true)), "{replayed}");
    assert!(replayed["executions"].as_u64().unwrap() >= 50, "{replayed}");

    // Other settings: the look-up of another lamp is not in the recording, and is named and not made up.
    let other = host_folder.root().join("other.toml");
    fs::write(&other, "[settings]\ntarget = \"lamp-2\"\n").unwrap();
    let (code, replayed) = replay(&file, &["--settings", other.to_str().unwrap()]);
    assert_eq!(code, 9, "{replayed}");
    let differs = replayed["differences"][0]["differs"][0].as_str().unwrap();
    assert!(differs.starts_with("differs at call 1: registry.") && differs.contains("lamp-2"), "{differs}");
}

#[test]
fn a_recording_whose_file_is_full_ends_and_counts_its_limit() {
    let host_folder = HostFolder::new();
    host_folder.plugin("wake.toml", format!("{WAKE}[settings]\ntarget = \"lamp-1\"\n"));
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("wake", "to run", |plugin| plugin["state"] == "running");
    let begun = admin.post("/v1/plugins/wake:record", &json!({"bytes": "4096"})).ok();
    assert!(begun.get("ended").is_none(), "{begun}");
    drop(host.device("lamp-1"));
    let mut switch = host.device("switch-1");
    for n in 0..50 {
        switch.event(format!(r#"{{"state":"awake","n":{n}}}"#));
    }
    let full = json!("the limit \"recording_bytes\" is reached");
    admin.wait_plugin("wake", "to have a full recording", |plugin| plugin["recording"]["ended"] == full);
    assert_eq!(crate::overload::hits(&admin, "recording_bytes"), 1);
}

#[test]
fn what_a_plugin_asks_at_its_start_is_not_made_up_either() {
    let host_folder = HostFolder::new();
    host_folder.plugin("rogue.wasm", fs::read(HOSTILE).unwrap());
    let host = host_folder.start();
    record(&host, "rogue");
    drop(host.device("report"));
    let mut device = host.device("rogue-1");
    ["time", "kv"].into_iter().for_each(|attack| device.event(attack));
    recorded(&host, "rogue", 2);
    let file = host_folder.root().join("rogue.jsonl");
    let path = file.to_str().unwrap();
    let _ = host.cli(&host_folder, &["plugin", "record", "rogue", "--stop", "--file", path]);
    // The component is among those that the host keeps.
    let printed = host.cli(&host_folder, &["plugin", "replay", path]);
    assert_eq!(printed, "2 executions of rogue replayed, 0 different");
    host.stop();
    // With these settings it reads a device before its first event.
    let other = host_folder.root().join("other.toml");
    fs::write(&other, "[settings]\nstart = \"read\"\n").unwrap();
    let (code, replayed) = replay(&file, &["--component", HOSTILE, "--settings", other.to_str().unwrap()]);
    assert_eq!((code, &replayed["different"]), (9, &json!(2)), "{replayed}");
    let (first, differs) = (&replayed["differences"][0], replayed["differences"].as_array().unwrap());
    assert_eq!((&first["event"], differs.len()), (&json!(0), 1), "{replayed}");
    assert_eq!(first["differs"][0], "differs at call 1: registry.get lamp-1, not in the recording", "{replayed}");
}
