//! Gateways: devices that are attached over another device's connection, and the errors that the gateway gets.

use serde_json::{Value, json};

use super::{
    raw::{ack, connect_v4, publish, text},
    *,
};
use switchbox_auth::signing::SigningKey;
use switchbox_model::registry::{Credential, DeviceSpec, GatewayAuth, KeyFormat};
use switchbox_support::clock;

pub(super) const ERRORS: &str = "/devices/gateway/errors";
pub(super) const ATTACH: &str = "/devices/bound/attach";
const CONFIG: &str = "/devices/bound/config";
const COMMANDS: &str = "/devices/bound/commands";

pub(super) async fn server() -> TestServer {
    let server = TestServer::start().await;
    register(&server).await;
    server
}

/// Gateways, devices that are bound to all of them, and one that is not.
pub(super) async fn register(server: &TestServer) {
    let host = &server.host;
    host.register("unbound", DeviceSpec::default()).await;
    let mut devices = Vec::new();
    for id in ["bound", "bound-2", "contested"] {
        devices.push(host.register(id, DeviceSpec::default()).await);
    }
    for id in ["gateway", "gateway-2", "gateway-3"] {
        let spec = DeviceSpec { gateway: Some(GatewayAuth::AssociationOnly), ..DeviceSpec::default() };
        let gateway = host.register(id, spec).await;
        for device in &devices {
            host.registry.bind(&gateway, device).await.unwrap();
        }
    }
}

/// A gateway with MQTT 3.1.1 that reads its errors.
pub(super) async fn gateway(server: &TestServer) -> Client {
    let mut gateway = server.v4("gateway").await;
    assert_eq!(gateway.subscribe(false, ERRORS, 1).await, 0);
    gateway
}

/// With `bound` attached.
async fn attached(server: &TestServer) -> Client {
    let mut gateway = gateway(server).await;
    attach(&mut gateway, "bound").await;
    gateway
}

pub(super) async fn attach(gateway: &mut Client, device: &str) {
    success(gateway, &format!("/devices/{device}/attach"), 900, "").await;
}

/// The next two packets are an error on the errors topic and, where one is due, an acknowledgement; in any order.
pub(super) async fn error_and(gateway: &mut Client, expect: Option<Vec<u8>>) -> Value {
    let (mut found, mut acknowledged) = (None, expect.is_none());
    while found.is_none() || !acknowledged {
        let packet = gateway.packet().await;
        if packet[0] == 0x30 {
            let at = packet.iter().position(|byte| *byte == b'{').expect("no JSON");
            assert!(packet[..at].ends_with(ERRORS.as_bytes()) || packet[..at].ends_with(&[0]), "{packet:?}");
            found = Some(serde_json::from_slice(&packet[at..]).unwrap());
        } else {
            assert_eq!(Some(&packet), expect.as_ref());
            acknowledged = true;
        }
    }
    found.unwrap()
}

/// Publishes a message that fails with QoS 1; returns the error, which comes beside the acknowledgement.
pub(super) async fn failure(gateway: &mut Client, topic: &str, id: u16, payload: &str) -> Value {
    gateway.send(&publish(0x32, topic, id, None, payload)).await;
    error_and(gateway, Some(ack(0x40, id))).await
}

/// Publishes with QoS 1.
pub(super) async fn success(gateway: &mut Client, topic: &str, id: u16, payload: &str) {
    gateway.send(&publish(0x32, topic, id, None, payload)).await;
    gateway.expect(&ack(0x40, id)).await;
}

/// Type, device, and the message that caused it.
pub(super) fn parts(error: &Value) -> (&str, &str, Value) {
    let text = |name: &str| error[name].as_str().unwrap();
    assert!(!text("description").is_empty());
    (text("error_type"), text("device_id"), error["mqtt_message_info"].clone())
}

#[tokio::test]
async fn an_attached_device_is_connected_until_it_is_detached() {
    let server = server().await;
    let mut gateway = attached(&server).await;
    server.wait_for_journal("bound connected").await;
    // Again is acknowledged, and changes nothing.
    attach(&mut gateway, "bound").await;
    for topic in ["/devices/bound/detach", "/devices/bound/detach", "/devices/unbound/detach"] {
        success(&mut gateway, topic, 4, "").await;
    }
    let lines = server.host.journal_texts().await;
    assert_eq!(lines, ["gateway connected", "bound connected", "bound disconnected: detached by its gateway"]);
}

