//! MQTT 3.1.1: the fields of CONNECT, what a session is, CONNACK.

use super::*;

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const RESUMED: [u8; 4] = [0x20, 2, 1, 0];

#[tokio::test]
async fn v3_3_1_2_1_a_connect_of_another_protocol_is_not_processed() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    for name in ["MQTX", "mqtt", "MQT", "MQTT\0"] {
        let mut other = server.open().await;
        other.send(&packet(0x10, &[&text(name)[..], &[4, 2, 0, 60], &text("_client")].concat())).await;
        assert!(other.try_packet().await.is_none(), "{name}");
    }
    // Processed, it would have taken the session over.
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_3_1_2_5_and_4_5_0_1_what_comes_while_a_kept_session_is_offline_is_stored() {
    let server = TestServer::start().await;
    let kept = connect_v4("_client", 0, 60);
    let (mut client, _) = server.resume(&kept).await;
    client.subscribe(false, "a/+", 2).await;
    client.subscribe(false, "b", 1).await;
    client.send_disconnect().await;
    let mut from = server.v4("_client-from").await;
    from.publish_1(false, "a/1", "one").await;
    from.publish_2(false, "a/2", "two").await;
    from.publish_2(false, "b", "two for one").await;
    from.publish_1(false, "c", "nobody asked").await;
    let (mut client, present) = server.resume(&kept).await;
    assert!(present);
    client.expect(&publish(0x32, "a/1", 1, None, "one")).await;
    client.expect(&publish(0x34, "a/2", 2, None, "two")).await;
    client.expect(&publish(0x32, "b", 3, None, "two for one")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_3_1_2_7_retained_messages_outlive_the_session_that_left_them() {
    let server = TestServer::start().await;
    let (mut client, _) = server.resume(&connect_v4("_client", 0, 60)).await;
    client.send(&publish(0x33, "r", 9, None, "kept")).await;
    client.expect(&ack(0x40, 9)).await;
    client.send_disconnect().await;
    // Its session ends.
    server.v4("_client").await.send_disconnect().await;
    let mut late = server.v4("_client-late").await;
    late.subscribe(false, "r", 0).await;
    late.expect(&publish(0x31, "r", 0, None, "kept")).await;
}

#[tokio::test]
async fn v3_3_1_2_9_a_will_has_a_topic_and_a_message_and_its_own_flags() {
    let server = TestServer::start().await;
    let (id, topic) = (text("_client"), text("will"));
    for fields in [&[&id[..]][..], &[&id, &topic]] {
        assert_eq!(server.refusal(&connect_fields(false, 0x06, fields)).await, None, "{fields:?}");
    }
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will", 2).await;
    // QoS 2 and retained.
    drop(server.connect(&connect_will("_client", 0x32, None, "will", "gone")).await);
    watcher.expect(&publish(0x34, "will", 1, None, "gone")).await;
    let mut late = server.v4("_client-late").await;
    late.subscribe(false, "will", 2).await;
    late.expect(&publish(0x35, "will", 1, None, "gone")).await;
}

#[tokio::test]
async fn v3_3_1_2_11_and_13_and_15_without_a_will_there_are_no_will_flags_and_no_will_fields() {
    let server = TestServer::start().await;
    let (id, will) = (text("_client"), [text("will"), text("gone")].concat());
    for (flags, fields) in [(0x0a, &[&id[..]][..]), (0x12, &[&id]), (0x22, &[&id]), (0x02, &[&id, &will])] {
        assert_eq!(server.refusal(&connect_fields(false, flags, fields)).await, None, "{flags:x} {fields:?}");
    }
}

#[tokio::test]
async fn v3_3_1_2_12_without_a_will_none_is_published() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will", 0).await;
    // The session had one once.
    let (client, _) = server.connect(&connect_will("_client", 0, None, "will", "of the first connection")).await;
    client.send_disconnect().await;
    let (client, present) = server.resume(&connect_v4("_client", 0, 60)).await;
    assert!(present);
    drop(client);
    server.connected(1).await;
    watcher.expect_silence().await;
}

#[tokio::test]
async fn v3_3_1_2_14_a_will_has_any_of_the_three_qos() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "will", 2).await;
    for qos in 0..=2_u8 {
        drop(server.connect(&connect_will("_client", 0x02 | qos << 3, None, "will", "gone")).await);
        watcher.expect(&publish(0x30 | qos << 1, "will", qos.into(), None, "gone")).await;
    }
    assert_eq!(server.refusal(&connect_will("_client", 0x1a, None, "will", "gone")).await, None);
}

