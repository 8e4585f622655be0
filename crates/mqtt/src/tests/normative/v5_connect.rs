//! MQTT 5: CONNECT, CONNACK, wills, session expiry, DISCONNECT, AUTH.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn v5_3_1_2_2_an_unknown_protocol_version_is_answered_with_0x84() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&packet(0x10, &[&text("MQTT")[..], &[6, 2, 0, 0, 0], &text("_client")].concat())).await;
    assert_eq!(client.packet().await[3], 0x84);
    assert!(client.try_packet().await.is_none());
}

#[tokio::test]
async fn v5_3_1_2_4_to_6_and_3_1_4_4_and_5_and_3_2_2_2_and_3_clean_start_discards_and_session_present_says_so() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    for present in [false, true] {
        let (client, found) = server.resume(&kept).await;
        assert_eq!(found, present);
        client.send_disconnect().await;
    }
    let (client, found) = server.resume(&connect_v5("_client", 2, &KEPT)).await;
    assert!(!found);
    client.send_disconnect().await;
    assert!(server.resume(&kept).await.1);
}

#[tokio::test]
async fn v5_3_1_2_11_to_13_wrong_will_flags_are_malformed() {
    let server = TestServer::start().await;
    for flags in [0x0a, 0x22] {
        let mut client = server.open().await;
        client.send(&connect_v5("_client", flags, &[])).await;
        assert_eq!(client.packet().await[3], 0x81, "{flags:x}");
    }
    let mut client = server.open().await;
    client.send(&connect_will("_client", 0x1a, Some((&[], &[])), "will", "x")).await;
    assert_eq!(client.packet().await[3], 0x81);
}

#[tokio::test]
async fn v5_3_1_2_22_and_3_2_2_22_keep_alive_ends_with_0x8d() {
    let server = TestServer::start().await;
    let connect = [&text("MQTT")[..], &[5, 2, 0, 1, 0], &text("_client")].concat();
    let (mut client, _) = server.connect(&packet(0x10, &connect)).await;
    pass(Duration::from_millis(1_300)).await;
    client.expect_silence().await;
    pass(Duration::from_millis(1_600)).await;
    assert_eq!(client.expect_end().await, Some(0x8d));
}

#[tokio::test]
async fn v5_3_1_2_23_and_4_1_0_2_a_session_is_kept_for_its_expiry_and_no_longer() {
    let server = TestServer::start().await;
    for (expiry, id) in [(&KEPT[..], "_client-kept"), (&[0x11, 0, 0, 0, 0], "_client-none"), (&[], "_client-plain")] {
        let (client, _) = server.connect(&connect_v5(id, 2, expiry)).await;
        client.send_disconnect().await;
        assert_eq!(server.resume(&connect_v5(id, 0, expiry)).await.1, id == "_client-kept", "{id}");
    }
}

#[tokio::test]
async fn v5_3_1_2_24_and_25_nothing_larger_than_the_client_takes_is_sent_and_it_counts_as_sent() {
    let server = TestServer::start().await;
    let (mut client, _) = server.connect(&connect_v5("_client", 2, &[0x27, 0, 0, 0, 60])).await;
    client.subscribe(true, "a", 1).await;
    let mut from = server.v5("_client-from").await;
    from.publish_1(true, "a", &"x".repeat(60)).await;
    from.publish_1(true, "a", "small").await;
    assert!(client.packet().await.ends_with(b"small"));
    // Words that do not fit are left out; the code comes alone.
    client.send(&publish(0x30, &"long/".repeat(40), 0, Some(&[]), "#")).await;
    client.send(&publish(0x30, "", 0, Some(&[]), "x")).await;
    let disconnect = client.packet().await;
    assert!(disconnect[0] == 0xe0 && disconnect.len() <= 60, "{disconnect:?}");
}

