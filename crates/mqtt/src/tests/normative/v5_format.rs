//! MQTT 5, chapters 1 and 2: texts, lengths, flags, packet identifiers, properties.

use super::*;

/// What no text is: a surrogate, an overlong form, half a character.
const NO_UTF_8: [&[u8]; 3] = [&[0, 3, 0xed, 0xa0, 0x80], &[0, 2, 0xc0, 0xaf], &[0, 1, 0xc3]];

#[tokio::test]
async fn v5_1_5_4_1_and_3_8_3_1_and_3_10_3_1_a_text_that_is_not_utf_8_is_malformed() {
    let server = TestServer::start().await;
    for wrong in NO_UTF_8 {
        let topic = packet(0x30, &[wrong, &[0]].concat());
        let filter = packet(0x82, &[&[0, 1, 0], wrong, &[0]].concat());
        let unsubscribe = packet(0xa2, &[&[0, 1, 0], wrong].concat());
        for bytes in [topic, filter, unsubscribe] {
            assert_eq!(server.close_code(true, &bytes).await, 0x81, "{bytes:?}");
        }
        assert_eq!(server.refusal(&connect_fields(true, 2, &[wrong])).await, Some(0x81), "{wrong:?}");
    }
}

#[tokio::test]
async fn v5_1_5_4_2_and_4_7_3_2_a_text_with_nul_is_refused() {
    let server = TestServer::start().await;
    let topic = server.close_code(true, &publish(0x30, "a\0b", 0, Some(&[]), "x")).await;
    assert!(matches!(topic, 0x81 | 0x90), "{topic:x}");
    assert_eq!(server.close_code(true, &subscribe(true, 1, "a\0", 0)).await, 0x81);
    assert_eq!(server.close_code(true, &unsubscribe(true, &["\0"])).await, 0x81);
    assert_eq!(server.refusal(&connect_v5("a\0b", 2, &[])).await, Some(0x81));
}

#[tokio::test]
async fn v5_1_5_4_3_a_byte_order_mark_is_part_of_the_text() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "\u{feff}a", 0).await;
    client.send(&publish(0x30, "a", 0, Some(&[]), "without")).await;
    client.send(&publish(0x30, "\u{feff}a", 0, Some(&[]), "with")).await;
    client.expect(&publish(0x30, "\u{feff}a", 0, Some(&[]), "with")).await;
}

#[tokio::test]
async fn v5_1_5_5_1_lengths_take_the_fewest_bytes() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 0).await;
    for (payload, length) in
        [(123, &[0x7f][..]), (124, &[0x80, 1]), (16_379, &[0xff, 0x7f]), (16_380, &[0x80, 0x80, 1])]
    {
        client.send(&publish(0x30, "a", 0, Some(&[]), &"x".repeat(payload))).await;
        assert_eq!(client.packet().await[1..=length.len()], *length, "{payload}");
    }
    // Also those among the properties.
    for id in [&[0x0b, 0x7f][..], &[0x0b, 0x80, 1], &[0x0b, 0xff, 0x7f], &[0x0b, 0x80, 0x80, 1]] {
        client.send(&subscribe_with(id, "a", 0)).await;
        client.packet().await;
        client.send(&publish(0x30, "a", 0, Some(&[]), "x")).await;
        client.expect(&publish(0x30, "a", 0, Some(id), "x")).await;
    }
}

#[tokio::test]
async fn v5_1_5_7_1_both_texts_of_a_user_property_are_utf_8() {
    let server = TestServer::start().await;
    let word = text("word");
    for wrong in NO_UTF_8 {
        for pair in [[wrong, &word].concat(), [&word[..], wrong].concat()] {
            let property = [&[0x26][..], &pair].concat();
            let length = u8::try_from(property.len()).unwrap();
            let publish = publish(0x30, "a", 0, Some(&property), "x");
            let subscribe = subscribe_with(&property, "a", 0);
            let unsubscribe = packet(0xa2, &[&[0, 1, length][..], &property, &text("a")].concat());
            let disconnect = packet(0xe0, &[&[0, length][..], &property].concat());
            for bytes in [publish, subscribe, unsubscribe, disconnect] {
                assert_eq!(server.close_code(true, &bytes).await, 0x81, "{bytes:?}");
            }
            assert_eq!(server.refusal(&connect_v5("_client", 2, &property)).await, Some(0x81), "{property:?}");
        }
    }
}

