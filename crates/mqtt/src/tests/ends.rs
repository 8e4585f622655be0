//! What was accepted is acknowledged before the connection ends, whatever ends it.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use super::{
    raw::{ack, connect_v4, connect_v5, publish},
    *,
};
use switchbox_model::limits;

const EVENTS: &str = "/devices/lamp-1/events";

/// Packets after an event, in the same segment, for which the host ends the connection, with the counter of each.
fn enders(v5: bool) -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let none: Option<&[u8]> = if v5 { Some(&[]) } else { None };
    let wrong = Some("wrong packet");
    let large = "x".repeat(limits::TELEMETRY_BYTES + 1);
    let mut enders = vec![
        ("a packet over the limit", publish(0x32, EVENTS, 9, none, &"x".repeat(380_000)), wrong),
        ("the header of one", vec![0x32, 0xff, 0xff, 0xff, 0x7f], wrong),
        ("no packet at all", vec![0, 0], wrong),
        ("a topic with a wildcard", publish(0x32, "a/#", 9, none, "x"), wrong),
        ("a second CONNECT", if v5 { connect_v5("lamp-1", 2, &[]) } else { connect_v4("lamp-1", 2, 60) }, wrong),
        ("a control message", publish(0x32, "/devices/lamp-1/attach", 9, none, ""), wrong),
        ("DISCONNECT", vec![0xe0, 0], None),
    ];
    if !v5 {
        enders.extend([
            ("a payload over the limit", publish(0x32, EVENTS, 9, None, &large), wrong),
            ("a topic of another", publish(0x32, "/devices/lamp-2/events", 9, None, "x"), wrong),
            ("a topic that is the host's", publish(0x32, "registries/x", 9, None, "x"), wrong),
        ]);
    }
    enders
}

fn closed(server: &TestServer, reason: &'static str) -> u64 {
    server.metrics.closed.get_or_create(&Reason { reason }).get()
}

async fn connected(server: &TestServer, v5: bool) -> Client {
    if v5 { server.v5("lamp-1").await } else { server.v4("lamp-1").await }
}

/// Waits until the connection is about to end, then makes durable what it accepted.
async fn ends(server: &TestServer, label: Option<&'static str>) {
    until("the event is accepted", || !server.events.payloads().is_empty()).await;
    if let Some(label) = label {
        until("the connection is about to end", || closed(server, label) == 1).await;
    }
    server.host.disk.release();
}

#[tokio::test]
async fn what_was_accepted_is_acknowledged_before_a_later_packet_ends_the_connection() {
    for v5 in [false, true] {
        let none: Option<&[u8]> = if v5 { Some(&[]) } else { None };
        for (name, ender, label) in enders(v5) {
            let server = TestServer::start().await;
            server.host.disk.block();
            let mut client = connected(&server, v5).await;
            let events = [publish(0x32, EVENTS, 1, none, "kept"), publish(0x34, EVENTS, 2, none, "kept too")].concat();
            // The host may be done before all of it is sent.
            let _ = client.0.write_all(&[events, ender].concat()).await;
            ends(&server, label).await;
            assert_eq!(client.try_packet().await.as_deref(), Some(&ack(0x40, 1)[..]), "{name}, v5: {v5}");
            assert_eq!(client.try_packet().await.as_deref(), Some(&ack(0x50, 2)[..]), "{name}, v5: {v5}");
            client.expect_end().await;
            assert_eq!(server.events.payloads(), ["kept", "kept too"], "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_accepted_is_acknowledged_before_others_end_the_connection() {
    for (label, v5) in [("taken over", false), ("taken over", true), ("administrative", false), ("revoked", true)] {
        let none: Option<&[u8]> = if v5 { Some(&[]) } else { None };
        let server = TestServer::start().await;
        let mut client = connected(&server, v5).await;
        let mut other = server.v4("lamp-2").await;
        server.host.disk.block();
        if label == "revoked" {
            // The journal has the change after the first event that is held, and before the second.
            other.send(&publish(0x32, "/devices/lamp-2/events", 1, None, "of another")).await;
            until("it is accepted", || server.events.payloads() == ["of another"]).await;
            server.block_later("lamp-1");
        }
        client.send(&publish(0x32, EVENTS, 1, none, "kept")).await;
        until("the event is accepted", || server.events.payloads().ends_with(&["kept".into()])).await;
        let mut next = server.open().await;
        match label {
            "taken over" => next.send(&connect_v4("lamp-1", 2, 60)).await,
            "administrative" => server.host.delivery.close(server.host.device("lamp-1").num, "an operator asked"),
            _ => server.host.disk.release_next(),
        }
        ends(&server, Some(label)).await;
        client.expect(&ack(0x40, 1)).await;
        client.expect_end().await;
        if label == "taken over" {
            next.expect(&[0x20, 2, 0, 0]).await;
        }
    }
}

#[tokio::test]
async fn what_was_accepted_is_acknowledged_where_the_client_says_that_nothing_more_comes() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    client.send(&publish(0x32, EVENTS, 1, None, "kept")).await;
    client.0.shutdown().await.unwrap();
    ends(&server, None).await;
    client.expect(&ack(0x40, 1)).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_journal_that_hangs_does_not_keep_the_connection() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    let began = Instant::now();
    client.send(&[publish(0x32, EVENTS, 1, None, "held"), vec![0, 0]].concat()).await;
    client.expect_end().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_disconnects_gets_acknowledgements_and_no_messages_any_more() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, "a", 1).await;
    client.send(&[publish(0x32, EVENTS, 1, None, "kept"), vec![0xe0, 0]].concat()).await;
    until("the event is accepted", || !server.events.payloads().is_empty()).await;
    let mut other = server.v4("_client-other").await;
    other.send(&publish(0x30, "a", 0, None, "late")).await;
    other.expect_silence().await;
    server.host.disk.release();
    let mut received = Vec::new();
    while let Some(packet) = client.try_packet().await {
        received.push(packet);
    }
    assert_eq!(received, [ack(0x40, 1)]);
}
