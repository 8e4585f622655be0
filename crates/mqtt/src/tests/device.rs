//! A device's own topics: telemetry, state, config, commands, methods.

use bytes::Bytes;

use super::{
    raw::{ack, connect_v4, packet, publish, text},
    *,
};
use switchbox_core::ingest;
use switchbox_delivery::Outbound;
use switchbox_model::EventData;

const EVENTS: &str = "/devices/lamp-1/events";
const CONFIG: &str = "/devices/lamp-1/config";

#[tokio::test]
async fn a_publish_is_acknowledged_when_the_journal_has_it() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut client = server.v4("lamp-1").await;
    client.send(&publish(0x32, EVENTS, 5, None, "a")).await;
    until("the event is submitted", || server.hub.payloads() == ["a"]).await;
    client.expect_silence().await;
    server.hub.make_durable(&Ok(()));
    client.expect(&ack(0x40, 5)).await;
}

#[tokio::test]
async fn acknowledgements_keep_the_order_across_kinds_of_topics() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut client = server.v4("lamp-1").await;
    let bytes = [
        publish(0x32, EVENTS, 1, None, "a"),
        publish(0x32, "plain", 2, None, "b"),
        publish(0x32, EVENTS, 3, None, "c"),
    ];
    client.send(&bytes.concat()).await;
    until("both events are submitted", || server.hub.payloads() == ["a", "c"]).await;
    client.expect_silence().await;
    server.hub.make_durable(&Ok(()));
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
    assert!(server.hub.batches() <= 3, "{} batches", server.hub.batches());
}

#[tokio::test]
async fn what_the_journal_cannot_keep_is_not_acknowledged() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut client = server.v5("lamp-1").await;
    client.send(&publish(0x32, EVENTS, 5, Some(&[]), "a")).await;
    until("the event is submitted", || !server.hub.payloads().is_empty()).await;
    server.hub.make_durable(&Err(ingest::Error::Journal("disk full".into())));
    assert_eq!(client.expect_end().await, Some(0x98));
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
    assert_eq!(server.hub.event(0), EventData::Telemetry { subfolder: "a/b".into(), payload, properties });
    assert_eq!(server.hub.event(1), EventData::State { version: 0, payload: Bytes::from_static(b"on") });
    let durable: Vec<bool> = server.hub.0.events.lock().iter().map(|event| event.durable).collect();
    assert_eq!(durable, [false, true]);
}

#[tokio::test]
async fn a_qos_2_event_is_taken_once() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut client = server.v4("lamp-1").await;
    client.send(&publish(0x34, EVENTS, 5, None, "a")).await;
    client.send(&publish(0x3c, EVENTS, 5, None, "a")).await;
    client.expect_silence().await;
    server.hub.make_durable(&Ok(()));
    client.expect(&ack(0x50, 5)).await;
    client.send(&publish(0x3c, EVENTS, 5, None, "a")).await;
    client.expect(&ack(0x50, 5)).await;
    client.send(&ack(0x62, 5)).await;
    client.expect(&ack(0x70, 5)).await;
    assert_eq!(server.hub.payloads(), ["a"]);
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
    let mut plain = server.v4("client").await;
    plain.send(&publish(0x30, "/devices/lamp-1/events", 0, None, "x")).await;
    plain.expect_end().await;
    assert_eq!((server.refused("publish"), server.refused("subscribe")), (9, 3));
    assert!(server.hub.payloads().is_empty());
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
async fn the_config_comes_after_suback_and_its_puback_is_told() {
    let server = TestServer::start().await;
    server.hub.set_config(3, "on");
    let mut client = server.v4("lamp-1").await;
    assert_eq!(client.subscribe(false, CONFIG, 2).await, 1);
    client.expect(&publish(0x32, CONFIG, 1, None, "on")).await;
    client.send(&ack(0x40, 1)).await;
    until("it is acknowledged", || server.hub.has_logged("lamp-1 acknowledged config 3")).await;
}

#[tokio::test]
async fn configs_are_coalesced_when_the_window_is_full() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 2])).await;
    client.packet().await;
    client.subscribe(true, CONFIG, 1).await;
    for version in 1..=9 {
        assert!(server.hub.config("lamp-1", version));
    }
    client.expect(&publish(0x32, CONFIG, 1, Some(&[]), "c1")).await;
    client.expect(&publish(0x32, CONFIG, 2, Some(&[]), "c2")).await;
    client.expect_silence().await;
    client.send(&ack(0x40, 1)).await;
    client.expect(&publish(0x32, CONFIG, 3, Some(&[]), "c9")).await;
    client.send(&ack(0x40, 2)).await;
    client.expect_silence().await;
}

