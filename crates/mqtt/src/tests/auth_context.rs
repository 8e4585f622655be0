//! What becomes of a client whose standing changes while it is connected.

use std::sync::atomic::Ordering;

use super::{
    raw::{ack, connect_v4, connect_v5, publish, text},
    takeover::full,
    *,
};
use switchbox_auth::Access;
use switchbox_core::registry::Changed;
use switchbox_model::DeviceNum;

fn revoke(server: &TestServer, why: &str) {
    *server.hub.0.revoked.lock() = Some(why.to_owned());
    server.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(1))).unwrap();
}

#[tokio::test]
async fn who_may_not_stay_is_told_so_and_leaves_no_will() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("client-watcher").await;
    assert_eq!(watcher.subscribe(true, "gone", 0).await, 0);
    let mut lamp = server.open().await;
    let mut connect = connect_v5("lamp-1", 0x06, &[]);
    connect.extend([&[0][..], &text("gone"), &text("will")].concat());
    connect[1] += 1 + 6 + 6;
    lamp.send(&connect).await;
    lamp.packet().await;
    revoke(&server, "it is blocked");
    assert_eq!(lamp.expect_end().await, Some(0x87));
    until("it is told", || server.hub.has_logged("lamp-1 disconnected: it is blocked")).await;
    watcher.expect_silence().await;
}

#[tokio::test]
async fn who_may_not_stay_is_cut_off_also_in_the_middle_of_what_it_sent() {
    let server = TestServer::start().await;
    let _full = full(&server, "client-full", "a").await;
    let mut watcher = server.v4("client-watcher").await;
    watcher.subscribe(false, "a", 0).await;
    let mut lamp = server.v5("lamp-1").await;
    // The first waits for the full subscriber.
    lamp.send(&[1, 2, 3].map(|id| publish(0x32, "a", id, Some(&[]), "late")).concat()).await;
    watcher.expect(&publish(0x30, "a", 0, None, "late")).await;
    revoke(&server, "it is blocked");
    assert_eq!(lamp.expect_end().await, Some(0x87));
    watcher.expect_silence().await;
}

#[tokio::test]
async fn who_may_not_stay_is_cut_off_also_where_it_waits_for_the_journal() {
    for topic in ["/devices/lamp-1/events", "plugin/a"] {
        let server = TestServer::start().await;
        server.hub.0.stuck.store(true, Ordering::SeqCst);
        let mut lamp = server.v5("lamp-1").await;
        lamp.send(&publish(0x32, topic, 1, Some(&[]), "x")).await;
        until("it waits", || server.hub.has_logged("waits for room")).await;
        revoke(&server, "it is blocked");
        assert_eq!(lamp.expect_end().await, Some(0x87), "{topic}");
    }
}

#[tokio::test]
async fn a_change_that_takes_nothing_away_disturbs_nobody() {
    let server = TestServer::start().await;
    let mut lamp = server.v5("lamp-1").await;
    server.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(1))).unwrap();
    for id in 1..=3 {
        lamp.send(&publish(0x32, "/devices/lamp-1/events", id, Some(&[]), "x")).await;
        lamp.expect(&raw::ack(0x40, id)).await;
    }
}

#[tokio::test]
async fn a_kept_session_loses_the_subscriptions_that_its_client_may_not_have_any_more() {
    let server = TestServer::start().await;
    let kept = connect_v4("lamp-1", 0, 60);
    let mut lamp = server.open().await;
    lamp.send(&kept).await;
    lamp.expect(&[0x20, 2, 0, 0]).await;
    for filter in ["news/#", "/devices/lamp-1/config"] {
        assert_eq!(lamp.subscribe(false, filter, 1).await, 1);
    }
    drop(lamp);
    until("it is away", || server.metrics.connections.get() == 0).await;
    let mut other = server.v4("client-x").await;
    other.send(&publish(0x32, "news/a", 1, None, "while it is away")).await;
    other.expect(&ack(0x40, 1)).await;

    *server.hub.0.access.lock() = Some(Access::Own);
    server.hub.set_config(1, "on");
    let mut lamp = server.open().await;
    lamp.send(&kept).await;
    lamp.expect(&[0x20, 2, 1, 0]).await;
    // The first packet identifier was the message's.
    lamp.expect(&publish(0x32, "/devices/lamp-1/config", 2, None, "on")).await;
    lamp.send(&ack(0x40, 2)).await;
    other.send(&publish(0x32, "news/a", 2, None, "while it is there")).await;
    other.expect(&ack(0x40, 2)).await;
    lamp.expect_silence().await;
    assert_eq!(server.refused("kept subscription"), 1);
}

/// A device that is away is deleted, and the front told so; waits until it has no session any more.
async fn forgets_who_was_deleted(tell: impl Fn(&TestServer)) {
    let server = TestServer::start().await;
    let kept = connect_v4("lamp-1", 0, 60);
    // Whether the server is notified before the next connection is chance.
    for attempt in 0.. {
        let mut lamp = server.open().await;
        lamp.send(&kept).await;
        let present = lamp.packet().await[2] == 1;
        drop(lamp);
        until("it is away", || server.metrics.connections.get() == 0).await;
        if attempt > 0 && !present {
            break;
        }
        assert!(attempt < 1_000, "the session is still there");
        tell(&server);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_device_that_is_deleted_while_it_is_away_leaves_no_session() {
    forgets_who_was_deleted(|server| {
        server.hub.0.changes.get().unwrap().send(Changed::Deleted(DeviceNum(1))).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_device_whose_deletion_is_lost_among_too_many_changes_leaves_no_session_either() {
    forgets_who_was_deleted(|server| {
        *server.hub.0.deleted.lock() = Some(DeviceNum(1));
        // All at once: the front sees the last of them only.
        for num in 2..=fake::CHANGES as u64 + 2 {
            server.hub.0.changes.get().unwrap().send(Changed::Device(DeviceNum(num))).unwrap();
        }
    })
    .await;
}
