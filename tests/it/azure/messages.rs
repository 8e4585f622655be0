//! Messages of programs to devices: sent over AMQP by Azure's service SDK, received by a device on Azure's device SDK, with
//! feedback.

use std::process::Command;

use serde_json::{Value, json};
use switchbox_tests::{is_available, python_with, until, workspace};

use super::{
    https::Caller,
    sdk::{Hub, Program, python},
};

pub(super) fn sender(hub: &Hub, messages: &Value, transport: &str) -> Option<Program> {
    let folder = workspace().join(".ci/tools/node");
    if !is_available("azure-iothub", folder.join("node_modules/azure-iothub").is_dir()) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_c2d.cjs")).env("NODE_CLIENTS", folder);
    command.env("NODE_EXTRA_CA_CERTS", &hub.authority);
    Some(Program::start(command.args([&hub.policy("service"), &messages.to_string(), transport])))
}

/// One for each end that there is.
fn messages() -> Value {
    let message = |to: &str, id: &str, ack: &str| json!({"to": to, "id": id, "data": id, "ack": ack});
    let with = |mut message: Value, name: &str, value: Value| {
        message[name] = value;
        message
    };
    json!([
        with(message("azure-1", "taken", "full"), "properties", json!({"room": "hall"})),
        message("azure-1", "quiet", "negative"),
        message("azure-2", "reject", "full"),
        message("azure-2", "abandon", "negative"),
        with(message("azure-3", "late", "full"), "expiresInMs", json!(1_500)),
        message("azure-3", "purged", "full"),
        message("nobody", "lost", "full"),
    ])
}

#[test]
fn messages_of_node_reach_a_device_and_every_end_gives_feedback() {
    let Some(hub) = Hub::over_https(&["--command-deliveries", "2"]) else { return };
    let (connected, fetching) = (hub.connection_string("azure-1"), hub.connection_string("azure-2"));
    let _ = hub.connection_string("azure-3");
    let Some(device) = python(&hub, "sync", "mqtt", &[&connected]) else { return };
    device.wait_for_line("ready", |_| true);
    let Some(program) = sender(&hub, &messages(), "tcp") else { return };
    program.wait_for_line("ready", |_| true);
    let refused = program.wait_for_line("refused", |_| true);
    assert_eq!((&refused["id"], &refused["name"]), (&json!("lost"), &json!("DeviceNotFoundError")), "{refused}");
    let received = device.wait_for_line("c2d", |line| line["id"] == "taken");
    assert_eq!(received["properties"]["room"], "hall", "{received}");
    device.wait_for_line("c2d", |line| line["id"] == "quiet");

    let caller = Caller::new(&hub, "azure-2", &fetching);
    for (id, method, rest) in
        [("reject", "DELETE", "?reject&"), ("abandon", "POST", "/abandon?"), ("abandon", "POST", "/abandon?")]
    {
        let (lock, body) = caller.fetch();
        assert_eq!(body, id);
        assert!(
            caller.call(method, &format!("/messages/devicebound/{lock}{rest}api-version=2021-04-12")).ends_with("204")
        );
    }
    let late = |line: &Value| line["record"]["originalMessageId"] == "late";
    program.wait_for_line("feedback", late);
    let _ = hub.host.cli(&hub.host_folder, &["device", "command", "purge", "azure-3"]);
    for (id, device, code) in [
        ("taken", "azure-1", "Success"),
        ("reject", "azure-2", "Rejected"),
        ("abandon", "azure-2", "DeliveryCountExceeded"),
        ("late", "azure-3", "Expired"),
        ("purged", "azure-3", "Purged"),
    ] {
        let feedback = program.wait_for_line("feedback", |line| line["record"]["originalMessageId"] == id);
        assert_eq!(
            (&feedback["record"]["deviceId"], &feedback["record"]["statusCode"]),
            (&json!(device), &json!(code)),
            "{feedback}"
        );
        assert_eq!(feedback["kind"], "application/vnd.microsoft.iothub.feedback.json");
    }
    until("every end once", || (program.count(|line| line["what"] == "feedback") == 5).then_some(()));
    over_a_restart(hub, program);
}

/// What a program has accepted is not sent again.
fn over_a_restart(hub: Hub, program: Program) {
    let ended = hub.host.admin().get("/v1/events?kind=command-settled&pageSize=1").ok();
    let ended: u64 = ended["events"][0]["id"].as_str().unwrap().parse().unwrap();
    until("the position of the feedback", || {
        let stored = std::fs::read(hub.host_folder.data().join("hub-feedback.json")).ok()?;
        let stored: Value = serde_json::from_slice(&stored).ok()?;
        let next = stored.as_object()?.values().next()?[0].as_u64()?;
        (next > ended).then_some(())
    });
    drop(program);

    // After a restart, a receiver gets what is new.
    let hub = hub.killed();
    let later = json!([{"to": "azure-3", "id": "later", "data": "later", "ack": "full", "expiresInMs": 1_000}]);
    let Some(program) = sender(&hub, &later, "tcp") else { return };
    program.wait_for_line("feedback", |line| line["record"]["originalMessageId"] == "later");
    assert_eq!(program.count(|line| line["what"] == "feedback"), 1);
    hub.host.stop();
}

#[test]
fn a_message_of_python_reaches_a_device() {
    let python = python_with("azure.iot.hub");
    if !is_available("azure-iot-hub", python.is_some()) {
        return;
    }
    let Some(hub) = Hub::over_https(&[]) else { return };
    let identity = hub.connection_string("azure-1");
    let mut command = Command::new(python.unwrap());
    command.arg(workspace().join("tests/clients/azure_c2d.py"));
    command.args([&hub.policy("service"), &hub.authority, "azure-1", "open"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (lock, body) = Caller::new(&hub, "azure-1", &identity).fetch();
    assert_eq!((lock.len(), body.as_str()), (32, "open"));
    hub.host.stop();
}
