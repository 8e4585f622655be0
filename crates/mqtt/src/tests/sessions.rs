//! What outlives a connection: takeover, wills, kept sessions, keep-alive, the host's end.

use std::time::{Duration, Instant};

use super::{
    super::{
        clients::{Clients, Key, SessionCleanup, SessionRequest},
        mailbox::Mailbox,
        offline_sessions::{OfflineSessions, SessionUsage},
        subscriptions::SubscriptionTarget,
    },
    limit_hits,
    raw::{ack, connect_v4, connect_v5, packet, publish, text},
    *,
};
use switchbox_model::{
    Message, PayloadLimits, QoS,
    broker::{MessageNum, Owner, SessionNum},
    limits,
    registry::DeviceSpec,
};
use switchbox_mqtt_session::topics::{Delivered, Delivery, Subscriber as _};

const CONFIG: &str = "/devices/lamp-1/config";
/// MQTT 5: session expiry of 100 s.
const EXPIRY: [u8; 5] = [0x11, 0, 0, 0, 100];

fn will_v5(id: &str, topic: &str, delay_secs: u8, session: &[u8]) -> Vec<u8> {
    let properties = u8::try_from(session.len()).unwrap();
    let body = [
        &text("MQTT")[..],
        &[5, 0x04, 0, 60, properties],
        session,
        &text(id),
        &[5, 0x18, 0, 0, 0, delay_secs],
        &text(topic),
        &text("gone"),
    ];
    packet(0x10, &body.concat())
}

#[tokio::test]
async fn the_old_connection_is_closed_and_detached_before_the_new_one_is_accepted() {
    let server = TestServer::start().await;
    let mut old = server.v5("lamp-1").await;
    // The same device under another of its names.
    let _new = server.v4("projects/local/locations/local/registries/default/devices/lamp-1").await;
    let log = server.host.journal_texts().await;
    assert_eq!(log, ["lamp-1 connected", "lamp-1 disconnected: taken over by a new connection", "lamp-1 connected"]);
    assert_eq!(old.expect_end().await, Some(0x8e));
}

#[tokio::test]
async fn a_message_for_a_kept_session_that_the_journal_cannot_keep_is_not_acknowledged() {
    let server = TestServer::start().await;
    let (mut kept, _) = server.connect(&connect_v4("kept", 0, 60)).await;
    kept.subscribe(false, "a", 1).await;
    let mut publisher = server.v5("publisher").await;
    server.host.disk.fill();
    publisher.send(&publish(0x32, "a", 5, Some(&[]), "x")).await;
    // The journal's writer says so, and does not wait for the lock of the kept session.
    assert_eq!(publisher.expect_end().await, Some(0x98));
}

#[tokio::test]
async fn many_takeovers_at_once_leave_one_connection() {
    let server = TestServer::start().await;
    let connections = (0..20).map(|_| async {
        let mut client = server.open().await;
        client.send(&connect_v4("lamp-1", 0, 60)).await;
        client.try_packet().await.map(|connack| (connack, client))
    });
    let mut clients = futures_join(connections).await;
    let mut alive = 0;
    for (connack, client) in clients.iter_mut().flatten() {
        assert_eq!(connack[0], 0x20);
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.0, &[0xc0, 0]).await;
        alive += usize::from(client.try_packet().await.is_some());
    }
    assert_eq!(alive, 1);
    let log = server.host.journal_texts().await;
    assert_eq!(log.iter().filter(|l| l.ends_with(" connected")).count(), 20);
    assert_eq!(log.len(), 39);
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn an_empty_client_id_is_assigned() {
    let server = TestServer::start().await;
    for flags in [0, 2] {
        let mut client = server.open().await;
        client.send(&connect_v5("", flags, &[])).await;
        let connack = client.packet().await;
        let assigned = connack.windows(8).any(|w| w[0] == 0x12 && &w[3..8] == b"_auto");
        assert!(connack[3] == 0 && assigned, "{connack:?}");
    }
    let (mut a, mut b) = (server.v4("").await, server.v4("").await);
    a.expect_silence().await;
    b.expect_silence().await;
}

