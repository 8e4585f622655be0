//! MQTT 5: what is too large, for the client or for us.

use super::*;

/// A maximum packet size.
fn at_most(bytes: u8) -> Vec<u8> {
    vec![0x27, 0, 0, 0, bytes]
}

#[tokio::test]
async fn v5_3_1_2_24_a_client_that_cannot_take_connack_is_refused_with_0x95() {
    let server = TestServer::start().await;
    for max in [5, 10, 14] {
        let mut client = server.open().await;
        client.send(&connect_will("_client", 0, Some((&[&KEPT[..], &at_most(max)].concat(), &[])), "w", "x")).await;
        client.expect(&[0x20, 3, 0, 0x95, 0]).await;
        assert!(client.try_packet().await.is_none());
    }
    // Not even that fits.
    for max in [1, 4] {
        let mut client = server.open().await;
        client.send(&connect_v5("_client", 0, &at_most(max))).await;
        assert!(client.try_packet().await.is_none());
    }
    // No session was left, and no will.
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "w", 0).await;
    assert!(!server.resume(&connect_v5("_client", 0, &KEPT)).await.1);
    watcher.expect_silence().await;
}

#[tokio::test]
async fn v5_3_2_2_19_a_refusal_leaves_out_words_that_the_client_cannot_take() {
    let server = TestServer::start().await;
    server.register_blocked().await;
    let auth_method = [&[0x15][..], &text("SCRAM")].concat();
    for (id, flags, properties, reason) in [
        ("blocked", 2, vec![], 0x87),
        ("_client", 2, auth_method, 0x8c),
        ("a\0b", 2, vec![], 0x81),
        ("_client", 3, vec![], 0x81),
    ] {
        for (max, words) in [(20, false), (200, true)] {
            let mut client = server.open().await;
            client.send(&connect_v5(id, flags, &[&at_most(max)[..], &properties].concat())).await;
            let connack = client.packet().await;
            assert_eq!((connack[0], connack[3], connack.len() > 5), (0x20, reason, words), "{connack:?}");
            assert!(connack.len() <= max.into(), "{connack:?}");
            assert!(client.try_packet().await.is_none());
        }
    }
}

#[tokio::test]
async fn v5_3_1_2_24_a_client_that_cannot_take_an_answer_is_disconnected_with_0x95() {
    let server = TestServer::start().await;
    let filters = |count: usize| -> Vec<u8> { (0..count).flat_map(|n| text(&format!("a/{n}"))).collect() };
    let options =
        |count: usize| -> Vec<u8> { (0..count).flat_map(|n| [text(&format!("a/{n}")), vec![0]].concat()).collect() };
    // Two bytes of header, two of identifier, one of properties.
    for (count, fits) in [(35, true), (36, false), (60, false)] {
        for (first, answer, filters) in [(0x82, 0x90, options(count)), (0xa2, 0xb0, filters(count))] {
            let (mut client, _) = server.connect(&connect_v5("_client", 2, &at_most(40))).await;
            client.send(&packet(first, &[&[0, 9, 0][..], &filters].concat())).await;
            if fits {
                let got = client.packet().await;
                assert_eq!((got[0], got.len()), (answer, 40), "{got:?}");
            } else {
                let disconnect = client.packet().await;
                assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x95), "{disconnect:?}");
                assert!(disconnect.len() <= 40 && client.try_packet().await.is_none());
            }
        }
    }
    // What could not be answered was not done.
    let kept = connect_v5("_client-kept", 0, &[&KEPT[..], &at_most(40)].concat());
    let (mut client, _) = server.connect(&kept).await;
    client.send(&packet(0x82, &[&[0, 9, 0][..], &options(60)].concat())).await;
    assert_eq!(client.expect_end().await, Some(0x95));
    let (mut client, _) = server.resume(&kept).await;
    let mut from = server.v5("_client-from").await;
    from.publish_1(true, "a/1", "x").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_3_1_2_24_an_alias_does_not_make_a_message_too_large() {
    let server = TestServer::start().await;
    let (mut to, _) = server.connect(&connect_v5("_client-to", 2, &[&at_most(36)[..], &[0x22, 0, 10]].concat())).await;
    to.subscribe(true, "#", 0).await;
    let mut from = server.v5("_client-from").await;
    // Header, length, topic and properties take 10 bytes; an alias three.
    let mut relay = async |topic: &str, arrives: &str, alias: &[u8], size: usize| {
        let payload = "x".repeat(size);
        from.send(&publish(0x30, topic, 0, Some(&[]), &payload)).await;
        to.expect(&publish(0x30, arrives, 0, Some(alias), &payload)).await;
    };
    for size in [26, 24] {
        relay("topic", "topic", &[], size).await;
    }
    relay("topic", "topic", &[0x23, 0, 1], 23).await;
    // From then on it is the shorter way.
    relay("topic", "", &[0x23, 0, 1], 26).await;
    from.send(&publish(0x30, "other", 0, Some(&[]), &"x".repeat(27))).await;
    from.expect_silence().await;
    to.expect_silence().await;
}

#[tokio::test]
async fn v5_3_1_4_a_connect_over_the_servers_maximum_is_answered_with_0x95() {
    let server = TestServer::start().await;
    let payload = "x".repeat(9_000);
    let mut client = server.open().await;
    client.send(&connect_will("_client", 2, Some((&[], &[])), "will", &payload)).await;
    let connack = client.packet().await;
    assert_eq!((connack[0], connack[3]), (0x20, 0x95), "{connack:?}");
    assert!(connack.len() > 5 && client.try_packet().await.is_none());
    // No longer than the client accepts.
    let mut client = server.open().await;
    client.send(&connect_will("_client", 2, Some((&at_most(20), &[])), "will", &payload)).await;
    client.expect(&[0x20, 3, 0, 0x95, 0]).await;
    // 3.1.1 has no word for it.
    let mut client = server.open().await;
    client.send(&connect_will("_client", 2, None, "will", &payload)).await;
    assert!(client.try_packet().await.is_none());
}