#[tokio::test]
async fn v3_3_1_2_18_to_22_user_name_and_password_are_present_if_the_flags_say_so() {
    let server = TestServer::start().await;
    let (id, word) = (text("_client"), text("word"));
    for (flags, fields, right) in [
        (0x02, &[&id[..]][..], true),
        (0x02, &[&id, &word], false),
        (0x82, &[&id, &word], true),
        (0x82, &[&id], false),
        (0x82, &[&id, &word, &word], false),
        (0xc2, &[&id, &word, &word], true),
        (0xc2, &[&id, &word], false),
        (0x42, &[&id, &word], false),
    ] {
        let connect = connect_fields(false, flags, fields);
        if right {
            let (client, connack) = server.connect(&connect).await;
            assert_eq!(connack, CONNACK, "{flags:x}");
            client.send_disconnect().await;
        } else {
            assert_eq!(server.refusal(&connect).await, None, "{flags:x} {}", fields.len());
        }
    }
}

#[tokio::test]
async fn v3_3_1_3_1_the_fields_come_in_their_order() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "#", 0).await;
    let fields = ["_client", "topic", "message", "user", "password"].map(text);
    drop(server.connect(&connect_fields(false, 0xc6, &fields.each_ref().map(Vec::as_slice))).await);
    watcher.expect(&publish(0x30, "topic", 0, None, "message")).await;
    // It was its client id that came first.
    let mut client = server.v4("_client").await;
    let _topic = server.v4("topic").await;
    client.expect_silence().await;
    let _client = server.v4("_client").await;
    assert_eq!(client.expect_end().await, None);
}

#[tokio::test]
async fn v3_3_1_3_2_the_client_id_names_the_session() {
    let server = TestServer::start().await;
    let connect = |id| connect_v4(id, 0, 60);
    let (mut one, _) = server.resume(&connect("_client-1")).await;
    one.subscribe(false, "a", 1).await;
    let (two, present) = server.resume(&connect("_client-2")).await;
    assert!(!present);
    one.send_disconnect().await;
    two.send_disconnect().await;
    server.v4("_client-from").await.publish_1(false, "a", "x").await;
    let (mut two, present) = server.resume(&connect("_client-2")).await;
    assert!(present);
    two.expect_silence().await;
    let (mut one, present) = server.resume(&connect("_client-1")).await;
    assert!(present);
    one.expect(&publish(0x32, "a", 1, None, "x")).await;
}

#[tokio::test]
async fn v3_3_1_3_3_and_4_and_10_and_11_the_client_id_is_present_and_texts_are_utf_8() {
    let server = TestServer::start().await;
    let (wrong, id, word): (&[u8], _, _) = (&[0, 2, 0xc3, 0x28], text("_client"), text("word"));
    for (flags, fields) in [(0x02, &[][..]), (0x02, &[wrong]), (0x06, &[&id[..], wrong, &word]), (0x82, &[&id, wrong])]
    {
        assert_eq!(server.refusal(&connect_fields(false, flags, fields)).await, None, "{flags:x} {fields:?}");
    }
    // Message and password are bytes.
    server.connect(&connect_fields(false, 0xc6, &[&id, &word, wrong, &word, wrong])).await;
}

#[tokio::test]
async fn v3_3_1_3_5_client_ids_of_letters_and_figures_are_allowed() {
    let server = TestServer::start().await;
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (from, length) in [(0, 1), (0, 23), (23, 23), (39, 23)] {
        server.v4(&letters[from..from + length]).await.expect_silence().await;
    }
}

#[tokio::test]
async fn v3_3_1_3_9_a_client_id_that_is_refused_is_answered_with_2() {
    let server = TestServer::start().await;
    let long = "x".repeat(switchbox_model::limits::CLIENT_ID_BYTES + 1);
    assert_eq!(server.refusal(&connect_v4(&long, 2, 60)).await, Some(2));
}

#[tokio::test]
async fn v3_3_1_4_1_and_3_2_2_6_a_malformed_connect_is_closed_without_connack() {
    let server = TestServer::start().await;
    let right = connect_v4("_client", 2, 60);
    let mut wrong_flags = right.clone();
    wrong_flags[0] = 0x12;
    let longer = packet(0x10, &[&right[2..], &[0]].concat());
    let shorter = packet(0x10, &right[2..right.len() - 1]);
    for bytes in [wrong_flags, longer, shorter, packet(0x10, &[]), packet(0x10, &text("MQTT"))] {
        assert_eq!(server.refusal(&bytes).await, None, "{bytes:?}");
    }
}

#[tokio::test]
async fn v3_3_1_4_3_and_4_and_3_2_2_1_to_3_connack_says_whether_there_was_a_session() {
    let server = TestServer::start().await;
    for (flags, connack) in [(0, CONNACK), (0, RESUMED), (2, CONNACK), (0, CONNACK), (0, RESUMED), (2, CONNACK)] {
        let mut client = server.open().await;
        client.send(&connect_v4("_client", flags, 60)).await;
        client.expect(&connack).await;
        client.send_disconnect().await;
    }
}
