//! Devices over AMQP: Azure's device SDK for Node, and an AMQP client that is no SDK.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchbox_azure::{Policy, sas};
use switchbox_tests::{Admin, is_available, now, until, workspace};

use super::{
    https::key,
    messages::sender,
    sdk::{Hub, Program, everything, node},
};

#[test]
fn node_does_all_that_a_device_does_over_amqp_and_websocket() {
    for transport in ["amqp", "amqp-ws"] {
        let Some(hub) = Hub::over_https(&[]) else { return };
        let identity = hub.connection_string("azure-1");
        let Some(program) = node(&hub, transport, &[&identity]) else { return };
        everything(&hub, &program);
        until("the end of the connection", || (!is_connected(&hub.host.admin())).then_some(()));
        hub.host.stop();
    }
}

#[test]
fn node_shows_a_certificate_over_amqp() {
    for transport in ["amqp", "amqp-ws"] {
        let Some(hub) = Hub::over_https(&[]) else { return };
        let (certificate, key) = hub.with_certificate("azure-1");
        let Some(program) = node(&hub, transport, &[hub.printed("azure-1").trim(), &certificate, &key]) else { return };
        everything(&hub, &program);
        hub.host.stop();
    }
}

fn is_connected(admin: &Admin) -> bool {
    admin.get(&Admin::device_path("azure-1", "")).ok()["connected"] == true
}

#[test]
fn what_a_device_does_with_a_message_over_amqp_ends_it() {
    let Some(hub) = Hub::over_https(&["--command-deliveries", "3"]) else { return };
    let identity = hub.connection_string("azure-1");
    let message =
        |id: &str| json!({"to": "azure-1", "id": id, "data": id, "ack": "full", "properties": {"room": "hall"}});
    let Some(device) = node(&hub, "amqp", &[&identity]) else { return };
    device.wait_for_line("ready", |_| true);
    // One after the other: the SDK's library gives messages that it settles together the outcome of the first.
    for (id, code) in [("abandon", "DeliveryCountExceeded"), ("reject", "Rejected"), ("take", "Success")] {
        let Some(program) = sender(&hub, &json!([message(id)]), "tcp") else { return };
        let received = device.wait_for_line("c2d", |line| line["data"] == id);
        assert_eq!((&received["id"], &received["properties"]["room"]), (&json!(id), &json!("hall")), "{received}");
        assert_eq!(received["to"], "/devices/azure-1/messages/devicebound");
        let reported = program.wait_for_line("feedback", |line| line["record"]["originalMessageId"] == id);
        assert_eq!(reported["record"]["statusCode"], code, "{reported}");
    }
    assert_eq!(device.count(|line| line["what"] == "c2d" && line["data"] == "abandon"), 3);
    hub.host.stop();
}

/// A client that is no SDK, with this user name and token.
fn by_hand(hub: &Hub, user: &str, token: &str) -> Option<Program> {
    let folder = workspace().join(".ci/tools/node");
    if !is_available("rhea", folder.join("node_modules/rhea").is_dir()) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_amqp_device.cjs")).env("NODE_CLIENTS", folder);
    Some(Program::start(command.args([&hub.name, &hub.authority, "azure-1", user, token])))
}

fn token(hub: &Hub, key: &[u8], lasts_secs: u64, policy: Option<Policy>) -> String {
    sas::sign(&format!("{}/devices/azure-1", hub.name), key, now() + lasts_secs, policy)
}

#[test]
fn a_connection_is_one_devices_and_ends_with_its_right_to_connect() {
    let Some(hub) = Hub::over_https(&[]) else { return };
    let (own, other) = (key(&hub.connection_string("azure-1")), key(&hub.connection_string("other")));
    let policy = key(&hub.policy("device"));
    let user = format!("azure-1@sas.{}", hub.name);
    let Some(refused) = by_hand(&hub, &user, &token(&hub, &other, 60, None)) else { return };
    refused.wait_for_line("disconnected", |_| true);
    assert_eq!(refused.count(|line| line["what"] == "sent"), 0);

    let first = by_hand(&hub, &user, &token(&hub, &own, 60, None)).unwrap();
    first.wait_for_line("sent", |line| line["number"] == 2);
    let rejected = first.wait_for_line("rejected", |_| true);
    assert_eq!(rejected["condition"], "amqp:decode-error", "{rejected}");
    let refused = |program: &Program, address: &str, condition: &str| {
        let reported = program.wait_for_line("refused", |line| line["address"] == address);
        assert_eq!(reported["condition"], condition, "{reported}");
    };
    let unauthorized = "amqp:unauthorized-access";
    refused(&first, "/devices/other/messages/events", unauthorized);
    refused(&first, "/messages/devicebound", unauthorized);
    refused(&first, "default/ConsumerGroups/$Default/Partitions/0", unauthorized);
    refused(&first, "/devices/azure-1/messages/devicebound", "amqp:not-allowed");
    refused(&first, "/devices/x/modules/y/twin", "amqp:not-found");
    let admin = hub.host.admin();
    let events = admin.get("/v1/events?kind=telemetry&pageSize=10").ok();
    let list = events["events"].as_array().unwrap();
    let mut bodies: Vec<_> = list.iter().map(|event| event["binaryData"].as_str().unwrap().to_owned()).collect();
    bodies.sort();
    let mut expect = ["by hand", "one of two", "two of two"].map(|text| STANDARD.encode(text));
    expect.sort();
    assert_eq!(bodies, expect, "{events}");
    assert!(list.iter().any(|event| event["properties"] == json!([{"name": "of", "value": "two"}])), "{events}");

    // The newest connection wins; this one has the token of a policy.
    let second =
        by_hand(&hub, &format!("device@sas.root.{}", hub.name), &token(&hub, &policy, 60, Some(Policy::Device)));
    let second = second.unwrap();
    let closed = first.wait_for_line("closed", |_| true);
    assert_eq!(closed["condition"], "amqp:link:detach-forced", "{closed}");
    assert!(closed["text"].as_str().unwrap().contains("connected again"), "{closed}");
    second.wait_for_line("sent", |_| true);
    refused(&second, "/devices/other/messages/events", unauthorized);
    refused(&second, "default/ConsumerGroups/$Default/Partitions/0", unauthorized);
    let _ = hub.host.cli(&hub.host_folder, &["device", "block", "azure-1"]);
    let closed = second.wait_for_line("closed", |_| true);
    assert!(closed["text"].as_str().unwrap().contains("is blocked"), "{closed}");
    until("the device to be gone", || (!is_connected(&admin)).then_some(()));
    let _ = hub.host.cli(&hub.host_folder, &["device", "unblock", "azure-1"]);

    let brief = by_hand(&hub, &user, &token(&hub, &own, 3, None)).unwrap();
    brief.wait_for_line("sent", |_| true);
    let closed: Value = brief.wait_for_line("closed", |_| true);
    assert_eq!((&closed["condition"], &closed["text"]), (&json!(unauthorized), &json!("the token has expired")));
    hub.host.stop();
}
