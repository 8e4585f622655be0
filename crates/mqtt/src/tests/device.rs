//! A device's own topics: telemetry, state, config, commands, methods.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{
    raw::{ack, connect_v4, packet, publish, text},
    *,
};
use switchbox_delivery::CallError;
use switchbox_model::{EventData, limits, registry::DeviceSpec};

const EVENTS: &str = "/devices/lamp-1/events";
const CONFIG: &str = "/devices/lamp-1/config";
/// Longer than any test.
pub(super) const HOUR: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_publish_is_acknowledged_when_the_journal_has_it() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    client.send(&publish(0x32, EVENTS, 5, None, "a")).await;
    until("the event is submitted", || server.events.payloads() == ["a"]).await;
    client.expect_silence().await;
    server.host.disk.release();
    client.expect(&ack(0x40, 5)).await;
}

#[tokio::test]
async fn acknowledgements_keep_the_order_across_kinds_of_topics() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    let bytes = [
        publish(0x32, EVENTS, 1, None, "a"),
        publish(0x32, "plain", 2, None, "b"),
        publish(0x32, EVENTS, 3, None, "c"),
    ];
    client.send(&bytes.concat()).await;
    until("both events are submitted", || server.events.payloads() == ["a", "c"]).await;
    client.expect_silence().await;
    server.host.disk.release();
    for id in [1, 2, 3] {
        client.expect(&ack(0x40, id)).await;
    }
}

#[tokio::test]
async fn a_run_of_events_is_one_batch_whatever_acknowledgements_stand_between() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    let one = |id: u16| [publish(0x32, EVENTS, id, None, "x"), ack(0x40, 9)].concat();
    client.send(&(1..=50).flat_map(one).collect::<Vec<u8>>()).await;
    for id in 1..=50 {
        client.expect(&ack(0x40, id)).await;
    }
    assert!(server.events.batches() <= 3, "{} batches", server.events.batches());
}

#[tokio::test]
async fn what_the_journal_cannot_keep_is_not_acknowledged() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    client.send(&publish(0x32, EVENTS, 4, Some(&[]), "a")).await;
    client.expect(&ack(0x40, 4)).await;
    server.host.disk.fill();
    client.send(&publish(0x32, EVENTS, 5, Some(&[]), "b")).await;
    assert_eq!(client.expect_end().await, Some(0x98));
    assert_eq!(server.events.payloads(), ["a", "b"], "it was on its way");
}

#[tokio::test]
async fn telemetry_and_state_arrive_with_their_parts() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    let property = [&[0x26][..], &text("unit"), &text("K")].concat();
    client.send(&publish(0x30, "/devices/lamp-1/events/a/b", 0, Some(&property), "20")).await;
    client.send(&publish(0x32, "/devices/lamp-1/state", 1, Some(&[]), "on")).await;
    client.expect(&ack(0x40, 1)).await;
    let payload = Bytes::from_static(b"20");
    let properties = vec![("unit".to_owned(), "K".to_owned())];
    let published = server.events.published().into_iter().map(|(_, event)| (event.durable, event.data));
    let telemetry = EventData::Telemetry { subfolder: "a/b".into(), payload, properties };
    let state = EventData::State { version: 1, payload: Bytes::from_static(b"on") };
    assert_eq!(published.collect::<Vec<_>>(), [(false, telemetry), (true, state)]);
}

#[tokio::test]
async fn a_qos_2_event_is_taken_once() {
    let server = TestServer::start().await;
    server.host.disk.block();
    let mut client = server.v4("lamp-1").await;
    client.send(&publish(0x34, EVENTS, 5, None, "a")).await;
    client.send(&publish(0x3c, EVENTS, 5, None, "a")).await;
    client.expect_silence().await;
    server.host.disk.release();
    client.expect(&ack(0x50, 5)).await;
    client.send(&publish(0x3c, EVENTS, 5, None, "a")).await;
    client.expect(&ack(0x50, 5)).await;
    client.send(&ack(0x62, 5)).await;
    client.expect(&ack(0x70, 5)).await;
    assert_eq!(server.events.payloads(), ["a"]);
}

