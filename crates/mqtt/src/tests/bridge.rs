//! Another broker as a client: what mosquitto's bridge asks for in its CONNECT, and what it gets.

use super::{
    raw::{ack, packet, publish, text},
    *,
};
use switchbox_model::registry::DeviceSpec;

/// CONNECT with this name, level, flags and more after the client id.
fn connect(name: &str, level: u8, flags: u8, more: &[u8]) -> Vec<u8> {
    packet(0x10, &[&text(name)[..], &[level, flags, 0, 60], &text("bridge1"), more].concat())
}

/// Byte by byte as mosquitto sends it.
#[tokio::test]
async fn the_private_bit_of_the_protocol_level_makes_a_bridge() {
    let server = TestServer::start().await;
    let default = b"\x10\x13\x00\x04MQTT\x84\x02\x00\x3c\x00\x07bridge1";
    assert_eq!(connect("MQTT", 0x84, 2, &[]), default);
    for hello in [&default[..], &connect("MQIsdp", 0x83, 2, &[])] {
        let mut client = server.open().await;
        client.send(hello).await;
        client.expect(&[0x20, 2, 0, 0]).await;
        client.expect_silence().await;
    }
}

#[tokio::test]
async fn a_level_of_a_3_x_form_that_is_not_known_is_answered_as_3_1_1_has_it() {
    let server = TestServer::start().await;
    for (name, level) in [
        ("MQTT", 0x83),
        ("MQTT", 0x82),
        ("MQTT", 0x80),
        ("MQTT", 3),
        ("MQTT", 0),
        ("MQIsdp", 0x84),
        ("MQIsdp", 3),
        ("MQIsdp", 4),
        ("MQIsdp", 0xff),
    ] {
        let mut client = server.open().await;
        client.send(&connect(name, level, 2, &[])).await;
        client.expect(&[0x20, 2, 0, 1]).await;
        assert!(client.try_packet().await.is_none(), "{name} {level:x}");
    }
    for level in [6, 0x7f, 0x85, 0xff] {
        let mut client = server.open().await;
        client.send(&connect("MQTT", level, 2, &[])).await;
        assert_eq!(client.packet().await[3], 0x84, "{level:x}");
    }
}

#[tokio::test]
async fn a_bridge_gets_no_message_of_its_own_and_those_of_others_as_they_were_published() {
    let server = TestServer::start().await;
    for (name, level) in [("MQTT", 0x84), ("MQIsdp", 0x83)] {
        let (mut bridge, _) = server.connect(&connect(name, level, 2, &[])).await;
        bridge.subscribe(false, "#", 1).await;
        bridge.send(&publish(0x31, "own", 0, None, "kept")).await;
        bridge.expect_silence().await;
        let mut other = server.v4("_client-other").await;
        other.send(&publish(0x31, "others", 0, None, "kept")).await;
        bridge.expect(&publish(0x31, "others", 0, None, "kept")).await;
        other.send(&publish(0x30, "others", 0, None, "plain")).await;
        bridge.expect(&publish(0x30, "others", 0, None, "plain")).await;
        // For the next one.
        other.send(&[publish(0x31, "others", 0, None, ""), publish(0x31, "own", 0, None, "")].concat()).await;
        bridge.expect(&publish(0x31, "others", 0, None, "")).await;
        bridge.expect(&publish(0x31, "own", 0, None, "")).await;
        // A shared subscription cannot be no-local.
        assert_eq!(bridge.subscribe(false, "$share/g/own", 0).await, 0);
        bridge.send(&[0xe0, 0]).await;
        bridge.expect_end().await;
    }
}

#[tokio::test]
async fn a_bridge_that_may_not_publish_its_state_is_accepted_and_served() {
    const STATE: &str = "$SYS/broker/connection/there.hub/state";
    let will = |topic: &str| [text(topic), text("0")].concat();
    let proof = [text("unused"), text("word")].concat();
    let body = [&text("MQTT")[..], &[0x84, 0xee, 0, 60], &text("lamp-1"), &will(STATE), &proof].concat();
    let hello = packet(0x10, &body);
    // Devices have only their own topics where enrolment is closed.
    let server = TestServer::start_as(switchbox_testing::folder(), Enroll::Closed).await;
    server.host.register("lamp-1", DeviceSpec::default()).await;
    server.host.set_password("lamp-1", "word").await;
    let (mut bridge, _) = server.connect(&hello).await;
    bridge.send(&publish(0x33, STATE, 1, None, "1")).await;
    bridge.expect(&ack(0x40, 1)).await;
    bridge.send(&publish(0x32, "/devices/lamp-1/events", 2, None, "served")).await;
    bridge.expect(&ack(0x40, 2)).await;
    assert_eq!(server.refused("bridge notification"), 2);
    // Any other topic stays refused.
    bridge.send(&publish(0x33, "$SYS/broker/uptime", 3, None, "1")).await;
    bridge.expect_end().await;

    // Where it may, others see it.
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "$SYS/broker/connection/#", 0).await;
    let (mut bridge, _) = server.connect(&hello).await;
    bridge.send(&publish(0x31, STATE, 0, None, "1")).await;
    watcher.expect(&publish(0x30, STATE, 0, None, "1")).await;
    drop(bridge);
    watcher.expect(&publish(0x30, STATE, 0, None, "0")).await;
}
