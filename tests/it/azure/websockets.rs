//! AMQP over WebSocket, on the port of the service side: Azure's service SDK for Node, and its Event Hubs SDK for Python.

use std::process::Command;

use serde_json::{Value, json};
use switchbox_tests::{is_available, python_with, workspace};

use super::{
    files::Uploader,
    https::{Caller, curl},
    messages::sender,
    sdk::Hub,
};

#[test]
fn node_sends_a_message_and_gets_feedback() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let identity = hub.connection_string("azure-1");
    let messages = json!([
        {"to": "azure-1", "id": "open", "data": "open", "ack": "full"},
        {"to": "nobody", "id": "lost", "data": "lost", "ack": "full"},
    ]);
    let Some(program) = sender(&hub, &messages, "ws") else { return };
    program.wait_for_line("ready", |_| true);
    assert_eq!(program.wait_for_line("refused", |_| true)["name"], "DeviceNotFoundError");
    let caller = Caller::new(&hub, "azure-1", &identity);
    let (lock, body) = caller.fetch();
    assert_eq!(body, "open");
    let settled = caller.call("DELETE", &format!("/messages/devicebound/{lock}?api-version=2021-04-12"));
    assert!(settled.ends_with("204"), "{settled}");
    let reported = program.wait_for_line("feedback", |line| line["record"]["originalMessageId"] == "open");
    assert_eq!(reported["record"]["statusCode"], "Success", "{reported}");

    let device = Uploader::new(&hub, &identity);
    let (address, _) = device.begin("logs/a.txt");
    assert!(device.put(&address, "hello").ends_with("201"));
    let reported = program.wait_for_line("file", |_| true);
    let shown = (&reported["deviceId"], &reported["blobName"], &reported["blobSizeInBytes"]);
    assert_eq!(shown, (&json!("azure-1"), &json!("azure-1/logs/a.txt"), &json!(5)), "{reported}");
    hub.host.stop();
}

#[test]
fn python_reads_events_of_all_partitions() {
    let python = python_with("azure.eventhub, websocket");
    if !is_available("azure-eventhub with websocket-client", python.is_some()) {
        return;
    }
    let Some(hub) = Hub::over_https(&[]) else { return };
    for number in 0..6 {
        let id = format!("azure-{number}");
        let identity = hub.connection_string(&id);
        let caller = Caller::new(&hub, &id, &identity);
        let sent = caller.call("POST", "/messages/events?api-version=2021-04-12");
        assert!(sent.ends_with("204"), "{sent}");
    }
    let policy = hub.policy("service");
    let key = policy.split(';').find_map(|part| part.strip_prefix("SharedAccessKey=")).unwrap();
    let given =
        format!("Endpoint=sb://{}/;SharedAccessKeyName=service;SharedAccessKey={key};EntityPath=default", hub.name);
    let checkpoints = hub.host_folder.root().join("checkpoints.json");
    let mut command = Command::new(python.unwrap());
    command.arg(workspace().join("tests/clients/azure_events.py")).args([&given, "all", "6"]).arg(checkpoints);
    let output = command.env("AMQP_OVER_WEBSOCKET", &hub.authority).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    let events = printed.lines().filter(|line| line.starts_with('{'));
    let mut devices: Vec<_> = events
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["device"].as_str().unwrap().to_owned())
        .collect();
    devices.sort();
    assert_eq!(devices, (0..6).map(|number| format!("azure-{number}")).collect::<Vec<_>>());
    hub.host.stop();
}

#[test]
fn what_is_no_upgrade_to_amqp_is_told_what_to_do() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let valid = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key];
    for (left_out, protocol, expect, says) in [
        (0, "AMQPWSB10", "400", "Upgrade: websocket"),
        (2, "AMQPWSB10", "400", "must be 13"),
        (3, "AMQPWSB10", "400", "Sec-WebSocket-Key"),
        (9, "chat", "400", "must be AMQPWSB10"),
        (9, "mqtt", "501", "mqtt.wss-listen"),
    ] {
        let protocol = format!("Sec-WebSocket-Protocol: {protocol}");
        let headers = valid.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, header)| *header);
        let headers: Vec<_> = headers.chain([protocol.as_str()]).collect();
        let answer = curl(&hub, "GET", "/$iothub/websocket", &headers, "", &[]);
        assert!(answer.ends_with(expect) && answer.contains(says), "{headers:?}: {answer}");
    }
    hub.host.stop();
}
