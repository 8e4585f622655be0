//! MQTT 5: which CONNECT is accepted, and what CONNACK contains.

use super::*;
use switchbox_model::limits;

#[tokio::test]
async fn v5_3_1_0_1_and_3_14_0_1_the_first_packet_is_connect_or_the_server_sends_nothing() {
    let server = TestServer::start().await;
    let first = [publish(0x30, "a", 0, Some(&[]), "x"), subscribe(true, 1, "a", 0), vec![0xc0, 0], vec![0xe0, 0]];
    for bytes in first {
        let mut client = server.open().await;
        client.send(&bytes).await;
        assert!(client.try_packet().await.is_none(), "{bytes:?}");
    }
}

#[tokio::test]
async fn v5_3_1_2_1_a_connect_of_another_protocol_is_not_processed() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for name in ["MQTX", "mqtt", "MQT", "MQTT\0"] {
        let mut other = server.open().await;
        other.send(&packet(0x10, &[&text(name)[..], &[5, 2, 0, 60, 0], &text("_client")].concat())).await;
        assert!(other.try_packet().await.is_none_or(|connack| connack[3] == 0x84), "{name}");
    }
    // Processed, it would have taken the session over.
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_3_1_2_3_the_reserved_connect_flag_is_malformed() {
    let server = TestServer::start().await;
    assert_eq!(server.refusal(&connect_v5("_client", 3, &[])).await, Some(0x81));
}

#[tokio::test]
async fn v5_3_1_2_16_to_19_user_name_and_password_are_present_if_the_flags_say_so() {
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
        // Unlike 3.1.1: a password alone.
        (0x42, &[&id, &word], true),
        (0x42, &[&id], false),
    ] {
        let connect = connect_fields(true, flags, fields);
        if right {
            server.connect(&connect).await.0.send_disconnect().await;
        } else {
            assert_eq!(server.refusal(&connect).await, Some(0x81), "{flags:x} {}", fields.len());
        }
    }
}

#[tokio::test]
async fn v5_3_1_3_1_and_3_the_fields_come_in_their_order() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "#", 0).await;
    let [id, topic, payload, user, password] = ["_client", "topic", "message", "user", "password"].map(text);
    drop(server.connect(&connect_fields(true, 0xc6, &[&id, &[0], &topic, &payload, &user, &password])).await);
    watcher.expect(&publish(0x30, "topic", 0, Some(&[]), "message")).await;
    // It was its client id that came first.
    let mut client = server.v5("_client").await;
    let _topic = server.v5("topic").await;
    client.expect_silence().await;
    let _client = server.v5("_client").await;
    assert_eq!(client.expect_end().await, Some(0x8e));
    assert_eq!(server.refusal(&connect_fields(true, 2, &[])).await, Some(0x81));
}

#[tokio::test]
async fn v5_3_1_3_2_the_client_id_names_the_session() {
    let server = TestServer::start().await;
    let connect = |id| connect_v5(id, 0, &KEPT);
    let (mut one, _) = server.resume(&connect("_client-1")).await;
    one.subscribe(true, "a", 1).await;
    let (two, present) = server.resume(&connect("_client-2")).await;
    assert!(!present);
    one.send_disconnect().await;
    two.send_disconnect().await;
    server.v5("_client-from").await.publish_1(true, "a", "x").await;
    let (mut two, present) = server.resume(&connect("_client-2")).await;
    assert!(present);
    two.expect_silence().await;
    let (mut one, present) = server.resume(&connect("_client-1")).await;
    assert!(present);
    one.expect(&publish(0x32, "a", 1, Some(&[]), "x")).await;
}

#[tokio::test]
async fn v5_3_1_3_4_and_11_and_12_client_id_will_topic_and_user_name_are_utf_8() {
    let server = TestServer::start().await;
    let (wrong, id, word): (&[u8], _, _) = (&[0, 2, 0xc3, 0x28], text("_client"), text("word"));
    for (flags, fields) in [(0x02, &[wrong][..]), (0x06, &[&id, &[0], wrong, &word]), (0x82, &[&id, wrong])] {
        assert_eq!(server.refusal(&connect_fields(true, flags, fields)).await, Some(0x81), "{flags:x}");
    }
    // The will's payload and the password are bytes.
    server.connect(&connect_fields(true, 0xc6, &[&id, &[0], &word, wrong, &word, wrong])).await;
}

#[tokio::test]
async fn v5_3_1_3_5_client_ids_of_letters_and_figures_are_allowed() {
    let server = TestServer::start().await;
    let letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (from, length) in [(0, 1), (0, 23), (23, 23), (39, 23)] {
        server.v5(&letters[from..from + length]).await.expect_silence().await;
    }
}

