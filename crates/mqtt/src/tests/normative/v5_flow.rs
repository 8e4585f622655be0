//! MQTT 5: flow control, exchanges of QoS 1 and 2, redelivery.

use super::*;
use switchbox_model::limits;

#[tokio::test]
async fn v5_3_3_4_9_and_4_9_0_1_and_2_no_more_than_the_clients_receive_maximum_is_in_flight() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &[&KEPT[..], &[0x21, 0, 2]].concat());
    let (mut client, _) = server.connect(&kept).await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    for payload in ["1", "2", "3", "4"] {
        from.publish_1(true, "a", payload).await;
    }
    from.send(&publish(0x30, "a", 0, Some(&[]), "0")).await;
    for id in 1..=2 {
        client.expect(&publish(0x32, "a", id, Some(&[]), &id.to_string())).await;
    }
    client.expect_silence().await;
    client.send(&ack(0x40, 2)).await;
    client.expect(&publish(0x32, "a", 3, Some(&[]), "3")).await;
    client.expect_silence().await;
    drop(client);
    server.connected(1).await;
    // Also for what is sent again to a client that takes less than before.
    let (mut client, _) = server.connect(&connect_v5("_client", 0, &[&KEPT[..], &[0x21, 0, 1]].concat())).await;
    client.expect(&publish(0x3a, "a", 1, Some(&[]), "1")).await;
    client.expect_silence().await;
    client.send(&ack(0x40, 1)).await;
    client.expect(&publish(0x3a, "a", 3, Some(&[]), "3")).await;
    client.send(&ack(0x40, 3)).await;
    client.expect(&publish(0x32, "a", 4, Some(&[]), "4")).await;
}

#[tokio::test]
async fn v5_3_1_2_11_3_a_receive_maximum_of_0_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&connect_v5("_client", 2, &[0x21, 0, 0])).await;
    assert_eq!(client.packet().await[3], 0x82);
}

#[tokio::test]
async fn v5_4_9_more_than_the_servers_receive_maximum_is_answered_with_0x93() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    // QoS 2 that is never released counts until it is.
    for id in 1..=limits::RECEIVE_MAXIMUM {
        client.send(&publish(0x34, "a", id, Some(&[]), "x")).await;
        client.expect(&ack(0x50, id)).await;
    }
    client.send(&ack(0x62, 1)).await;
    client.expect(&ack(0x70, 1)).await;
    client.send(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    client.expect(&ack(0x50, 1)).await;
    client.send(&publish(0x34, "a", limits::RECEIVE_MAXIMUM + 1, Some(&[]), "x")).await;
    assert_eq!(client.expect_end().await, Some(0x93));
}

#[tokio::test]
async fn v5_4_9_qos_1_counts_until_its_puback() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v5("lamp-1").await;
    let event = |id| publish(0x32, "/devices/lamp-1/events", id, Some(&[]), "x");
    let bytes: Vec<u8> = (1..=limits::RECEIVE_MAXIMUM).flat_map(event).collect();
    client.send(&bytes).await;
    client.expect_silence().await;
    client.send(&event(limits::RECEIVE_MAXIMUM + 1)).await;
    assert_eq!(client.expect_end().await, Some(0x93));
}

#[tokio::test]
async fn v5_3_2_2_15_a_packet_over_the_servers_maximum_is_answered_with_0x95() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &[0x30, 0xff, 0xff, 0xff, 0x7f]).await, 0x95);
}

#[tokio::test]
async fn v5_3_6_2_1_to_3_and_3_7_2_1_to_3_an_unknown_packet_id_is_answered_with_0x92() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.send(&ack(0x62, 9)).await;
    client.expect(&packet(0x70, &[0, 9, 0x92])).await;
    client.send(&ack(0x50, 9)).await;
    client.expect(&packet(0x62, &[0, 9, 0x92])).await;
    // These have no answer.
    client.send(&[ack(0x40, 9), ack(0x70, 9)].concat()).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_4_3_3_4_a_pubrec_with_an_error_ends_the_exchange() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    client.expect(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    client.send(&packet(0x50, &[0, 1, 0x97])).await;
    client.expect_silence().await;
    client.send(&ack(0x50, 1)).await;
    client.expect(&packet(0x62, &[0, 1, 0x92])).await;
}

#[tokio::test]
async fn v5_4_4_0_1_redelivery_after_a_takeover_has_dup_and_the_same_ids() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut old, _) = server.connect(&kept).await;
    old.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 1, Some(&[]), "two")).await;
    from.send(&publish(0x32, "a", 2, Some(&[]), "one")).await;
    old.expect(&publish(0x34, "a", 1, Some(&[]), "two")).await;
    old.expect(&publish(0x32, "a", 2, Some(&[]), "one")).await;
    let (mut new, present) = server.resume(&kept).await;
    assert!(present);
    new.expect(&publish(0x3c, "a", 1, Some(&[]), "two")).await;
    new.expect(&publish(0x3a, "a", 2, Some(&[]), "one")).await;
    assert_eq!(old.expect_end().await, Some(0x8e));
}

#[tokio::test]
async fn v5_4_3_3_10_a_qos_2_id_is_remembered_until_pubrel_whatever_the_connection() {
    let server = TestServer::start().await;
    let mut to = server.v5("_client-to").await;
    to.subscribe(true, "a", 0).await;
    let kept = connect_v5("_client-from", 0, &KEPT);
    let (mut from, _) = server.connect(&kept).await;
    from.send(&publish(0x34, "a", 7, Some(&[]), "x")).await;
    from.expect(&ack(0x50, 7)).await;
    to.expect(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    drop(from);
    let (mut from, _) = server.connect(&kept).await;
    from.send(&publish(0x3c, "a", 7, Some(&[]), "x")).await;
    from.expect(&ack(0x50, 7)).await;
    from.send(&ack(0x62, 7)).await;
    from.expect(&ack(0x70, 7)).await;
    to.expect_silence().await;
}
