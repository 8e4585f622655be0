//! MQTT 5: reason codes, reason strings and the room for them, DISCONNECT, errors.

use super::*;

/// A topic to which none of these clients may publish or subscribe.
const ELSEWHERE: &str = "/devices/lamp-9/events";

/// CONNECT of a client that accepts packets of this many bytes.
fn takes(bytes: u8) -> Vec<u8> {
    connect_v5("_client", 2, &[0x27, 0, 0, 0, bytes])
}

#[tokio::test]
async fn v5_3_4_2_1_and_2_and_3_and_3_5_2_1_to_3_a_refused_publish_has_its_code_and_words_where_there_is_room() {
    let server = TestServer::start().await;
    for (first, answer) in [(0x32, 0x40), (0x34, 0x50)] {
        let refused = publish(first, ELSEWHERE, 7, Some(&[]), "x");
        let mut client = server.v5("_client").await;
        client.send(&refused).await;
        let words = client.packet().await;
        // One property, the reason string, and none of the user's.
        assert_eq!((words[0], &words[2..5], words[6]), (answer, &[0, 7, 0x87][..], 0x1f), "{words:?}");
        assert_eq!(usize::from(words[5]), words.len() - 6, "{words:?}");
        assert_eq!(usize::from(words[8]), words.len() - 9, "{words:?}");
        let (mut small, _) = server.connect(&takes(40)).await;
        assert!(words.len() > 40, "{words:?}");
        small.send(&refused).await;
        small.expect(&packet(answer, &[0, 7, 0x87])).await;
    }
}

#[tokio::test]
async fn v5_3_9_2_1_and_2_and_3_11_2_1_and_2_suback_has_words_where_there_is_room_and_unsuback_none() {
    let server = TestServer::start().await;
    for (connect, words) in [(connect_v5("_client", 2, &[]), true), (takes(40), false)] {
        let (mut client, _) = server.connect(&connect).await;
        client.send(&subscribe(true, 9, ELSEWHERE, 0)).await;
        let suback = client.packet().await;
        assert_eq!((suback[0], suback.last()), (0x90, Some(&0x87)), "{suback:?}");
        assert_eq!((suback[4] > 0, suback.len() > 40), (words, words), "{suback:?}");
        client.send(&unsubscribe(true, &[ELSEWHERE])).await;
        client.expect(&[0xb0, 4, 0, 5, 0, 0x11]).await;
    }
}

#[tokio::test]
async fn v5_3_14_1_1_a_disconnect_with_flags_is_malformed() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    for flags in 1..16 {
        let (mut client, _) = server.connect(&connect_will("_client", 2, Some((&[], &[])), "will", "gone")).await;
        client.send(&[0xe0 | flags, 0]).await;
        assert_eq!(client.expect_end().await, Some(0x81), "{flags:x}");
        drop(client);
        // It was not a DISCONNECT.
        watcher.expect(&publish(0x30, "will", 0, Some(&[]), "gone")).await;
    }
}

#[tokio::test]
async fn v5_3_14_2_1_to_4_disconnect_has_its_code_and_words_where_there_is_room() {
    let server = TestServer::start().await;
    let (mut client, _) = server.connect(&connect_v5("_client", 2, &KEPT)).await;
    client.send(&publish(0x30, "#", 0, Some(&[]), "x")).await;
    let words = client.packet().await;
    // The reason string is all there is: no session expiry, nothing of the user's.
    assert_eq!((words[0], words[2], words[4]), (0xe0, 0x90, 0x1f), "{words:?}");
    assert_eq!(usize::from(words[3]), words.len() - 4, "{words:?}");
    assert_eq!(usize::from(words[6]), words.len() - 7, "{words:?}");
    assert!(words.len() > 20, "{words:?}");
    let (mut small, _) = server.connect(&takes(20)).await;
    small.send(&publish(0x30, "#", 0, Some(&[]), "x")).await;
    let code = small.packet().await;
    assert!(code == [0xe0, 1, 0x90] || code == [0xe0, 2, 0x90, 0], "{code:?}");
}

#[tokio::test]
async fn v5_3_14_4_1_and_2_disconnect_is_the_last_that_is_sent() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &[&KEPT[..], &[0x21, 0, 1]].concat());
    let (mut old, _) = server.connect(&kept).await;
    old.subscribe(true, "a", 1).await;
    let mut from = server.v5("_client-from").await;
    for payload in ["1", "2"] {
        from.publish_1(true, "a", payload).await;
    }
    old.expect(&publish(0x32, "a", 1, Some(&[]), "1")).await;
    let (mut new, _) = server.connect(&kept).await;
    // This made room for the second, had there been no DISCONNECT.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut old.0, &ack(0x40, 1)).await;
    from.publish_1(true, "a", "3").await;
    let disconnect = old.packet().await;
    assert_eq!((disconnect[0], disconnect[2]), (0xe0, 0x8e));
    assert!(old.try_packet().await.is_none());
    new.expect(&publish(0x3a, "a", 1, Some(&[]), "1")).await;
}

#[tokio::test]
async fn v5_4_13_1_1_and_4_13_2_1_a_client_that_sends_what_is_wrong_gets_a_reason_and_is_closed_alone() {
    let server = TestServer::start().await;
    let mut valid = server.v5("_client-good").await;
    let cases = [
        ("a packet that only servers send", vec![0x20, 3, 0, 0, 0], 0x81),
        ("PINGRESP", vec![0xd0, 0], 0x81),
        ("no kind of packet", vec![0x00, 0], 0x81),
        ("a body where none belongs", packet(0xc0, &[0]), 0x81),
        ("a length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01], 0x81),
        ("QoS 3", publish(0x36, "a", 1, Some(&[]), "x"), 0x81),
        ("no filter", packet(0x82, &[0, 1, 0]), 0x82),
        ("AUTH that nobody asked for", vec![0xf0, 0], 0x82),
        ("a topic alias never set", publish(0x30, "", 0, Some(&[0x23, 0, 1]), "x"), 0x94),
        ("a packet over our maximum", vec![0x30, 0xff, 0xff, 0xff, 0x7f], 0x95),
    ];
    for (name, bytes, reason) in cases {
        assert_eq!(server.close_code(true, &bytes).await, reason, "{name}");
    }
    valid.expect_silence().await;
}