#[tokio::test]
async fn v5_3_1_3_8_a_client_id_that_is_refused_is_answered_with_0x85() {
    let server = TestServer::start().await;
    let long = text(&"x".repeat(limits::CLIENT_ID_BYTES + 1));
    assert_eq!(server.refusal(&connect_fields(true, 2, &[&long])).await, Some(0x85));
}

#[tokio::test]
async fn v5_3_1_4_1_a_connect_that_does_not_conform_is_refused() {
    let server = TestServer::start().await;
    let right = connect_v5("_client", 2, &[]);
    let longer = packet(0x10, &[&right[2..], &[0]].concat());
    let shorter = packet(0x10, &right[2..right.len() - 1]);
    // The same property twice, a property of PUBLISH, an unknown property, a length beyond the end.
    let properties = [&[0x21, 0, 9, 0x21, 0, 9][..], &[0x23, 0, 1], &[0x7f, 0], &[0x11, 0, 0]];
    let wrong = properties.map(|properties| connect_v5("_client", 2, properties));
    for bytes in [longer, shorter].into_iter().chain(wrong) {
        let code = server.refusal(&bytes).await;
        assert!(matches!(code, Some(0x81 | 0x82)), "{code:?} {bytes:?}");
    }
}

#[tokio::test]
async fn v5_3_1_4_2_and_3_2_2_7_and_8_a_client_that_is_not_authorised_gets_a_code_of_the_table() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let method = [&[0x15][..], &text("SCRAM")].concat();
    for (bytes, code) in [(connect_v5("blocked", 2, &[]), 0x87), (connect_v5("_client", 2, &method), 0x8c)] {
        assert_eq!(server.refusal(&bytes).await, Some(code));
    }
    // A will where its client may not publish.
    let will = connect_will("lamp-1", 2, Some((&[], &[])), "/devices/lamp-2/events", "x");
    assert_eq!(server.refusal(&will).await, Some(0x87));
}

#[tokio::test]
async fn v5_3_1_4_6_nothing_after_a_refused_connect_is_processed() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "a", 0).await;
    let refused = connect_v5("blocked", 2, &[]);
    assert_eq!(server.refusal(&[refused, publish(0x30, "a", 0, Some(&[]), "x")].concat()).await, Some(0x87));
    watcher.expect_silence().await;
}

#[tokio::test]
async fn v5_3_2_0_1_and_2_connack_comes_first_and_once() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 1).await;
    client.send_disconnect().await;
    server.v5("_client-from").await.publish_1(true, "a", "waits").await;
    let mut client = server.open().await;
    client.send(&[kept.clone(), subscribe(true, 1, "b", 0), vec![0xc0, 0]].concat()).await;
    assert_eq!(client.packet().await[0], 0x20);
    let mut received = [client.packet().await[0], client.packet().await[0], client.packet().await[0]];
    received.sort_unstable();
    assert_eq!(received, [0x32, 0x90, 0xd0]);
    client.send(&kept).await;
    assert_eq!(client.expect_end().await, Some(0x82));
}

#[tokio::test]
async fn v5_3_2_2_1_and_6_a_refusal_says_that_there_is_no_session() {
    let server = TestServer::start().await;
    let (client, _) = server.connect(&connect_v5("_client", 0, &KEPT)).await;
    client.send_disconnect().await;
    let mut refused = server.open().await;
    let method = [&KEPT[..], &[0x15], &text("SCRAM")].concat();
    refused.send(&connect_v5("_client", 0, &method)).await;
    let connack = refused.packet().await;
    assert_eq!(connack[2..4], [0, 0x8c]);
    let (_, connack) = server.connect(&connect_v5("_client", 0, &KEPT)).await;
    assert_eq!(connack[2..4], [1, 0]);
}

#[tokio::test]
async fn v5_4_12_0_6_a_client_that_names_no_method_gets_no_auth() {
    let server = TestServer::start().await;
    let fields = [text("_client"), text("user"), text("password")];
    let connect = connect_fields(true, 0xc2, &fields.each_ref().map(Vec::as_slice));
    let (mut client, connack) = server.connect(&connect).await;
    assert_eq!(property(&connack, 0x15, 0), None);
    assert_eq!(property(&connack, 0x16, 0), None);
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_3_2_2_20_connack_has_no_user_properties() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let asks = [&[0x19, 1, 0x17, 1, 0x26][..], &text("a"), &text("b")].concat();
    for (id, code) in [("_client", 0), ("blocked", 0x87)] {
        let mut client = server.open().await;
        client.send(&connect_v5(id, 2, &asks)).await;
        let connack = client.packet().await;
        assert_eq!((connack[3], property(&connack, 0x26, 0)), (code, None), "{connack:?}");
    }
}