pub(super) fn command(id: &str, subfolder: &str) -> Outbound {
    let payload = Bytes::from_static(b"go");
    Outbound::Command { num: 1, id: id.into(), subfolder: subfolder.into(), payload, again: false, expires: None }
}

#[tokio::test]
async fn commands_arrive_and_are_acknowledged() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    let command = |subfolder: &str| command(&format!("id-{subfolder}"), subfolder);
    assert!(!server.hub.deliver("lamp-1", command("")), "not subscribed yet");
    client.subscribe(false, "/devices/lamp-1/commands/#", 1).await;
    assert!(server.hub.deliver("lamp-1", command("")) && server.hub.deliver("lamp-1", command("a/b")));
    client.expect(&publish(0x32, "/devices/lamp-1/commands", 1, None, "go")).await;
    client.expect(&publish(0x32, "/devices/lamp-1/commands/a/b", 2, None, "go")).await;
    client.send(&ack(0x40, 2)).await;
    until("it is acknowledged", || server.hub.has_logged("lamp-1 acknowledged command id-a/b")).await;
    client.send(&packet(0xa2, &[&[0, 9][..], &text("/devices/lamp-1/commands/#")].concat())).await;
    client.expect(&ack(0xb0, 9)).await;
    assert!(server.hub.has_logged("lamp-1 unsubscribed Commands"));
    assert!(!server.hub.deliver("lamp-1", command("")));
}

#[tokio::test]
async fn a_kept_session_sends_a_command_again_under_its_packet_id_unless_it_has_ended() {
    let server = TestServer::start().await;
    let topic = "/devices/lamp-1/commands";
    let mut client = server.open().await;
    client.send(&connect_v4("lamp-1", 0, 60)).await;
    client.expect(&[0x20, 2, 0, 0]).await;
    client.subscribe(false, topic, 1).await;
    assert!(server.hub.deliver("lamp-1", command("ended", "")) && server.hub.deliver("lamp-1", command("open", "")));
    client.expect(&publish(0x32, topic, 1, None, "go")).await;
    client.expect(&publish(0x32, topic, 2, None, "go")).await;
    drop(client);
    until("it is away", || server.metrics.connections.get() == 0).await;
    let mut client = server.open().await;
    client.send(&connect_v4("lamp-1", 0, 60)).await;
    client.expect(&[0x20, 2, 1, 0]).await;
    client.expect(&publish(0x3a, topic, 2, None, "go")).await;
    client.send(&ack(0x40, 2)).await;
    until("it is acknowledged", || server.hub.has_logged("lamp-1 acknowledged command open")).await;
    client.expect_silence().await;
}

#[tokio::test]
async fn a_command_sent_before_has_dup_and_one_whose_time_is_over_is_not_sent() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    let topic = "/devices/lamp-1/commands";
    client.subscribe(true, topic, 1).await;
    let mut late = command("late", "");
    let mut sent_before = command("sent-before", "");
    if let Outbound::Command { expires, .. } = &mut late {
        *expires = Some(std::time::Instant::now());
    }
    if let Outbound::Command { again, .. } = &mut sent_before {
        *again = true;
    }
    assert!(server.hub.deliver("lamp-1", late) && server.hub.deliver("lamp-1", sent_before));
    client.expect(&publish(0x3a, topic, 1, Some(&[]), "go")).await;
    // 0x83: implementation specific error.
    client.send(&[0x40, 3, 0, 1, 0x83]).await;
    until("it is refused", || server.hub.has_logged("lamp-1 refused command sent-before")).await;
}

#[tokio::test]
async fn a_device_that_takes_no_commands_is_not_sent_more_than_a_queue() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, "/devices/lamp-1/commands", 1).await;
    let command = command("1", "");
    let taken = (0..5_000).take_while(|_| server.hub.deliver("lamp-1", command.clone())).count();
    assert!((1_000..1_100).contains(&taken), "{taken}");
    assert_eq!(server.limit_hits("session_queue"), 1);
}