#[tokio::test]
async fn a_kept_session_keeps_subscriptions_and_messages() {
    let server = TestServer::start().await;
    for (id, bytes) in
        [("_client-4", connect_v4("_client-4", 0, 60)), ("_client-5", connect_v5("_client-5", 0, &EXPIRY))]
    {
        let v5 = id == "_client-5";
        let properties: Option<&[u8]> = v5.then_some(&[]);
        let (mut client, present) = server.resume(&bytes).await;
        assert!(!present);
        client.subscribe(v5, "news", 1).await;
        let mut other = server.v4("_client-x").await;
        other.send(&publish(0x32, "news", 1, None, "1")).await;
        client.expect(&publish(0x32, "news", 1, properties, "1")).await;
        drop(client);
        until("it is offline", || server.metrics.connections.get() == 1).await;
        other.expect(&ack(0x40, 1)).await;
        other.send(&publish(0x32, "news", 2, None, "2")).await;
        other.send(&publish(0x30, "news", 0, None, "lost")).await;
        other.expect(&ack(0x40, 2)).await;
        other.expect_silence().await;
        let (mut client, present) = server.resume(&bytes).await;
        assert!(present);
        client.expect(&publish(0x3a, "news", 1, properties, "1")).await;
        client.expect(&publish(0x32, "news", 2, properties, "2")).await;
        client.send(&[ack(0x40, 1), ack(0x40, 2)].concat()).await;
        client.expect_silence().await;
        drop((client, other));
        until("all are offline", || server.metrics.connections.get() == 0).await;
        // Clean start throws it away.
        let clean = if v5 { connect_v5(id, 2, &[]) } else { connect_v4(id, 2, 60) };
        let (_, present) = server.resume(&clean).await;
        assert!(!present);
        until("all are offline", || server.metrics.connections.get() == 0).await;
        let (_, present) = server.resume(&bytes).await;
        assert!(!present);
        until("all are offline", || server.metrics.connections.get() == 0).await;
    }
}

#[tokio::test]
async fn a_kept_session_takes_up_the_feeds_of_its_device() {
    let server = TestServer::start().await;
    server.host.register("lamp-1", DeviceSpec::default()).await;
    server.host.set_config("lamp-1", "on").await;
    let (mut client, _) = server.resume(&connect_v4("lamp-1", 0, 60)).await;
    client.subscribe(false, CONFIG, 1).await;
    client.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    client.send(&ack(0x40, 1)).await;
    client.expect_silence().await;
    client.send(&[0xe0, 0]).await;
    client.expect_end().await;
    server.host.set_config("lamp-1", "off").await;
    let (mut client, present) = server.resume(&connect_v4("lamp-1", 0, 60)).await;
    assert!(present);
    client.expect(&publish(0x32, CONFIG, 2, None, "off")).await;
    server.assert_not_journaled("lamp-1 disconnected: connection lost").await;
    server.wait_for_journal("lamp-1 disconnected: disconnected by the client").await;
}

#[tokio::test]
async fn a_will_comes_when_the_connection_is_lost_and_not_after_disconnect() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "wills/#", 0).await;
    for (disconnect, expect) in [(&[0xe0, 0][..], false), (&[0xe0, 1, 4], true), (&[], true)] {
        let (mut client, _) = server.resume(&will_v5("_client-w", "wills/w", 0, &[])).await;
        client.send(disconnect).await;
        drop(client);
        if expect {
            watcher.expect(&publish(0x30, "wills/w", 0, None, "gone")).await;
        } else {
            until("it is offline", || server.metrics.connections.get() == 1).await;
            watcher.expect_silence().await;
        }
    }
}

#[tokio::test]
async fn a_will_waits_for_its_delay_and_a_return_cancels_it() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "wills/#", 0).await;
    let bytes = will_v5("_client-w", "wills/w", 1, &EXPIRY);
    let (client, _) = server.resume(&bytes).await;
    drop(client);
    let (client, present) = server.resume(&bytes).await;
    assert!(present);
    pass(Duration::from_millis(1_200)).await;
    watcher.expect_silence().await;
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 1).await;
    pass(Duration::from_millis(800)).await;
    watcher.expect_silence().await;
    pass(Duration::from_millis(300)).await;
    watcher.expect(&publish(0x30, "wills/w", 0, None, "gone")).await;
}

#[tokio::test]
async fn a_session_that_ends_publishes_the_will_that_waited() {
    let server = TestServer::start().await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "wills/#", 0).await;
    let (client, _) = server.resume(&will_v5("_client-w", "wills/w", 60, &EXPIRY)).await;
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 1).await;
    let _clean = server.v5("_client-w").await;
    watcher.expect(&publish(0x30, "wills/w", 0, None, "gone")).await;
}

