//! What a gateway may not: attach more devices than there may be, and publish where or what it may not.

use serde_json::json;

use super::{
    gateway::{ATTACH, ERRORS, attach, error_and, failure, gateway, parts, register, server, success},
    raw::publish,
    *,
};
use switchbox_core::registry::Registration;
use switchbox_model::{DeviceId, DeviceName, limits};

#[tokio::test]
async fn a_gateway_attaches_so_many_devices_and_no_more() {
    let server = server().await;
    let mut gateway = gateway(&server).await;
    let max = limits::ATTACHED_DEVICES as u16;
    // All at once, so that the journal is not written for each alone.
    let of = server.host.device("gateway");
    let registered = (1..=max).map(|n| {
        let (registry, of) = (server.host.registry.clone(), of.clone());
        let name = DeviceName { id: DeviceId::new(&format!("many-{n}")).unwrap(), registry: of.name.registry.clone() };
        tokio::spawn(async move {
            let device = registry.create(name, Registration::default()).await.unwrap();
            registry.bind(&of, &device).await.unwrap();
        })
    });
    for registered in registered.collect::<Vec<_>>() {
        registered.await.unwrap();
    }
    for n in 1..=max {
        success(&mut gateway, &format!("/devices/many-{n}/attach"), n, "").await;
    }
    let error = failure(&mut gateway, ATTACH, 2_000, "").await;
    assert_eq!(parts(&error).0, "GATEWAY_ATTACHMENT_ERROR");
    assert_eq!(server.limit_hits("attached_devices"), 1);
    attach(&mut gateway, "many-7").await;
    success(&mut gateway, "/devices/many-7/detach", 2_001, "").await;
    attach(&mut gateway, "bound").await;
}

#[tokio::test]
async fn a_gateway_that_publishes_what_it_may_not_gets_an_error_and_keeps_its_devices() {
    // Devices have only their own topics where enrolment is closed.
    let server = TestServer::start_as(switchbox_testing::folder(), Enroll::Closed).await;
    register(&server).await;
    for id in ["gateway", "gateway-2", "gateway-3"] {
        server.host.set_password(id, "word").await;
    }
    let (mut v4, _) = server.connect(&raw::connect_with_password(false, "gateway", 2)).await;
    assert_eq!(v4.subscribe(false, ERRORS, 1).await, 0);
    attach(&mut v4, "bound").await;
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
    let (mut deaf, _) = server.connect(&raw::connect_with_password(false, "gateway-2", 2)).await;
    deaf.send(&publish(0x32, "/foo", 1, None, "x")).await;
    deaf.expect_silence().await;
    // MQTT 5 has codes for it.
    let (mut v5, _) = server.connect(&raw::connect_with_password(true, "gateway-3", 2)).await;
    v5.subscribe(true, "/devices/gateway-3/errors", 0).await;
    for (topic, payload, code) in [("/foo", "x", 0x90), ("/devices/gateway-3/events", large.as_str(), 0x97)] {
        v5.send(&publish(0x32, topic, 1, Some(&[]), payload)).await;
        let packets = [v5.packet().await, v5.packet().await];
        let puback = packets.iter().find(|packet| packet[0] == 0x40).expect("no PUBACK");
        assert_eq!(puback[4], code, "{topic}");
    }
}