#[tokio::test]
async fn v5_2_1_3_1_and_3_6_1_1_and_3_8_1_1_and_3_10_1_1_and_3_15_1_1_wrong_flags_are_malformed() {
    let server = TestServer::start().await;
    let (listed, id) = ([&[0, 1, 0][..], &text("a")].concat(), vec![0, 1]);
    let subscribed = [&listed[..], &[0]].concat();
    for (kind, right, body) in [
        (0x40, 0, &id),
        (0x50, 0, &id),
        (0x60, 2, &id),
        (0x70, 0, &id),
        (0x80, 2, &subscribed),
        (0xa0, 2, &listed),
        (0xc0, 0, &vec![]),
        (0xf0, 0, &vec![]),
    ] {
        for flags in (0..16).filter(|flags| *flags != right) {
            assert_eq!(server.close_code(true, &packet(kind | flags, body)).await, 0x81, "{kind:x} {flags:x}");
        }
    }
}

#[tokio::test]
async fn v5_2_2_1_2_and_2_2_2_1_and_4_3_1_1_qos_0_goes_out_without_id_and_no_properties_are_a_zero() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.send(&subscribe(true, 9, "a", 0)).await;
    client.expect(&[0x90, 4, 0, 9, 0, 0]).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x30, "a", 0, Some(&[]), "\0\u{7}x")).await;
    client.expect(&[0x30, 7, 0, 1, b'a', 0, 0, 7, b'x']).await;
    // A duplicate, to a subscriber with QoS 0.
    from.send(&publish(0x3a, "a", 7, Some(&[]), "x")).await;
    client.expect(&[0x30, 5, 0, 1, b'a', 0, b'x']).await;
    client.send(&unsubscribe(true, &["a"])).await;
    client.expect(&[0xb0, 4, 0, 5, 0, 0]).await;
}

#[tokio::test]
async fn v5_2_2_1_3_a_packet_id_of_0_is_malformed() {
    let server = TestServer::start().await;
    let unsubscribe = packet(0xa2, &[0, 0, 0, 0, 1, b'a']);
    let (one, two) = (publish(0x32, "a", 0, Some(&[]), "x"), publish(0x34, "a", 0, Some(&[]), "x"));
    for bytes in [one, two, subscribe(true, 0, "a", 0), unsubscribe, ack(0x40, 0), ack(0x62, 0)] {
        assert_eq!(server.close_code(true, &bytes).await, 0x81, "{bytes:?}");
    }
}

#[tokio::test]
async fn v5_2_2_1_4_and_4_3_2_1_and_4_3_3_1_a_packet_id_is_not_used_again_before_it_is_free() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    for id in 1..=3 {
        from.publish_2(true, "a", "x").await;
        client.expect(&publish(0x34, "a", id, Some(&[]), "x")).await;
    }
    // The first is whole, the second half done, the third not begun.
    client.send(&[ack(0x50, 1), ack(0x70, 1), ack(0x50, 2)].concat()).await;
    client.expect(&ack(0x62, 1)).await;
    client.expect(&ack(0x62, 2)).await;
    drop(client);
    server.connected(1).await;
    from.publish_1(true, "a", "new").await;
    let (mut client, _) = server.connect(&kept).await;
    client.expect(&ack(0x62, 2)).await;
    client.expect(&publish(0x3c, "a", 3, Some(&[]), "x")).await;
    let new = client.packet().await;
    let id = u16::from_be_bytes([new[5], new[6]]);
    assert_eq!(new, publish(0x32, "a", id, Some(&[]), "new"));
    assert!(![0, 2, 3].contains(&id), "{id}");
}

#[tokio::test]
async fn v5_2_2_1_5_and_3_3_4_1_a_publish_is_answered_by_its_qos_and_under_its_id() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    let send = |first, id| publish(first, "a", id, Some(&[]), "x");
    client.send(&send(0x30, 0)).await;
    client.expect_silence().await;
    for id in [1, 0x1234, 0xffff] {
        client.send(&send(0x32, id)).await;
        client.expect(&ack(0x40, id)).await;
    }
    client.send(&[send(0x34, 0x1234), send(0x34, 0xffff)].concat()).await;
    client.expect(&ack(0x50, 0x1234)).await;
    client.expect(&ack(0x50, 0xffff)).await;
    client.send(&[ack(0x62, 0xffff), ack(0x62, 0x1234)].concat()).await;
    client.expect(&ack(0x70, 0xffff)).await;
    client.expect(&ack(0x70, 0x1234)).await;
}

#[tokio::test]
async fn v5_2_2_1_6_and_3_8_4_1_and_2_suback_and_unsuback_have_the_id_of_what_they_answer() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for id in [1_u16, 0x0102, 0xffff] {
        let [high, low] = id.to_be_bytes();
        client.send(&subscribe(true, id, "a", 1)).await;
        client.expect(&[0x90, 4, high, low, 0, 1]).await;
        client.send(&packet(0xa2, &[&[high, low, 0][..], &text("a")].concat())).await;
        client.expect(&[0xb0, 4, high, low, 0, 0]).await;
    }
}