#[tokio::test]
async fn topics_of_others_are_refused() {
    let server = TestServer::start().await;
    let mut v5 = server.v5("lamp-1").await;
    for (at, topic) in
        ["/devices/lamp-2/events", "/devices/lamp-1/nothing", "/devices/lamp-2/nothing"].iter().enumerate()
    {
        let id = at as u16 + 1;
        v5.send(&publish(0x32, topic, id, Some(&[]), "x")).await;
        let puback = v5.packet().await;
        assert_eq!((puback[0], puback[3], puback[4]), (0x40, id as u8, 0x87), "{topic}");
        v5.send(&publish(0x34, topic, id, Some(&[]), "x")).await;
        let pubrec = v5.packet().await;
        assert_eq!((pubrec[0], pubrec[3], pubrec[4]), (0x50, id as u8, 0x87), "{topic}");
    }
    v5.send(&publish(0x30, "/devices/lamp-2/events", 0, Some(&[]), "x")).await;
    v5.expect_silence().await;
    assert_eq!(v5.subscribe(true, "/devices/lamp-2/config", 1).await, 0x87);
    assert_eq!(v5.subscribe(true, "/devices/+/config", 1).await, 0x87);
    let mut v4 = server.v4("lamp-2").await;
    assert_eq!(v4.subscribe(false, "/devices/lamp-1/config", 1).await, 0x80);
    v4.send(&publish(0x32, "/devices/lamp-1/events", 1, None, "x")).await;
    v4.expect_end().await;
    let mut plain = server.v4("_client").await;
    plain.send(&publish(0x30, "/devices/lamp-1/events", 0, None, "x")).await;
    plain.expect_end().await;
    assert_eq!((server.refused("publish"), server.refused("subscribe")), (9, 3));
    assert!(server.events.payloads().is_empty());
}

#[tokio::test]
async fn payloads_over_the_limit_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    for (topic, bytes, reason) in
        [(EVENTS, 256 * 1024, 0), (EVENTS, 256 * 1024 + 1, 0x97), ("/devices/lamp-1/state", 64 * 1024 + 1, 0x97)]
    {
        client.send(&publish(0x32, topic, 1, Some(&[]), &"x".repeat(bytes))).await;
        let puback = client.packet().await;
        assert_eq!(puback.get(4).copied().unwrap_or(0), reason, "{topic} {bytes}");
    }
    assert_eq!((server.limit_hits("telemetry_bytes"), server.limit_hits("state_bytes")), (1, 1));
}

#[tokio::test]
async fn the_config_comes_after_suback_and_its_puback_is_recorded() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    assert_eq!(server.host.set_config("lamp-1", "on").await, 1);
    assert_eq!(client.subscribe(false, CONFIG, 2).await, 1);
    client.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    client.send(&ack(0x40, 1)).await;
    server.wait_for_journal("lamp-1 acknowledged config 1").await;
}

#[tokio::test]
async fn configs_are_coalesced_when_the_window_is_full() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 2])).await;
    client.packet().await;
    client.subscribe(true, CONFIG, 1).await;
    for version in 1..=9 {
        assert_eq!(server.host.set_config("lamp-1", &format!("c{version}")).await, version);
    }
    client.expect(&publish(0x32, CONFIG, 1, Some(&[]), "c1")).await;
    client.expect(&publish(0x32, CONFIG, 2, Some(&[]), "c2")).await;
    client.expect_silence().await;
    client.send(&ack(0x40, 1)).await;
    client.expect(&publish(0x32, CONFIG, 3, Some(&[]), "c9")).await;
    client.send(&ack(0x40, 2)).await;
    client.expect_silence().await;
}

const COMMANDS: &str = "/devices/lamp-1/commands";

#[tokio::test]
async fn commands_wait_for_a_subscription_arrive_and_are_acknowledged() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    server.host.send_command("lamp-1", "early", "").await;
    client.expect_silence().await;
    client.subscribe(false, "/devices/lamp-1/commands/#", 1).await;
    client.expect(&publish(0x32, COMMANDS, 1, None, "go")).await;
    server.host.send_command("lamp-1", "deep", "a/b").await;
    client.expect(&publish(0x32, "/devices/lamp-1/commands/a/b", 2, None, "go")).await;
    client.send(&ack(0x40, 2)).await;
    server.wait_for_journal("lamp-1 acknowledged command deep").await;
    server.assert_not_journaled("lamp-1 acknowledged command early").await;
    client.send(&packet(0xa2, &[&[0, 9][..], &text("/devices/lamp-1/commands/#")].concat())).await;
    client.expect(&ack(0xb0, 9)).await;
    server.host.send_command("lamp-1", "late", "").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn what_a_command_says_beside_its_payload_is_said_by_mqtt_5() {
    let server = TestServer::start().await;
    let command_properties = [("$content-type", "a/b"), ("$correlation-id", "7"), ("tone", "high")];
    let mut client = server.v5("lamp-1").await;
    client.subscribe(true, COMMANDS, 1).await;
    server.host.send_command_with("lamp-1", &command_properties).await;
    let user = [&[0x26][..], &text("tone"), &text("high")].concat();
    let properties = [&[0x03][..], &text("a/b"), &[0x09], &text("7"), &user].concat();
    client.expect(&publish(0x32, COMMANDS, 1, Some(&properties), "go")).await;
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, COMMANDS, 1).await;
    client.expect(&publish(0x3a, COMMANDS, 1, None, "go")).await;
}

