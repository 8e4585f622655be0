//! MQTT 5: PUBLISH, its properties, retained messages, topic aliases.

use super::*;

#[tokio::test]
async fn v5_3_3_1_9_to_11_retain_handling() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x31, "r", 0, Some(&[]), "kept")).await;
    from.expect_silence().await;
    let kept = publish(0x31, "r", 0, Some(&[]), "kept");
    let mut client = server.v5("_client").await;
    // 2: never; 1: for a new subscription alone; 0: always.
    for (handling, comes) in [(2, false), (1, false), (0, true), (0, true), (1, false)] {
        client.subscribe(true, "r", handling << 4).await;
        if comes {
            client.expect(&kept).await;
        }
        client.expect_silence().await;
    }
    client.send(&unsubscribe(true, &["r"])).await;
    client.packet().await;
    client.subscribe(true, "r", 1 << 4).await;
    client.expect(&kept).await;
}

#[tokio::test]
async fn v5_3_3_1_12_and_13_retain_as_published() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    let (mut plain, mut faithful) = (server.v5("_client-plain").await, server.v5("_client-faithful").await);
    plain.subscribe(true, "r", 0).await;
    faithful.subscribe(true, "r", 8).await;
    for retain in [1, 0] {
        from.send(&publish(0x30 | retain, "r", 0, Some(&[]), "x")).await;
        plain.expect(&publish(0x30, "r", 0, Some(&[]), "x")).await;
        faithful.expect(&publish(0x30 | retain, "r", 0, Some(&[]), "x")).await;
    }
}

#[tokio::test]
async fn v5_3_3_1_5_to_8_the_last_retained_message_replaces_and_an_empty_one_clears() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    for (retain, payload, left) in [
        (1, "1", Some("1")),
        (1, "2", Some("2")),
        (0, "3", Some("2")),
        (0, "", Some("2")),
        (1, "", None),
        (0, "4", None),
    ] {
        from.send(&publish(0x30 | retain, "r", 0, Some(&[]), payload)).await;
        from.expect_silence().await;
        let mut late = server.v5("_client-late").await;
        late.subscribe(true, "r", 0).await;
        if let Some(left) = left {
            late.expect(&publish(0x31, "r", 0, Some(&[]), left)).await;
        }
        late.expect_silence().await;
    }
}

#[tokio::test]
async fn v5_3_3_2_5_and_6_a_message_expires_in_a_queue_and_carries_the_remaining_time() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client-to", 0, &KEPT);
    let (mut to, _) = server.connect(&kept).await;
    to.subscribe(true, "a", 1).await;
    to.send_disconnect().await;
    let mut from = server.v5("_client-from").await;
    let with_expiry = |first, id, secs: u8, payload| publish(first, "a", id, Some(&[2, 0, 0, 0, secs]), payload);
    for (id, secs, payload) in [(1, 1, "short"), (2, 100, "long")] {
        from.send(&with_expiry(0x32, id, secs, payload)).await;
        from.expect(&ack(0x40, id)).await;
    }
    from.send(&with_expiry(0x31, 0, 1, "retained")).await;
    from.expect_silence().await;
    pass(std::time::Duration::from_millis(1_100)).await;
    let (mut to, _) = server.connect(&kept).await;
    let got = to.packet().await;
    let left = got[12];
    assert!(got.ends_with(b"long") && got[8] == 2 && (1..100).contains(&left), "{got:?}");
    from.subscribe(true, "a", 0).await;
    from.expect_silence().await;
}

#[tokio::test]
async fn v5_3_3_2_8_and_9_and_12_aliases_from_clients_are_kept_within_the_maximum() {
    let server = TestServer::start().await;
    for (alias, reason) in [(0, 0x94), (33, 0x94)] {
        assert_eq!(
            server.close_code(true, &publish(0x30, "a", 0, Some(&[0x23, 0, alias]), "x")).await,
            reason,
            "{alias}"
        );
    }
    let mut client = server.v5("_client").await;
    client.subscribe(true, "#", 0).await;
    // Set, used, set anew.
    for (topic, payload, arrives) in [("a", "1", "a"), ("", "2", "a"), ("b", "3", "b"), ("", "4", "b")] {
        client.send(&publish(0x30, topic, 0, Some(&[0x23, 0, 32]), payload)).await;
        client.expect(&publish(0x30, arrives, 0, Some(&[]), payload)).await;
    }
}

