//! MQTT 5: topics and filters, and which client gets a message in which order.

use super::*;

#[tokio::test]
async fn v5_3_3_2_1_a_publish_begins_with_its_topic() {
    let server = TestServer::start().await;
    // No room for the length, for the topic, for the packet id after it; no UTF-8.
    for (first, body) in
        [(0x30, &[][..]), (0x30, &[0]), (0x30, &[0, 3, b'a', 0]), (0x32, &[0, 1, b'a', 0]), (0x30, &[0, 1, 0xfe, 0])]
    {
        assert_eq!(server.close_code(true, &packet(first, body)).await, 0x81, "{body:?}");
    }
}

#[tokio::test]
async fn v5_3_3_2_2_and_4_7_0_1_a_topic_to_publish_to_has_no_wildcards() {
    let server = TestServer::start().await;
    for topic in ["a/+", "#", "a+", "+", "a/#"] {
        assert_eq!(server.close_code(true, &publish(0x30, topic, 0, Some(&[]), "x")).await, 0x90, "{topic}");
    }
}

#[tokio::test]
async fn v5_3_3_2_3_the_topic_that_arrives_is_the_one_that_matches() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a/+/c", 0).await;
    client.subscribe(true, "d/#", 0).await;
    let mut from = server.v5("_client-from").await;
    for topic in ["a/b", "a/b/c", "a/b/c/d", "d", "d/e/f", "da", "a//c"] {
        from.publish_1(true, topic, "x").await;
    }
    for topic in ["a/b/c", "d", "d/e/f", "a//c"] {
        client.expect(&publish(0x30, topic, 0, Some(&[]), "x")).await;
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_4_5_0_1_a_message_goes_to_all_whose_filters_match_connected_or_away() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client-away", 0, &KEPT);
    let (mut offline, _) = server.connect(&kept).await;
    offline.subscribe(true, "a/#", 2).await;
    offline.send_disconnect().await;
    let mut here = server.v5("_client-here").await;
    here.subscribe(true, "+/b", 1).await;
    let mut other = server.v5("_client-other").await;
    other.subscribe(true, "b/#", 1).await;
    let mut from = server.v5("_client-from").await;
    from.publish_2(true, "a/b", "x").await;
    here.expect(&publish(0x32, "a/b", 1, Some(&[]), "x")).await;
    other.expect_silence().await;
    let (mut offline, present) = server.resume(&kept).await;
    assert!(present);
    offline.expect(&publish(0x34, "a/b", 1, Some(&[]), "x")).await;
}

#[tokio::test]
async fn v5_4_6_0_5_and_6_messages_of_a_topic_come_in_their_order() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    for first in [0x30, 0x32, 0x34] {
        let bytes = (1..=20).flat_map(|id| publish(first, "a", id, Some(&[]), &id.to_string()));
        from.send(&bytes.collect::<Vec<_>>()).await;
        for n in 1..=20 {
            let got = client.packet().await;
            assert!(got[0] == first && got.ends_with(&[&[0][..], n.to_string().as_bytes()].concat()), "{n} {got:?}");
            match first {
                0x32 => client.send(&ack(0x40, u16::from_be_bytes([got[5], got[6]]))).await,
                0x34 => client.send(&packet(0x50, &[got[5], got[6], 0x80])).await,
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn v5_4_7_1_1_and_2_wildcards_stand_alone_in_their_level_and_the_hash_is_last() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for filter in ["a/#/b", "a#", "a/b#", "a+/b", "a/+b", "++", "##", "#/"] {
        assert_eq!(client.subscribe(true, filter, 0).await, 0x8f, "{filter}");
    }
    for filter in ["#", "a/#", "+", "+/a", "a/+", "+/a/#", "+/+", "/+"] {
        assert_eq!(client.subscribe(true, filter, 0).await, 0, "{filter}");
    }
}

#[tokio::test]
async fn v5_4_7_2_1_a_wildcard_in_front_does_not_match_a_dollar() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for filter in ["#", "+/a", "$x/+"] {
        client.subscribe(true, filter, 0).await;
    }
    client.send(&publish(0x31, "$y/a", 0, Some(&[]), "nobody")).await;
    client.send(&publish(0x30, "$x/a", 0, Some(&[]), "one")).await;
    client.expect(&publish(0x30, "$x/a", 0, Some(&[]), "one")).await;
    // Nor does it where the message was there before.
    client.subscribe(true, "+/+", 0).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_4_7_3_1_and_4_topics_have_a_character_and_are_compared_as_they_are() {
    let server = TestServer::start().await;
    assert!(matches!(server.close_code(true, &publish(0x30, "", 0, Some(&[]), "x")).await, 0x82 | 0x90));
    let mut client = server.v5("_client").await;
    assert_eq!(client.subscribe(true, "", 0).await, 0x8f);
    // The last is an e with an accent in two characters.
    for filter in ["ACCOUNTS", "/finance", "a//b", "c/ ", "caf\u{65}\u{301}/#"] {
        client.subscribe(true, filter, 0).await;
    }
    for (topic, comes) in [
        ("Accounts", false),
        ("ACCOUNTS", true),
        ("finance", false),
        ("/finance", true),
        ("a//b", true),
        ("a/b", false),
        ("c/", false),
        ("c/ ", true),
        ("Caf\u{65}\u{301}", false),
        ("caf\u{e9}", false),
        ("caf\u{65}\u{301}", true),
    ] {
        client.send(&publish(0x30, topic, 0, Some(&[]), "x")).await;
        if comes {
            client.expect(&publish(0x30, topic, 0, Some(&[]), "x")).await;
        }
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_4_7_3_3_a_topic_may_be_as_long_as_its_length_can_say() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    let longest = "x".repeat(65_535);
    assert_eq!(client.subscribe(true, &longest, 0).await, 0);
    client.send(&publish(0x30, &longest, 0, Some(&[]), "x")).await;
    client.expect(&publish(0x30, &longest, 0, Some(&[]), "x")).await;
}
