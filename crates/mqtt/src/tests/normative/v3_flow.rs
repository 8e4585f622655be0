//! MQTT 3.1.1: quality of service, order, redelivery, topics.

use super::*;

#[tokio::test]
async fn v3_3_3_1_3_dup_of_an_incoming_publish_is_not_passed_on() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a", 1).await;
    client.send(&publish(0x3a, "a", 5, None, "x")).await;
    let both = [client.packet().await, client.packet().await];
    assert!(both.contains(&publish(0x32, "a", 1, None, "x")) && both.contains(&ack(0x40, 5)), "{both:?}");
}

#[tokio::test]
async fn v3_3_3_1_2_and_4_dup_on_qos_0_and_qos_3_end_the_connection() {
    let server = TestServer::start().await;
    for first in [0x38, 0x36] {
        assert_eq!(server.close_code(false, &publish(first, "a", 1, None, "x")).await, 0, "{first:x}");
    }
}

#[tokio::test]
async fn v3_3_3_5_1_overlapping_subscriptions_deliver_once_with_the_highest_qos() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    for (filter, qos) in [("a/+", 0), ("a/#", 2), ("a/b", 1)] {
        client.subscribe(false, filter, qos).await;
    }
    let mut from = server.v4("_client-from").await;
    from.send(&publish(0x34, "a/b", 1, None, "x")).await;
    client.expect(&publish(0x34, "a/b", 1, None, "x")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_3_8_4_6_delivery_has_the_lower_of_the_two_qos() {
    let server = TestServer::start().await;
    let mut from = server.v4("_client-from").await;
    let mut to = server.v4("_client-to").await;
    let mut id = 0;
    for granted in 0..=2_u8 {
        assert_eq!(to.subscribe(false, "a", granted).await, granted);
        for sent in 0..=2_u8 {
            from.send(&publish(0x30 | sent << 1, "a", 7, None, "x")).await;
            match sent {
                0 => {}
                1 => from.expect(&ack(0x40, 7)).await,
                _ => {
                    from.expect(&ack(0x50, 7)).await;
                    from.send(&ack(0x62, 7)).await;
                    from.expect(&ack(0x70, 7)).await;
                }
            }
            let qos = granted.min(sent);
            id += u16::from(qos > 0);
            to.expect(&publish(0x30 | qos << 1, "a", if qos > 0 { id } else { 0 }, None, "x")).await;
            match qos {
                0 => {}
                1 => to.send(&ack(0x40, id)).await,
                _ => {
                    to.send(&ack(0x50, id)).await;
                    to.expect(&ack(0x62, id)).await;
                    to.send(&ack(0x70, id)).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn v3_4_3_3_2_a_qos_2_message_is_delivered_once_also_across_a_reconnect() {
    let server = TestServer::start().await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "a", 0).await;
    let kept = connect_v4("_client-from", 0, 60);
    let (mut from, _) = server.resume(&kept).await;
    from.send(&publish(0x34, "a", 7, None, "x")).await;
    from.expect(&ack(0x50, 7)).await;
    to.expect(&publish(0x30, "a", 0, None, "x")).await;
    drop(from);
    server.connected(1).await;
    let (mut from, present) = server.resume(&kept).await;
    assert!(present);
    from.send(&publish(0x3c, "a", 7, None, "x")).await;
    from.expect(&ack(0x50, 7)).await;
    from.send(&ack(0x62, 7)).await;
    from.expect(&ack(0x70, 7)).await;
    to.expect_silence().await;
    // After PUBCOMP the same id belongs to another message.
    from.send(&publish(0x34, "a", 7, None, "y")).await;
    to.expect(&publish(0x30, "a", 0, None, "y")).await;
}

#[tokio::test]
async fn v3_4_4_0_1_and_3_3_1_1_and_4_6_0_1_what_is_not_acknowledged_is_sent_again_in_order_with_its_id() {
    let server = TestServer::start().await;
    let kept = connect_v4("_client-to", 0, 60);
    let (mut to, _) = server.resume(&kept).await;
    to.subscribe(false, "a", 2).await;
    let mut from = server.v4("_client-from").await;
    for (first, id, payload) in [(0x32, 1, "1"), (0x34, 2, "2"), (0x32, 3, "3"), (0x34, 4, "4")] {
        from.send(&publish(first, "a", id, None, payload)).await;
        to.expect(&publish(first, "a", id, None, payload)).await;
    }
    to.send(&[ack(0x40, 3), ack(0x50, 2)].concat()).await;
    to.expect(&ack(0x62, 2)).await;
    drop(to);
    server.connected(1).await;
    let (mut to, present) = server.resume(&kept).await;
    assert!(present);
    to.expect(&publish(0x3a, "a", 1, None, "1")).await;
    to.expect(&ack(0x62, 2)).await;
    to.expect(&publish(0x3c, "a", 4, None, "4")).await;
    to.send(&[ack(0x40, 1), ack(0x70, 2), ack(0x50, 4)].concat()).await;
    to.expect(&ack(0x62, 4)).await;
    to.send(&ack(0x70, 4)).await;
    to.expect_silence().await;
}

#[tokio::test]
async fn v3_4_6_0_2_acknowledgements_come_in_the_order_of_the_publishes() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut device = server.v4("lamp-1").await;
    device.send(&publish(0x32, "/devices/lamp-1/events", 1, None, "durable later")).await;
    device.send(&publish(0x32, "ordinary", 2, None, "at once")).await;
    until("the event is submitted", || !server.events.payloads().is_empty()).await;
    server.host.disk.release();
    device.expect(&ack(0x40, 1)).await;
    device.expect(&ack(0x40, 2)).await;
}

#[tokio::test]
async fn v3_4_6_0_5_and_6_messages_of_a_topic_come_in_their_order() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a", 0).await;
    let bytes: Vec<u8> = (0..100).flat_map(|n| publish(0x30, "a", 0, None, &n.to_string())).collect();
    client.send(&bytes).await;
    for n in 0..100 {
        client.expect(&publish(0x30, "a", 0, None, &n.to_string())).await;
    }
}

#[tokio::test]
async fn v3_4_7_1_2_and_3_wildcards_stand_alone_in_their_level_and_the_hash_is_last() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    for (filter, code) in [("a/#/b", 0x80), ("a#", 0x80), ("a+/b", 0x80), ("a/+b", 0x80), ("+/a/#", 0), ("+", 0)] {
        assert_eq!(client.subscribe(false, filter, 0).await, code, "{filter}");
    }
}

#[tokio::test]
async fn v3_4_7_2_1_a_wildcard_in_front_does_not_match_a_dollar() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    for filter in ["#", "+/a", "$x/+"] {
        client.subscribe(false, filter, 0).await;
    }
    client.send(&publish(0x30, "$y/a", 0, None, "nobody")).await;
    client.send(&publish(0x30, "$x/a", 0, None, "one")).await;
    client.expect(&publish(0x30, "$x/a", 0, None, "one")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_4_7_3_1_and_4_topics_have_a_character_and_are_compared_as_they_are() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(false, &publish(0x30, "", 0, None, "x")).await, 0);
    let mut client = server.v4("_client").await;
    for filter in ["ACCOUNTS", "/finance", "a//b", "Sport/+"] {
        client.subscribe(false, filter, 0).await;
    }
    for (topic, comes) in [
        ("Accounts", false),
        ("ACCOUNTS", true),
        ("finance", false),
        ("/finance", true),
        ("a//b", true),
        ("a/b", false),
        ("sport/x", false),
        ("Sport/x", true),
    ] {
        client.send(&publish(0x30, topic, 0, None, "x")).await;
        if comes {
            client.expect(&publish(0x30, topic, 0, None, "x")).await;
        }
    }
    client.expect_silence().await;
}