#[tokio::test]
async fn control_messages_are_carried_out_with_every_quality() {
    let server = server().await;
    let mut gateway = gateway(&server).await;
    gateway.send(&publish(0x30, ATTACH, 0, None, "{}")).await;
    success(&mut gateway, "/devices/bound/events", 1, "x").await;
    gateway.send(&publish(0x34, "/devices/bound/detach", 2, None, "")).await;
    gateway.expect(&ack(0x50, 2)).await;
    gateway.send(&ack(0x62, 2)).await;
    gateway.expect(&ack(0x70, 2)).await;
    server.wait_for_journal("bound disconnected: detached by its gateway").await;
}

#[tokio::test]
async fn a_token_is_taken_from_the_payload() {
    let server = server().await;
    server.host.change("gateway", |spec| spec.gateway = Some(GatewayAuth::DeviceAuthTokenOnly)).await;
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = Credential { format: KeyFormat::Es256Pem, key: pair.public_key_pem(), expires_ms: None };
    for id in ["keyed", "keyed-2"] {
        server.host.register(id, DeviceSpec { credentials: vec![key.clone()], ..DeviceSpec::default() }).await;
    }
    let (now, signing) = (clock::now_ms() / 1_000, SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap());
    let payload =
        |audience: &str| json!({"authorization": signing.token(audience, now, now + 60).unwrap()}).to_string();
    let mut gateway = gateway(&server).await;
    success(&mut gateway, "/devices/keyed/attach", 1, &payload("local")).await;
    for wrong in [payload("elsewhere"), r#"{"authorization": "no token"}"#.into(), String::new()] {
        let error = failure(&mut gateway, "/devices/keyed-2/attach", 2, &wrong).await;
        assert_eq!(parts(&error).0, "GATEWAY_ATTACHMENT_ERROR", "{wrong}");
    }
}

#[tokio::test]
async fn events_of_a_gateway_and_its_devices_keep_apart_and_their_acknowledgements_in_order() {
    let server = server().await;
    server.host.disk.block();
    let mut gateway = gateway(&server).await;
    let bytes: Vec<_> = ["gateway/events", "bound/attach", "bound/events/a/b", "bound/state", "gateway/events"]
        .iter()
        .zip(1..)
        .map(|(topic, id)| (topic, id, if topic.ends_with("attach") { String::new() } else { id.to_string() }))
        .map(|(topic, id, payload)| publish(0x32, &format!("/devices/{topic}"), id, None, &payload))
        .collect();
    gateway.send(&bytes.concat()).await;
    until("all are submitted", || server.events.payloads() == ["1", "3", "4", "5"]).await;
    let senders: Vec<_> = server.events.published().into_iter().map(|(id, _)| id).collect();
    assert_eq!(senders, ["gateway", "bound", "bound", "gateway"]);
    gateway.expect_silence().await;
    server.host.disk.release();
    for id in 1..=5 {
        gateway.expect(&ack(0x40, id)).await;
    }
}

#[tokio::test]
async fn config_and_commands_come_for_each_device_and_their_acknowledgements_are_its_own() {
    let server = server().await;
    server.host.set_config("bound", "on").await;
    let mut gateway = attached(&server).await;
    attach(&mut gateway, "bound-2").await;
    assert_eq!(gateway.subscribe(false, CONFIG, 2).await, 1);
    gateway.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    assert_eq!(gateway.subscribe(false, "/devices/bound-2/commands/#", 1).await, 1);
    // It subscribes to its config only.
    server.host.send_command("bound", "c0", "a").await;
    server.host.send_command("bound-2", "c1", "a").await;
    gateway.expect(&publish(0x32, "/devices/bound-2/commands/a", 2, None, "go")).await;
    gateway.send(&[ack(0x40, 2), ack(0x40, 1)].concat()).await;
    server.wait_for_journal("bound acknowledged config 1").await;
    server.wait_for_journal("bound-2 acknowledged command c1").await;

    gateway.send(&raw::unsubscribe(false, &["/devices/bound-2/commands/#"])).await;
    gateway.expect(&ack(0xb0, 5)).await;
    server.host.send_command("bound-2", "c2", "a").await;
    gateway.expect_silence().await;
}