#[tokio::test]
async fn methods_are_answered_by_topic_or_by_properties() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    client.subscribe(true, "/devices/lamp-1/methods/#", 1).await;
    server.hub.deliver("lamp-1", call(7));
    let properties = [&[0x08][..], &text("/devices/lamp-1/methods/dim/response/7"), &[0x09], &text("7")].concat();
    client.expect(&publish(0x32, "/devices/lamp-1/methods/dim/request/7", 1, Some(&properties), "50")).await;
    let status = [&[0x09][..], &text("9"), &[0x26], &text("status"), &text("404")].concat();
    for (topic, properties, expect) in [
        ("/devices/lamp-1/methods/dim/response/7/201", &[][..], "lamp-1 answered 7 201 ok"),
        ("/devices/lamp-1/methods/dim/response/8", &[][..], "lamp-1 answered 8 200 ok"),
        ("/devices/lamp-1/methods/dim/response", &status, "lamp-1 answered 9 404 ok"),
    ] {
        client.send(&publish(0x32, topic, 1, Some(properties), "ok")).await;
        client.expect(&ack(0x40, 1)).await;
        assert!(server.hub.has_logged(expect), "{expect}: {:?}", server.hub.log());
    }
    client.send(&publish(0x32, "/devices/lamp-1/methods/dim/response", 1, Some(&[]), "ok")).await;
    assert_eq!(client.packet().await[4], 0x87);
}

#[tokio::test]
async fn the_hub_can_close_a_connection() {
    let server = TestServer::start().await;
    let mut client = server.v5("lamp-1").await;
    server.hub.close("lamp-1", "the device was blocked");
    assert_eq!(client.expect_end().await, Some(0x98));
    until("it is told", || server.hub.has_logged("lamp-1 disconnected: the device was blocked")).await;
}

#[tokio::test]
async fn when_the_journal_is_crowded_events_of_qos_0_are_dropped_and_counted_and_others_are_not() {
    let server = TestServer::start().await;
    let mut lamp = server.v4("lamp-1").await;
    server.hub.0.crowded.store(true, std::sync::atomic::Ordering::SeqCst);
    let events = "/devices/lamp-1/events";
    let mixed = [
        publish(0x30, events, 0, None, "lost"),
        publish(0x32, events, 1, None, "kept"),
        publish(0x30, events, 0, None, "lost, too"),
    ];
    lamp.send(&mixed.concat()).await;
    lamp.expect(&ack(0x40, 1)).await;
    // A message that triggers plugins as well.
    let mut client = server.v4("client").await;
    client.send(&publish(0x30, "plugin/a", 0, None, "lost")).await;
    client.send(&publish(0x32, "plugin/a", 1, None, "kept, too")).await;
    client.expect(&ack(0x40, 1)).await;
    assert_eq!(server.hub.payloads(), ["kept", "kept, too"]);
    assert_eq!(server.limit_hits("journal_queue_qos0"), 3);
    server.hub.0.crowded.store(false, std::sync::atomic::Ordering::SeqCst);
    lamp.send(&[publish(0x30, events, 0, None, "there is room"), publish(0x32, events, 2, None, "again")].concat())
        .await;
    lamp.expect(&ack(0x40, 2)).await;
    assert_eq!(server.hub.payloads()[2..], ["there is room", "again"]);
}

#[tokio::test]
async fn a_client_is_read_no_more_while_too_much_of_it_is_on_its_way_to_the_journal() {
    let server = TestServer::start().await;
    server.hub.hold();
    let mut lamp = server.v4("lamp-1").await;
    let large = "x".repeat(200_000);
    lamp.send(&publish(0x30, EVENTS, 0, None, &large)).await;
    until("the first is submitted", || server.hub.payloads().len() == 1).await;
    lamp.send(&publish(0x30, EVENTS, 0, None, &large)).await;
    until("the second is submitted", || server.hub.payloads().len() == 2).await;
    lamp.send(&[&publish(0x30, EVENTS, 0, None, "third")[..], &[0xc0, 0]].concat()).await;
    // Others are.
    server.v4("lamp-2").await.expect_silence().await;
    assert_eq!(server.hub.payloads().len(), 2);
    server.hub.make_durable(&Ok(()));
    lamp.expect(&[0xd0, 0]).await;
    assert_eq!(server.hub.payloads()[2], "third");
}