#[tokio::test]
async fn v5_3_1_2_28_without_a_request_there_is_no_response_information() {
    let server = TestServer::start().await;
    for request in [&[0x19, 0][..], &[]] {
        let (_, connack) = server.connect(&connect_v5("_client", 2, request)).await;
        assert_eq!(property(&connack, 0x1a, 0), None);
    }
    for (id, place) in [("_client", "responses/_client/"), ("lamp-1", "responses/default/lamp-1/"), ("_client-#", "")] {
        let (_, connack) = server.connect(&connect_v5(id, 2, &[0x19, 1])).await;
        let announced = property(&connack, 0x1a, 0).map(|place| String::from_utf8(place.to_vec()).unwrap());
        assert_eq!(announced.as_deref().unwrap_or_default(), place);
    }
}

#[tokio::test]
async fn v5_3_1_2_29_without_a_request_reasons_are_only_codes() {
    let server = TestServer::start().await;
    for (properties, words) in [(&[0x17, 0][..], false), (&[], true)] {
        let (mut client, _) = server.connect(&connect_v5("_client", 2, properties)).await;
        client.send(&subscribe(true, 9, "a/#/b", 0)).await;
        let suback = client.packet().await;
        assert_eq!((suback[0], suback.last(), suback.len() > 6), (0x90, Some(&0x8f), words), "{suback:?}");
        client.send(&publish(0x32, "/devices/lamp-9/events", 3, Some(&[]), "x")).await;
        let puback = client.packet().await;
        assert_eq!((puback[0], puback[4], puback.len() > 5), (0x40, 0x87, words), "{puback:?}");
    }
}

#[tokio::test]
async fn v5_3_1_3_6_and_7_and_3_2_2_16_an_empty_client_id_is_replaced_and_announced() {
    let server = TestServer::start().await;
    let (client, connack) = server.connect(&connect_v5("", 2, &KEPT)).await;
    let assigned = String::from_utf8(property(&connack, 0x12, 0).unwrap().to_vec()).unwrap();
    client.send_disconnect().await;
    let (_, connack) = server.connect(&connect_v5("", 2, &KEPT)).await;
    assert_ne!(property(&connack, 0x12, 0), Some(assigned.as_bytes()));
    assert!(server.resume(&connect_v5(&assigned, 0, &KEPT)).await.1, "{assigned}");
}

#[tokio::test]
async fn v5_3_1_3_9_a_return_before_the_will_delay_is_over_cancels_the_will() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    let will = connect_will("_client", 0, Some((&KEPT, &[0x18, 0, 0, 0, 1])), "will", "gone");
    drop(server.connect(&will).await);
    let (client, _) = server.connect(&connect_v5("_client", 0, &KEPT)).await;
    drop(client);
    // This one has a will that comes; had the first not been cancelled, it would have come before.
    let marker = connect_will("_client-marker", 2, Some((&KEPT, &[0x18, 0, 0, 0, 2])), "will", "marker");
    drop(server.connect(&marker).await);
    assert!(watcher.packet().await.ends_with(b"marker"));
}

#[tokio::test]
async fn v5_3_1_3_10_a_will_keeps_its_properties_and_their_order() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    let user = |k: &str, v: &str| [&[0x26][..], &text(k), &text(v)].concat();
    let passed = [
        vec![0x01, 1],
        [&[0x03][..], &text("json")].concat(),
        [&[0x08][..], &text("answer")].concat(),
        [&[0x09][..], &text("id")].concat(),
        user("b", "1"),
        user("a", "2"),
        user("b", "3"),
    ]
    .concat();
    drop(server.connect(&connect_will("_client", 2, Some((&[], &passed)), "will", "gone")).await);
    watcher.expect(&publish(0x30, "will", 0, Some(&passed), "gone")).await;
}

#[tokio::test]
async fn v5_3_1_4_3_a_takeover_is_announced_with_0x8e() {
    let server = TestServer::start().await;
    let mut old = server.v5("_client").await;
    let _new = server.v5("_client").await;
    assert_eq!(old.expect_end().await, Some(0x8e));
}

