//! MQTT 3.1.1: session state, the exchanges of QoS 1 and 2 step by step, order, errors.

use super::*;

#[tokio::test]
async fn v3_4_1_0_1_and_2_session_state_lasts_as_long_as_the_session() {
    let server = TestServer::start().await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "a", 0).await;
    for clean in [2, 0] {
        let (mut client, _) = server.resume(&connect_v4("_client", clean, 60)).await;
        for (first, payload) in [(0x34, "x"), (0x3c, "seen before"), (0x34, "seen before")] {
            client.send(&publish(first, "a", 7, None, payload)).await;
            client.expect(&ack(0x50, 7)).await;
        }
        to.expect(&publish(0x30, "a", 0, None, "x")).await;
        to.expect_silence().await;
        client.send_disconnect().await;
        // A clean session ended with its connection, and its id is of a new message.
        let (mut client, present) = server.resume(&connect_v4("_client", clean, 60)).await;
        assert_eq!(present, clean == 0);
        client.send(&publish(0x3c, "a", 7, None, "y")).await;
        client.expect(&ack(0x50, 7)).await;
        if clean == 2 {
            to.expect(&publish(0x30, "a", 0, None, "y")).await;
        }
        to.expect_silence().await;
    }
}

#[tokio::test]
async fn v3_4_3_2_1_qos_1_goes_out_without_dup_and_waits_for_its_puback() {
    let server = TestServer::start().await;
    let kept = connect_v4("_client", 0, 60);
    let (mut client, _) = server.resume(&kept).await;
    client.subscribe(false, "a", 1).await;
    let mut from = server.v4("_client-from").await;
    for (id, payload) in [(1, "one"), (2, "two")] {
        from.publish_1(false, "a", payload).await;
        client.expect(&publish(0x32, "a", id, None, payload)).await;
    }
    // An acknowledgement with another id, or of another type, does not acknowledge the second message.
    client.send(&[ack(0x40, 1), ack(0x40, 3), ack(0x70, 2)].concat()).await;
    client.expect_silence().await;
    for _ in 0..2 {
        drop(client);
        server.connected(1).await;
        (client, _) = server.resume(&kept).await;
        client.expect(&publish(0x3a, "a", 2, None, "two")).await;
        client.expect_silence().await;
    }
    client.send(&ack(0x40, 2)).await;
    client.send_disconnect().await;
    let (mut client, _) = server.resume(&kept).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_4_3_2_2_after_puback_an_id_is_of_a_new_message_whatever_dup_says() {
    let server = TestServer::start().await;
    let mut to = server.v4("_client-to").await;
    to.subscribe(false, "a", 0).await;
    let mut from = server.v4("_client-from").await;
    for (first, payload) in [(0x32, "1"), (0x3a, "2"), (0x32, "3")] {
        from.send(&publish(first, "a", 5, None, payload)).await;
        from.expect(&ack(0x40, 5)).await;
        to.expect(&publish(0x30, "a", 0, None, payload)).await;
    }
}

#[tokio::test]
async fn v3_4_3_3_1_qos_2_goes_out_step_by_step_and_no_step_back() {
    let server = TestServer::start().await;
    let kept = connect_v4("_client", 0, 60);
    let (mut client, _) = server.resume(&kept).await;
    client.subscribe(false, "a", 2).await;
    let mut from = server.v4("_client-from").await;
    from.publish_2(false, "a", "x").await;
    client.expect(&publish(0x34, "a", 1, None, "x")).await;
    drop(client);
    server.connected(1).await;
    // Unacknowledged until PUBREC.
    let (mut client, _) = server.resume(&kept).await;
    client.expect(&publish(0x3c, "a", 1, None, "x")).await;
    client.send(&ack(0x50, 1)).await;
    client.expect(&ack(0x62, 1)).await;
    drop(client);
    server.connected(1).await;
    // The PUBREL is, until PUBCOMP; the PUBLISH is not sent again.
    let (mut client, _) = server.resume(&kept).await;
    client.expect(&ack(0x62, 1)).await;
    client.send(&ack(0x70, 1)).await;
    client.send_disconnect().await;
    let (mut client, _) = server.resume(&kept).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v3_4_6_0_3_and_4_pubrec_and_pubrel_come_in_the_order_of_what_they_answer() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut device = server.v4("lamp-1").await;
    device.send(&publish(0x34, "/devices/lamp-1/events", 1, None, "durable later")).await;
    device.send(&publish(0x34, "ordinary", 2, None, "at once")).await;
    until("the event is submitted", || !server.events.payloads().is_empty()).await;
    server.host.disk.release();
    device.expect(&ack(0x50, 1)).await;
    device.expect(&ack(0x50, 2)).await;
    let mut client = server.v4("_client").await;
    client.subscribe(false, "a", 2).await;
    let mut from = server.v4("_client-from").await;
    for id in 1..=3 {
        from.publish_2(false, "a", "x").await;
        client.expect(&publish(0x34, "a", id, None, "x")).await;
    }
    client.send(&[ack(0x50, 3), ack(0x50, 1), ack(0x50, 2)].concat()).await;
    for id in [3, 1, 2] {
        client.expect(&ack(0x62, id)).await;
    }
}

#[tokio::test]
async fn v3_4_7_3_3_a_topic_may_be_as_long_as_its_length_can_say() {
    let server = TestServer::start().await;
    let mut client = server.v4("_client").await;
    let longest = "x".repeat(65_535);
    assert_eq!(client.subscribe(false, &longest, 0).await, 0);
    client.send(&publish(0x30, &longest, 0, None, "x")).await;
    client.expect(&publish(0x30, &longest, 0, None, "x")).await;
}

#[tokio::test]
async fn v3_4_8_0_1_a_client_that_breaks_the_protocol_is_closed_alone() {
    let server = TestServer::start().await;
    let mut valid = server.v4("_client-good").await;
    for bytes in [&[0x20, 2, 0, 0][..], &[0x90, 3, 0, 1, 0], &[0xb0, 2, 0, 1], &[0xd0, 0], &[0xf0, 0], &[0x00, 0]] {
        assert_eq!(server.close_code(false, bytes).await, 0, "{bytes:?}");
    }
    valid.expect_silence().await;
}

#[tokio::test]
async fn v3_4_8_0_2_what_cannot_be_accepted_now_ends_the_connection() {
    let server = TestServer::start().await;
    let mut device = server.v4("lamp-1").await;
    server.host.disk.fill();
    device.send(&publish(0x32, "/devices/lamp-1/events", 5, None, "x")).await;
    assert_eq!(device.expect_end().await, None);
}
