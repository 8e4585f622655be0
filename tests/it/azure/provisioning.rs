//! Devices that are not registered: Azure's provisioning SDKs for Python and Node, over MQTT, WebSocket and HTTPS, with keys and certificates.

use std::{fs, process::Command};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use switchbox_auth::signing::SigningKey;
use switchbox_tests::{Admin, CLOSED, Device, Session, is_available, now, runs, token, workspace};

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
        let registered = program.wait_for_line("registered", |_| true);
        let expect = json!({"what": "registered", "status": "assigned", "hub": hub.name, "device": "azure-1",
                            "payload": {"room": "hall"}});
        assert_eq!(registered, expect);
        let twin = program.wait_for_line("twin", |_| true);
        assert_eq!(twin["twin"]["desired"]["level"], 3, "{twin}");
        program.wait_for_line("ended", |_| true);
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
        let registered = program.wait_for_line("registered", |_| true);
        assert_eq!(registered["result"]["deviceId"], id, "{registered}");
        assert_eq!(registered["result"]["assignedHub"], hub.name, "{registered}");
    }
    assert_eq!(device(&hub, "lamp-2")["metadata"]["switchbox-enrollment"], "fleet");
    // A key of another device, and a device that an operator has registered.
    for id in ["lamp-3", "sink-1"] {
        let key = if id == "sink-1" { derived(&key, id) } else { derived(&key, "lamp-1") };
        let Some(program) = node(&hub, "http", id, &key) else { return };
        program.wait_for_line("refused", |_| true);
    }
    let _ = hub.host.cli(&hub.host_folder, &["enrollment", "delete", "fleet"]);
    let Some(program) = node(&hub, "http", "lamp-1", &derived(&key, "lamp-1")) else { return };
    program.wait_for_line("refused", |_| true);
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
        assert_eq!(program.wait_for_line("registered", |_| true)["device"], id);
        program.wait_for_line("ended", |_| true);
    }
    let shown = hub.host.cli(&hub.host_folder, &["enrollment", "list"]);
    assert!(shown.contains("own") && shown.contains("certificate"), "{shown}");
    let Hub { host, host_folder, .. } = hub;
    host.kill();
    let host = host_folder.start_with(CLOSED);
    let shown = host.cli(&host_folder, &["enrollment", "get", "own"]);
    assert!(shown.contains("azure-1"), "it is kept: {shown}");
}

/// What the host answers to a device that registers itself over the API, with the status behind it.
fn register(hub: &Hub, key: &[u8], registration_id: &str, certificate: &str) -> String {
    let registry = "projects/local/locations/local/registries/default";
    let claims = json!({"aud": registry, "sub": registration_id, "exp": now() + 60,
                        "publicKey": {"format": "ES256_X509_PEM", "key": certificate}});
    let text =
        [json!({"alg": "HS256", "typ": "JWT"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), text.as_bytes());
    let bearer = format!("Authorization: Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature));
    let url = format!("{}/v1/{registry}:registerDevice", hub.host.admin().base());
    let output = Command::new("curl").args(["-s", "-w", "\n%{http_code}", "-X", "POST", "-H", &bearer, &url]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn an_iot_core_device_registers_itself_by_an_enrolment_and_connects_with_its_key() {
    let Some(hub) = Hub::start() else { return };
    let fleet = enrol(&hub, &["fleet", "--payload", r#"{"room":"hall"}"#, "--config", r#"{"level":3}"#]);
    let folder = hub.host_folder.root().join("certs");
    let shown = folder.display().to_string();
    let certificate = |id: &str| {
        let _ = hub.host.cli(&hub.host_folder, &["cert", "device", id, "--folder", &shown]);
        fs::read_to_string(folder.join(format!("{id}.pem"))).unwrap()
    };
    let key = STANDARD.decode(derived(&fleet, "core-1")).unwrap();
    let (first, second) = (certificate("core-1"), certificate("core-2"));
    for (wrong, id, certificate, part) in [
        (&b"another key"[..], "core-1", first.as_str(), "401"),
        (&key, "core-2", &first, "401"),
        (&key, "core-1", "no key", "400"),
    ] {
        let answer = register(&hub, wrong, id, certificate);
        assert!(answer.ends_with(part), "{id}: {answer}");
    }
    let taken = STANDARD.decode(derived(&fleet, "sink-1")).unwrap();
    let answer = register(&hub, &taken, "sink-1", &first);
    assert!(answer.ends_with("409"), "an operator registered it: {answer}");

    // A device that comes again brings a new key.
    for (certificate, name) in [(&first, "core-1"), (&second, "core-2")] {
        let answer = register(&hub, &key, "core-1", certificate);
        let (body, status) = answer.rsplit_once('\n').unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert_eq!((status, &body["id"], &body["payload"]), ("200", &json!("core-1"), &json!(r#"{"room":"hall"}"#)));
        let private = fs::read(folder.join(format!("{name}.key.pem"))).unwrap();
        let token = token(&SigningKey::from_pem(&private).unwrap());
        let mut device = Device::connect(hub.host.mqtt(), Session::with_secret("core-1", &token));
        device.event(r#"{"deviceId":"sink-1","hops":4}"#);
    }
    assert_eq!(device(&hub, "core-1")["metadata"]["switchbox-enrollment"], "fleet");
    hub.host.stop();
}
