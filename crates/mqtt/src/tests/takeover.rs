//! A connection that has to end while a publish of its client waits for room: what is accepted is finished, what is not is
//! accepted from the next connection.

use std::sync::Arc;

use super::{
    publish_alone,
    raw::{ack, connect_v4, connect_v5, publish},
    *,
};
use switchbox_model::{
    Entry, EventData, Message, QoS,
    broker::{BrokerChange, Owner},
    limits,
};
use switchbox_mqtt_session::topics::{PendingChanges, Publisher};

const EVENTS: &str = "/devices/lamp-1/events";
/// MQTT 5: session expiry of 100 s.
const KEPT: [u8; 5] = [0x11, 0, 0, 0, 100];

fn message(topic: &str) -> Arc<Message> {
    Arc::new(Message { qos: QoS::AtLeastOnce, ..Message::new(topic, "filling") })
}

/// A kept session, connected, that takes one message at a time and whose queue is full.
pub(super) async fn full(server: &TestServer, id: &str, topic: &str) -> Client {
    let (mut client, _) = server.resume(&connect_v5(id, 0, &[&KEPT[..], &[0x21, 0, 1]].concat())).await;
    client.subscribe(true, topic, 1).await;
    for _ in 0..=limits::SESSION_QUEUE {
        publish_alone(&server.topics, message(topic)).await;
    }
    client.expect(&publish(0x32, topic, 1, Some(&[]), "filling")).await;
    client
}

#[tokio::test]
async fn a_qos_2_message_that_waited_for_a_full_subscriber_is_acknowledged_to_the_next_connection_and_taken_once() {
    let v5 = (connect_v5("_client-v5", 0, &KEPT), Some(&[][..]));
    let v4 = (connect_v4("_client-v4", 0, 60), None);
    for (hello, properties) in [v5, v4] {
        let server = TestServer::start().await;
        let _full = full(&server, "_client-full", "a").await;
        let mut watcher = server.v4("_client-watcher").await;
        watcher.subscribe(false, "a", 0).await;
        let (mut from, _) = server.resume(&hello).await;
        from.send(&publish(0x34, "a", 7, properties, "once")).await;
        watcher.expect(&publish(0x30, "a", 0, None, "once")).await;
        let (mut from, present) = server.resume(&hello).await;
        assert!(present);
        from.send(&publish(0x3c, "a", 7, properties, "once")).await;
        from.expect(&ack(0x50, 7)).await;
        from.send(&ack(0x62, 7)).await;
        from.expect(&ack(0x70, 7)).await;
        watcher.expect_silence().await;
    }
}

#[tokio::test]
async fn a_qos_2_event_that_waited_for_the_journal_is_accepted_from_the_next_connection() {
    let server = TestServer::start().await;
    let hello = connect_v5("lamp-1", 0, &KEPT);
    let (mut lamp, _) = server.resume(&hello).await;
    let full = server.occupy(QUEUE_BYTES).await;
    lamp.send(&publish(0x34, EVENTS, 7, Some(&[]), "once")).await;
    server.wait_for_publishes(1).await;
    let (mut lamp, present) = server.resume(&hello).await;
    assert!(present);
    drop(full);
    lamp.send(&publish(0x3c, EVENTS, 7, Some(&[]), "once")).await;
    lamp.expect(&ack(0x50, 7)).await;
    assert_eq!(server.events.payloads(), ["once"]);
}

#[tokio::test]
async fn a_message_that_triggers_a_plugin_is_written_with_what_it_brings_about_also_when_its_client_is_taken_over() {
    let server = TestServer::start().await;
    let (mut kept, _) = server.resume(&connect_v5("_client-kept", 0, &KEPT)).await;
    kept.subscribe(true, "plugin/a", 1).await;
    let hello = connect_v5("_client-from", 0, &KEPT);
    let (mut from, _) = server.resume(&hello).await;
    let full = server.occupy(QUEUE_BYTES).await;
    from.send(&publish(0x34, "plugin/a", 9, Some(&[]), "once")).await;
    server.wait_for_publishes(1).await;
    let (mut from, _) = server.resume(&hello).await;
    from.send(&publish(0x3c, "plugin/a", 9, Some(&[]), "once")).await;
    from.expect(&ack(0x50, 9)).await;
    kept.expect(&publish(0x32, "plugin/a", 1, Some(&[]), "once")).await;
    kept.expect_silence().await;
    assert_eq!(server.events.payloads(), ["once"]);
    drop(full);
    let rows = server.host.store.journal_page(0, 1 << 20).await.unwrap().rows;
    let record = rows.into_iter().map(|row| row.entries).find(|entries| entries.iter().any(is_topic_event)).unwrap();
    let at = record.iter().position(is_topic_event).unwrap();
    let Some(Entry::Broker(changes)) = record.get(at - 1) else { panic!("{record:?}") };
    assert!(
        matches!(&changes[..], [BrokerChange::Published { .. }, BrokerChange::PublishReceived { id: 9, .. }]),
        "{changes:?}"
    );
}

