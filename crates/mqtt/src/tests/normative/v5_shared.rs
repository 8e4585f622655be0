//! MQTT 5: shared subscriptions.

use super::*;

/// A client with this filter, kept for 100 s or not at all.
async fn member(server: &TestServer, id: &str, kept: bool, options: u8) -> Client {
    let expiry: &[u8] = if kept { &KEPT } else { &[] };
    let (mut client, _) = server.connect(&connect_v5(id, 2, expiry)).await;
    assert_eq!(client.subscribe(true, "$share/g/a", options).await, options & 3);
    client
}

#[tokio::test]
async fn v5_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &subscribe(true, 1, "$share/g/a", 4)).await, 0x82);
}

#[tokio::test]
async fn v5_4_8_2_1_and_2_a_share_name_is_one_level_without_wildcards_and_a_filter_follows() {
    let server = TestServer::start().await;
    let mut client = server.v5("_client").await;
    for filter in ["$share/g", "$share//a", "$share/+/a", "$share/#/a", "$share/g/"] {
        assert_eq!(client.subscribe(true, filter, 0).await, 0x8f, "{filter}");
    }
    for filter in ["$share/g/a", "$share/g//", "$share/g/+/#", "$share/g/$x/a"] {
        assert_eq!(client.subscribe(true, filter, 0).await, 0, "{filter}");
    }
}

#[tokio::test]
async fn v5_4_8_2_each_message_goes_to_one_member_by_turns() {
    let server = TestServer::start().await;
    let mut members = [member(&server, "_client-1", false, 0).await, member(&server, "_client-2", false, 0).await];
    let mut all = server.v5("_client-all").await;
    all.subscribe(true, "a", 0).await;
    for turn in 0..4 {
        all.send(&publish(0x30, "a", 0, Some(&[]), &turn.to_string())).await;
        all.expect(&publish(0x30, "a", 0, Some(&[]), &turn.to_string())).await;
        members[turn % 2].expect(&publish(0x30, "a", 0, Some(&[]), &turn.to_string())).await;
    }
    for member in &mut members {
        member.expect_silence().await;
    }
}

#[tokio::test]
async fn v5_4_8_2_3_each_member_gets_its_own_qos() {
    let server = TestServer::start().await;
    let mut members = [member(&server, "_client-0", false, 0).await, member(&server, "_client-1", false, 1).await];
    let mut from = server.v5("_client-from").await;
    for _ in 0..2 {
        from.publish_1(true, "a", "x").await;
    }
    members[0].expect(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    members[1].expect(&publish(0x32, "a", 1, Some(&[]), "x")).await;
}

#[tokio::test]
async fn v5_3_3_1_9_a_shared_subscription_brings_no_retained_messages() {
    let server = TestServer::start().await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x31, "a", 0, Some(&[]), "kept")).await;
    from.expect_silence().await;
    member(&server, "_client", false, 0).await.expect_silence().await;
}

#[tokio::test]
async fn v5_4_8_2_a_member_that_is_offline_is_passed_over_while_another_is_connected() {
    let server = TestServer::start().await;
    let offline = member(&server, "_client-away", true, 1).await;
    let mut here = member(&server, "_client-here", false, 1).await;
    offline.send_disconnect().await;
    let mut from = server.v5("_client-from").await;
    for id in 1..=4 {
        from.publish_1(true, "a", "x").await;
        here.expect(&publish(0x32, "a", id, Some(&[]), "x")).await;
        here.send(&ack(0x40, id)).await;
    }
    here.expect_silence().await;
    here.send_disconnect().await;
    // Now it is the only one left.
    from.publish_1(true, "a", "kept for it").await;
    let (mut offline, present) = server.resume(&connect_v5("_client-away", 0, &KEPT)).await;
    assert!(present);
    offline.expect(&publish(0x32, "a", 1, Some(&[]), "kept for it")).await;
}

#[tokio::test]
async fn v5_4_8_2_4_qos_2_in_flight_stays_with_its_member_while_its_session_lives() {
    let server = TestServer::start().await;
    let mut first = member(&server, "_client-1", true, 2).await;
    let mut second = member(&server, "_client-2", true, 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    first.expect(&publish(0x34, "a", 1, Some(&[]), "x")).await;
    drop(first);
    server.connected(2).await;
    second.expect_silence().await;
    let (mut first, _) = server.connect(&connect_v5("_client-1", 0, &KEPT)).await;
    first.expect(&publish(0x3c, "a", 1, Some(&[]), "x")).await;
}

#[tokio::test]
async fn v5_4_8_2_5_when_a_session_ends_qos_1_goes_to_another_member_and_qos_2_to_none() {
    let server = TestServer::start().await;
    let mut first = member(&server, "_client-1", false, 2).await;
    let mut from = server.v5("_client-from").await;
    from.send(&publish(0x34, "a", 1, Some(&[]), "twice would be too often")).await;
    first.packet().await;
    from.send(&publish(0x32, "a", 2, Some(&[]), "again")).await;
    first.packet().await;
    let mut second = member(&server, "_client-2", false, 2).await;
    drop(first);
    second.expect(&publish(0x32, "a", 1, Some(&[]), "again")).await;
    second.expect_silence().await;
}

#[tokio::test]
async fn v5_4_8_2_6_what_a_member_refuses_goes_to_no_other_member() {
    let server = TestServer::start().await;
    let mut first = member(&server, "_client-1", false, 1).await;
    let mut second = member(&server, "_client-2", false, 1).await;
    let mut from = server.v5("_client-from").await;
    from.publish_1(true, "a", "x").await;
    first.expect(&publish(0x32, "a", 1, Some(&[]), "x")).await;
    first.send(&packet(0x40, &[0, 1, 0x97])).await;
    first.expect_silence().await;
    first.send_disconnect().await;
    second.expect_silence().await;
}

#[tokio::test]
async fn v5_4_8_2_shared_and_plain_subscriptions_of_one_client_each_bring_the_message() {
    let server = TestServer::start().await;
    let mut client = member(&server, "_client", false, 0).await;
    client.subscribe(true, "a", 0).await;
    client.send(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    for _ in 0..2 {
        client.expect(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    }
    client.send(&unsubscribe(true, &["$share/g/a"])).await;
    client.expect(&packet(0xb0, &[0, 5, 0, 0])).await;
    client.send(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    client.expect(&publish(0x30, "a", 0, Some(&[]), "x")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn v5_device_deliveries_are_not_shared() {
    let server = TestServer::start().await;
    let mut lamp = server.v5("lamp-1").await;
    assert_eq!(lamp.subscribe(true, "$share/g//devices/lamp-1/config", 1).await, 0x9e);
    assert_eq!(lamp.subscribe(true, "$share/g//devices/lamp-2/config", 1).await, 0x87);
}
