//! Tests of clients whose authorisation changes while they are connected.

use super::{
    raw::{ack, connect_v4, connect_v5, connect_with_password, publish, text},
    takeover::full,
    *,
};
use switchbox_core::registry::Changed;
use switchbox_model::{DeviceNum, Message, QoS, registry::DeviceSpec};

#[tokio::test]
async fn a_client_whose_access_ends_gets_a_disconnect_and_leaves_no_will() {
    let server = TestServer::start().await;
    let mut watcher = server.v5("_client-watcher").await;
    assert_eq!(watcher.subscribe(true, "gone", 0).await, 0);
    let mut lamp = server.open().await;
    let mut connect = connect_v5("lamp-1", 0x06, &[]);
    connect.extend([&[0][..], &text("gone"), &text("will")].concat());
    connect[1] += 1 + 6 + 6;
    lamp.send(&connect).await;
    lamp.packet().await;
    server.block("lamp-1").await;
    assert_eq!(lamp.expect_end().await, Some(0x87));
    server
        .wait_for_journal(
            "lamp-1 disconnected: device projects/local/locations/local/registries/default/devices/lamp-1 is blocked",
        )
        .await;
    watcher.expect_silence().await;
}

#[tokio::test]
async fn a_client_whose_access_ends_is_disconnected_in_the_middle_of_what_it_sent() {
    let server = TestServer::start().await;
    let _full = full(&server, "_client-full", "a").await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "a", 0).await;
    let mut lamp = server.v5("lamp-1").await;
    // The first waits for the full subscriber.
    lamp.send(&[1, 2, 3].map(|id| publish(0x32, "a", id, Some(&[]), "late")).concat()).await;
    watcher.expect(&publish(0x30, "a", 0, None, "late")).await;
    server.block("lamp-1").await;
    assert_eq!(lamp.expect_end().await, Some(0x87));
    watcher.expect_silence().await;
}

#[tokio::test]
async fn a_client_whose_access_ends_is_disconnected_while_it_waits_for_the_journal() {
    for topic in ["/devices/lamp-1/events", "plugin/a"] {
        let server = TestServer::start().await;
        let mut lamp = server.v5("lamp-1").await;
        let _full = server.occupy(QUEUE_BYTES).await;
        lamp.send(&publish(0x32, topic, 1, Some(&[]), "x")).await;
        server.wait_for_publishes(1).await;
        server.block_later("lamp-1");
        assert_eq!(lamp.expect_end().await, Some(0x87), "{topic}");
    }
}

#[tokio::test]
async fn a_change_that_revokes_nothing_disconnects_no_client() {
    let server = TestServer::start().await;
    let mut lamp = server.v5("lamp-1").await;
    server.host.change("lamp-1", |spec| spec.log_level = Some("DEBUG".into())).await;
    for id in 1..=3 {
        lamp.send(&publish(0x32, "/devices/lamp-1/events", id, Some(&[]), "x")).await;
        lamp.expect(&raw::ack(0x40, id)).await;
    }
}

#[tokio::test]
async fn a_kept_session_loses_the_subscriptions_that_its_client_may_not_have_any_more() {
    let server = TestServer::start().await;
    for id in ["lamp-1", "lamp-2"] {
        server.host.register(id, DeviceSpec::default()).await;
        server.host.set_password(id, "word").await;
    }
    let kept = connect_with_password(false, "lamp-1", 0);
    let (mut lamp, _) = server.connect(&kept).await;
    for filter in ["news/#", "/devices/lamp-1/config"] {
        assert_eq!(lamp.subscribe(false, filter, 1).await, 1);
    }
    drop(lamp);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    let mut other = server.v4("_client-x").await;
    other.send(&publish(0x32, "news/a", 1, None, "while it is offline")).await;
    other.expect(&ack(0x40, 1)).await;

    // Devices have only their own topics where enrolment is closed.
    let server = server.restart(Enroll::Closed).await;
    server.host.set_config("lamp-1", "on").await;
    let (mut lamp, present) = server.resume(&kept).await;
    assert!(present);
    // The first packet identifier was the message's.
    lamp.expect(&publish(0x32, "/devices/lamp-1/config", 2, None, "on")).await;
    lamp.send(&ack(0x40, 2)).await;
    let while_there = Message { qos: QoS::AtLeastOnce, ..Message::new("news/a", "while it is there") };
    publish_alone(&server.topics, while_there.into()).await;
    lamp.expect_silence().await;
    assert_eq!(server.refused("kept subscription"), 1);
}

/// An offline device is deleted; waits until it has no session any more, and none is kept of it.
async fn deleted_clients_are_forgotten(delete: impl AsyncFn(&TestServer)) {
    let server = TestServer::start().await;
    let kept = connect_v4("lamp-1", 0, 60);
    let (mut lamp, _) = server.connect(&kept).await;
    lamp.subscribe(false, "news", 1).await;
    drop(lamp);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    server.assert_not_journaled("a session ended").await;
    delete(&server).await;
    server.wait_for_journal("a session ended").await;
    // The next device of this name has nothing of it.
    assert!(!server.resume(&kept).await.1);
}

#[tokio::test]
async fn a_device_that_is_deleted_while_it_is_away_leaves_no_session() {
    deleted_clients_are_forgotten(async |server| {
        server.host.registry.delete(&server.host.device("lamp-1"), None).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_device_whose_deletion_is_lost_among_too_many_changes_leaves_no_session_either() {
    deleted_clients_are_forgotten(async |server| {
        let (registry, lamp) = (server.host.registry.clone(), server.host.device("lamp-1"));
        // All at once, while this thread is not the server's: it sees the last of them only.
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(registry.delete(&lamp, None)).unwrap();
            for num in 2..=5_000 {
                registry.announce(Changed::Device(DeviceNum(num)));
            }
        });
        deleting.join().unwrap();
    })
    .await;
}
