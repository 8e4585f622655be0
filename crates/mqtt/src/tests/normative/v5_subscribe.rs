//! MQTT 5: SUBSCRIBE, UNSUBSCRIBE and what they bring.

use super::*;

#[tokio::test]
async fn v5_3_3_4_2_to_4_overlapping_subscriptions_come_once_with_all_their_identifiers() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for (filter, options, id) in [("a/+", 0, 7), ("a/#", 2, 9), ("a/b", 1, 200)] {
        let id: &[u8] = if id > 127 { &[0x0b, 0xc8, 1] } else { &[0x0b, id] };
        client.send(&subscribe_with(id, filter, options)).await;
        client.packet().await;
    }
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a/b", 1, Some(&[]), "x")).await;
    let got = client.packet().await;
    assert_eq!(got[0], 0x34);
    let ids = &got[10..got.len() - 1];
    assert_eq!(ids.len(), 7, "{got:?}");
    for id in [&[0x0b, 7][..], &[0x0b, 9], &[0x0b, 0xc8, 1]] {
        assert!(ids.windows(id.len()).any(|window| window == id), "{got:?}");
    }
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_3_8_2_1_2_a_subscription_identifier_of_0_is_a_protocol_error() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &subscribe_with(&[0x0b, 0], "a", 0)).await, 0x82);
}

#[tokio::test]
async fn v5_3_8_3_2_and_5_a_subscribe_has_a_filter_and_no_reserved_bits() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &packet(0x82, &[0, 1, 0])).await, 0x82);
    for options in [0x40, 0x80, 0x03] {
        assert_eq!(server.close_code(true, &subscribe(true, 1, "a", options)).await, 0x81, "{options:x}");
    }
    let retain_handling_3 = server.close_code(true, &subscribe(true, 1, "a", 0x30)).await;
    assert!(matches!(retain_handling_3, 0x81 | 0x82), "{retain_handling_3:x}");
}

#[tokio::test]
async fn v5_3_8_3_3_no_local_keeps_a_clients_own_messages_from_it() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 0x04).await;
    client.send(&publish(0x30, "a", 0, Some(&[]), "own")).await;
    client.expect_silence().await;
    let mut other = server.v5("_client-other").await;
    other.send(&publish(0x30, "a", 0, Some(&[]), "another's")).await;
    client.expect(&publish(0x30, "a", 0, Some(&[]), "another's")).await;
}

#[tokio::test]
async fn v5_3_8_4_3_and_4_subscribing_again_replaces_the_subscription() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.send(&subscribe_with(&[0x0b, 1], "a", 1)).await;
    client.packet().await;
    client.send(&subscribe_with(&[0x0b, 2], "a", 0)).await;
    client.packet().await;
    let mut from = server.v5("_client-from").await;
    from.publish_1(true, "a", "x").await;
    client.expect(&publish(0x30, "a", 0, Some(&[0x0b, 2]), "x")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_3_8_4_5_to_7_and_3_9_3_1_and_2_each_filter_has_its_reason_code_in_order() {
    let server = TestServer::start().await;
    let (mut client, _) = server.connect(&connect_v5("_client", 2, &[0x17, 0])).await;
    let filters = [("a", 0), ("a/#/b", 1), ("$share/g", 1), ("/devices/lamp-9/config", 1), ("b", 2)];
    let body: Vec<u8> = filters.iter().flat_map(|(filter, options)| [text(filter), vec![*options]].concat()).collect();
    client.send(&packet(0x82, &[&[0, 9, 0][..], &body].concat())).await;
    client.expect(&packet(0x90, &[0, 9, 0, 0, 0x8f, 0x8f, 0x87, 2])).await;
}

#[tokio::test]
async fn v5_3_10_4_1_and_2_and_4_to_6_and_3_11_3_1_and_2_unsubscribe_compares_filters_and_says_what_was_there() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for filter in ["a", "b/+", "$share/g/c"] {
        client.subscribe(true, filter, 0).await;
    }
    client.send(&unsubscribe(true, &["never", "a", "b/1", "$share/g/c", "a"])).await;
    client.expect(&packet(0xb0, &[0, 5, 0, 0x11, 0, 0x11, 0, 0x11])).await;
    for topic in ["a", "c", "b/1"] {
        client.send(&publish(0x30, topic, 0, Some(&[]), "x")).await;
    }
    client.expect(&publish(0x30, "b/1", 0, Some(&[]), "x")).await;
    client.send(&unsubscribe(true, &["never"])).await;
    client.expect(&packet(0xb0, &[0, 5, 0, 0x11])).await;
}

#[tokio::test]
async fn v5_3_10_3_2_an_unsubscribe_has_a_filter() {
    let server = TestServer::start().await;
    assert!(matches!(server.close_code(true, &packet(0xa2, &[0, 5, 0])).await, 0x81 | 0x82));
}

#[tokio::test]
async fn v5_3_8_4_8_delivery_has_the_lower_of_the_two_qos() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    for granted in 0..=2_u8 {
        let mut to = server.v5("_client-to").await;
        assert_eq!(to.subscribe(true, "a", granted).await, granted);
        from.send(&publish(0x30, "a", 0, Some(&[]), "0")).await;
        from.publish_1(true, "a", "1").await;
        from.publish_2(true, "a", "2").await;
        let mut id = 0;
        for sent in 0..=2_u8 {
            let qos = granted.min(sent);
            id += u16::from(qos > 0);
            to.expect(&publish(0x30 | qos << 1, "a", id, Some(&[]), &sent.to_string())).await;
        }
        to.expect_silence().await;
    }
}

#[tokio::test]
async fn v5_3_10_4_3_what_was_sent_before_unsubscribe_is_completed() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    client.subscribe(true, "a", 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    client.expect(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    client.send(&unsubscribe(true, &["a"])).await;
    client.expect(&packet(0xb0, &[0, 5, 0, 0])).await;
    client.send(&ack(0x50, 1)).await;
    client.expect(&ack(0x62, 1)).await;
    client.send(&ack(0x70, 1)).await;
    client.expect_silence().await;
}
