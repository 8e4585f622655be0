//! MQTT 5: what is allowed in the properties of packets, and what is answered where it is not.

use super::*;

/// A message expiry interval of 0.
const AT_ONCE: [u8; 5] = [2, 0, 0, 0, 0];

fn user(name: &str, value: &str) -> Vec<u8> {
    [&[0x26][..], &text(name), &text(value)].concat()
}

/// Properties after their length.
fn block(properties: &[u8]) -> Vec<u8> {
    [&[u8::try_from(properties.len()).unwrap()][..], properties].concat()
}

/// Each packet of a client that bears properties, with these; the topic is `a`, the packet id 77.
fn packets(properties: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let ack = |first| packet(first, &[&[0, 77, 0][..], &block(properties)].concat());
    vec![
        ("PUBLISH", publish(0x30, "a", 0, Some(properties), "x")),
        ("PUBACK", ack(0x40)),
        ("PUBREC", ack(0x50)),
        ("PUBREL", ack(0x62)),
        ("PUBCOMP", ack(0x70)),
        ("SUBSCRIBE", subscribe_with(properties, "a", 0)),
        ("UNSUBSCRIBE", packet(0xa2, &[&[0, 77][..], &block(properties), &text("a")].concat())),
        ("DISCONNECT", packet(0xe0, &[&[0][..], &block(properties)].concat())),
    ]
}

#[tokio::test]
async fn v5_3_3_2_3_3_a_message_expiry_of_0_expires_at_once_and_is_no_error() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client-to", 0, &KEPT);
    let (mut to, _) = server.connect(&kept).await;
    to.subscribe(true, "a", 1).await;
    to.send_disconnect().await;
    let mut from = server.v5("_client-from").await;
    // With another property after it, and retained.
    for (first, properties) in [(0x32, AT_ONCE.to_vec()), (0x33, [&AT_ONCE[..], &user("k", "v")].concat())] {
        from.send(&publish(first, "a", 7, Some(&properties), "gone")).await;
        from.expect(&ack(0x40, 7)).await;
    }
    from.publish_1(true, "a", "left").await;
    let (mut to, present) = server.resume(&kept).await;
    assert!(present && to.packet().await.ends_with(b"left"));
    from.subscribe(true, "a", 0).await;
    from.expect_silence().await;
}

#[tokio::test]
async fn v5_3_1_3_2_4_a_will_with_a_message_expiry_of_0_is_no_error() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    let wills = [&user("k", "v")[..], &AT_ONCE].concat();
    drop(server.connect(&connect_will("_client", 2, Some((&[], &wills)), "will", "gone")).await);
    server.connected(1).await;
    drop(server.connect(&connect_will("_client", 2, Some((&[], &[])), "will", "said")).await);
    watcher.expect(&publish(0x30, "will", 0, Some(&[]), "said")).await;
}

#[tokio::test]
async fn v5_3_3_2_4_a_payload_format_of_0_is_passed_on_too() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client-to").await;
    client.subscribe(true, "#", 0).await;
    for format in [&[1, 0][..], &[1, 1], &[]] {
        client.send(&publish(0x30, "a", 0, Some(format), "x")).await;
        client.expect(&publish(0x30, "a", 0, Some(format), "x")).await;
        drop(server.connect(&connect_will("_client", 2, Some((&[], format)), "will", "gone")).await);
        client.expect(&publish(0x30, "will", 0, Some(format), "gone")).await;
    }
}

#[tokio::test]
async fn v5_1_5_4_2_nul_in_a_property_is_malformed_in_every_packet() {
    let server = TestServer::start().await;
    for properties in [user("a\0", "b"), user("a", "\0"), [user("a", "b"), user("c", "d\0")].concat()] {
        for (name, bytes) in packets(&properties) {
            assert_eq!(server.close_code(true, &bytes).await, 0x81, "{name}");
        }
        assert_eq!(server.refusal(&connect_v5("_client", 2, &properties)).await, Some(0x81));
        let will = connect_will("_client", 2, Some((&[], &properties)), "will", "x");
        assert_eq!(server.refusal(&will).await, Some(0x81));
    }
    let reason = [&[0x1f][..], &text("\0")].concat();
    for (name, bytes) in packets(&reason).into_iter().filter(|(name, _)| !name.contains("S") || *name == "DISCONNECT") {
        assert_eq!(server.close_code(true, &bytes).await, 0x81, "{name}");
    }
}

#[tokio::test]
async fn v5_2_2_2_2_a_property_that_comes_twice_is_a_protocol_error() {
    let server = TestServer::start().await;
    let twice = |property: &[u8]| [property, property].concat();
    for bytes in [
        publish(0x30, "a", 0, Some(&twice(&[1, 1])), "x"),
        publish(0x30, "a", 0, Some(&twice(&[2, 0, 0, 0, 0])), "x"),
        publish(0x30, "a", 0, Some(&twice(&[0x23, 0, 1])), "x"),
        subscribe_with(&twice(&[0x0b, 1]), "a", 0),
        packet(0xe0, &[&[0][..], &block(&twice(&KEPT))].concat()),
        packet(0x40, &[&[0, 77, 0][..], &block(&twice(&[0x1f, 0, 0]))].concat()),
    ] {
        assert_eq!(server.close_code(true, &bytes).await, 0x82, "{bytes:x?}");
    }
    assert_eq!(server.refusal(&connect_v5("_client", 2, &twice(&KEPT))).await, Some(0x82));
    let will = connect_will("_client", 2, Some((&[], &twice(&AT_ONCE))), "will", "x");
    assert_eq!(server.refusal(&will).await, Some(0x82));
}

#[tokio::test]
async fn v5_4_13_a_value_that_is_not_allowed_is_a_protocol_error() {
    let server = TestServer::start().await;
    for properties in [&[0x21, 0, 0][..], &[0x27, 0, 0, 0, 0], &[0x17, 2], &[0x19, 2]] {
        assert_eq!(server.refusal(&connect_v5("_client", 2, properties)).await, Some(0x82), "{properties:x?}");
    }
    assert_eq!(server.close_code(true, &subscribe_with(&[0x0b, 0], "a", 0)).await, 0x82);
    assert_eq!(server.close_code(true, &publish(0x30, "a", 0, Some(&[0x0b, 0]), "x")).await, 0x82);
    assert_eq!(server.close_code(true, &publish(0x30, "a", 0, Some(&[0x23, 0, 0]), "x")).await, 0x94);
}

#[tokio::test]
async fn v5_2_2_2_2_an_unknown_or_unfinished_property_is_malformed() {
    let server = TestServer::start().await;
    for properties in [&[0x7f, 1][..], &[0x04], &[0x02, 0, 0, 0], &[0x26, 0, 1, b'a'], &[0x0b, 0x80], &[0x01, 2]] {
        for (name, bytes) in packets(properties) {
            assert_eq!(server.close_code(true, &bytes).await, 0x81, "{name} {properties:x?}");
        }
        assert_eq!(server.refusal(&connect_v5("_client", 2, properties)).await, Some(0x81), "{properties:x?}");
    }
    // One that another packet may have.
    for (name, bytes) in packets(&[0x13, 0, 1]) {
        assert_eq!(server.close_code(true, &bytes).await, 0x81, "{name}");
    }
}
