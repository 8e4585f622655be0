//! Malformed packets: each ends only its own connection, with the right reason.

use super::{
    raw::{ack, connect_v4, connect_v5, packet, publish, subscribe, text},
    *,
};

fn connect_level(name: &str, level: u8) -> Vec<u8> {
    packet(0x10, &[&text(name)[..], &[level, 2, 0, 0], &text("_client")].concat())
}

/// What is sent first, and what comes back (nothing: closed without an answer), in hex if it is a CONNACK of version 5.
#[tokio::test]
async fn a_wrong_first_packet_gets_its_answer() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let trailing = {
        let mut body = connect_v4("_client", 2, 0).split_off(2);
        body.push(0);
        packet(0x10, &body)
    };
    let trailing_v5 = {
        let mut body = connect_v5("_client", 2, &[]).split_off(2);
        body.push(0);
        packet(0x10, &body)
    };
    let auth_method = [&[0x15][..], &text("SCRAM")].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("level 3", connect_level("MQIsdp", 3), vec![0x20, 2, 0, 1]),
        ("level 3 as MQTT", connect_level("MQTT", 3), vec![0x20, 2, 0, 1]),
        ("level 6", connect_level("MQTT", 6), vec![0x20, 0, 0, 0x84]),
        ("another protocol", connect_level("MQTX", 4), vec![]),
        ("PUBLISH", publish(0x30, "a", 0, None, "x"), vec![]),
        ("PINGREQ", vec![0xc0, 0], vec![]),
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![]),
        ("CONNECT with flags", packet(0x11, &connect_v4("_client", 2, 0)[2..]), vec![]),
        ("over the limit, by its header", vec![0x10, 0xff, 0xff, 0x7f], vec![]),
        ("endless length", vec![0x10, 0xff, 0xff, 0xff, 0xff, 0xff], vec![]),
        ("reserved flag", connect_v4("_client", 3, 0), vec![]),
        ("will QoS without will", connect_v4("_client", 0x0a, 0), vec![]),
        ("password without user", packet(0x10, &[&connect_v4("_client", 0x42, 0)[2..], &text("p")].concat()), vec![]),
        ("trailing bytes", trailing, vec![]),
        ("trailing bytes v5", trailing_v5, vec![0x20, 0, 0, 0x81]),
        ("too short", packet(0x10, &text("MQTT")), vec![]),
        ("empty id, not clean", connect_v4("", 0, 0), vec![0x20, 2, 0, 2]),
        ("NUL in the id", connect_v5("a\0b", 2, &[]), vec![0x20, 0, 0, 0x81]),
        ("enhanced authentication", connect_v5("_client", 2, &auth_method), vec![0x20, 0, 0, 0x8c]),
        ("blocked device", connect_v4("blocked", 2, 0), vec![0x20, 2, 0, 5]),
        ("blocked device v5", connect_v5("blocked", 2, &[]), vec![0x20, 0, 0, 0x87]),
    ];
    for (name, bytes, answer) in cases {
        let mut client = server.open().await;
        client.send(&bytes).await;
        let got = client.try_packet().await.unwrap_or_default();
        match (answer.as_slice(), got.as_slice()) {
            ([0x20, 0, flags, reason], [0x20, _, f, r, ..]) => assert_eq!((flags, reason), (f, r), "{name}"),
            (answer, got) => assert_eq!(answer, got, "{name}"),
        }
        assert!(client.try_packet().await.is_none(), "{name}");
    }
    assert_eq!(server.metrics.connection_panics.get(), 0);
    server.v4("_client").await.expect_silence().await;
}

#[tokio::test]
async fn a_wrong_packet_ends_its_connection_with_a_reason() {
    let server = TestServer::start().await;
    let alias = |n: u8| vec![0x23, 0, n];
    let cases: Vec<(&str, bool, Vec<u8>, u8)> = vec![
        ("second CONNECT", true, connect_v5("_client-x", 2, &[]), 0x82),
        ("wildcard +", true, publish(0x30, "a/+", 0, Some(&[]), "x"), 0x90),
        ("wildcard #", true, publish(0x30, "#", 0, Some(&[]), "x"), 0x90),
        ("NUL", true, publish(0x30, "a\0", 0, Some(&[]), "x"), 0x90),
        ("too deep", true, publish(0x30, &"/".repeat(200), 0, Some(&[]), "x"), 0x90),
        ("no UTF-8", true, packet(0x30, &[0, 1, 0xff, 0]), 0x81),
        ("DUP on QoS 0", true, publish(0x38, "a", 0, Some(&[]), "x"), 0x81),
        ("QoS 3", true, publish(0x36, "a", 1, Some(&[]), "x"), 0x81),
        ("packet id 0", true, publish(0x32, "a", 0, Some(&[]), "x"), 0x81),
        ("empty topic, no alias", true, publish(0x30, "", 0, Some(&[]), "x"), 0x90),
        ("unknown alias", true, publish(0x30, "", 0, Some(&alias(1)), "x"), 0x94),
        ("alias over the maximum", true, publish(0x30, "a", 0, Some(&alias(33)), "x"), 0x94),
        ("alias 0", true, publish(0x30, "a", 0, Some(&alias(0)), "x"), 0x94),
        ("subscription id", true, publish(0x30, "a", 0, Some(&[0x0b, 1]), "x"), 0x82),
        ("PINGREQ with a body", true, packet(0xc0, &[0]), 0x81),
        ("SUBSCRIBE with id 0", true, subscribe(true, 0, "a", 0), 0x81),
        ("SUBSCRIBE with QoS 3", true, subscribe(true, 1, "a", 3), 0x81),
        ("SUBSCRIBE with reserved bits", true, subscribe(true, 1, "a", 0xc0), 0x81),
        ("SUBSCRIBE with wrong flags", true, packet(0x80, &subscribe(true, 1, "a", 0)[2..]), 0x81),
        ("SUBSCRIBE without filter", true, packet(0x82, &[0, 1, 0]), 0x82),
        ("PUBACK of id 0", true, ack(0x40, 0), 0x81),
        ("PUBREL with wrong flags", true, ack(0x60, 1), 0x81),
        ("CONNACK", true, vec![0x20, 2, 0, 0], 0x81),
        ("AUTH", true, vec![0xf0, 0], 0x82),
        ("too large", true, vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
        ("session expiry from none", true, packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9]), 0x82),
        ("3.1.1 empty topic", false, publish(0x30, "", 0, None, "x"), 0),
        ("3.1.1 PUBACK with a reason", false, packet(0x40, &[0, 1, 0]), 0),
        ("3.1.1 SUBSCRIBE with reserved bits", false, subscribe(false, 1, "a", 4), 0),
        ("3.1.1 DISCONNECT with a body", false, packet(0xe0, &[0]), 0),
        ("3.1.1 first byte 0", false, vec![0, 0], 0),
    ];
    for (name, v5, bytes, reason) in cases {
        let mut client = if v5 { server.v5("_client").await } else { server.v4("_client").await };
        client.send(&bytes).await;
        assert_eq!(client.expect_end().await.unwrap_or(0), reason, "{name}");
    }
    assert_eq!(server.metrics.connection_panics.get(), 0);
}

