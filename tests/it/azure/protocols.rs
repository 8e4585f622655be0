//! A device over each protocol: each one's telemetry moves each other by one plugin, with nothing lost over a kill of the host.

use std::{collections::BTreeSet, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use switchbox_tests::{Admin, is_available, registered, runs, scripted_plugin, token, until, workspace};

use super::sdk::{Hub, Program};

const PROTOCOLS: [&str; 6] = ["mqtt", "ws", "http", "amqp", "amqp-ws", "iot-core"];
/// Events of each device.
const EVENTS: usize = 12;

fn device(hub: &Hub, web: &str, protocol: &str) -> Program {
    let identity = match protocol {
        "iot-core" => {
            let key = registered(&hub.host, &hub.host_folder, "iot-core");
            format!("{} iot-core {}", hub.name, token(&key))
        }
        // MQTT over WebSocket and AMQP over WebSocket have the same port.
        "ws" => hub.connection_string("ws").replace(&hub.name, web),
        protocol => hub.connection_string(protocol),
    };
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_each_protocol.cjs"));
    command.env("NODE_CLIENTS", workspace().join(".ci/tools/node"));
    Program::start(command.args([protocol, &hub.authority, identity.trim(), &EVENTS.to_string()]))
}

fn texts(program: &Program, what: &str) -> BTreeSet<String> {
    program.all(what).iter().filter_map(|line| line["data"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_device_over_each_protocol_moves_each_other_with_nothing_lost_over_a_kill() {
    let folder = workspace().join(".ci/tools/node");
    let installed =
        folder.join("node_modules/azure-iot-device-amqp").is_dir() && folder.join("node_modules/mqtt").is_dir();
    if !is_available("azure-iot-device for Node", installed && runs(Command::new("node").arg("--version"))) {
        return;
    }
    let Some((hub, web)) = Hub::over_each_protocol() else { return };
    let moves = PROTOCOLS.map(|device| format!("{{ command = {{ device = \"{device}\", ttl-ms = 600000 }} }}"));
    scripted_plugin(&hub.host_folder, "mover", ("telemetry", "*"), &moves.join(", "));
    hub.host.admin().wait_plugin("mover", "to run", |plugin| plugin["state"] == "running");
    let devices = PROTOCOLS.map(|protocol| device(&hub, &web, protocol));
    for device in &devices {
        device.wait_for_line("ready", |_| true);
    }
    until("some events of each", || devices.iter().all(|device| texts(device, "sent").len() >= 3).then_some(()));
    let hub = hub.killed();
    let all: BTreeSet<String> =
        PROTOCOLS.iter().flat_map(|protocol| (0..EVENTS).map(move |n| format!("{protocol} {n}"))).collect();
    for (protocol, device) in PROTOCOLS.iter().zip(&devices) {
        until(&format!("all events of {protocol}"), || (texts(device, "sent").len() == EVENTS).then_some(()));
    }
    let admin = hub.host.admin();
    for (protocol, device) in PROTOCOLS.iter().zip(&devices) {
        until(&format!("all commands of {protocol}"), || (acknowledged(&admin, protocol) == all).then_some(()));
        // The SDK over MQTT acknowledges what comes before it has a listener.
        if !["mqtt", "ws"].contains(protocol) {
            until(&format!("all lines of {protocol}"), || (texts(device, "moved") == all).then_some(()));
        }
    }
    hub.host.stop();
}

/// The commands of the device that have ended as acknowledged.
fn acknowledged(admin: &Admin, id: &str) -> BTreeSet<String> {
    let shown = admin.get(&Admin::device_path(id, "/commands?status=acknowledged&pageSize=1000")).ok();
    let payload = |command: &Value| String::from_utf8(STANDARD.decode(command["binaryData"].as_str()?).ok()?).ok();
    shown["commands"].as_array().into_iter().flatten().filter_map(payload).collect()
}
