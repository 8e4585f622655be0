//! A clean stop and the start after it: all state is restored, open work is resumed, and an unusable data folder is refused with
//! a message that says why.

use std::{
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::Command,
};

use serde_json::Value;
use switchbox_model::Outcome;
use switchbox_tests::{Admin, COUNTER, Device, HostFolder, Journal, Process, Session, config, program};

fn relay(host_folder: &HostFolder) {
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n");
}

fn counter(host_folder: &HostFolder, settings: &str) {
    host_folder.plugin("counter.toml", format!("[limits]\ndeadline = \"30s\"\n[settings]\n{settings}\n"));
    host_folder.plugin("counter.wasm", fs::read(COUNTER).unwrap());
}

/// A record for the relay.
fn record(target: &str, hops: u32) -> String {
    format!(r#"{{"deviceId":"{target}","hops":{hops}}}"#)
}

/// A target that subscribes to its config.
fn target(host: &Process, id: &str) -> Device {
    let mut device = host.device(id);
    device.subscribe_config();
    device
}

/// A target that gets its config and never acknowledges it.
fn silent_target(host: &Process, id: &str) -> Device {
    let mut device = Device::connect(host.mqtt(), Session { acknowledges: false, ..Session::new(id) });
    device.subscribe_config();
    device
}

fn newest_config(admin: &Admin, device: &str) -> Value {
    let mut answer = admin.get(&Admin::device_path(device, "/configVersions?numVersions=1")).ok();
    answer["deviceConfigs"][0].take()
}

#[test]
fn a_clean_stop_keeps_everything() {
    let host_folder = HostFolder::new();
    relay(&host_folder);
    counter(&host_folder, "");
    let host = host_folder.start();
    let (acknowledging, silent) = (target(&host, "sink-1"), silent_target(&host, "sink-2"));
    let tally = target(&host, "tally-source-1");
    let mut source = host.device("source-1");
    source.event(record("sink-1", 0));
    source.event(record("sink-2", 10));
    source.event("no record");
    acknowledging.message_with(r#""hops":1"#);
    silent.message_with(r#""hops":11"#);
    tally.message_with(r#""count":3"#);
    let admin = host.admin();
    switchbox_tests::until("sink-1's acknowledgement", || {
        newest_config(&admin, "sink-1").get("deviceAckTime").cloned()
    });
    switchbox_tests::until("the dead letter", || (admin.dead_letters().len() == 1).then_some(()));
    let before: Vec<_> = ["sink-1", "sink-2", "source-1"].map(|id| admin.get(&Admin::device_path(id, "")).ok()).into();
    let dead_letters = admin.dead_letters();
    let executions = admin.get("/v1/executions").ok();
    let version = newest_config(&admin, "sink-2");
    assert!(version.get("deviceAckTime").is_none(), "{version}");
    assert!(dead_letters[0]["error"].as_str().unwrap().contains("no hop record"), "{dead_letters:?}");
    drop((acknowledging, silent, tally, source));
    host.stop();

    let host = host_folder.start();
    let admin = host.admin();
    for (id, before) in ["sink-1", "sink-2", "source-1"].iter().zip(&before) {
        let after = admin.get(&Admin::device_path(id, "")).ok();
        for field in ["numId", "createTime", "config", "lastConfigAckTime"] {
            assert_eq!(after.get(field), before.get(field), "{field} of {id}");
        }
    }
    assert_eq!(admin.dead_letters(), dead_letters);
    assert_eq!(admin.get("/v1/executions").ok(), executions, "events were handled again");
    // The config that was never acknowledged is sent again, and the counter continues.
    let sink = target(&host, "sink-2");
    sink.message_with(r#""hops":11"#);
    switchbox_tests::until("sink-2's acknowledgement", || {
        newest_config(&admin, "sink-2").get("deviceAckTime").cloned()
    });
    let tally = target(&host, "tally-source-1");
    host.device("source-1").event("one more");
    tally.message_with(r#""count":4"#);
}

#[test]
fn what_was_not_handled_before_the_stop_is_handled_after_it() {
    let host_folder = HostFolder::new();
    counter(&host_folder, "retry = true");
    let host = host_folder.start();
    let tally = target(&host, "tally-source-1");
    let mut source = host.device("source-1");
    source.event("first");
    source.event("second");
    host.logged(&["counter", "told to try again"]);
    host.stop();
    assert!(tally.seen().messages.is_empty());

    counter(&host_folder, "");
    let host = host_folder.start();
    let tally = target(&host, "tally-source-1");
    assert_eq!(tally.message_with(r#""count":2"#).text(), r#"{"marker":"","count":2,"text":"second"}"#);
    host.stop();
    let (journal, _) = Journal::open(&host_folder);
    for (seq, executions) in journal.executions_of("counter") {
        assert_eq!(executions.len(), 1, "event {seq}");
        assert!(matches!(executions[0].outcome, Outcome::Done { .. }), "{executions:?}");
    }
    assert_eq!(journal.configs("tally-source-1").len(), 2);
}

/// An operator copies a new version while the host starts.
#[test]
fn a_plugin_that_is_half_written_at_the_start_loses_no_event() {
    let host_folder = HostFolder::new();
    counter(&host_folder, "retry = true");
    let host = host_folder.start();
    drop(target(&host, "tally-source-1"));
    host.device("source-1").event("before");
    host.logged(&["counter", "told to try again"]);
    host.stop();

    counter(&host_folder, "");
    let whole = fs::read(COUNTER).unwrap();
    fs::write(host_folder.plugins().join("counter.wasm"), &whole[..whole.len() / 2]).unwrap();
    let host = host_folder.start();
    let tally = target(&host, "tally-source-1");
    host_folder.plugin("counter.wasm", whole);
    tally.message_with(r#""count":1,"text":"before""#);
    host.stop();
}

/// Its events wait in the journal until its files are corrected, however often the host is started meanwhile.
#[test]
fn a_plugin_that_is_broken_at_the_start_loses_no_event() {
    let host_folder = HostFolder::new();
    counter(&host_folder, "retry = true");
    let host = host_folder.start();
    let mut source = host.device("source-1");
    drop(target(&host, "tally-source-1"));
    source.event("before");
    host.logged(&["counter", "told to try again"]);
    host.stop();

    host_folder.plugin("counter.toml", "colour = \"red\"\n");
    let host = host_folder.start();
    host.logged(&["counter", "colour"]);
    host.device("source-1").event("meanwhile");
    // The host has said that everything is handled, so far as the plugins that run are concerned.
    host.logged(&["recorded the low water"]);
    host.stop();

    counter(&host_folder, "");
    let host = host_folder.start();
    let tally = target(&host, "tally-source-1");
    tally.message_with(r#""count":2,"text":"meanwhile""#);
    host.stop();
    assert_eq!(Journal::open(&host_folder).0.configs("tally-source-1").len(), 2);
}

#[test]
fn a_data_folder_of_another_version_is_refused_and_left_alone() {
    let host_folder = HostFolder::new();
    host_folder.start().stop();
    let path = host_folder.data().join("state.db");
    // SQLite's `user_version`, which gives the version of the schema.
    let mut file = File::options().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(60)).unwrap();
    file.write_all(&99_u32.to_be_bytes()).unwrap();
    drop(file);
    let before = fs::read(&path).unwrap();

    let mut host = Process::spawn(&host_folder);
    assert!(!host.wait().success());
    let log = host.log();
    assert!(log.contains("was written by another version of switchbox (format 99, this one reads 1)"), "{log}");
    assert!(log.contains("state.db") && log.contains("--data"), "{log}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(host.output(), "", "no ready line");
}

#[test]
fn a_host_starts_on_the_data_folder_of_every_version() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats");
    let versions: Vec<_> = fs::read_dir(formats).unwrap().map(|version| version.unwrap().path()).collect();
    assert!(!versions.is_empty());
    for version in versions {
        let host_folder = HostFolder::new();
        fs::create_dir_all(host_folder.data().join("log")).unwrap();
        fs::copy(version.join("state.db"), host_folder.data().join("state.db")).unwrap();
        for file in fs::read_dir(version.join("log")).unwrap().map(|file| file.unwrap()) {
            fs::copy(file.path(), host_folder.data().join("log").join(file.file_name())).unwrap();
        }
        let checked = Command::new(program()).arg("check").arg("--data").arg(host_folder.data()).output().unwrap();
        let output = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success() && output.contains("all is well"), "{}: {output}", version.display());
        let host = host_folder.start();
        let devices = host.admin().get("/v1/projects/local/locations/local/registries/default/devices").ok();
        assert!(devices["devices"].as_array().is_some_and(|devices| devices.len() > 2), "{devices}");
        host.device("reader-1").event("continued");
        host.stop();
    }
}

#[test]
fn a_second_host_on_the_same_folder_is_refused() {
    let host_folder = HostFolder::new();
    let first = host_folder.start();
    let mut second = Process::spawn(&host_folder);
    assert!(!second.wait().success());
    let log = second.log();
    assert!(log.contains("is in use by another switchbox"), "{log}");
    // The first has not noticed.
    let mut device = first.device("device-1");
    device.event("still here");
    assert!(device.subscribe(&config("device-1")));
    first.stop();
}