#[tokio::test]
async fn one_version_of_a_config_is_in_flight_once_however_often_its_device_subscribes_and_comes_back() {
    let server = TestServer::start().await;
    server.hub.set_config(3, "on");
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
        until("it is away", || server.metrics.connections.get() == 0).await;
        client = server.resume(&hello).await.0;
        client.expect(&publish(0x3a, CONFIG, 1, None, "on")).await;
    }
    client.send(&ack(0x40, 1)).await;
    until("it is acknowledged", || server.hub.has_logged("lamp-1 acknowledged config 3")).await;
    client.expect_silence().await;
}

pub(super) fn call(rid: u64) -> Outbound {
    let expires = std::time::Instant::now() + std::time::Duration::from_secs(60);
    Outbound::Method { rid, name: "dim".into(), payload: Bytes::from_static(b"50"), expires }
}

#[tokio::test]
async fn an_answer_frees_the_place_of_its_call_though_it_is_never_acknowledged() {
    let server = TestServer::start().await;
    let mut client = server.v4("lamp-1").await;
    client.subscribe(false, "/devices/lamp-1/methods/#", 1).await;
    client.subscribe(false, CONFIG, 1).await;
    let mut ids = std::collections::HashSet::new();
    for rid in 1..=100 {
        assert!(server.hub.deliver("lamp-1", call(rid)));
        let got = client.packet().await;
        assert!(ids.insert(u16::from_be_bytes([got[got.len() - 4], got[got.len() - 3]])), "{got:?}");
        client.send(&publish(0x30, &format!("/devices/lamp-1/methods/dim/response/{rid}/200"), 0, None, "ok")).await;
        until("it is answered", || server.hub.has_logged(&format!("lamp-1 answered {rid} 200 ok"))).await;
    }
    assert!(server.hub.config("lamp-1", 1));
    assert!(client.packet().await.ends_with(b"c1"));
}

#[tokio::test]
async fn only_what_was_written_to_the_socket_counts_as_sent() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    // One message at a time, of 64 bytes at most.
    client.send(&raw::connect_v5("lamp-1", 2, &[0x21, 0, 1, 0x27, 0, 0, 0, 64])).await;
    client.packet().await;
    for topic in ["/devices/lamp-1/commands/#", CONFIG] {
        client.subscribe(true, topic, 1).await;
    }
    let command = |num: u64| match command(&format!("c{num}"), "") {
        Outbound::Command { id, subfolder, payload, again, expires, .. } => {
            Outbound::Command { num, id, subfolder, payload, again, expires }
        }
        other => other,
    };
    assert!(server.hub.deliver("lamp-1", command(1)) && server.hub.deliver("lamp-1", command(2)));
    client.expect(&publish(0x32, "/devices/lamp-1/commands", 1, Some(&[]), "go")).await;
    until("the first is sent", || server.hub.has_logged("lamp-1 sent command 1")).await;
    let large = Outbound::Config { version: 7, payload: Bytes::from(vec![0; 100]) };
    assert!(server.hub.deliver("lamp-1", large));
    client.expect_silence().await;
    assert!(!server.hub.has_logged("lamp-1 sent command 2"), "the window is full");
    for id in [1, 2] {
        client.send(&ack(0x40, id)).await;
        if id == 1 {
            client.expect(&publish(0x32, "/devices/lamp-1/commands", 2, Some(&[]), "go")).await;
        }
    }
    until("the config is given up", || server.hub.has_logged("lamp-1 refused config 7")).await;
    assert!(server.hub.has_logged("lamp-1 sent command 2") && !server.hub.has_logged("lamp-1 sent config"));
    assert!(server.hub.config("lamp-1", 8));
    client.packet().await;
    until("a smaller one is sent", || server.hub.has_logged("lamp-1 sent config")).await;
}

#[tokio::test]
async fn a_method_call_is_not_sent_when_nobody_waits_for_its_answer_any_more() {
    let server = TestServer::start().await;
    let hello = connect_v4("lamp-1", 0, 60);
    let (mut client, _) = server.resume(&hello).await;
    client.subscribe(false, "/devices/lamp-1/methods/#", 1).await;
    let Outbound::Method { rid, name, payload, .. } = call(1) else { panic!("no call") };
    assert!(server.hub.deliver("lamp-1", Outbound::Method { rid, name, payload, expires: std::time::Instant::now() }));
    client.expect_silence().await;
}
