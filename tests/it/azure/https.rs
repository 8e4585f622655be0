//! Devices over HTTPS: Azure's SDK for Node, and calls that no SDK makes.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchbox_azure::{ConnectionString, sas};
use switchbox_tests::{Admin, is_available, now, until, workspace};

use super::sdk::{Hub, Program, telemetry};

fn node(hub: &Hub, identity: &[&str]) -> Option<Program> {
    let folder = workspace().join(".ci/tools/node");
    if !is_available("azure-iot-device-http for Node", folder.join("node_modules/azure-iot-device-http").exists()) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_device_http.cjs")).env("NODE_CLIENTS", folder);
    Some(Program::start(command.arg(&hub.authority).args(identity)))
}

/// Sends a message to the device; its outcome is read from the path that this returns.
fn send(admin: &Admin, text: &str) -> String {
    let properties = json!([{"name": "room", "value": "hall"}]);
    let body =
        json!({"binaryData": STANDARD.encode(text), "ttl": "60s", "subfolder": "door", "properties": properties});
    let sent = admin.post(&Admin::device_path("azure-1", ":sendCommandToDevice"), &body).ok();
    Admin::device_path("azure-1", &format!("/commands/{}", sent["id"].as_str().unwrap()))
}

fn ends(admin: &Admin, command: &str, status: &str) {
    until(status, || (admin.get(command).ok()["status"] == status).then_some(()));
}

