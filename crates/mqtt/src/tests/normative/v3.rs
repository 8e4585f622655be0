//! MQTT 3.1.1: strings, CONNECT, CONNACK, retained messages, SUBSCRIBE and UNSUBSCRIBE.

use super::*;

#[tokio::test]
async fn v3_1_5_3_1_and_3_8_3_1_a_text_that_is_not_utf_8_ends_the_connection() {
    let server = TestServer::start().await;
    // The last two are a surrogate and an overlong form.
    for wrong in [&[0xff][..], &[0xed, 0xa0, 0x80], &[0xc0, 0xaf]] {
        let topic = [&[0, u8::try_from(wrong.len()).unwrap()], wrong].concat();
        assert_eq!(server.close_code(false, &packet(0x30, &topic)).await, 0, "{wrong:?}");
        let subscribe = [&[0, 1][..], &topic, &[0]].concat();
        assert_eq!(server.close_code(false, &packet(0x82, &subscribe)).await, 0, "{wrong:?}");
    }
}

#[tokio::test]
async fn v3_1_5_3_2_and_4_7_3_2_a_text_with_nul_ends_the_connection() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(false, &publish(0x30, "a\0b", 0, None, "x")).await, 0);
    assert_eq!(server.close_code(false, &packet(0x82, &[0, 1, 0, 3, b'a', 0, b'b', 0])).await, 0);
    assert_eq!(server.close_code(true, &packet(0x82, &[0, 1, 0, 0, 3, b'a', 0, b'b', 0])).await, 0x81);
    let mut client = server.open().await;
    client.send(&connect_v4("a\0b", 2, 60)).await;
    assert!(client.try_packet().await.is_none_or(|connack| connack[3] != 0));
}

#[tokio::test]
async fn v3_1_5_3_3_a_byte_order_mark_is_part_of_the_text() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "\u{feff}a", 0).await;
    client.send(&publish(0x30, "a", 0, None, "without")).await;
    client.send(&publish(0x30, "\u{feff}a", 0, None, "with")).await;
    client.expect(&publish(0x30, "\u{feff}a", 0, None, "with")).await;
}

#[tokio::test]
async fn v3_2_2_2_2_wrong_flags_end_the_connection() {
    let server = TestServer::start().await;
    for first in [0x41, 0x52, 0x60, 0x71, 0x80, 0xa0, 0xc1, 0xe1] {
        assert_eq!(server.close_code(false, &packet(first, &[0, 1])).await, 0, "{first:x}");
    }
}

#[tokio::test]
async fn v3_2_3_1_1_a_packet_id_is_never_0() {
    let server = TestServer::start().await;
    for bytes in [publish(0x32, "a", 0, None, "x"), subscribe(false, 0, "a", 0), packet(0xa2, &[0, 0, 0, 1, b'a'])] {
        assert_eq!(server.close_code(false, &bytes).await, 0);
    }
}

#[tokio::test]
async fn v3_3_1_0_1_the_first_packet_is_connect() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&publish(0x30, "a", 0, None, "x")).await;
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v3_3_1_0_2_a_second_connect_ends_the_connection() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(false, &connect_v4("_client", 2, 60)).await, 0);
}

#[tokio::test]
async fn v3_3_1_2_2_an_unknown_protocol_level_is_answered_with_1() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&packet(0x10, &[&text("MQTT")[..], &[3, 2, 0, 0], &text("_client")].concat())).await;
    client.expect(&[0x20, 2, 0, 1]).await;
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v3_3_1_2_3_the_reserved_connect_flag_ends_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&connect_v4("_client", 3, 60)).await;
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v3_3_1_2_4_and_6_a_session_is_resumed_unless_it_is_to_be_clean() {
    let server = TestServer::start().await;
    let (mut client, present) = server.resume(&connect_v4("_client", 0, 60)).await;
    assert!(!present);
    client.subscribe(false, "a", 1).await;
    client.send_disconnect().await;
    let (client, present) = server.resume(&connect_v4("_client", 0, 60)).await;
    assert!(present);
    client.send_disconnect().await;
    let (mut client, present) = server.resume(&connect_v4("_client", 2, 60)).await;
    assert!(!present);
    client.publish_1(false, "a", "nobody").await;
    client.expect_silence().await;
    client.send_disconnect().await;
    assert!(!server.resume(&connect_v4("_client", 0, 60)).await.1);
}

#[tokio::test]
async fn v3_3_1_2_8_and_10_and_3_14_4_3_a_will_is_published_after_a_loss_and_not_after_disconnect() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will", 1).await;
    let (client, _) = server.connect(&connect_will("_client", 0x0a, None, "will", "gone")).await;
    client.send_disconnect().await;
    watcher.expect_silence().await;
    let (client, _) = server.connect(&connect_will("_client", 0x0a, None, "will", "gone")).await;
    drop(client);
    watcher.expect(&publish(0x32, "will", 1, None, "gone")).await;
}

#[tokio::test]
async fn v3_3_1_2_16_and_17_a_will_is_retained_if_its_flag_says_so() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will/+", 0).await;
    for (flags, topic) in [(0x02, "will/passing"), (0x22, "will/kept")] {
        drop(server.connect(&connect_will("_client", flags, None, topic, "gone")).await);
        watcher.expect(&publish(0x30, topic, 0, None, "gone")).await;
    }
    let mut late = server.v4("_client-late").await;
    late.subscribe(false, "will/+", 0).await;
    late.expect(&publish(0x31, "will/kept", 0, None, "gone")).await;
    late.expect_silence().await;
}

#[tokio::test]
async fn v3_3_1_2_24_a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    let server = TestServer::start().await;
    let (mut silent, _) = server.connect(&connect_v4("_client", 2, 1)).await;
    pass(std::time::Duration::from_millis(1_300)).await;
    silent.expect_silence().await;
    pass(std::time::Duration::from_millis(1_600)).await;
    silent.expect_end().await;
}