#[tokio::test]
async fn a_kept_session_sends_a_command_again_under_its_packet_id_unless_it_has_ended() {
    let server = TestServer::start().await;
    let hello = connect_v4("lamp-1", 0, 60);
    let (mut client, _) = server.resume(&hello).await;
    client.subscribe(false, COMMANDS, 1).await;
    for (packet_id, id) in [(1, "ended"), (2, "open")] {
        server.host.send_command("lamp-1", id, "").await;
        client.expect(&publish(0x32, COMMANDS, packet_id, None, "go")).await;
    }
    drop(client);
    until("it is offline", || server.metrics.connections.get() == 0).await;
    server.host.delivery.cancel(&server.host.device("lamp-1"), "ended").await.unwrap();
    let (mut client, present) = server.resume(&hello).await;
    assert!(present);
    client.expect(&publish(0x3a, COMMANDS, 2, None, "go")).await;
    client.send(&ack(0x40, 2)).await;
    server.wait_for_journal("lamp-1 acknowledged command open").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_command_sent_before_has_dup_and_may_be_refused() {
    let server = TestServer::start().await;
    for first in [0x32, 0x3a] {
        let mut client = server.v5("lamp-1").await;
        client.subscribe(true, COMMANDS, 1).await;
        if first == 0x32 {
            server.host.send_command("lamp-1", "twice", "").await;
        }
        client.expect(&publish(first, COMMANDS, 1, Some(&[]), "go")).await;
        if first == 0x32 {
            server.wait_for_journal("lamp-1 was sent command 1").await;
            drop(client);
            until("it is offline", || server.metrics.connections.get() == 0).await;
        } else {
            // 0x83: implementation specific error.
            client.send(&[0x40, 3, 0, 1, 0x83]).await;
            server.wait_for_journal("lamp-1 refused command twice").await;
        }
    }
}

#[tokio::test]
async fn a_command_whose_time_is_over_is_not_sent() {
    let server = TestServer::start().await;
    // One message at a time.
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 1])).await;
    client.subscribe(true, COMMANDS, 1).await;
    server.host.send_command("lamp-1", "first", "").await;
    client.expect(&publish(0x32, COMMANDS, 1, Some(&[]), "go")).await;
    server.host.send_command_within("lamp-1", "late", "", Duration::from_millis(1)).await;
    server.wait_for_journal("lamp-1 expired command late").await;
    client.send(&ack(0x40, 1)).await;
    server.wait_for_journal("lamp-1 acknowledged command first").await;
    client.expect_silence().await;
}

/// Calls the device's method; gives status and payload of the answer.
pub(super) fn call(server: &TestServer, id: &str, within: Duration) -> JoinHandle<Result<(u16, Bytes), CallError>> {
    let (delivery, device) = (server.host.delivery.clone(), server.host.device(id));
    tokio::spawn(async move {
        let answer = delivery.call(&device, "dim", Bytes::from_static(b"50"), within).await;
        answer.map(|answer| (answer.status, answer.payload))
    })
}

#[tokio::test]
async fn a_device_that_takes_nothing_is_not_sent_more_than_a_queue() {
    const TOO_MANY: usize = 9;
    let server = TestServer::start().await;
    // One message at a time.
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 1])).await;
    client.subscribe(true, "/devices/lamp-1/methods/#", 1).await;
    let first = call(&server, "lamp-1", HOUR);
    client.packet().await;
    let calls: Vec<_> = (0..limits::SESSION_QUEUE + TOO_MANY).map(|_| call(&server, "lamp-1", HOUR)).collect();
    until("all are called", || server.limit_hits("session_queue") == TOO_MANY as u64).await;
    drop(client);
    let mut ended = vec![first.await.unwrap()];
    for call in calls {
        ended.push(call.await.unwrap());
    }
    let refused = ended.iter().filter(|answer| matches!(answer, Err(CallError::Busy(..)))).count();
    assert_eq!(refused, TOO_MANY, "{ended:?}");
}

