//! MQTT 3.1.1: flags and packet identifiers, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT.

use super::*;

#[tokio::test]
async fn v3_2_2_2_1_and_3_6_1_1_a_pubrel_has_its_flags() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a", 2).await;
    let mut from = server.v4("_client-from").await;
    from.publish_2(false, "a", "x").await;
    client.expect(&publish(0x34, "a", 1, None, "x")).await;
    client.send(&ack(0x50, 1)).await;
    client.expect(&ack(0x62, 1)).await;
    for first in [0x60, 0x61, 0x63, 0x64, 0x66, 0x6a, 0x6f] {
        assert_eq!(server.close_code(false, &ack(first, 1)).await, 0, "{first:x}");
    }
}

#[tokio::test]
async fn v3_2_3_1_4_a_packet_id_is_not_used_again_before_it_is_free() {
    let server = TestServer::start().await;
    let kept = connect_v4("_client", 0, 60);
    let (mut client, _) = server.resume(&kept).await;
    client.subscribe(false, "a", 2).await;
    let mut from = server.v4("_client-from").await;
    for id in 1..=3 {
        from.publish_2(false, "a", "x").await;
        client.expect(&publish(0x34, "a", id, None, "x")).await;
    }
    // The first is whole, the second half done, the third not begun.
    client.send(&[ack(0x50, 1), ack(0x70, 1), ack(0x50, 2)].concat()).await;
    client.expect(&ack(0x62, 1)).await;
    client.expect(&ack(0x62, 2)).await;
    drop(client);
    server.connected(1).await;
    from.publish_1(false, "a", "new").await;
    let (mut client, _) = server.resume(&kept).await;
    client.expect(&ack(0x62, 2)).await;
    client.expect(&publish(0x3c, "a", 3, None, "x")).await;
    let new = client.packet().await;
    let id = u16::from_be_bytes([new[5], new[6]]);
    assert_eq!(new, publish(0x32, "a", id, None, "new"));
    assert!(![0, 2, 3].contains(&id), "{id}");
}

#[tokio::test]
async fn v3_2_3_1_5_and_4_3_1_1_qos_0_goes_out_without_packet_id_and_dup() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a", 0).await;
    let mut from = server.v4("_client-from").await;
    // These bytes could be taken for one.
    from.send(&publish(0x30, "a", 0, None, "\0\u{7}x")).await;
    client.expect(&[0x30, 6, 0, 1, b'a', 0, 7, b'x']).await;
    from.publish_1(false, "a", "x").await;
    client.expect(&[0x30, 4, 0, 1, b'a', b'x']).await;
    // A duplicate, to a subscriber with QoS 0.
    from.send(&publish(0x3a, "a", 7, None, "y")).await;
    client.expect(&[0x30, 4, 0, 1, b'a', b'y']).await;
}

#[tokio::test]
async fn v3_2_3_1_6_and_3_3_4_1_a_publish_is_answered_by_its_qos_and_under_its_id() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.send(&publish(0x30, "a", 0, None, "x")).await;
    client.expect_silence().await;
    for id in [1, 0x1234, 0xffff] {
        client.send(&publish(0x32, "a", id, None, "x")).await;
        client.expect(&ack(0x40, id)).await;
    }
    client.send(&[publish(0x34, "a", 0x1234, None, "x"), publish(0x34, "a", 0xffff, None, "x")].concat()).await;
    client.expect(&ack(0x50, 0x1234)).await;
    client.expect(&ack(0x50, 0xffff)).await;
    client.send(&[ack(0x62, 0xffff), ack(0x62, 0x1234)].concat()).await;
    client.expect(&ack(0x70, 0xffff)).await;
    client.expect(&ack(0x70, 0x1234)).await;
}

#[tokio::test]
async fn v3_2_3_1_7_suback_and_unsuback_have_the_id_of_what_they_answer() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    for id in [1_u16, 0x0102, 0xffff] {
        let [high, low] = id.to_be_bytes();
        client.send(&subscribe(false, id, "a", 1)).await;
        client.expect(&[0x90, 3, high, low, 1]).await;
        client.send(&packet(0xa2, &[&[high, low][..], &text("a")].concat())).await;
        client.expect(&[0xb0, 2, high, low]).await;
    }
}

