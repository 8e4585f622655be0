//! Gateways: devices that are attached over another one's connection, and what the gateway is told when something fails.

use serde_json::{Value, json};

use super::{
    raw::{ack, connect_v4, publish, text},
    *,
};
use switchbox_auth::Access;
use switchbox_core::registry::Changed;
use switchbox_model::{DeviceNum, limits};

const ERRORS: &str = "/devices/gateway/errors";
const ATTACH: &str = "/devices/bound/attach";
const CONFIG: &str = "/devices/bound/config";
const COMMANDS: &str = "/devices/bound/commands";

/// A gateway with MQTT 3.1.1 that reads its errors.
async fn gateway(server: &TestServer) -> Client {
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

async fn attach(gateway: &mut Client, device: &str) {
    success(gateway, &format!("/devices/{device}/attach"), 900, "").await;
}

/// The next two packets are an error on the errors topic and, where one is due, an acknowledgement; in any order.
async fn error_and(gateway: &mut Client, expect: Option<Vec<u8>>) -> Value {
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

/// Publishes with QoS 1 what fails; gives the error, which is told beside the acknowledgement.
async fn failure(gateway: &mut Client, topic: &str, id: u16, payload: &str) -> Value {
    gateway.send(&publish(0x32, topic, id, None, payload)).await;
    error_and(gateway, Some(ack(0x40, id))).await
}

/// Publishes with QoS 1.
async fn success(gateway: &mut Client, topic: &str, id: u16, payload: &str) {
    gateway.send(&publish(0x32, topic, id, None, payload)).await;
    gateway.expect(&ack(0x40, id)).await;
}

/// Type, device, and the message that caused it.
fn parts(error: &Value) -> (&str, &str, Value) {
    let text = |name: &str| error[name].as_str().unwrap();
    assert!(!text("description").is_empty());
    (text("error_type"), text("device_id"), error["mqtt_message_info"].clone())
}

#[tokio::test]
async fn an_attached_device_is_connected_until_it_is_detached() {
    let server = TestServer::start().await;
    let mut gateway = attached(&server).await;
    assert!(server.hub.has_logged("bound connected"));
    // Again is acknowledged, and changes nothing.
    attach(&mut gateway, "bound").await;
    for topic in ["/devices/bound/detach", "/devices/bound/detach", "/devices/stranger/detach"] {
        success(&mut gateway, topic, 4, "").await;
    }
    let log = server.hub.log();
    assert_eq!(log, ["gateway connected", "bound connected", "bound disconnected: detached by its gateway"]);
}

#[tokio::test]
async fn control_messages_are_carried_out_with_every_quality() {
    let server = TestServer::start().await;
    let mut gateway = gateway(&server).await;
    gateway.send(&publish(0x30, ATTACH, 0, None, "{}")).await;
    success(&mut gateway, "/devices/bound/events", 1, "x").await;
    gateway.send(&publish(0x34, "/devices/bound/detach", 2, None, "")).await;
    gateway.expect(&ack(0x50, 2)).await;
    gateway.send(&ack(0x62, 2)).await;
    gateway.expect(&ack(0x70, 2)).await;
    assert!(server.hub.has_logged("bound disconnected: detached by its gateway"));
}

#[tokio::test]
async fn a_token_is_taken_from_the_payload() {
    let server = TestServer::start().await;
    let mut gateway = gateway(&server).await;
    success(&mut gateway, "/devices/keyed/attach", 1, r#"{"authorization": "token"}"#).await;
    let error = failure(&mut gateway, "/devices/keyed-2/attach", 2, r#"{"authorization": "other"}"#).await;
    assert_eq!(parts(&error).0, "GATEWAY_ATTACHMENT_ERROR");
}

#[tokio::test]
async fn events_of_a_gateway_and_its_devices_keep_apart_and_their_acknowledgements_in_order() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut gateway = gateway(&server).await;
    let bytes: Vec<_> = ["gateway/events", "bound/attach", "bound/events/a/b", "bound/state", "gateway/events"]
        .iter()
        .zip(1..)
        .map(|(topic, id)| (topic, id, if topic.ends_with("attach") { String::new() } else { id.to_string() }))
        .map(|(topic, id, payload)| publish(0x32, &format!("/devices/{topic}"), id, None, &payload))
        .collect();
    gateway.send(&bytes.concat()).await;
    until("all are submitted", || server.hub.payloads() == ["1", "3", "4", "5"]).await;
    assert_eq!(server.hub.senders(), ["gateway", "bound", "bound", "gateway"]);
    gateway.expect_silence().await;
    server.hub.make_durable(&Ok(()));
    for id in 1..=5 {
        gateway.expect(&ack(0x40, id)).await;
    }
}

#[tokio::test]
async fn config_and_commands_come_for_each_device_and_their_acknowledgements_are_its_own() {
    let server = TestServer::start().await;
    server.hub.set_config(3, "on");
    let mut gateway = attached(&server).await;
    attach(&mut gateway, "bound-2").await;
    assert_eq!(gateway.subscribe(false, CONFIG, 2).await, 1);
    gateway.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    assert_eq!(gateway.subscribe(false, "/devices/bound-2/commands/#", 1).await, 1);
    let command = super::device::command("c1", "a");
    assert!(server.hub.deliver("bound-2", command.clone()));
    assert!(!server.hub.deliver("bound", command), "it subscribes to its config only");
    gateway.expect(&publish(0x32, "/devices/bound-2/commands/a", 2, None, "go")).await;
    gateway.send(&[ack(0x40, 2), ack(0x40, 1)].concat()).await;
    until("the config is acknowledged", || server.hub.has_logged("bound acknowledged config 3")).await;
    assert!(server.hub.has_logged("bound-2 acknowledged command c1"));

    gateway.send(&raw::unsubscribe(false, &["/devices/bound-2/commands/#"])).await;
    gateway.expect(&ack(0xb0, 5)).await;
    assert!(server.hub.has_logged("bound-2 unsubscribed Commands"));
}

#[tokio::test]
async fn methods_of_a_device_are_answered_by_its_gateway() {
    let server = TestServer::start().await;
    let mut gateway = server.v5("gateway").await;
    gateway.send(&publish(0x32, ATTACH, 1, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 1)).await;
    gateway.subscribe(true, "/devices/bound/methods/#", 1).await;
    server.hub.deliver("bound", super::device::call(7));
    let properties = [&[0x08][..], &text("/devices/bound/methods/dim/response/7"), &[0x09], &text("7")].concat();
    gateway.expect(&publish(0x32, "/devices/bound/methods/dim/request/7", 1, Some(&properties), "50")).await;
    for (topic, expect) in [
        ("/devices/bound/methods/dim/response/7", "bound answered 7 200 ok"),
        ("/devices/bound/methods/dim/response/8/404", "bound answered 8 404 ok"),
    ] {
        gateway.send(&publish(0x32, topic, 2, Some(&[]), "ok")).await;
        gateway.expect(&ack(0x40, 2)).await;
        assert!(server.hub.has_logged(expect), "{expect}: {:?}", server.hub.log());
    }
}

#[tokio::test]
async fn a_device_that_is_no_gateway_is_closed_for_a_control_message() {
    let server = TestServer::start().await;
    for topic in [ATTACH, "/devices/lamp-1/attach", "/devices/lamp-1/detach"] {
        let mut v5 = server.v5("lamp-1").await;
        v5.send(&publish(0x32, topic, 1, Some(&[]), "")).await;
        assert_eq!(v5.expect_end().await, Some(0x87), "{topic}");
        let mut v4 = server.v4("lamp-1").await;
        v4.send(&publish(0x30, topic, 0, None, "")).await;
        assert_eq!(v4.expect_end().await, None, "{topic}");
    }
    assert_eq!(server.refused("control"), 6);
    assert!(!server.hub.has_logged("bound connected"));
}

/// Each message fails; what it is answered with by a gateway that reads its errors.
fn failing() -> Vec<(&'static str, &'static str, &'static str, &'static str)> {
    vec![
        ("/devices/stranger/attach", "", "GATEWAY_ATTACHMENT_ERROR", "stranger"),
        ("/devices/bound/attach", "no json", "GATEWAY_ATTACHMENT_ERROR", "bound"),
        ("/devices/gateway/attach", "", "GATEWAY_ATTACHMENT_ERROR", "gateway"),
        ("/devices/taken-bound/attach", "", "GATEWAY_ATTACHMENT_ERROR", "taken-bound"),
        ("/devices/unavailable/attach", "", "UNKNOWN", "unavailable"),
        ("/devices/stranger/events", "x", "GATEWAY_DEVICE_NOT_FOUND", "stranger"),
        ("/devices/stranger/methods/m/response/1/200", "x", "GATEWAY_DEVICE_NOT_FOUND", "stranger"),
        ("/devices//events", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("/devices/a b/attach", "", "GATEWAY_INVALID_MQTT_TOPIC", "a b"),
        ("/devices/stranger/nothing", "x", "GATEWAY_INVALID_MQTT_TOPIC", "stranger"),
        ("/devices/gateway/nothing", "x", "GATEWAY_INVALID_MQTT_TOPIC", "gateway"),
    ]
}

#[tokio::test]
async fn what_fails_is_told_on_the_errors_topic_and_acknowledged() {
    let server = TestServer::start().await;
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
    // MQTT 5 says so in the acknowledgement too.
    let mut v5 = server.v5("gateway").await;
    v5.subscribe(true, ERRORS, 0).await;
    v5.send(&publish(0x32, "/devices/stranger/events", 1, Some(&[]), "x")).await;
    let mut reasons = Vec::new();
    for _ in 0..2 {
        let packet = v5.packet().await;
        reasons.extend((packet[0] == 0x40).then(|| packet[4]));
    }
    assert_eq!(reasons, [0x87]);
}

#[tokio::test]
async fn without_a_subscription_to_errors_what_fails_is_not_acknowledged() {
    let server = TestServer::start().await;
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
async fn acknowledgements_that_fit_nothing_are_told() {
    let server = TestServer::start().await;
    server.hub.set_config(1, "on");
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
    until("the right one counts", || server.hub.has_logged("bound acknowledged config 1")).await;
    gateway.expect_silence().await;
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_unknown_trouble_and_the_rest_goes_on() {
    let server = TestServer::start().await;
    let mut gateway = attached(&server).await;
    let error = failure(&mut gateway, "/devices/bound/state", 1, &"x".repeat(64 * 1024 + 1)).await;
    assert_eq!(parts(&error).0, "UNKNOWN");
    success(&mut gateway, "/devices/bound/state", 2, "on").await;
}

#[tokio::test]
async fn a_gateway_subscribes_for_attached_devices_each_by_its_name() {
    let server = TestServer::start().await;
    let mut gateway = attached(&server).await;
    for (filter, kind, device) in [
        ("/devices/+/config", "GATEWAY_INVALID_MQTT_TOPIC", "+"),
        ("/devices/#", "GATEWAY_INVALID_MQTT_TOPIC", "#"),
        ("/devices/bound/#", "GATEWAY_INVALID_MQTT_TOPIC", "bound"),
        ("/devices/bound/errors", "GATEWAY_INVALID_MQTT_TOPIC", "bound"),
        ("/devices/stranger/config", "GATEWAY_DEVICE_NOT_FOUND", "stranger"),
    ] {
        gateway.send(&raw::subscribe(false, 77, filter, 1)).await;
        let error = error_and(&mut gateway, Some(vec![0x90, 3, 0, 77, 0x80])).await;
        let info = json!({"message_type": "SUBSCRIBE", "topic": filter, "packet_id": 77});
        assert_eq!(parts(&error), (kind, device, info));
    }
    let mut lamp = server.v4("lamp-1").await;
    assert_eq!(lamp.subscribe(false, CONFIG, 1).await, 0x80, "it is no gateway");
}

#[tokio::test]
async fn what_takes_a_device_away_detaches_it_and_leaves_the_rest() {
    let server = TestServer::start().await;
    let mut gateway = attached(&server).await;
    attach(&mut gateway, "bound-2").await;
    server.hub.0.unbound.lock().insert("bound".into(), "bound is not bound to gateway".into());
    // Of the device, not of the gateway.
    server.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(2))).unwrap();
    let error = error_and(&mut gateway, None).await;
    assert_eq!(parts(&error), ("GATEWAY_DETACHMENT_DEVICE_ERROR", "bound", Value::Null));
    assert_eq!(error["description"], "bound is not bound to gateway");
    assert!(server.hub.has_logged("bound disconnected: bound is not bound to gateway"));
    let error = failure(&mut gateway, "/devices/bound/events", 1, "x").await;
    assert_eq!(parts(&error).0, "GATEWAY_DEVICE_NOT_FOUND");
    success(&mut gateway, "/devices/bound-2/events", 2, "x").await;
}

#[tokio::test]
async fn the_gateway_that_attaches_last_has_the_device() {
    let server = TestServer::start().await;
    let mut first = attached(&server).await;
    assert_eq!(first.subscribe(false, CONFIG, 1).await, 1);
    let mut second = server.v4("gateway-2").await;
    attach(&mut second, "bound").await;
    let error = error_and(&mut first, None).await;
    assert_eq!(parts(&error).0, "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert_eq!(error["description"], "attached to gateway gateway-2");
    assert_eq!(second.subscribe(false, CONFIG, 1).await, 1);
    assert!(server.hub.config("bound", 5));
    second.expect(&publish(0x32, CONFIG, 1, None, "c5")).await;
    first.expect_silence().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_takes_its_devices_and_its_kept_session_goes_on_when_it_attaches_them_again() {
    let server = TestServer::start().await;
    server.hub.set_config(1, "on");
    let kept = connect_v4("gateway", 0, 60);
    let mut gateway = server.open().await;
    gateway.send(&kept).await;
    gateway.expect(&[0x20, 2, 0, 0]).await;
    attach(&mut gateway, "bound").await;
    gateway.subscribe(false, CONFIG, 1).await;
    gateway.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    gateway.subscribe(false, COMMANDS, 1).await;
    for (id, command) in [(2, "ended"), (3, "open")] {
        assert!(server.hub.deliver("bound", super::device::command(command, "")));
        gateway.expect(&publish(0x32, COMMANDS, id, None, "go")).await;
    }
    drop(gateway);
    until("it is away", || server.metrics.connections.get() == 0).await;
    let left = server.hub.log().into_iter().any(|line| line.starts_with("bound disconnected: its gateway left"));
    assert!(left, "{:?}", server.hub.log());

    let mut gateway = server.open().await;
    gateway.send(&kept).await;
    gateway.expect(&[0x20, 2, 1, 0]).await;
    // Neither what was not acknowledged nor anything new, before the device is attached.
    gateway.expect_silence().await;
    success(&mut gateway, ATTACH, 1, "").await;
    gateway.expect(&publish(0x3a, CONFIG, 1, None, "on")).await;
    gateway.expect(&publish(0x3a, COMMANDS, 3, None, "go")).await;
    // These subscriptions went on, and the newest config is in flight already.
    gateway.expect_silence().await;
    gateway.send(&ack(0x40, 3)).await;
    until("it is acknowledged", || server.hub.has_logged("bound acknowledged command open")).await;
}

#[tokio::test]
async fn what_waits_for_a_device_that_is_detached_is_not_sent() {
    let server = TestServer::start().await;
    let mut gateway = server.open().await;
    gateway.send(&raw::connect_v5("gateway", 2, &[0x21, 0, 1])).await;
    gateway.packet().await;
    gateway.send(&publish(0x32, ATTACH, 1, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 1)).await;
    gateway.subscribe(true, CONFIG, 1).await;
    for version in 1..=3 {
        assert!(server.hub.config("bound", version));
    }
    gateway.expect(&publish(0x32, CONFIG, 1, Some(&[]), "c1")).await;
    gateway.send(&publish(0x32, "/devices/bound/detach", 2, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 2)).await;
    gateway.send(&ack(0x40, 1)).await;
    gateway.expect_silence().await;
    assert!(!server.hub.config("bound", 4));
}

#[tokio::test]
async fn a_gateway_attaches_so_many_devices_and_no_more() {
    let server = TestServer::start().await;
    let mut gateway = gateway(&server).await;
    let most = switchbox_model::limits::ATTACHED_DEVICES as u16;
    for n in 1..=most {
        success(&mut gateway, &format!("/devices/bound-{n}/attach"), n, "").await;
    }
    let error = failure(&mut gateway, ATTACH, 2_000, "").await;
    assert_eq!(parts(&error).0, "GATEWAY_ATTACHMENT_ERROR");
    assert_eq!(server.limit_hits("attached_devices"), 1);
    attach(&mut gateway, "bound-7").await;
    success(&mut gateway, "/devices/bound-7/detach", 2_001, "").await;
    attach(&mut gateway, "bound").await;
}

#[tokio::test]
async fn a_gateway_that_publishes_where_or_what_it_may_not_is_told_and_keeps_its_devices() {
    let server = TestServer::start().await;
    *server.hub.0.access.lock() = Some(Access::Own);
    let mut v4 = attached(&server).await;
    let large = "x".repeat(limits::TELEMETRY_BYTES + 1);
    for (topic, payload, kind, device) in [
        ("/foo", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("foo/bar", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("/devices", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("registries/default/devices/bound/state", "x", "GATEWAY_INVALID_MQTT_TOPIC", ""),
        ("/devices/gateway/events", &large, "UNKNOWN", "gateway"),
        ("/devices/bound/events", &large, "UNKNOWN", "bound"),
    ] {
        assert_eq!((parts(&failure(&mut v4, topic, 7, payload).await).0, device), (kind, device), "{topic}");
        success(&mut v4, "/devices/bound/events", 8, "still attached").await;
    }
    assert_eq!(server.limit_hits("telemetry_bytes"), 2);
    assert_eq!(v4.subscribe(false, "/foo", 1).await, 0x80);
    let info = error_and(&mut v4, None).await["mqtt_message_info"].clone();
    assert_eq!(info, json!({"message_type": "SUBSCRIBE", "topic": "/foo", "packet_id": 77}));

    // One that does not read its errors gets no acknowledgement, and stays connected as well.
    let mut deaf = server.v4("gateway-deaf").await;
    deaf.send(&publish(0x32, "/foo", 1, None, "x")).await;
    deaf.expect_silence().await;
    // MQTT 5 has codes for it.
    let mut v5 = server.v5("gateway-v5").await;
    v5.subscribe(true, "/devices/gateway-v5/errors", 0).await;
    for (topic, payload, code) in [("/foo", "x", 0x90), ("/devices/gateway-v5/events", large.as_str(), 0x97)] {
        v5.send(&publish(0x32, topic, 1, Some(&[]), payload)).await;
        let packets = [v5.packet().await, v5.packet().await];
        let puback = packets.iter().find(|packet| packet[0] == 0x40).expect("no PUBACK");
        assert_eq!(puback[4], code, "{topic}");
    }
}
