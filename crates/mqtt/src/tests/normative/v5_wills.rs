//! MQTT 5: wills, except for their delay.

use super::*;

/// A CONNECT whose session is kept, with a will.
fn kept_with_will(flags: u8, payload: &str) -> Vec<u8> {
    connect_will("_client", flags, Some((&KEPT, &[])), "will", payload)
}

#[tokio::test]
async fn v5_3_1_2_7_and_8_a_will_is_kept_for_the_end_of_the_connection() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 1).await;
    let (mut client, _) = server.connect(&kept_with_will(0x0a, "gone")).await;
    client.publish_1(true, "other", "x").await;
    watcher.expect_silence().await;
    drop(client);
    watcher.expect(&publish(0x32, "will", 1, Some(&[]), "gone")).await;
    // An end that the client brings about by what it sends is a loss too.
    let (mut client, _) = server.connect(&kept_with_will(0x0a, "thrown out")).await;
    client.send(&[0x00, 0]).await;
    assert_eq!(client.expect_end().await, Some(0x81));
    watcher.expect(&publish(0x32, "will", 2, Some(&[]), "thrown out")).await;
    // As is a takeover that does not resume the session.
    let (mut client, _) = server.connect(&kept_with_will(0x0a, "taken over")).await;
    let _new = server.v5("_client").await;
    assert_eq!(client.expect_end().await, Some(0x8e));
    watcher.expect(&publish(0x32, "will", 3, Some(&[]), "taken over")).await;
}

#[tokio::test]
async fn v5_3_1_2_9_a_will_has_properties_a_topic_and_a_payload() {
    let server = TestServer::start().await;
    let (id, none, topic): (_, &[u8], _) = (text("_client"), &[0], text("will"));
    for fields in [&[&id[..]][..], &[&id, none], &[&id, none, &topic]] {
        assert_eq!(server.refusal(&connect_fields(true, 0x06, fields)).await, Some(0x81), "{fields:?}");
    }
    let empty: &[u8] = &[0, 0];
    server.connect(&connect_fields(true, 0x06, &[&id, none, &topic, empty])).await;
}

#[tokio::test]
async fn v5_3_1_2_10_a_will_is_removed_when_it_was_published_or_the_client_sent_disconnect() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    for published in [true, false] {
        let (client, _) = server.connect(&kept_with_will(0, "gone")).await;
        if published {
            drop(client);
            watcher.expect(&publish(0x30, "will", 0, Some(&[]), "gone")).await;
        } else {
            client.send_disconnect().await;
        }
        // The session continues without one.
        let (client, present) = server.resume(&connect_v5("_client", 0, &KEPT)).await;
        assert!(present);
        drop(client);
        server.connected(1).await;
        watcher.expect_silence().await;
    }
}

#[tokio::test]
async fn v5_3_1_2_14_and_15_a_will_is_retained_if_its_flag_says_so() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    // Retain as published.
    watcher.subscribe(true, "will/+", 8).await;
    for (flags, topic) in [(0x02, "will/passing"), (0x22, "will/kept")] {
        drop(server.connect(&connect_will("_client", flags, Some((&[], &[])), topic, "gone")).await);
        watcher.expect(&publish(0x30 | flags >> 5, topic, 0, Some(&[]), "gone")).await;
    }
    let mut late = server.v5("_client-late").await;
    late.subscribe(true, "will/+", 0).await;
    late.expect(&publish(0x31, "will/kept", 0, Some(&[]), "gone")).await;
    late.expect_silence().await;
}

#[tokio::test]
async fn v5_3_1_2_8_a_takeover_leaves_a_will_unless_its_delay_is_cut_short_by_it() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    watcher.subscribe(true, "will", 0).await;
    // Clean start ends the session, and with it any delay.
    for (delay, clean, comes) in [(0, 0, true), (100, 0, false), (0, 2, true), (100, 2, true)] {
        let payload = format!("after {delay} s, {clean}");
        let wills = [0x18, 0, 0, 0, delay];
        let (mut old, _) = server.connect(&connect_will("_client", 2, Some((&KEPT, &wills)), "will", &payload)).await;
        let (new, present) = server.resume(&connect_v5("_client", clean, &KEPT)).await;
        assert_eq!(present, clean == 0);
        assert_eq!(old.expect_end().await, Some(0x8e));
        if comes {
            watcher.expect(&publish(0x30, "will", 0, Some(&[]), &payload)).await;
        }
        watcher.expect_silence().await;
        new.send_disconnect().await;
    }
    watcher.expect_silence().await;
}