#[tokio::test]
async fn methods_are_answered_by_topic_or_by_properties() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    client.subscribe(true, "/devices/lamp-1/methods/#", 1).await;
    let status = [&[0x09][..], &text("3"), &[0x26], &text("status"), &text("404")].concat();
    for (rid, topic, properties, status) in [
        (1, "/devices/lamp-1/methods/dim/response/1/201", &[][..], 201),
        (2, "/devices/lamp-1/methods/dim/response/2", &[][..], 200),
        (3, "/devices/lamp-1/methods/dim/response", &status, 404),
    ] {
        let called = call(&server, "lamp-1", HOUR);
        let response = format!("/devices/lamp-1/methods/dim/response/{rid}");
        let request_properties = [&[0x08][..], &text(&response), &[0x09], &text(&rid.to_string())].concat();
        let request = format!("/devices/lamp-1/methods/dim/request/{rid}");
        client.expect(&publish(0x32, &request, rid, Some(&request_properties), "50")).await;
        client.send(&ack(0x40, rid)).await;
        client.send(&publish(0x32, topic, 1, Some(properties), "ok")).await;
        client.expect(&ack(0x40, 1)).await;
        assert_eq!(called.await.unwrap().unwrap(), (status, Bytes::from_static(b"ok")), "{topic}");
    }
    client.send(&publish(0x32, "/devices/lamp-1/methods/dim/response", 1, Some(&[]), "ok")).await;
    assert_eq!(client.packet().await[4], 0x87);
}

#[tokio::test]
async fn the_host_can_close_a_connection() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    server.host.delivery.close(server.host.device("lamp-1").num, "the device was blocked");
    assert_eq!(client.expect_end().await, Some(0x98));
    server.wait_for_journal("lamp-1 disconnected: the device was blocked").await;
}

#[tokio::test]
async fn when_the_journal_is_full_events_of_qos_0_are_dropped_and_counted_and_others_are_not() {
    let server = TestServer::start().await;
    let mut lamp = server.v4("lamp-1").await;
    // A quarter of the queue is left.
    let occupied = server.occupy(QUEUE_BYTES / 4 * 3).await;
    let events = "/devices/lamp-1/events";
    let mixed = [
        publish(0x30, events, 0, None, "lost"),
        publish(0x32, events, 1, None, "kept"),
        publish(0x30, events, 0, None, "lost, too"),
    ];
    lamp.send(&mixed.concat()).await;
    lamp.expect(&ack(0x40, 1)).await;
    // A message that triggers plugins as well.
    let mut client = server.v4("_client").await;
    client.send(&publish(0x30, "plugin/a", 0, None, "lost")).await;
    client.send(&publish(0x32, "plugin/a", 1, None, "kept, too")).await;
    client.expect(&ack(0x40, 1)).await;
    assert_eq!(server.events.payloads(), ["kept", "kept, too"]);
    assert_eq!(server.limit_hits("journal_queue_qos0"), 3);
    drop(occupied);
    lamp.send(&[publish(0x30, events, 0, None, "there is room"), publish(0x32, events, 2, None, "again")].concat())
        .await;
    lamp.expect(&ack(0x40, 2)).await;
    assert_eq!(server.events.payloads()[2..], ["there is room", "again"]);
}

#[tokio::test]
async fn a_client_is_read_no_more_while_too_much_of_it_is_on_its_way_to_the_journal() {
    const LARGE: usize = 60_000;
    const COUNT: usize = 10;
    let server = TestServer::start().await;
    let mut other = server.v4("lamp-2").await;
    let mut lamp = server.v4("lamp-1").await;
    server.host.disk.block();
    let events: Vec<u8> = (0..COUNT).flat_map(|_| publish(0x30, EVENTS, 0, None, &"x".repeat(LARGE))).collect();
    lamp.send(&[&events[..], &[0xc0, 0]].concat()).await;
    until("some are submitted", || !server.events.payloads().is_empty()).await;
    // Others are read.
    for _ in 0..100 {
        other.expect_silence().await;
    }
    let submitted = server.events.payloads().len();
    assert!((submitted - 1) * LARGE < limits::UNWRITTEN_BYTES, "{submitted} were submitted");
    server.host.disk.release();
    lamp.expect(&[0xd0, 0]).await;
    assert_eq!(server.events.payloads().len(), COUNT);
}