fn is_topic_event(entry: &Entry) -> bool {
    entry.events().iter().any(|event| matches!(event.data, EventData::Topic { .. }))
}

#[tokio::test]
async fn a_subscriber_with_room_gets_what_its_publisher_still_waits_to_give_others() {
    let server = TestServer::start().await;
    let mut one = full(&server, "_client-one", "a/1").await;
    let mut other = full(&server, "_client-other", "a/2").await;
    one.subscribe(true, "b", 1).await;
    other.subscribe(true, "b", 1).await;
    let mut watcher = server.v4("_client-watcher").await;
    watcher.subscribe(false, "b", 0).await;
    let hello = connect_v5("_client-from", 0, &KEPT);
    let (mut from, _) = server.resume(&hello).await;
    from.send(&publish(0x32, "b", 7, Some(&[]), "late")).await;
    watcher.expect(&publish(0x30, "b", 0, None, "late")).await;
    one.send(&ack(0x40, 1)).await;
    one.expect(&publish(0x32, "a/1", 2, Some(&[]), "filling")).await;
    drop(server.resume(&hello).await);
    let last = u16::try_from(limits::SESSION_QUEUE).unwrap() + 1;
    for id in 2..=last {
        one.send(&ack(0x40, id)).await;
        let (topic, payload) = if id == last { ("b", "late") } else { ("a/1", "filling") };
        one.expect(&publish(0x32, topic, id + 1, Some(&[]), payload)).await;
    }
}

#[tokio::test]
async fn a_subscriber_that_takes_nothing_is_not_waited_for_again_after_it_reconnects() {
    let server = TestServer::start().await;
    let hello = connect_v5("_client-full", 0, &[&KEPT[..], &[0x21, 0, 1]].concat());
    let _full = full(&server, "_client-full", "a").await;
    // Both wait without result.
    publish_alone(&server.topics, message("a")).await;
    publish_alone(&server.topics, message("a")).await;
    let everyone = Publisher::of(Owner::Everyone);
    let is_waited_for = || {
        server
            .topics
            .deliver(&message("a"), &everyone, &mut PendingChanges::default(), switchbox_pubsub::now())
            .is_ok_and(|full| !full.is_empty())
    };
    assert!(!is_waited_for());
    let (mut again, _) = server.resume(&hello).await;
    again.expect(&publish(0x3a, "a", 1, Some(&[]), "filling")).await;
    assert!(!is_waited_for());
    // It takes some, and its queue is filled again.
    for id in 1..=10 {
        again.send(&ack(0x40, id)).await;
        again.expect(&publish(0x32, "a", id + 1, Some(&[]), "filling")).await;
    }
    for _ in 1..=10 {
        publish_alone(&server.topics, message("a")).await;
    }
    assert!(is_waited_for());
}

#[tokio::test]
async fn places_in_a_queue_that_are_not_used_are_free_again() {
    let server = TestServer::start().await;
    let hello = connect_v5("_client-to", 0, &KEPT);
    let (mut to, _) = server.resume(&hello).await;
    to.subscribe(true, "a", 1).await;
    to.send(&[0xe0, 0]).await;
    to.expect_end().await;
    let mut pending = PendingChanges::default();
    for _ in 0..limits::SESSION_QUEUE {
        let waiting = server.topics.deliver(
            &message("a"),
            &Publisher::of(Owner::Everyone),
            &mut pending,
            switchbox_pubsub::now(),
        );
        assert!(waiting.is_ok_and(|waiting| waiting.is_empty()));
    }
    assert_eq!(server.limit_hits("session_queue"), 0);
    drop(pending);
    for _ in 0..limits::SESSION_QUEUE {
        publish_alone(&server.topics, message("a")).await;
    }
    assert_eq!(server.limit_hits("session_queue"), 0);
    publish_alone(&server.topics, message("a")).await;
    assert_eq!(server.limit_hits("session_queue"), 1);
}