#[tokio::test]
async fn what_came_before_a_wrong_packet_counts() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    let mut bytes = publish(0x30, "/devices/lamp-1/events", 0, None, "kept");
    bytes.extend([0xff, 0]);
    client.send(&bytes).await;
    client.expect_end().await;
    assert_eq!(server.events.payloads(), ["kept"]);
}

#[tokio::test]
async fn wrong_filters_are_refused_one_by_one() {
    let server = TestServer::start().await;
    let mut v5 = server.v5("_client").await;
    let mut v4 = server.v4("_client-4").await;
    for (filter, code) in [("a/#/b", 0x8f), ("a+", 0x8f), ("", 0x8f), ("$share/g", 0x8f), ("a/#", 1)] {
        assert_eq!(v5.subscribe(true, filter, 1).await, code, "{filter}");
    }
    for (filter, code) in [("a/#/b", 0x80), ("$share/+/a", 0x80), ("a/#", 1)] {
        assert_eq!(v4.subscribe(false, filter, 1).await, code, "{filter}");
    }
}

#[tokio::test]
async fn a_client_that_never_says_connect_is_closed() {
    let options = Options { connect_deadline: std::time::Duration::from_millis(50), ..Options::default() };
    let server = TestServer::start_with(options).await;
    let mut silent = server.open().await;
    let mut slow = server.open().await;
    slow.send(&connect_v4("_client", 2, 0)[..5]).await;
    assert!(silent.try_packet().await.is_none() && slow.try_packet().await.is_none());
    assert_eq!(server.limit_hits("connect_deadline"), 2);
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_counted() {
    let server = TestServer::start_with(Options { connections: 1, ..Options::default() }).await;
    let mut first = server.v4("_client").await;
    // Until it is served, it counts as unauthenticated and may be evicted.
    first.expect_silence().await;
    let mut second = server.open().await;
    assert!(second.try_packet().await.is_none());
    assert_eq!(server.limit_hits("connections"), 1);
    first.expect_silence().await;
}

#[tokio::test]
async fn a_panic_in_one_connection_does_not_matter() {
    let server = TestServer::start().await;
    let mut valid = server.v4("_client").await;
    let mut invalid = server.open().await;
    invalid.send(&connect_v4("lamp-1", 2, 0)).await;
    invalid.expect(&[0x20, 2, 0, 0]).await;
    invalid.send(&publish(0x32, "/devices/lamp-1/events", 1, None, "panic")).await;
    assert!(invalid.try_packet().await.is_none());
    until("the panic is counted", || server.metrics.connection_panics.get() == 1).await;
    valid.expect_silence().await;
}

#[tokio::test]
async fn a_storm_of_garbage_leaves_the_others_alone() {
    let server = TestServer::start().await;
    let mut valid = server.v5("_client-good").await;
    valid.subscribe(true, "echo", 1).await;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as u8
    };
    for round in 0..300_u32 {
        let mut garbage: Vec<u8> = std::iter::repeat_with(&mut random).take(400).collect();
        let mut invalid = server.open().await;
        // Half of them connect first, and most of those continue with the beginning of a valid packet.
        if round % 2 == 0 {
            let connect = if round % 4 == 0 { connect_v5("_client-bad", 2, &[]) } else { connect_v4("sensor", 2, 0) };
            invalid.send(&connect).await;
            invalid.packet().await;
            garbage[0] = [0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xe0][round as usize % 10];
            garbage[1] = 90;
            garbage[2] = 0;
        }
        // It may be closed while it writes.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut invalid.0, &garbage).await;
        if round % 50 == 0 {
            valid.send(&publish(0x32, "echo", 9, Some(&[]), "hello")).await;
            let got = [valid.packet().await, valid.packet().await];
            assert!(got.contains(&ack(0x40, 9)), "{got:?}");
            valid.send(&ack(0x40, (round / 50 + 1) as u16)).await;
        }
    }
    assert_eq!(server.metrics.connection_panics.get(), 0);
    valid.expect_silence().await;
}