#[tokio::test]
async fn v3_3_1_3_6_to_8_an_empty_client_id_is_for_clean_sessions_only() {
    let server = TestServer::start().await;
    server.v4("").await.expect_silence().await;
    let mut client = server.open().await;
    client.send(&connect_v4("", 0, 60)).await;
    client.expect(&[0x20, 2, 0, 2]).await;
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v3_3_1_4_2_a_second_client_of_the_same_id_takes_over() {
    let server = TestServer::start().await;
    let mut old = server.v4("_client").await;
    let mut new = server.v4("_client").await;
    assert_eq!(old.expect_end().await, None);
    new.expect_silence().await;
}

#[tokio::test]
async fn v3_3_1_4_5_nothing_after_a_refused_connect_is_processed() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "a", 0).await;
    let mut client = server.open().await;
    client.send(&[connect_v4("blocked", 2, 60), publish(0x30, "a", 0, None, "x")].concat()).await;
    client.expect(&[0x20, 2, 0, 5]).await;
    assert!(client.try_packet().await.is_none());
    watcher.expect_silence().await;
}

#[tokio::test]
async fn v3_3_2_0_1_what_follows_connect_at_once_is_answered_after_connack() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    let bytes = [connect_v4("_client", 2, 60), subscribe(false, 1, "a", 0), publish(0x32, "a", 2, None, "x")];
    client.send(&bytes.concat()).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    client.expect(&[0x90, 3, 0, 1, 0]).await;
    let both = [client.packet().await, client.packet().await];
    assert!(both.contains(&ack(0x40, 2)) && both.contains(&publish(0x30, "a", 0, None, "x")), "{both:?}");
}

#[tokio::test]
async fn v3_3_2_2_4_and_5_a_refusal_says_that_there_is_no_session_and_is_the_end() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let mut client = server.open().await;
    client.send(&connect_v4("blocked", 0, 60)).await;
    client.expect(&[0x20, 2, 0, 5]).await;
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v3_3_3_1_5_to_11_the_last_retained_message_comes_to_new_subscriptions() {
    let server = TestServer::start().await;
    let mut from = server.v4("_client-from").await;
    let mut there = server.v4("_client-there").await;
    there.subscribe(false, "r/#", 0).await;
    for payload in ["old", "new"] {
        from.send(&publish(0x31, "r/1", 0, None, payload)).await;
        // 3.3.1-9: no retain flag for clients that subscribed before.
        there.expect(&publish(0x30, "r/1", 0, None, payload)).await;
    }
    let mut late = server.v4("_client-late").await;
    late.subscribe(false, "r/+", 1).await;
    late.expect(&publish(0x31, "r/1", 0, None, "new")).await;
    from.send(&publish(0x31, "r/1", 0, None, "")).await;
    there.expect(&publish(0x30, "r/1", 0, None, "")).await;
    late.expect(&publish(0x30, "r/1", 0, None, "")).await;
    let mut later = server.v4("_client-later").await;
    later.subscribe(false, "r/+", 1).await;
    later.expect_silence().await;
}

#[tokio::test]
async fn v3_3_3_2_2_and_4_7_1_1_a_topic_to_publish_to_has_no_wildcards() {
    let server = TestServer::start().await;
    for topic in ["a/+", "#", "a+"] {
        assert_eq!(server.close_code(false, &publish(0x30, topic, 0, None, "x")).await, 0, "{topic}");
    }
}

#[tokio::test]
async fn v3_3_8_3_3_and_4_a_subscribe_has_a_filter_and_no_reserved_bits() {
    let server = TestServer::start().await;
    for bytes in [packet(0x82, &[0, 1]), subscribe(false, 1, "a", 4), subscribe(false, 1, "a", 3)] {
        assert_eq!(server.close_code(false, &bytes).await, 0);
    }
}

#[tokio::test]
async fn v3_3_8_4_1_and_2_and_4_and_5_and_3_9_3_1_and_2_each_filter_has_its_answer_under_the_same_id() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    let filters = [&[0, 9][..], &text("a"), &[0], &text("b/#/c"), &[1], &text("d/#"), &[2]].concat();
    client.send(&packet(0x82, &filters)).await;
    client.expect(&packet(0x90, &[0, 9, 0, 0x80, 2])).await;
}

#[tokio::test]
async fn v3_3_8_4_3_subscribing_again_replaces_and_sends_retained_messages_again() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.send(&publish(0x31, "a", 0, None, "kept")).await;
    for qos in [0, 0] {
        client.subscribe(false, "a", qos).await;
        client.expect(&publish(0x31, "a", 0, None, "kept")).await;
    }
    client.send(&publish(0x30, "a", 0, None, "once")).await;
    client.expect(&publish(0x30, "a", 0, None, "once")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_3_10_4_1_to_6_unsubscribe_compares_filters_and_is_always_answered() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a/+", 0).await;
    client.subscribe(false, "b", 0).await;
    client.send(&unsubscribe(false, &["a/b", "b", "never"])).await;
    client.expect(&[0xb0, 2, 0, 5]).await;
    client.send(&publish(0x30, "b", 0, None, "x")).await;
    client.send(&publish(0x30, "a/b", 0, None, "x")).await;
    client.expect(&publish(0x30, "a/b", 0, None, "x")).await;
    client.expect_silence().await;
    assert_eq!(server.close_code(false, &packet(0xa2, &[0, 5])).await, 0);
}

#[tokio::test]
async fn v3_3_12_4_1_pingreq_is_answered() {
    let server = TestServer::start().await;
    server.v4("_client").await.expect_silence().await;
}