#[tokio::test]
async fn a_devices_will_on_its_own_topic_is_telemetry_and_on_that_of_another_is_refused() {
    let server = TestServer::start().await;
    let (client, _) = server.resume(&will_v5("lamp-1", "/devices/lamp-1/events/will", 0, &[])).await;
    drop(client);
    until("the will is an event", || server.events.payloads() == ["gone"]).await;
    let mut client = server.open().await;
    client.send(&will_v5("lamp-1", "/devices/lamp-2/events", 0, &[])).await;
    assert_eq!(client.packet().await[3], 0x87);
}

#[tokio::test]
async fn a_will_over_the_limit_is_refused_and_counted() {
    let payloads = PayloadLimits { message_bytes: 3, state_bytes: 3, ..PayloadLimits::default() };
    let server = TestServer::start_with(Options { payloads, ..Options::default() }).await;
    for (id, topic) in [("client-w", "wills/w"), ("lamp-1", "/devices/lamp-1/state")] {
        let mut client = server.open().await;
        client.send(&will_v5(id, topic, 0, &[])).await;
        assert_eq!(client.packet().await[3], 0x97, "{topic}");
    }
    assert_eq!((server.limit_hits("message_bytes"), server.limit_hits("state_bytes")), (1, 1));
}

#[tokio::test]
async fn a_session_expires() {
    let server = TestServer::start().await;
    let bytes = connect_v5("_client-e", 0, &[0x11, 0, 0, 0, 1]);
    let (client, _) = server.resume(&bytes).await;
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    pass(Duration::from_millis(800)).await;
    let (client, present) = server.resume(&bytes).await;
    assert!(present);
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    server.assert_not_journaled("a session ended").await;
    pass(Duration::from_millis(1_100)).await;
    server.wait_for_journal("a session ended").await;
    assert!(!server.resume(&bytes).await.1);
}

#[tokio::test]
async fn a_full_queue_of_a_client_that_is_away_drops_the_newest_and_says_so() {
    let server = TestServer::start().await;
    let kept = connect_v5("_client-to", 0, &EXPIRY);
    let (mut to, _) = server.resume(&kept).await;
    to.subscribe(true, "a", 1).await;
    drop(to);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    let mut from = server.v4("_client-from").await;
    let max = u16::try_from(switchbox_model::limits::SESSION_QUEUE).unwrap();
    for n in 1..=max + 3 {
        from.send(&publish(0x32, "a", n, None, &n.to_string())).await;
        from.expect(&ack(0x40, n)).await;
    }
    assert_eq!(server.limit_hits("session_queue"), 3);
    let (mut to, _) = server.resume(&kept).await;
    for n in 1..=max {
        to.expect(&publish(0x32, "a", n, Some(&[]), &n.to_string())).await;
        to.send(&ack(0x40, n)).await;
    }
    to.expect_silence().await;
}

#[tokio::test]
async fn a_silent_client_is_closed_and_keep_alive_0_is_for_ever() {
    let server = TestServer::start().await;
    let (mut silent, _) = server.resume(&connect_v4("_client-1", 2, 1)).await;
    let (mut unhurried, _) = server.resume(&connect_v4("_client-2", 2, 0)).await;
    pass(Duration::from_millis(1_300)).await;
    silent.expect_silence().await;
    pass(Duration::from_millis(1_600)).await;
    silent.expect_end().await;
    pass(Duration::from_secs(100_000)).await;
    unhurried.expect_silence().await;
}

#[tokio::test]
async fn at_shutdown_what_becomes_durable_is_acknowledged_and_clients_get_a_disconnect() {
    let mut server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v5("lamp-1").await;
    let mut idle = server.v4("_client").await;
    client.send(&publish(0x32, "/devices/lamp-1/events", 1, Some(&[]), "a")).await;
    until("the event is submitted", || !server.events.payloads().is_empty()).await;
    server.shutdown.cancel();
    assert!(idle.try_packet().await.is_none());
    server.host.disk.release();
    client.expect(&ack(0x40, 1)).await;
    assert_eq!(client.expect_end().await, Some(0x8b));
    let start = Instant::now();
    server.service.take().unwrap().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    server.wait_for_journal("lamp-1 disconnected: server shutting down").await;
}

