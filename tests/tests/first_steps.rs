//! What the README tells a newcomer to do, done.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use switchbox_tests::{Place, Process};

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
    let place = Place::new();
    let project = place.root().join("too-warm");
    let folder = project.to_str().unwrap();
    let mut new = Process::run(&place, arguments(&["plugin", "new", "too-warm", "--folder", folder]));
    assert!(new.wait().success(), "{}", new.log());
    assert!(new.output().contains("cargo wasm"), "{}", new.output());
    cargo(&project, &["wasm"]);
    let component = fs::read(target().join("wasm32-wasip2/release/too_warm.wasm")).unwrap();

    let host = place.start();
    let mut fan = host.device("fan-1");
    fan.subscribe_config();
    place.plugin("too-warm.wasm", component);
    host.admin().wait_plugin("too-warm", "to run", |plugin| plugin["state"] == "running");
    let mut sensor = host.device("sensor-1");
    sensor.event(r#"{"temperature": 30}"#);
    assert_eq!(fan.message_with("on").text(), r#"{"on":true}"#);
    host.stop();
}

#[test]
fn the_demo_shows_both_scenarios_and_ends_by_itself() {
    let place = Place::new();
    let data = place.data();
    let data = data.to_str().unwrap();
    let mut demo = Process::run(&place, arguments(&["demo", "--for", "6s", "--data", data]));
    let ended = demo.wait();
    let output = demo.output();
    assert!(ended.success(), "{output}\n{}", demo.log());
    for told in ["✓ hop relay", "✓ switch wakes", "mosquitto_pub -i switch-2"] {
        assert!(output.contains(told), "{told} is not in\n{output}");
    }
}