#[tokio::test]
async fn v3_3_3_1_12_a_message_without_retain_leaves_the_retained_one_alone() {
    let server = TestServer::start().await;
    let mut from = server.v4("_client-from").await;
    from.send(&publish(0x31, "r", 0, None, "kept")).await;
    from.publish_1(false, "r", "passing").await;
    from.publish_1(false, "r", "").await;
    from.publish_1(false, "other", "passing").await;
    let mut late = server.v4("_client-late").await;
    late.subscribe(false, "#", 0).await;
    late.expect(&publish(0x31, "r", 0, None, "kept")).await;
    late.expect_silence().await;
}

#[tokio::test]
async fn v3_3_3_2_1_a_publish_begins_with_its_topic() {
    let server = TestServer::start().await;
    // No room for the length, for the topic, for the packet id after it; no UTF-8.
    for (first, body) in [(0x30, &[][..]), (0x30, &[0]), (0x30, &[0, 3, b'a']), (0x32, &[0, 1, b'a', 0])] {
        assert_eq!(server.close_code(false, &packet(first, body)).await, 0, "{body:?}");
    }
    assert_eq!(server.close_code(false, &packet(0x30, &[0, 1, 0xfe])).await, 0);
}

#[tokio::test]
async fn v3_3_3_2_3_the_topic_that_arrives_is_the_one_that_matches() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a/+/c", 0).await;
    client.subscribe(false, "d/#", 0).await;
    let mut from = server.v4("_client-from").await;
    for topic in ["a/b", "a/b/c", "a/b/c/d", "d", "d/e/f", "da", "a//c"] {
        from.publish_1(false, topic, "x").await;
    }
    for topic in ["a/b/c", "d", "d/e/f", "a//c"] {
        client.expect(&publish(0x30, topic, 0, None, "x")).await;
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_3_3_5_2_a_publish_that_is_not_allowed_ends_the_connection() {
    let server = TestServer::start().await;
    for (first, qos) in [(0x30, 0), (0x32, 1), (0x34, 2)] {
        assert_eq!(server.close_code(false, &publish(first, "/devices/lamp-9/events", 1, None, "x")).await, 0, "{qos}");
    }
    assert!(server.events.payloads().is_empty());
}

#[tokio::test]
async fn v3_3_8_1_1_and_3_10_1_1_subscribe_and_unsubscribe_have_their_flags() {
    let server = TestServer::start().await;
    for flags in (0..16).filter(|flags| *flags != 2) {
        let subscribe = packet(0x80 | flags, &subscribe(false, 1, "a", 0)[2..]);
        assert_eq!(server.close_code(false, &subscribe).await, 0, "{flags:x}");
        let unsubscribe = packet(0xa0 | flags, &unsubscribe(false, &["a"])[2..]);
        assert_eq!(server.close_code(false, &unsubscribe).await, 0, "{flags:x}");
    }
}

#[tokio::test]
async fn v3_3_10_3_1_and_2_an_unsubscribe_has_a_filter_and_it_is_utf_8() {
    let server = TestServer::start().await;
    for body in [&[0, 5][..], &[0, 5, 0, 1, 0xff], &[0, 5, 0, 1, b'a', 0, 2, 0xc0, 0xaf], &[0, 5, 0, 2, b'a']] {
        assert_eq!(server.close_code(false, &packet(0xa2, body)).await, 0, "{body:?}");
    }
}

#[tokio::test]
async fn v3_3_14_1_1_a_disconnect_with_flags_is_malformed() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will", 0).await;
    for flags in [1, 2, 4, 8] {
        let (mut client, _) = server.connect(&connect_will("_client", 2, None, "will", "gone")).await;
        client.send(&[0xe0 | flags, 0]).await;
        client.expect_end().await;
        drop(client);
        watcher.expect(&publish(0x30, "will", 0, None, "gone")).await;
    }
}
