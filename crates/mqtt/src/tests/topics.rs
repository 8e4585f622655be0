//! Ordinary topics among clients, byte by byte.

use std::{sync::Arc, time::Duration};

use super::{
    publish_alone,
    raw::{ack, connect_v4, connect_v5, packet, publish, text, unsubscribe},
    *,
};
use switchbox_model::{Message, QoS, limits};

#[tokio::test]
async fn all_qualities_of_service_both_ways() {
    let server = TestServer::start().await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "a/+", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x30, "a/b", 0, Some(&[]), "0")).await;
    to.expect(&publish(0x30, "a/b", 0, None, "0")).await;
    from.send(&publish(0x32, "a/b", 7, Some(&[]), "1")).await;
    from.expect(&ack(0x40, 7)).await;
    to.expect(&publish(0x32, "a/b", 1, None, "1")).await;
    to.send(&ack(0x40, 1)).await;
    from.send(&publish(0x34, "a/b", 8, Some(&[]), "2")).await;
    from.expect(&ack(0x50, 8)).await;
    from.send(&publish(0x3c, "a/b", 8, Some(&[]), "2")).await;
    from.expect(&ack(0x50, 8)).await;
    from.send(&ack(0x62, 8)).await;
    from.expect(&ack(0x70, 8)).await;
    to.expect(&publish(0x34, "a/b", 2, None, "2")).await;
    to.send(&ack(0x50, 2)).await;
    to.expect(&ack(0x62, 2)).await;
    to.send(&ack(0x70, 2)).await;
    to.expect_silence().await;
}

/// More than a queue holds.
const MANY: usize = 1_500;

async fn retain_many(server: &TestServer) {
    for number in 0..MANY {
        let topic = format!("many/{number:04}");
        let retained = Message { qos: QoS::AtLeastOnce, retain: true, ..Message::new(&topic, "x") };
        publish_alone(&server.topics, Arc::new(retained)).await;
    }
}

#[tokio::test]
async fn all_retained_messages_come_however_many_match() {
    let server = TestServer::start().await;
    retain_many(&server).await;
    // A clean session, and one whose messages are written down.
    for hello in [connect_v4("_client-a", 2, 60), connect_v4("_client-b", 0, 60)] {
        for qos in [0, 1] {
            let (mut to, _) = server.resume(&hello).await;
            assert_eq!(to.subscribe(false, "many/+", qos).await, qos);
            for number in 0..MANY {
                let packet = to.packet().await;
                let topic = format!("many/{number:04}");
                assert_eq!(&packet[4..4 + topic.len()], topic.as_bytes(), "{qos}");
                if qos == 1 {
                    to.send(&[0x40, 2, packet[13], packet[14]]).await;
                }
            }
            to.expect_silence().await;
        }
    }
    assert_eq!(server.limit_hits("session_queue"), 0);
}

#[tokio::test]
async fn retained_messages_that_wait_for_room_are_not_sent_when_the_subscription_is_over() {
    let server = TestServer::start().await;
    retain_many(&server).await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "many/+", 1).await;
    let mut ids = Vec::new();
    for _ in 0..limits::IN_FLIGHT {
        ids.push(to.packet().await);
    }
    to.send(&unsubscribe(false, &["many/+"])).await;
    let mut received = ids.len();
    for packet in ids {
        to.send(&[0x40, 2, packet[13], packet[14]]).await;
    }
    // What waits already comes, until there is nothing between two pings.
    for round in 0.. {
        assert!(round < limits::SESSION_QUEUE, "they come without end");
        let so_far = received;
        to.send(&[0xc0, 0]).await;
        loop {
            match to.packet().await[..] {
                [0xd0, ..] => break,
                [0xb0, ..] => {}
                ref publish => {
                    received += 1;
                    to.send(&[0x40, 2, publish[13], publish[14]]).await;
                }
            }
        }
        if received == so_far {
            break;
        }
    }
    assert!(received <= limits::SESSION_QUEUE, "{received} came");
    to.expect_silence().await;
}

#[tokio::test]
async fn retained_messages_come_on_subscribe_as_the_options_say() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x33, "r", 1, Some(&[]), "old")).await;
    from.expect(&ack(0x40, 1)).await;
    let mut to = server.v5("_client-to").await;
    assert_eq!(to.subscribe(true, "r", 0x01 | 0x10).await, 1);
    to.expect(&publish(0x33, "r", 1, Some(&[]), "old")).await;
    to.send(&ack(0x40, 1)).await;
    // Retain handling 1: not again; 2: never.
    to.subscribe(true, "r", 0x01 | 0x10).await;
    to.subscribe(true, "+", 0x01 | 0x20).await;
    to.expect_silence().await;
    // Retain as published on one of them.
    to.subscribe(true, "r", 0x08 | 0x20).await;
    from.send(&publish(0x31, "r", 0, Some(&[]), "new")).await;
    to.expect(&publish(0x31, "r", 0, Some(&[]), "new")).await;
    from.send(&publish(0x31, "r", 0, Some(&[]), "")).await;
    to.expect(&publish(0x31, "r", 0, Some(&[]), "")).await;
    to.subscribe(true, "r", 0).await;
    to.expect_silence().await;
}

