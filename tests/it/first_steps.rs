//! The commands of README.md and of the pages of docs/, carried out.

mod lists;
mod pages;
mod reader;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use switchbox_tests::{HostFolder, Process, until_within};

fn arguments<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

/// A folder of its own beside the other builds, kept for the next time.
fn target() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(3).unwrap().join("new-plugin")
}

fn cargo(folder: &Path, arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What the outer cargo says to its tests is not meant for a project of its own.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name == "RUSTFLAGS") {
        command.env_remove(name);
    }
    let output = command.args(arguments).current_dir(folder).env("CARGO_TARGET_DIR", target()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_new_plugin_is_written_built_dropped_in_and_runs() {
    let host_folder = HostFolder::new();
    let project = host_folder.root().join("too-warm");
    let folder = project.to_str().unwrap();
    let mut new = Process::run(&host_folder, arguments(&["plugin", "new", "too-warm", "--folder", folder]));
    assert!(new.wait().success(), "{}", new.log());
    assert!(new.output().contains("cargo wasm"), "{}", new.output());
    cargo(&project, &["wasm"]);
    let component = fs::read(target().join("wasm32-wasip2/release/too_warm.wasm")).unwrap();

    let host = host_folder.start();
    let mut fan = host.device("fan-1");
    fan.subscribe_config();
    host_folder.plugin("too-warm.wasm", component);
    host.admin().wait_plugin("too-warm", "to run", |plugin| plugin["state"] == "running");
    let mut sensor = host.device("sensor-1");
    sensor.event(r#"{"temperature": 30}"#);
    assert_eq!(fan.message_with("on").text(), r#"{"on":true}"#);
    host.stop();
}

#[test]
fn the_demo_shows_both_scenarios_and_ends_by_itself() {
    let host_folder = HostFolder::new();
    let data = host_folder.data();
    let data = data.to_str().unwrap();
    let mut demo = Process::run(&host_folder, arguments(&["demo", "--for", "6s", "--data", data]));
    let ended = demo.wait();
    let output = demo.output();
    assert!(ended.success(), "{output}\n{}", demo.log());
    for expected in ["✓ hop relay", "✓ switch wakes", "mosquitto_pub -i switch-2"] {
        assert!(output.contains(expected), "{expected} is not in\n{output}");
    }
    assert!(!demo.log().contains("WARN"), "{}", demo.log());
}

fn demo(host_folder: &HostFolder, more: &[&str], limit: Duration) -> (bool, String) {
    let data = host_folder.data();
    let all: Vec<&str> = ["demo", "--data", data.to_str().unwrap()].into_iter().chain(more.iter().copied()).collect();
    let mut demo = Process::run(host_folder, arguments(&all));
    let ended =
        until_within(limit, || demo.try_wait()).unwrap_or_else(|| panic!("the demo has not ended: {}", demo.output()));
    (ended.success(), demo.output())
}

#[test]
fn the_demo_plays_the_examples_and_says_why_what_happened() {
    let scenes = ["--scene", "garage-door", "motion-alert", "thermostat"];
    let (worked, output) = demo(&HostFolder::new(), &scenes, Duration::from_secs(90));
    assert!(worked, "{output}");
    for expected in [
        "phone-1      → garage/door-1/request  {\"action\":\"open\"",
        "door-1       ← methods/open/request/1  ",
        "→ method open of door-1 called with ",
        "phone-1      ← alerts/motion-1  {\"movements\":1",
        "thermostat-1 → state   {\"temperature\":19.2}",
        "→ config version 2 for heater-1: {\"heating\":false} → sent → acknowledged ",
        "✓ garage-door   phone-1 opened door-1",
        "✓ motion-alert  three movements of motion-1 were two alerts",
        "✓ thermostat    heater-1 went on at 19.2 °C and off at 20.8 °C",
    ] {
        assert!(output.contains(expected), "{expected} is not in\n{output}");
    }
}

#[test]
fn the_demo_plays_azure_iot_hub() {
    let (worked, output) = demo(&HostFolder::new(), &["--scene", "azure"], Duration::from_secs(90));
    assert!(worked, "{output}");
    for expected in [
        "phone-1      ← event of motion-1  {\"motion\":true}",
        "phone-1      → calls the method open of garage-1",
        "garage-1     ← $iothub/methods/POST/open/?$rid=",
        "✓ azure         phone-1 saw motion-1 move and opened garage-1",
    ] {
        assert!(output.contains(expected), "{expected} is not in\n{output}");
    }
    assert!(!output.contains("event of motion-2"), "{output}");
}

#[test]
fn the_demo_plays_a_night() {
    let (worked, output) = demo(&HostFolder::new(), &["--scene", "night-restart"], Duration::from_secs(150));
    assert!(worked, "{output}");
    for expected in [
        "plugin night-restart was new, or its component or settings changed, at ",
        "→ timer \"night\" set for * * * * * in UTC, first at ",
        "→ command 2.night-restart.0 for camera-1: RESTART → sent → acknowledged ",
        "✓ night-restart camera-1 slept when the timer fired, and was told to restart when it woke",
    ] {
        assert!(output.contains(expected), "{expected} is not in\n{output}");
    }
}

#[test]
fn a_demo_that_has_too_little_time_says_so_and_fails() {
    let (worked, output) =
        demo(&HostFolder::new(), &["--scene", "thermostat", "--for", "1ms"], Duration::from_secs(60));
    assert!(!worked && output.contains("✗ thermostat    was not over within 1ms"), "{output}");
}