#[tokio::test]
async fn v5_3_3_2_7_an_alias_does_not_outlive_its_connection() {
    let server = TestServer::start().await;
    let (mut client, _) = server.connect(&connect_v5("_client", 0, &KEPT)).await;
    client.send(&publish(0x30, "a", 0, Some(&[0x23, 0, 1]), "x")).await;
    client.send_disconnect().await;
    let (mut client, present) = server.resume(&connect_v5("_client", 0, &KEPT)).await;
    assert!(present);
    client.send(&publish(0x30, "", 0, Some(&[0x23, 0, 1]), "x")).await;
    assert_eq!(client.expect_end().await, Some(0x94));
}

#[tokio::test]
async fn v5_3_1_2_26_and_27_and_3_3_2_11_aliases_to_clients_are_kept_within_their_maximum() {
    let server = TestServer::start().await;
    let (mut to, _) = server.connect(&connect_v5("_client-to", 2, &[0x22, 0, 1])).await;
    let mut plain = server.v5("_client-plain").await;
    for client in [&mut to, &mut plain] {
        client.subscribe(true, "#", 0).await;
    }
    let mut from = server.v5("_client-from").await;
    for (topic, name, alias) in [("first", "first", true), ("first", "", true), ("other", "other", false)] {
        from.send(&publish(0x30, topic, 0, Some(&[]), "x")).await;
        to.expect(&publish(0x30, name, 0, Some(if alias { &[0x23, 0, 1] } else { &[] }), "x")).await;
        plain.expect(&publish(0x30, topic, 0, Some(&[]), "x")).await;
    }
}

#[tokio::test]
async fn v5_3_3_2_13_and_14_and_19_a_response_topic_has_no_wildcards_and_texts_are_utf_8() {
    let server = TestServer::start().await;
    let properties = [&[0x08][..], &text("a/#")].concat();
    assert_eq!(server.close_code(true, &publish(0x30, "a", 0, Some(&properties), "x")).await, 0x90);
    for name in [0x08, 0x03] {
        let properties = [name, 0, 2, 0xc0, 0xaf];
        assert_eq!(server.close_code(true, &publish(0x30, "a", 0, Some(&properties), "x")).await, 0x81, "{name:x}");
    }
}

#[tokio::test]
async fn v5_3_3_2_4_and_15_to_20_properties_are_passed_on_unaltered_and_in_order() {
    let server = TestServer::start().await;
    let user = |k: &str, v: &str| [&[0x26][..], &text(k), &text(v)].concat();
    let passed = [
        vec![0x01, 1],
        [&[0x03][..], &text("application/json")].concat(),
        [&[0x08][..], &text("answer/to/me")].concat(),
        [&[0x09][..], &text("\u{1}\u{2}")].concat(),
        user("z", "1"),
        user("a", "2"),
        user("z", "1"),
    ]
    .concat();
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 0).await;
    client.send(&publish(0x30, "a", 0, Some(&passed), "x")).await;
    client.expect(&publish(0x30, "a", 0, Some(&passed), "x")).await;
    // A retained message keeps them too.
    client.send(&publish(0x31, "b", 0, Some(&passed), "x")).await;
    client.subscribe(true, "b", 0).await;
    client.expect(&publish(0x31, "b", 0, Some(&passed), "x")).await;
}

#[tokio::test]
async fn v5_3_3_4_6_a_client_sends_no_subscription_identifier() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &publish(0x30, "a", 0, Some(&[0x0b, 1]), "x")).await, 0x82);
}
