//! MQTT.js in a browser, which joins what a program sends in one go into one WebSocket message.

use std::{collections::BTreeSet, path::Path, process::Command};

use switchbox_tests::{Admin, is_available, runs, until, workspace};

use super::{base64, start};

/// What the page publishes with each quality.
const COUNT: usize = 1_000;

#[test]
fn a_browser_publishes_a_thousand_messages_in_one_go_and_all_arrive() {
    let folder = workspace().join(".ci/tools/node");
    let modules = ["mqtt", "playwright-core"].map(|module| folder.join("node_modules").join(module).is_dir());
    let chromium = Path::new("/usr/bin/chromium");
    let installed = chromium.exists() && modules == [true; 2] && runs(Command::new("node").arg("--version"));
    if !is_available("Chromium with playwright-core and MQTT.js", installed) {
        return;
    }
    let (host_folder, host) = start();
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/mqttjs_browser.cjs")).arg(format!("ws://{}/mqtt", host.ws()));
    command.arg(COUNT.to_string()).env("NODE_FOLDER", &folder).env("CHROMIUM", chromium);
    command.env("PROFILE_FOLDER", host_folder.root().join("chromium"));
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    for qos in 0..2 {
        assert!(printed.contains(&format!("ok {COUNT} of QoS {qos}")), "{printed}");
        let expected: BTreeSet<_> = (0..COUNT).map(|n| base64(&format!("{qos}-{n}-").repeat(60)[..200])).collect();
        // Telemetry of QoS 0 has no acknowledgement to wait for.
        until("the events", || (events(&host.admin(), &format!("browser-{qos}")) == expected).then_some(()));
    }
}

/// The payloads of a device's telemetry.
fn events(admin: &Admin, device: &str) -> BTreeSet<String> {
    let (mut found, mut token) = (BTreeSet::new(), String::new());
    loop {
        let page = admin.get(&format!("/v1/events?pageSize=1000&device={device}&pageToken={token}")).ok();
        let telemetry = page["events"].as_array().into_iter().flatten().filter(|event| event["kind"] == "telemetry");
        found.extend(telemetry.filter_map(|event| Some(event["binaryData"].as_str()?.to_owned())));
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => return found,
        }
    }
}