#[tokio::test]
async fn methods_of_a_device_are_answered_by_its_gateway() {
    let server = server().await;
    let mut gateway = server.v5("gateway").await;
    gateway.send(&publish(0x32, ATTACH, 1, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 1)).await;
    gateway.subscribe(true, "/devices/bound/methods/#", 1).await;
    for (rid, status, expect) in [(1, "", 200), (2, "/404", 404)] {
        let called = super::device::call(&server, "bound", std::time::Duration::from_secs(60));
        let response = format!("/devices/bound/methods/dim/response/{rid}");
        let properties = [&[0x08][..], &text(&response), &[0x09], &text(&rid.to_string())].concat();
        let request = format!("/devices/bound/methods/dim/request/{rid}");
        gateway.expect(&publish(0x32, &request, rid, Some(&properties), "50")).await;
        gateway.send(&publish(0x32, &format!("{response}{status}"), 2, Some(&[]), "ok")).await;
        gateway.expect(&ack(0x40, 2)).await;
        assert_eq!(called.await.unwrap().unwrap(), (expect, bytes::Bytes::from_static(b"ok")));
    }
}

#[tokio::test]
async fn a_device_that_is_no_gateway_is_closed_for_a_control_message() {
    let server = server().await;
    for topic in [ATTACH, "/devices/lamp-1/attach", "/devices/lamp-1/detach"] {
        let mut v5 = server.v5("lamp-1").await;
        v5.send(&publish(0x32, topic, 1, Some(&[]), "")).await;
        assert_eq!(v5.expect_end().await, Some(0x87), "{topic}");
        let mut v4 = server.v4("lamp-1").await;
        v4.send(&publish(0x30, topic, 0, None, "")).await;
        assert_eq!(v4.expect_end().await, None, "{topic}");
    }
    assert_eq!(server.refused("control"), 6);
    server.assert_not_journaled("bound connected").await;
}

/// Each message fails; what it is answered with by a gateway that reads its errors.
fn failing() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    vec![
        ("/devices/unbound/attach", "", "GATEWAY_ATTACHMENT_ERROR", "unbound"),
        ("/devices/bound/attach", "no json", "GATEWAY_ATTACHMENT_ERROR", "bound"),
        ("/devices/gateway/attach", "", "GATEWAY_ATTACHMENT_ERROR", "gateway"),
        ("/devices/contested/attach", "", "GATEWAY_ATTACHMENT_ERROR", "contested"),
        ("/devices/unbound/events", "x", "GATEWAY_DEVICE_NOT_FOUND", "unbound"),
        ("/devices/unbound/methods/m/response/1/200", "x", "GATEWAY_DEVICE_NOT_FOUND", "unbound"),
        ("/devices//events", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("/devices/a b/attach", "", "GATEWAY_INVALID_MQTT_TOPIC", "a b"),
        ("/devices/unbound/nothing", "x", "GATEWAY_INVALID_MQTT_TOPIC", "unbound"),
        ("/devices/gateway/nothing", "x", "GATEWAY_INVALID_MQTT_TOPIC", "gateway"),
    ]
}

/// Two gateways that both want the device `contested`: a third one may not have it for a while.
async fn contested(server: &TestServer) -> [Client; 2] {
    let mut gateways = [server.v4("gateway-2").await, server.v4("gateway-3").await];
    for gateway in &mut gateways {
        attach(gateway, "contested").await;
    }
    gateways
}

#[tokio::test]
async fn where_the_journal_cannot_be_written_an_attachment_fails_with_unknown_trouble() {
    let server = server().await;
    let mut gateway = gateway(&server).await;
    server.host.disk.fill();
    let error = failure(&mut gateway, "/devices/unknown/attach", 1, "").await;
    assert_eq!(parts(&error).0, "UNKNOWN");
}

#[tokio::test]
async fn what_fails_is_reported_on_the_errors_topic_and_acknowledged() {
    let server = server().await;
    let _others = contested(&server).await;
    let mut v4 = gateway(&server).await;
    for (at, (topic, payload, kind, device)) in failing().into_iter().enumerate() {
        let id = at as u16 + 1;
        let error = failure(&mut v4, topic, id, payload).await;
        let info = json!({"message_type": "PUBLISH", "topic": topic, "packet_id": id});
        assert_eq!(parts(&error), (kind, device, info));
        v4.send(&publish(0x30, topic, 0, None, payload)).await;
        let error = error_and(&mut v4, None).await;
        assert_eq!((parts(&error).0, &error["mqtt_message_info"]["packet_id"]), (kind, &json!(0)));
        v4.send(&publish(0x34, topic, id, None, payload)).await;
        error_and(&mut v4, Some(ack(0x50, id))).await;
        v4.send(&ack(0x62, id)).await;
        v4.expect(&ack(0x70, id)).await;
    }
    drop(v4);
    // MQTT 5 has it in the acknowledgement too.
    let mut v5 = server.v5("gateway").await;
    v5.subscribe(true, ERRORS, 0).await;
    v5.send(&publish(0x32, "/devices/unbound/events", 1, Some(&[]), "x")).await;
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let packet = v5.packet().await;
        reasons.extend((packet[0] == 0x40).then(|| packet[4]));
    }
    assert_eq!(reasons, [0x87]);
}