#[tokio::test]
async fn v5_3_2_2_the_server_announces_its_limits() {
    let server = TestServer::start().await;
    let (_, connack) = server.connect(&connect_v5("_client", 2, &[0x11, 0xff, 0xff, 0xff, 0xff])).await;
    assert_eq!(property(&connack, 0x11, 4).unwrap(), switchbox_model::limits::SESSION_EXPIRY_SECS.to_be_bytes());
    assert_eq!(property(&connack, 0x21, 2).unwrap(), switchbox_model::limits::RECEIVE_MAXIMUM.to_be_bytes());
    assert_eq!(property(&connack, 0x22, 2).unwrap(), switchbox_model::limits::TOPIC_ALIASES.to_be_bytes());
    let largest = u32::try_from(switchbox_model::PayloadLimits::default().packet_bytes()).unwrap();
    assert_eq!(property(&connack, 0x27, 4).unwrap(), largest.to_be_bytes());
    // All of these are available, which is what their absence says.
    for available in [0x24, 0x25, 0x28, 0x29, 0x2a] {
        assert!(property(&connack, available, 1).is_none_or(|value| value == [1]), "{available:x}");
    }
}

#[tokio::test]
async fn v5_3_2_2_21_a_client_without_keep_alive_is_given_one() {
    let server = TestServer::start().await;
    let connect =
        |secs: u16| packet(0x10, &[&text("MQTT")[..], &[5, 2], &secs.to_be_bytes(), &[0], &text("_client")].concat());
    for (requested_secs, announced) in [(0, Some(3_600_u16)), (60_000, Some(3_600)), (60, None)] {
        let (_, connack) = server.connect(&connect(requested_secs)).await;
        assert_eq!(
            property(&connack, 0x13, 2),
            announced.map(u16::to_be_bytes).as_ref().map(|b| &b[..]),
            "{requested_secs}"
        );
    }
}

#[tokio::test]
async fn v5_3_14_2_2_2_disconnect_changes_the_session_expiry() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client", 0, &KEPT);
    let (mut client, _) = server.connect(&kept).await;
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 0])).await;
    client.expect_end().await;
    let (mut client, present) = server.resume(&kept).await;
    assert!(!present);
    client.send(&packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 50])).await;
    client.expect_end().await;
    assert!(server.resume(&kept).await.1);
}

#[tokio::test]
async fn v5_3_14_2_2_2_a_session_expiry_out_of_nothing_is_a_protocol_error() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &packet(0xe0, &[0, 5, 0x11, 0, 0, 0, 9])).await, 0x82);
}

#[tokio::test]
async fn v5_3_14_4_3_disconnect_with_0x04_leaves_the_will_and_0x00_does_not() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    for (code, payload) in [(0x00, "never"), (0x04, "said")] {
        let (mut client, _) = server.connect(&connect_will("_client", 2, Some((&[], &[])), "will", payload)).await;
        client.send(&[0xe0, 1, code]).await;
        client.expect_end().await;
    }
    watcher.expect(&publish(0x30, "will", 0, Some(&[]), "said")).await;
}

#[tokio::test]
async fn v5_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let server = TestServer::start().await;
    assert_eq!(server.close_code(true, &connect_v5("_client", 2, &[])).await, 0x82);
}

#[tokio::test]
async fn v5_4_12_0_1_an_unknown_authentication_method_is_refused_and_auth_without_one_is_an_error() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&connect_v5("_client", 2, &[&[0x15][..], &text("SCRAM-SHA-1")].concat())).await;
    assert_eq!(client.packet().await[3], 0x8c);
    assert!(client.try_packet().await.is_none());
    for bytes in [vec![0xf0, 0], packet(0xf0, &[0x18, 0]), packet(0xf0, &[0x19, 0])] {
        assert_eq!(server.close_code(true, &bytes).await, 0x82);
    }
}