#[tokio::test]
async fn a_session_is_kept_where_there_is_room_for_its_filters_or_they_are_few() {
    let (metrics, topics) = (Metrics::default(), switchbox_pubsub::SessionJournal::default());
    let topics = switchbox_pubsub::Topics::new(metrics.clone(), topics);
    let clients = std::sync::Arc::new(Clients::new(topics, metrics.clone(), 9));
    let (few, many) = ("a/+".to_owned(), "x".repeat(60_000));
    let (everyone, mut others) = (clients.offline_sessions.owner_quota(Owner::Everyone), SessionUsage::default());
    for (id, filter, is_full, kept) in
        [("1", &few, false, true), ("2", &many, false, true), ("3", &few, true, true), ("4", &many, true, false)]
    {
        let bytes = if is_full { limits::SESSIONS_SUBSCRIPTION_BYTES - 100_000 } else { 0 };
        assert!(everyone.keep_subscriptions(&mut others, bytes).is_ok());
        let key = Key::Client(id.into());
        let request =
            SessionRequest { name: id.into(), owner: Owner::Everyone, clean: false, expiry_secs: 100, will: None };
        let claim = clients.claim(&key, &request).await.unwrap();
        claim.mailbox.begin(10);
        claim.mailbox.lock().subscriptions.insert(filter.as_str().into(), SubscriptionTarget::Topic, None);
        let cleanup = || SessionCleanup { expiry: Duration::from_secs(100), will: None, keep_will_for_restart: false };
        clients.connection_ended(&key, &claim.mailbox, cleanup());
        let again = clients.claim(&key, &request).await.unwrap();
        assert_eq!(again.present, kept, "{id}");
        // Connected, it takes no room among those away.
        again.mailbox.begin(10);
        assert!(everyone.keep_subscriptions(&mut others, limits::SESSIONS_SUBSCRIPTION_BYTES).is_ok());
    }
    assert_eq!(limit_hits(&metrics, "sessions_subscription_bytes_of_one"), 1);
}

#[test]
fn what_expired_gives_up_its_place_to_what_comes() {
    for durable in [true, false] {
        let (metrics, owner_quota) = (Metrics::default(), OfflineSessions::new(9).owner_quota(Owner::Everyone));
        let mailbox =
            Mailbox::new("a".into(), metrics.clone(), owner_quota.clone(), switchbox_pubsub::SessionJournal::default());
        (mailbox.lock().durable, mailbox.lock().session_num) = (durable, durable.then_some(SessionNum(1)));
        let deliver = |num, expires| {
            let message = std::sync::Arc::new(Message { expires, ..Message::new("a", vec![0; 3_000]) });
            let delivery = Delivery { qos: QoS::AtLeastOnce, retain: false, ids: Vec::new(), shared: None };
            let delivered = mailbox.deliver(&message, delivery);
            if let Delivered::JournalFirst(recipient) = &delivered {
                mailbox.journaled(MessageNum(num), &message, recipient.clone());
            }
            delivered
        };
        let over = Some(Instant::now());
        let live = Some(Instant::now() + Duration::from_secs(100));
        for num in 0..1_000 {
            assert_ne!(deliver(num, if num < 10 { live } else { over }), Delivered::Full, "{num}");
        }
        // One after the other: cleanup runs only when there is no room.
        for num in 1_000..1_990 {
            assert_ne!(deliver(num, live), Delivered::Full, "{num}");
        }
        assert_eq!(deliver(1_990, live), Delivered::Full);
        assert_eq!(mailbox.lock().session.queued(), 1_000);
        assert_eq!(metrics.dropped.get_or_create(&Reason { reason: "expired" }).get(), 990);
        let bytes = mailbox.lock().session.queued_bytes();
        let left = limits::SESSIONS_QUEUE_BYTES - bytes;
        assert!(
            !durable || (owner_quota.check_room(left).is_ok() && owner_quota.check_room(left + 1).is_err()),
            "counted anew"
        );
    }
}

#[test]
fn a_full_queue_of_a_client_that_takes_nothing_is_known_without_a_look_until_something_leaves_it() {
    let (metrics, owner_quota) = (Metrics::default(), OfflineSessions::new(9).owner_quota(Owner::Everyone));
    let mailbox = Mailbox::new("a".into(), metrics, owner_quota, switchbox_pubsub::SessionJournal::default());
    mailbox.begin(10);
    let deliver = || {
        let delivery = Delivery { qos: QoS::AtLeastOnce, retain: false, ids: Vec::new(), shared: None };
        mailbox.deliver(&std::sync::Arc::new(Message::new("a", "x")), delivery)
    };
    assert!(!mailbox.is_queue_full());
    while deliver() != Delivered::Full {}
    assert!(mailbox.is_queue_full());
    assert!(mailbox.lock().session.next(Instant::now()).is_some());
    mailbox.notify_room(&mut mailbox.lock());
    assert_eq!((mailbox.is_queue_full(), deliver()), (false, Delivered::Queued));
}