#[tokio::test]
async fn without_a_subscription_to_errors_what_fails_is_not_acknowledged() {
    let server = server().await;
    let _others = contested(&server).await;
    for v5 in [false, true] {
        let mut gateway = if v5 { server.v5("gateway").await } else { server.v4("gateway").await };
        let properties: Option<&[u8]> = v5.then_some(&[]);
        for (topic, payload, ..) in failing() {
            gateway.send(&publish(0x32, topic, 1, properties, payload)).await;
            gateway.send(&publish(0x34, topic, 2, properties, payload)).await;
        }
        gateway.expect_silence().await;
        // The packet identifiers are free again.
        gateway.send(&publish(0x34, ATTACH, 2, properties, "")).await;
        gateway.expect(&ack(0x50, 2)).await;
    }
    assert_eq!(server.refused("gateway message"), 4 * failing().len() as u64);
}

#[tokio::test]
async fn acknowledgements_that_fit_nothing_are_reported() {
    let server = server().await;
    server.host.set_config("bound", "on").await;
    let mut gateway = attached(&server).await;
    gateway.subscribe(false, CONFIG, 1).await;
    gateway.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    for (first, id, kind, message_type, answer) in [
        (0x40, 9, "GATEWAY_UNEXPECTED_PACKET_ID", "PUBACK", None),
        (0x70, 9, "GATEWAY_UNEXPECTED_PACKET_ID", "PUBCOMP", None),
        (0x62, 9, "GATEWAY_UNEXPECTED_PACKET_ID", "PUBREL", Some(ack(0x70, 9))),
        (0x50, 1, "GATEWAY_UNEXPECTED_MESSAGE_TYPE", "PUBREC", None),
        (0x70, 1, "GATEWAY_UNEXPECTED_MESSAGE_TYPE", "PUBCOMP", None),
    ] {
        gateway.send(&ack(first, id)).await;
        let error = error_and(&mut gateway, answer).await;
        let info = json!({"message_type": message_type, "topic": "", "packet_id": id});
        assert_eq!(parts(&error), (kind, "", info));
    }
    gateway.send(&ack(0x40, 1)).await;
    server.wait_for_journal("bound acknowledged config 1").await;
    gateway.expect_silence().await;
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_reported_as_unknown_and_the_gateway_stays_connected() {
    let server = server().await;
    let mut gateway = attached(&server).await;
    let error = failure(&mut gateway, "/devices/bound/state", 1, &"x".repeat(64 * 1024 + 1)).await;
    assert_eq!(parts(&error).0, "UNKNOWN");
    success(&mut gateway, "/devices/bound/state", 2, "on").await;
}

#[tokio::test]
async fn a_gateway_subscribes_for_attached_devices_each_by_its_name() {
    let server = server().await;
    let mut gateway = attached(&server).await;
    for (filter, kind, device) in [
        ("/devices/+/config", "GATEWAY_INVALID_MQTT_TOPIC", "+"),
        ("/devices/#", "GATEWAY_INVALID_MQTT_TOPIC", "#"),
        ("/devices/bound/#", "GATEWAY_INVALID_MQTT_TOPIC", "bound"),
        ("/devices/bound/errors", "GATEWAY_INVALID_MQTT_TOPIC", "bound"),
        ("/devices/unbound/config", "GATEWAY_DEVICE_NOT_FOUND", "unbound"),
    ] {
        gateway.send(&raw::subscribe(false, 77, filter, 1)).await;
        let error = error_and(&mut gateway, Some(vec![0x90, 3, 0, 77, 0x80])).await;
        let info = json!({"message_type": "SUBSCRIBE", "topic": filter, "packet_id": 77});
        assert_eq!(parts(&error), (kind, device, info));
    }
    let mut lamp = server.v4("lamp-1").await;
    assert_eq!(lamp.subscribe(false, CONFIG, 1).await, 0x80, "it is not a gateway");
}

#[tokio::test]
async fn what_takes_a_device_away_detaches_it_and_leaves_the_rest() {
    let server = server().await;
    let mut gateway = attached(&server).await;
    attach(&mut gateway, "bound-2").await;
    let (of, device) = (server.host.device("gateway"), server.host.device("bound"));
    server.host.registry.unbind(&of, &device).await.unwrap();
    let error = error_and(&mut gateway, None).await;
    assert_eq!(parts(&error), ("GATEWAY_DETACHMENT_DEVICE_ERROR", "bound", Value::Null));
    assert_eq!(error["description"], "bound is not bound to gateway");
    server.wait_for_journal("bound disconnected: bound is not bound to gateway").await;
    let error = failure(&mut gateway, "/devices/bound/events", 1, "x").await;
    assert_eq!(parts(&error).0, "GATEWAY_DEVICE_NOT_FOUND");
    success(&mut gateway, "/devices/bound-2/events", 2, "x").await;
}

#[tokio::test]
async fn the_gateway_that_attaches_last_has_the_device() {
    let server = server().await;
    let mut first = attached(&server).await;
    assert_eq!(first.subscribe(false, CONFIG, 1).await, 1);
    let mut second = server.v4("gateway-2").await;
    attach(&mut second, "bound").await;
    let error = error_and(&mut first, None).await;
    assert_eq!(parts(&error).0, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert_eq!(error["description"], "attached to gateway gateway-2");
    assert_eq!(second.subscribe(false, CONFIG, 1).await, 1);
    server.host.set_config("bound", "c5").await;
    second.expect(&publish(0x32, CONFIG, 1, None, "c5")).await;
    first.expect_silence().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_takes_its_devices_and_its_kept_session_continues_when_it_attaches_them_again() {
    let server = server().await;
    server.host.set_config("bound", "on").await;
    let kept = connect_v4("gateway", 0, 60);
    let mut gateway = server.open().await;
    gateway.send(&kept).await;
    gateway.expect(&[0x20, 2, 0, 0]).await;
    attach(&mut gateway, "bound").await;
    gateway.subscribe(false, CONFIG, 1).await;
    gateway.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    gateway.subscribe(false, COMMANDS, 1).await;
    for (id, command) in [(2, "ended"), (3, "open")] {
        server.host.send_command("bound", command, "").await;
        gateway.expect(&publish(0x32, COMMANDS, id, None, "go")).await;
    }
    drop(gateway);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    let lines = server.host.journal_texts().await;
    assert!(lines.iter().any(|line| line.starts_with("bound disconnected: its gateway left")), "{lines:?}");
    server.host.delivery.cancel(&server.host.device("bound"), "ended").await.unwrap();

    let mut gateway = server.open().await;
    gateway.send(&kept).await;
    gateway.expect(&[0x20, 2, 1, 0]).await;
    // Neither what was not acknowledged nor anything new, before the device is attached.
    gateway.expect_silence().await;
    success(&mut gateway, ATTACH, 1, "").await;
    gateway.expect(&publish(0x3a, CONFIG, 1, None, "on")).await;
    gateway.expect(&publish(0x3a, COMMANDS, 3, None, "go")).await;
    // These subscriptions continued, and the newest config is in flight already.
    gateway.expect_silence().await;
    gateway.send(&ack(0x40, 3)).await;
    server.wait_for_journal("bound acknowledged command open").await;
}

#[tokio::test]
async fn what_waits_for_a_device_that_is_detached_is_not_sent() {
    let server = server().await;
    let mut gateway = server.open().await;
    gateway.send(&raw::connect_v5("gateway", 2, &[0x21, 0, 1])).await;
    gateway.packet().await;
    gateway.send(&publish(0x32, ATTACH, 1, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 1)).await;
    gateway.subscribe(true, CONFIG, 1).await;
    for version in 1..=3 {
        server.host.set_config("bound", &format!("c{version}")).await;
    }
    gateway.expect(&publish(0x32, CONFIG, 1, Some(&[]), "c1")).await;
    gateway.send(&publish(0x32, "/devices/bound/detach", 2, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 2)).await;
    gateway.send(&ack(0x40, 1)).await;
    gateway.expect_silence().await;
    server.host.set_config("bound", "c4").await;
    gateway.expect_silence().await;
}
