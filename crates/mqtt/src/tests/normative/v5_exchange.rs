//! MQTT 5: the exchanges of QoS 1 and 2 step by step.

use super::*;

#[tokio::test]
async fn v5_3_3_1_1_and_4_3_2_2_and_3_qos_1_goes_out_without_dup_and_waits_for_its_puback() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 1).await;
    let mut from = server.v5("_client-from").await;
    for (id, payload) in [(1, "one"), (2, "two")] {
        from.publish_1(true, "a", payload).await;
        client.expect(&publish(0x32, "a", id, Some(&[]), payload)).await;
    }
    // An acknowledgement with another id, or of another type, does not acknowledge the second message.
    client.send(&[ack(0x40, 1), ack(0x40, 3), ack(0x70, 2)].concat()).await;
    client.expect_silence().await;
    for _ in 0..2 {
        drop(client);
        server.connected(1).await;
        (client, _) = server.connect(&kept).await;
        client.expect(&publish(0x3a, "a", 2, Some(&[]), "two")).await;
        client.expect_silence().await;
    }
    client.send(&ack(0x40, 2)).await;
    client.send_disconnect().await;
    server.connect(&kept).await.0.expect_silence().await;
}

#[tokio::test]
async fn v5_3_3_1_2_and_4_dup_on_qos_0_and_qos_3_are_malformed() {
    let server = TestServer::start().await;
    for first in [0x38, 0x39, 0x36, 0x37, 0x3e] {
        assert_eq!(server.close_code(true, &publish(first, "a", 1, Some(&[]), "x")).await, 0x81, "{first:x}");
    }
}

#[tokio::test]
async fn v5_3_3_1_3_and_4_3_3_2_dup_of_an_incoming_publish_is_not_passed_on() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client").await;
    to.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x3a, "a", 5, Some(&[]), "x")).await;
    from.expect(&ack(0x40, 5)).await;
    to.expect(&publish(0x32, "a", 1, Some(&[]), "x")).await;
    from.send(&publish(0x3c, "a", 6, Some(&[]), "x")).await;
    from.expect(&ack(0x50, 6)).await;
    to.expect(&publish(0x34, "a", 2, Some(&[]), "x")).await;
}

#[tokio::test]
async fn v5_3_3_4_5_each_of_several_copies_has_the_identifier_of_its_subscription() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for (id, filter) in [(7, "$share/g/a"), (9, "a")] {
        client.send(&subscribe_with(&[0x0b, id], filter, 0)).await;
        client.packet().await;
    }
    client.send(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    let mut both = [client.packet().await, client.packet().await];
    both.sort_unstable();
    assert_eq!(both, [7, 9].map(|id| publish(0x30, "a", 0, Some(&[0x0b, id]), "x")));
}

#[tokio::test]
async fn v5_3_3_4_10_and_4_9_0_3_and_3_12_4_1_a_full_window_delays_only_publishes() {
    let server = TestServer::start().await;
    let (mut client, _) = server.connect(&connect_v5("_client", 2, &[0x21, 0, 1])).await;
    client.subscribe(true, "a", 1).await;
    let mut from = server.v5("_client-from").await;
    for payload in ["1", "2"] {
        from.publish_1(true, "a", payload).await;
    }
    client.expect(&publish(0x32, "a", 1, Some(&[]), "1")).await;
    client.send(&[0xc0, 0]).await;
    client.expect(&[0xd0, 0]).await;
    assert_eq!(client.subscribe(true, "b", 0).await, 0);
    client.publish_1(true, "c", "x").await;
    client.publish_2(true, "c", "x").await;
    client.send(&unsubscribe(true, &["b"])).await;
    client.expect(&[0xb0, 4, 0, 5, 0, 0]).await;
    client.send(&ack(0x40, 1)).await;
    client.expect(&publish(0x32, "a", 2, Some(&[]), "2")).await;
}

#[tokio::test]
async fn v5_4_3_2_4_and_5_after_puback_an_id_is_of_a_new_message_whatever_dup_says() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client-to").await;
    to.subscribe(true, "a", 0).await;
    let mut from = server.v5("_client-from").await;
    for (first, payload) in [(0x32, "1"), (0x3a, "2"), (0x32, "3")] {
        from.send(&publish(first, "a", 5, Some(&[]), payload)).await;
        from.expect(&ack(0x40, 5)).await;
        to.expect(&publish(0x30, "a", 0, Some(&[]), payload)).await;
    }
}