#[tokio::test]
async fn one_version_of_a_config_is_in_flight_once_however_often_its_device_subscribes_and_comes_back() {
    let server = TestServer::start().await;
    server.host.register("lamp-1", DeviceSpec::default()).await;
    server.host.set_config("lamp-1", "on").await;
    let hello = connect_v4("lamp-1", 0, 60);
    let (mut client, _) = server.resume(&hello).await;
    for first in [0x32, 0x3a, 0x3a, 0x3a] {
        client.subscribe(false, CONFIG, 1).await;
        if first == 0x32 {
            client.expect(&publish(first, CONFIG, 1, None, "on")).await;
        }
        assert_eq!(client.subscribe(false, CONFIG, 1).await, 1);
        client.expect_silence().await;
        drop(client);
        until("it is offline", || server.metrics.connections.get() == 0).await;
        client = server.resume(&hello).await.0;
        client.expect(&publish(0x3a, CONFIG, 1, None, "on")).await;
    }
    client.send(&ack(0x40, 1)).await;
    server.wait_for_journal("lamp-1 acknowledged config 1").await;
    client.expect_silence().await;
}

#[tokio::test]
async fn an_answer_frees_the_place_of_its_call_though_it_is_never_acknowledged() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, "/devices/lamp-1/methods/#", 1).await;
    client.subscribe(false, CONFIG, 1).await;
    let mut ids = std::collections::HashSet::new();
    for rid in 1..=100 {
        let called = call(&server, "lamp-1", HOUR);
        let got = client.packet().await;
        assert!(ids.insert(u16::from_be_bytes([got[got.len() - 4], got[got.len() - 3]])), "{got:?}");
        client.send(&publish(0x30, &format!("/devices/lamp-1/methods/dim/response/{rid}/200"), 0, None, "ok")).await;
        assert_eq!(called.await.unwrap().unwrap().0, 200);
    }
    server.host.set_config("lamp-1", "on").await;
    assert!(client.packet().await.ends_with(b"on"));
}

#[tokio::test]
async fn only_what_was_written_to_the_socket_counts_as_sent() {
    let server = TestServer::start().await;
    // One message at a time, of 64 bytes at most.
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 1, 0x27, 0, 0, 0, 64])).await;
    for topic in ["/devices/lamp-1/commands/#", CONFIG] {
        client.subscribe(true, topic, 1).await;
    }
    let lamp = server.host.device("lamp-1");
    server.host.send_command("lamp-1", "c1", "").await;
    server.host.send_command("lamp-1", "c2", "").await;
    client.expect(&publish(0x32, COMMANDS, 1, Some(&[]), "go")).await;
    server.wait_for_journal("lamp-1 was sent command 1").await;
    server.host.set_config("lamp-1", &"x".repeat(100)).await;
    client.expect_silence().await;
    // The window is full.
    server.assert_not_journaled("lamp-1 was sent command 2").await;
    for id in [1, 2] {
        client.send(&ack(0x40, id)).await;
        if id == 1 {
            client.expect(&publish(0x32, COMMANDS, 2, Some(&[]), "go")).await;
        }
    }
    until("the config is given up", || lamp.error().is_some()).await;
    server.wait_for_journal("lamp-1 was sent command 2").await;
    assert_eq!(lamp.seen().config_sent_ms, None);
    server.host.set_config("lamp-1", "small").await;
    assert!(client.packet().await.ends_with(b"small"));
    until("a smaller one is sent", || lamp.seen().config_sent_ms.is_some()).await;
}

#[tokio::test]
async fn a_method_call_is_not_sent_when_its_caller_has_given_up() {
    let server = TestServer::start().await;
    // One message at a time.
    let (mut client, _) = server.connect(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 1])).await;
    client.subscribe(true, "/devices/lamp-1/methods/#", 1).await;
    client.subscribe(true, CONFIG, 1).await;
    server.host.set_config("lamp-1", "on").await;
    client.expect(&publish(0x32, CONFIG, 1, Some(&[]), "on")).await;
    let given_up = call(&server, "lamp-1", Duration::from_millis(1)).await.unwrap();
    assert!(matches!(given_up, Err(CallError::TimedOut(..))), "{given_up:?}");
    client.send(&ack(0x40, 1)).await;
    client.expect_silence().await;
}