#[test]
fn node_sends_and_fetches_over_https() {
    let Some(hub) = Hub::over_https(&["--command-deliveries", "2"]) else { return };
    let identity = hub.connection_string("azure-1");
    let Some(program) = node(&hub, &[&identity]) else { return };
    program.wait_for_line("sent", |_| true);
    let admin = hub.host.admin();
    let shown = admin.get("/v1/events?kind=telemetry&pageSize=100").ok();
    let events: Vec<_> = shown["events"].as_array().unwrap().iter().rev().collect();
    let payload =
        |event: &Value| String::from_utf8(STANDARD.decode(event["binaryData"].as_str().unwrap()).unwrap()).unwrap();
    let payloads: Vec<_> = events.iter().map(|event| payload(event)).collect();
    assert_eq!(payloads, [r#"{"deviceId":"sink-1","hops":1}"#, r#"{"n":1}"#, r#"{"n":2}"#]);
    let of_message = json!({"message-id": "m-1", "correlation-id": "c/1", "content-type": "application/json",
                            "content-encoding": "utf-8"});
    assert_eq!(events[0]["systemProperties"], of_message);
    assert_eq!(events[0]["properties"], json!([{"name": "severity", "value": "a&b=c"}]));
    assert_eq!(telemetry(&admin)["properties"], json!([{"name": "second", "value": "yes"}]));
    let moved = STANDARD.encode(r#"{"deviceId":"sink-1","hops":2}"#);
    until("the config of sink-1", || {
        let sink = admin.get(&Admin::device_path("sink-1", "")).ok();
        (sink["config"]["binaryData"] == moved).then_some(())
    });

    program.wait_for_line("ready", |_| true);
    let command = send(&admin, "open");
    let received = program.wait_for_line("c2d", |line| line["data"] == "open");
    assert_eq!(received["settled"], "MessageCompleted", "{received}");
    assert_eq!(received["to"], "/devices/azure-1/messages/devicebound");
    assert!(command.ends_with(received["id"].as_str().unwrap()), "{received}");
    assert_eq!(received["properties"], json!({"iothub-app-room": "hall", "iothub-app-subfolder": "door"}));
    ends(&admin, &command, "acknowledged");

    let command = send(&admin, "reject");
    let received = program.wait_for_line("c2d", |line| line["data"] == "reject");
    assert_eq!(received["settled"], "MessageRejected", "{received}");
    ends(&admin, &command, "rejected");

    let command = send(&admin, "abandon");
    ends(&admin, &command, "rejected");
    until("the second delivery", || (program.count(|line| line["data"] == "abandon") == 2).then_some(()));

    send(&admin, "twice");
    let again = program.wait_for_line("again", |_| true);
    assert_eq!(again["status"], 412, "{again}");
    assert!(again["body"].as_str().unwrap().contains("DeviceMessageLockLost"), "{again}");
    hub.host.stop();
}

#[test]
fn node_shows_a_certificate_over_https() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let (certificate, key) = hub.with_certificate("azure-1");
    let Some(program) = node(&hub, &[hub.printed("azure-1").trim(), &certificate, &key]) else { return };
    program.wait_for_line("sent", |_| true);
    program.wait_for_line("ready", |_| true);
    let admin = hub.host.admin();
    let command = send(&admin, "open");
    let received = program.wait_for_line("c2d", |line| line["data"] == "open");
    assert_eq!(received["settled"], "MessageCompleted", "{received}");
    ends(&admin, &command, "acknowledged");
    hub.host.stop();
}

/// A device that calls by hand.
pub(super) struct Caller<'a> {
    hub: &'a Hub,
    device: &'a str,
    token: String,
}

impl<'a> Caller<'a> {
    pub(super) fn new(hub: &'a Hub, device: &'a str, connection_string: &str) -> Self {
        Self { hub, device, token: sign(hub, &key(connection_string), device) }
    }

    /// What is answered, with the status behind it. The path is what follows that of the device.
    pub(super) fn call(&self, method: &str, path: &str) -> String {
        let path = format!("/devices/{}{path}", self.device);
        curl(self.hub, method, &path, &[&format!("Authorization: {}", self.token)], "", &[])
    }

    /// The lock token of the next message, and the message.
    pub(super) fn fetch(&self) -> (String, String) {
        let path = format!("/devices/{}/messages/devicebound?api-version=2021-04-12", self.device);
        let answer = curl(self.hub, "GET", &path, &[&format!("Authorization: {}", self.token)], "", &["-i"]);
        let lock = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_else(|| panic!("{answer}"));
        let body = answer.split("\r\n\r\n").nth(1).unwrap().lines().next().unwrap();
        (lock.trim().trim_matches('"').to_owned(), body.to_owned())
    }
}

pub(super) fn key(connection_string: &str) -> Vec<u8> {
    STANDARD.decode(ConnectionString::parse(connection_string.trim()).unwrap().key.unwrap()).unwrap()
}

fn sign(hub: &Hub, key: &[u8], device: &str) -> String {
    sas::sign(&format!("{}/devices/{device}", hub.name), key, now() + 60, None)
}

pub(super) fn curl(hub: &Hub, method: &str, path: &str, headers: &[&str], body: &str, more: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}", "--cacert", &hub.authority, "-X", method, "--data-binary", "@-"]);
    curl.args(headers.iter().flat_map(|header| ["-H", header]));
    curl.args(more).arg(format!("https://{}{path}", hub.name)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut curl = curl.spawn().unwrap();
    curl.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    String::from_utf8(curl.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn only_the_device_itself_is_accepted_and_errors_say_what_is_wrong() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let (own, other) = (hub.connection_string("azure-1"), hub.connection_string("azure-2"));
    let token = |key: &[u8], device: &str| sign(&hub, key, device);
    let valid = token(&key(&own), "azure-1");
    let call = |method: &str, path: &str, headers: &[&str], body: &str| curl(&hub, method, path, headers, body, &[]);
    let events = "/devices/azure-1/messages/events?api-version=2021-04-12";
    let signed = |token: &str| format!("Authorization: {token}");
    let json = "Content-Type: application/vnd.microsoft.iothub.json";
    for (headers, path, body, expect) in [
        (vec![signed(&valid)], events, "x", "204"),
        (vec![], events, "x", "401"),
        (vec!["Authorization: Bearer x".to_owned()], events, "x", "401"),
        (vec![signed(&token(b"another key", "azure-1"))], events, "x", "401"),
        (vec![signed(&token(&key(&other), "azure-2"))], events, "x", "401"),
        (vec![signed(&valid)], "/devices/azure-1/messages/events", "x", "400"),
        (vec![signed(&valid), json.to_owned()], events, "{}", "400"),
        (vec![signed(&valid), json.to_owned()], events, r#"[{"body":"?"}]"#, "400"),
        (vec![signed(&valid), json.to_owned()], events, r#"[{"body":"x","base64Encoded":false}]"#, "204"),
        (vec![signed(&valid)], events, &"x".repeat(300_000), "413"),
        (
            vec![signed(&valid), json.to_owned()],
            events,
            &format!("[{}{{\"body\":\"\"}}]", r#"{"body":""},"#.repeat(500)),
            "400",
        ),
    ] {
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        let answer = call("POST", path, &headers, body);
        let shown: String = body.chars().take(40).collect();
        assert!(answer.ends_with(expect), "{path} {headers:?} {shown}: {answer}");
    }
    let bound = |rest: &str| format!("/devices/azure-1/messages/devicebound{rest}?api-version=2021-04-12");
    let valid = signed(&valid);
    assert!(call("GET", &bound(""), &[&valid], "").ends_with("204"));
    for (method, rest) in [("DELETE", "/0123"), ("POST", "/0123/abandon")] {
        let answer = call(method, &bound(rest), &[&valid], "");
        assert!(answer.ends_with("412") && answer.contains("DeviceMessageLockLost"), "{answer}");
    }
    hub.host.stop();
}