#[tokio::test]
async fn properties_pass_through_and_subscription_ids_are_added() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client-to").await;
    let subscribe = [&[0, 1, 2, 0x0b, 42][..], &text("a"), &[0]].concat();
    to.send(&packet(0x82, &subscribe)).await;
    to.packet().await;
    let mut from = server.v5("_client-from").await;
    let passed = [
        &[0x01, 1, 0x03][..],
        &text("json"),
        &[0x08],
        &text("answer/here"),
        &[0x09],
        &text("id"),
        &[0x26],
        &text("k"),
        &text("v"),
    ]
    .concat();
    let alias = [&passed[..], &[0x23, 0, 3]].concat();
    from.send(&publish(0x30, "a", 0, Some(&alias), "1")).await;
    from.send(&publish(0x30, "", 0, Some(&[0x23, 0, 3]), "2")).await;
    to.expect(&publish(0x30, "a", 0, Some(&[&passed[..], &[0x0b, 42]].concat()), "1")).await;
    to.expect(&publish(0x30, "a", 0, Some(&[0x0b, 42]), "2")).await;
    let mut old = server.v4("_client-old").await;
    old.subscribe(false, "a", 0).await;
    from.send(&publish(0x30, "a", 0, Some(&passed), "3")).await;
    old.expect(&publish(0x30, "a", 0, None, "3")).await;
}

/// Subscribes with a Subscription Identifier.
async fn subscribe_with_id(client: &mut Client, filter: &str, id: u8) {
    client.send(&packet(0x82, &[&[0, 1, 2, 0x0b, id][..], &text(filter), &[1]].concat())).await;
    assert!(*client.packet().await.last().unwrap() <= 1, "{filter}");
}

#[tokio::test]
async fn what_comes_for_a_device_carries_subscription_ids() {
    let server = TestServer::start().await;
    let kept = connect_v5("lamp-1", 0, &[0x11, 0, 0, 0, 100]);
    let (mut client, _) = server.resume(&kept).await;
    for (filter, id) in [("config", 7), ("commands/#", 8), ("methods/#", 9)] {
        subscribe_with_id(&mut client, &format!("/devices/lamp-1/{filter}"), id).await;
    }
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    server.host.set_config("lamp-1", "on").await;
    let (mut client, present) = server.resume(&kept).await;
    assert!(present);
    client.expect(&publish(0x32, "/devices/lamp-1/config", 1, Some(&[0x0b, 7]), "on")).await;
    server.host.send_command("lamp-1", "c", "").await;
    client.expect(&publish(0x32, "/devices/lamp-1/commands", 2, Some(&[0x0b, 8]), "go")).await;
    let _call = super::device::call(&server, "lamp-1", Duration::from_secs(60));
    let call = client.packet().await;
    assert!(call.windows(2).any(|pair| pair == [0x0b, 9]), "{call:?}");
}

#[tokio::test]
async fn what_comes_for_an_attached_device_carries_the_gateways_subscription_ids() {
    let server = super::gateway::server().await;
    let mut gateway = server.v5("gateway").await;
    subscribe_with_id(&mut gateway, super::gateway::ERRORS, 10).await;
    gateway.send(&publish(0x30, "/devices/unbound/events", 0, Some(&[]), "x")).await;
    let error = gateway.packet().await;
    assert!(error.windows(2).any(|pair| pair == [0x0b, 10]), "{error:?}");
    gateway.send(&publish(0x32, super::gateway::ATTACH, 1, Some(&[]), "")).await;
    gateway.expect(&ack(0x40, 1)).await;
    subscribe_with_id(&mut gateway, "/devices/bound/config", 11).await;
    server.host.set_config("bound", "on").await;
    gateway.expect(&publish(0x32, "/devices/bound/config", 1, Some(&[0x0b, 11]), "on")).await;
}

#[tokio::test]
async fn a_message_carries_the_time_it_has_left_and_is_not_delivered_after() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client-to", 0, &[0x11, 0, 0, 0, 100]);
    let mut to = server.open().await;
    to.send(&kept).await;
    to.packet().await;
    to.subscribe(true, "a", 1).await;
    to.send(&[0xe0, 0]).await;
    to.expect_end().await;
    let mut from = server.v5("_client-from").await;
    for (id, secs) in [(1, 1), (2, 9)] {
        from.send(&publish(0x32, "a", id, Some(&[0x02, 0, 0, 0, secs]), "x")).await;
        from.expect(&ack(0x40, id)).await;
    }
    pass(Duration::from_millis(1_100)).await;
    let mut to = server.open().await;
    to.send(&kept).await;
    to.packet().await;
    // The first had the packet id 1.
    to.expect(&publish(0x32, "a", 2, Some(&[0x02, 0, 0, 0, 8]), "x")).await;
    to.expect_silence().await;
}