#[tokio::test]
async fn v5_4_3_3_3_to_6_qos_2_goes_out_step_by_step_and_no_step_back() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.publish_2(true, "a", "x").await;
    client.expect(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    drop(client);
    server.connected(1).await;
    // Unacknowledged until PUBREC; one with a code below 0x80 is one.
    let (mut client, _) = server.connect(&kept).await;
    client.expect(&publish(0x3c, "a", 1, Some(&[]), "x")).await;
    client.send(&packet(0x50, &[0, 1, 0x10])).await;
    client.expect(&ack(0x62, 1)).await;
    drop(client);
    server.connected(1).await;
    // The PUBREL is, until PUBCOMP; the PUBLISH is not sent again.
    let (mut client, _) = server.connect(&kept).await;
    client.expect(&ack(0x62, 1)).await;
    client.send(&ack(0x70, 1)).await;
    client.send_disconnect().await;
    server.connect(&kept).await.0.expect_silence().await;
}

#[tokio::test]
async fn v5_4_3_3_7_and_13_an_exchange_that_has_begun_does_not_expire() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 7, Some(&[2, 0, 0, 0, 1]), "short")).await;
    from.expect(&ack(0x50, 7)).await;
    let sent = client.packet().await;
    assert!(sent[0] == 0x34 && sent.ends_with(b"short"), "{sent:?}");
    drop(client);
    server.connected(1).await;
    pass(std::time::Duration::from_millis(1_100)).await;
    from.send(&publish(0x3c, "a", 7, Some(&[2, 0, 0, 0, 1]), "short")).await;
    from.expect(&ack(0x50, 7)).await;
    from.send(&ack(0x62, 7)).await;
    from.expect(&ack(0x70, 7)).await;
    let (mut client, _) = server.connect(&kept).await;
    let again = client.packet().await;
    assert!(again[0] == 0x3c && again[5..7] == [0, 1] && again.ends_with(b"short"), "{again:?}");
    client.send(&ack(0x50, 1)).await;
    client.expect(&ack(0x62, 1)).await;
    client.send(&ack(0x70, 1)).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_4_3_3_8_and_11_and_12_after_pubcomp_an_id_is_of_a_new_message() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client-to").await;
    to.subscribe(true, "a", 0).await;
    let mut from = server.v5("_client-from").await;
    for (first, payload) in [(0x34, "1"), (0x3c, "2")] {
        from.send(&publish(first, "a", 0x0102, Some(&[]), payload)).await;
        from.expect(&ack(0x50, 0x0102)).await;
        from.send(&ack(0x62, 0x0102)).await;
        from.expect(&ack(0x70, 0x0102)).await;
        to.expect(&publish(0x30, "a", 0, Some(&[]), payload)).await;
    }
}

#[tokio::test]
async fn v5_4_3_3_9_after_a_pubrec_with_an_error_an_id_is_of_a_new_message() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client-to").await;
    to.subscribe(true, "a", 0).await;
    let (mut from, _) = server.connect(&connect_v5("_client-from", 2, &[0x17, 0])).await;
    from.send(&publish(0x34, "/devices/lamp-9/events", 7, Some(&[]), "refused")).await;
    from.expect(&packet(0x50, &[0, 7, 0x87])).await;
    from.send(&publish(0x34, "a", 7, Some(&[]), "x")).await;
    from.expect(&ack(0x50, 7)).await;
    to.expect(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    from.send(&ack(0x62, 7)).await;
    from.expect(&ack(0x70, 7)).await;
}

#[tokio::test]
async fn v5_4_4_0_2_what_a_client_refuses_is_not_sent_again() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.publish_1(true, "a", "one").await;
    from.publish_2(true, "a", "two").await;
    client.expect(&publish(0x32, "a", 1, Some(&[]), "one")).await;
    client.expect(&publish(0x34, "a", 2, Some(&[]), "two")).await;
    client.send(&[packet(0x40, &[0, 1, 0x83]), packet(0x50, &[0, 2, 0x97])].concat()).await;
    client.expect_silence().await;
    drop(client);
    server.connected(1).await;
    let (mut client, present) = server.resume(&kept).await;
    assert!(present);
    client.expect_silence().await;
}
