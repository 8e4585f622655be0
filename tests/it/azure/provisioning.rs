//! Devices that are not registered: Azure's provisioning SDKs for Python and Node, over MQTT, WebSocket and HTTPS, with keys and certificates.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchbox_tests::{Admin, CLOSED, is_available, runs, workspace};

use super::sdk::{Hub, Program};

fn python(hub: &Hub, transport: &str, id: &str, proof: &[&str]) -> Option<Program> {
    let python = workspace().join(".ci/tools/azure/bin/python");
    if !is_available("azure-iot-device for Python", runs(Command::new(&python).args(["-c", "import azure.iot.device"])))
    {
        return None;
    }
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/clients/azure_provisioning.py"));
    command.args([transport, &hub.authority, &hub.name, "default", id]).args(proof);
    Some(Program::start(&mut command))
}

fn node(hub: &Hub, transport: &str, id: &str, key: &str) -> Option<Program> {
    let folder = workspace().join(".ci/tools/node");
    let installed = folder.join("node_modules/azure-iot-provisioning-device").exists();
    if !is_available("azure-iot-provisioning-device for Node", installed) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_provisioning.cjs"));
    command.env("NODE_CLIENTS", folder).env("NODE_EXTRA_CA_CERTS", &hub.authority);
    Some(Program::start(command.args([transport, &hub.authority, &hub.name, "default", id, key])))
}

fn enrol(hub: &Hub, arguments: &[&str]) -> String {
    let printed = hub.host.cli(&hub.host_folder, &[&["enrollment", "create"], arguments].concat());
    let key = printed.lines().find_map(|line| line.strip_prefix("primary key: "));
    assert!(printed.contains("ID scope: default"), "{printed}");
    key.unwrap_or_default().trim().to_owned()
}

/// The key of one of many devices, as its maker computes it.
fn derived(key: &str, id: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
    STANDARD.encode(ring::hmac::sign(&key, id.as_bytes()))
}

fn device(hub: &Hub, id: &str) -> Value {
    hub.host.admin().get(&Admin::device_path(id, "")).ok()
}

#[test]
fn python_is_registered_by_a_key_of_its_own_and_connects() {
    let Some(hub) = Hub::start() else { return };
    let key = enrol(
        &hub,
        &[
            "own",
            "--registration-id",
            "maker-1",
            "--device-id",
            "azure-1",
            "--payload",
            r#"{"room":"hall"}"#,
            "--config",
            r#"{"level":3}"#,
            "--metadata",
            "floor=1",
        ],
    );
    for transport in ["mqtt", "ws"] {
        let Some(program) = python(&hub, transport, "maker-1", &[&key]) else { return };
        let registered = program.said("registered", |_| true);
        let expect = json!({"what": "registered", "status": "assigned", "hub": hub.name, "device": "azure-1",
                            "payload": {"room": "hall"}});
        assert_eq!(registered, expect);
        let twin = program.said("twin", |_| true);
        assert_eq!(twin["twin"]["desired"]["level"], 3, "{twin}");
        program.said("ended", |_| true);
    }
    let metadata = &device(&hub, "azure-1")["metadata"];
    assert_eq!(metadata, &json!({"floor": "1", "switchbox-enrollment": "own"}));
    hub.host.stop();
}

#[test]
fn many_devices_are_registered_by_keys_that_are_made_of_one_and_no_other_device_is_taken() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let key = enrol(&hub, &["fleet"]);
    for (transport, id) in [("mqtt", "lamp-1"), ("http", "lamp-2")] {
        let Some(program) = node(&hub, transport, id, &derived(&key, id)) else { return };
        let registered = program.said("registered", |_| true);
        assert_eq!(registered["result"]["deviceId"], id, "{registered}");
        assert_eq!(registered["result"]["assignedHub"], hub.name, "{registered}");
    }
    assert_eq!(device(&hub, "lamp-2")["metadata"]["switchbox-enrollment"], "fleet");
    // A key of another device, and a device that an operator has registered.
    for id in ["lamp-3", "sink-1"] {
        let key = if id == "sink-1" { derived(&key, id) } else { derived(&key, "lamp-1") };
        let Some(program) = node(&hub, "http", id, &key) else { return };
        program.said("refused", |_| true);
    }
    let _ = hub.host.cli(&hub.host_folder, &["enrollment", "delete", "fleet"]);
    let Some(program) = node(&hub, "http", "lamp-1", &derived(&key, "lamp-1")) else { return };
    program.said("refused", |_| true);
    hub.host.stop();
}

#[test]
fn a_certificate_is_enough() {
    let Some(hub) = Hub::start() else { return };
    let folder = hub.host_folder.root().join("certs").display().to_string();
    for id in ["azure-1", "azure-2"] {
        let _ = hub.host.cli(&hub.host_folder, &["cert", "device", id, "--folder", &folder]);
    }
    let own = format!("{folder}/azure-1.pem");
    enrol(&hub, &["own", "--registration-id", "azure-1", "--certificate", &own]);
    enrol(&hub, &["many", "--certificate", &hub.authority]);
    for id in ["azure-1", "azure-2"] {
        let (certificate, key) = (format!("{folder}/{id}.pem"), format!("{folder}/{id}.key.pem"));
        let Some(program) = python(&hub, "mqtt", id, &[&certificate, &key]) else { return };
        assert_eq!(program.said("registered", |_| true)["device"], id);
        program.said("ended", |_| true);
    }
    let shown = hub.host.cli(&hub.host_folder, &["enrollment", "list"]);
    assert!(shown.contains("own") && shown.contains("certificate"), "{shown}");
    let Hub { host, host_folder, .. } = hub;
    host.kill();
    let host = host_folder.start_with(CLOSED);
    let shown = host.cli(&host_folder, &["enrollment", "get", "own"]);
    assert!(shown.contains("azure-1"), "it is kept: {shown}");
}