#[tokio::test]
async fn no_local_and_unsubscribe() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 0x04).await;
    client.subscribe(true, "b", 0).await;
    client.send(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    client.send(&publish(0x30, "b", 0, Some(&[]), "y")).await;
    client.expect(&publish(0x30, "b", 0, Some(&[]), "y")).await;
    client.send(&packet(0xa2, &[&[0, 5, 0][..], &text("b"), &text("c")].concat())).await;
    client.expect(&packet(0xb0, &[0, 5, 0, 0, 0x11])).await;
    client.send(&publish(0x30, "b", 0, Some(&[]), "y")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn what_is_larger_than_a_client_takes_is_not_sent_to_it() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&connect_v5("_client", 2, &[0x27, 0, 0, 0, 50])).await;
    client.packet().await;
    client.subscribe(true, "a", 1).await;
    for payload in ["x".repeat(100), "small".to_owned()] {
        let message = Message { qos: QoS::AtLeastOnce, ..Message::new("a", payload) };
        publish_alone(&server.topics, message.into()).await;
    }
    client.expect(&publish(0x32, "a", 2, Some(&[]), "small")).await;
}

#[tokio::test]
async fn a_slow_subscriber_slows_its_publisher_and_loses_nothing() {
    let server = TestServer::start().await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "a", 1).await;
    let count = 3_000_u16;
    let publisher = tokio::spawn({
        let topics = server.topics.clone();
        async move {
            for n in 0..count {
                let message = Message { qos: QoS::AtLeastOnce, ..Message::new("a", n.to_string()) };
                publish_alone(&topics, message.into()).await;
            }
        }
    });
    for n in 0..count {
        to.expect(&publish(0x32, "a", n + 1, None, &n.to_string())).await;
        to.send(&ack(0x40, n + 1)).await;
    }
    publisher.await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let options = Options { write_deadline: Duration::from_millis(300), ..Options::default() };
    let server = TestServer::start_with(options).await;
    let mut deaf = server.v4("_client-deaf").await;
    deaf.subscribe(false, "a", 0).await;
    let payload = "x".repeat(100_000);
    until("it is closed", || {
        let topics = server.topics.clone();
        let message = Message::new("a", payload.clone());
        tokio::spawn(async move { publish_alone(&topics, message.into()).await });
        server.metrics.connections.get() == 0
    })
    .await;
    assert_eq!(server.limit_hits("write_deadline"), 1);
}

#[tokio::test]
async fn a_message_that_triggers_a_plugin_is_durable_before_its_acknowledgement() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "plugin/#", 0).await;
    server.host.disk.block();
    client.send(&publish(0x32, "plugin/a", 7, Some(&[]), "1")).await;
    client.send(&publish(0x34, "plugin/a", 8, Some(&[]), "2")).await;
    client.send(&publish(0x32, "other", 9, Some(&[]), "3")).await;
    client.expect(&publish(0x30, "plugin/a", 0, Some(&[]), "1")).await;
    client.expect(&publish(0x30, "plugin/a", 0, Some(&[]), "2")).await;
    client.expect_silence().await;
    server.host.disk.release();
    client.expect(&ack(0x40, 7)).await;
    client.expect(&ack(0x50, 8)).await;
    client.expect(&ack(0x40, 9)).await;
    assert_eq!(server.events.payloads(), ["1", "2"]);
}

#[tokio::test]
async fn a_clients_filters_are_bounded_in_bytes() {
    let server = TestServer::start().await;
    let filter = |n: u32| format!("{n}/{}", "x".repeat(60_000));
    for (v5, refused) in [(true, 0x97), (false, 0x80)] {
        let mut client = if v5 { server.v5("_client-5").await } else { server.v4("_client-4").await };
        for n in 0..4 {
            assert_eq!(client.subscribe(v5, &filter(n), 1).await, 1);
        }
        assert_eq!(client.subscribe(v5, &filter(4), 1).await, refused);
        // One that it has already, and a short one.
        assert_eq!(client.subscribe(v5, &filter(3), 0).await, 0);
        assert_eq!(client.subscribe(v5, "short/#", 0).await, 0);
        client.send(&unsubscribe(v5, &[&filter(0)])).await;
        assert_eq!(client.packet().await[0], 0xb0);
        assert_eq!(client.subscribe(v5, &filter(4), 1).await, 1);
    }
    assert_eq!(server.limit_hits("subscription_bytes"), 2);
}
