//! Overload is shed where it costs least, and existing clients are served.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use rumqttc::QoS;
use switchbox_store::QueueShare;
use switchbox_tests::{
    Admin, Device, HostFolder, InProcess, events,
    hostile::{Conn, Login},
    until,
};

/// How often a limit was hit.
pub(crate) fn hits(admin: &Admin, limit: &str) -> u64 {
    let metrics = admin.get("/metrics").body.to_string().replace("\\\"", "\"").replace("\\n", "\n");
    let line = format!("switchbox_limit_hits_total{{limit=\"{limit}\"}} ");
    metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_setting_limits_the_connections_over_amqp() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&["--azure-amqp", "127.0.0.1:0", "--azure-max-amqp-connections", "2"]);
    let address = host.azure_amqp();
    let answers = |stream: &mut TcpStream| {
        let mut header = [0; 8];
        stream.write_all(b"AMQP\x03\x01\x00\x00").is_ok() && stream.read_exact(&mut header).is_ok()
    };
    // Of two connections one may be without a token. A second one takes its place when it is a second old.
    until("a second connection to be refused", || {
        let mut connections = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        (connections.each_mut().map(answers) == [true, false]).then_some(())
    });
    assert!(hits(&host.admin(), "hub_amqp_unauthenticated_connections") > 0);
    until("a connection in place of those that have ended", || {
        answers(&mut TcpStream::connect(address).unwrap()).then_some(())
    });
    host.stop();
}

#[test]
fn more_connects_than_the_host_takes_in_a_second_are_closed_as_they_come() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&["--max-connects-per-second", "10"]);
    let mut lamp = host.device("lamp-1");
    let try_connect = |number: usize| {
        let mut conn = Conn::open(host.mqtt())?;
        conn.send(&Login::new(&format!("flood-{number}")).packet());
        conn.is_accepted().then_some(conn)
    };
    let flood: Vec<_> = (0..300).filter_map(try_connect).collect();
    assert!(flood.len() < 300, "all were accepted");
    assert!(hits(&host.admin(), "connects_per_second") > 0);
    host.logged(&["new connections are closed", "connects_per_second"]);
    lamp.event("connected clients are served");
    let mut number = 1_000;
    until("a new client to be accepted when the flood is over", || {
        number += 1;
        try_connect(number)
    });
    host.stop();
}

#[test]
fn a_host_that_is_full_closes_new_connections_and_serves_those_it_has() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&["--max-connections", "2"]);
    let (mut first, second) = (host.device("lamp-1"), host.device("lamp-2"));
    let try_connect = || {
        let mut conn = Conn::open(host.mqtt())?;
        conn.send(&Login::new("lamp-3").packet());
        conn.is_accepted().then_some(conn)
    };
    assert!(try_connect().is_none(), "there were two already");
    assert!(hits(&host.admin(), "connections") > 0);
    host.logged(&["limit", "connections"]);
    first.event("connected clients are served");
    drop(second);
    until("a new client in the place of the one that left", try_connect);
    host.stop();
}

#[test]
fn idle_connections_to_the_admin_api_keep_no_caller_out() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let admin = host.admin().address().parse().unwrap();
    let idle: Vec<_> = (0..600).filter_map(|_| Conn::open(admin)).collect();
    until("the API to answer", || host.admin().try_post("/v1/none", &serde_json::Value::Null));
    assert!(hits(&host.admin(), "admin_unauthenticated_connections") > 0);
    drop(idle);
    host.stop();
}

/// An old client that takes no for an answer by trying again.
fn sends_again_and_again(host: &switchbox_tests::Process, packets: &[u8], times: usize) {
    let connect = b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06lamp-1";
    for _ in 0..times {
        let mut conn = Conn::open(host.mqtt()).expect("no connection");
        conn.send(connect);
        assert!(conn.is_accepted());
        conn.send(packets);
        let _ = conn.read_to_end();
    }
}

#[test]
fn a_client_that_publishes_what_it_may_not_again_and_again_is_counted_each_time_and_logged_once() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(&["--max-telemetry-bytes", "1000"]);
    let publish = |bytes: usize| {
        let topic = events("lamp-1");
        let length = u16::try_from(bytes + topic.len() + 4).unwrap();
        let length = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
        let topic_length = u16::try_from(topic.len()).unwrap().to_be_bytes();
        [&[0x32][..], &length, &topic_length, topic.as_bytes(), &[0, 1], &vec![b'x'; bytes]].concat()
    };
    sends_again_and_again(&host, &publish(1_001), 3);
    assert_eq!(hits(&host.admin(), "telemetry_bytes"), 3);
    let parts = ["publish refused", "lamp-1", "/devices/lamp-1/events", "1001", "1000", "telemetry_bytes"];
    let line = host.logged(&parts);
    assert!(line.contains("devices.max-telemetry-bytes"), "{line}");
    assert_eq!(host.log().matches("publish refused").count(), 1, "{}", host.log());
    assert_eq!(host.log().matches("connection closed").count(), 1, "{}", host.log());

    // Not even a packet.
    sends_again_and_again(&host, &[0x32, 0xff, 0xff, 0x7f, 0, 3, b'a', b'/', b'b'], 2);
    assert_eq!(hits(&host.admin(), "packet_bytes"), 2);
    // The same for messages within the limit: they are delivered, and the same limit holds over HTTP.
    let mut lamp = host.device("lamp-1");
    lamp.event("x".repeat(1_000));
    let large = serde_json::json!({"binaryData": "eHh4".repeat(400)});
    let answer = host.admin().try_post(&Admin::device_path("lamp-1", ":publishEvent"), &large);
    assert!(answer.is_none_or(|answer| answer.status == 400));
    host.stop();
}

/// Telemetry with QoS 0 and 1 alternately, this many of each; waits until those of QoS 1 are acknowledged. Returns the payloads.
fn by_turns(device: &mut Device, count: usize) -> (Vec<String>, Vec<String>) {
    let topic = events(&device.id);
    let payloads = |what: &str| (0..count).map(|number| format!("{what} {number}")).collect::<Vec<_>>();
    let (may_be_lost, kept) = (payloads("may be lost"), payloads("kept"));
    for (lossy, kept) in may_be_lost.iter().zip(&kept) {
        let _ = device.send(&topic, QoS::AtMostOnce, lossy.as_str());
        device.publish(&topic, kept.as_str());
    }
    (may_be_lost, kept)
}

fn journaled(host: &InProcess, id: &str) -> Vec<String> {
    let journal = host.journal();
    let lamp = Some(journal.device(id));
    let of_it = journal.telemetry().filter(|(event, _)| event.device == lamp);
    of_it.map(|(_, payload)| String::from_utf8_lossy(payload).into_owned()).collect()
}

#[test]
fn while_the_journals_queue_is_full_events_of_qos_0_go_and_all_others_are_served() {
    let host_folder = HostFolder::new();
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n[settings]\nsource = \"healthy\"\n");
    let host = host_folder.start_in_process();
    let (mut lamp, mut healthy) = (host.device("lamp"), host.device("healthy"));
    healthy.subscribe_config();
    // Others' events wait for the disk, as many as find room that may be lost.
    let permits: Vec<_> =
        std::iter::from_fn(|| host.wait_for(host.handles.ingest.reserve_droppable(1, QueueShare::Whole)).unwrap())
            .collect();
    let (lost, kept) = by_turns(&mut lamp, 20);
    assert_eq!(hits(&host.admin(), "journal_queue_qos0"), lost.len() as u64);
    healthy.event(r#"{"deviceId":"healthy","hops":1}"#);
    healthy.message_with(r#""hops":2"#);
    assert_eq!(journaled(&host, "lamp"), kept);

    drop(permits);
    let (not_lost, kept_too) = by_turns(&mut lamp, 3);
    let by_turns = not_lost.into_iter().zip(kept_too).flat_map(|(lossy, kept)| [lossy, kept]);
    assert_eq!(journaled(&host, "lamp"), kept.into_iter().chain(by_turns).collect::<Vec<_>>());
    assert_eq!(hits(&host.admin(), "journal_queue_qos0"), lost.len() as u64);
    host.stop();
}

#[test]
fn when_the_journals_queue_is_full_publishers_of_qos_1_wait_and_the_admin_api_answers() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_in_process();
    let mut lamp = host.device("lamp");
    // More than the queue has, so all of it.
    let permit = host.wait_for(host.handles.ingest.reserve(usize::MAX, QueueShare::Whole)).unwrap();
    let number = lamp.send(&events("lamp"), QoS::AtLeastOnce, "waits").unwrap();
    let lamp_as_shown = host.admin().get(&Admin::device_path("lamp", "")).ok();
    assert_eq!(lamp_as_shown["connected"], true);
    assert!(!lamp.seen().acknowledged.contains(&number), "a PUBACK for what is not in the journal");
    drop(permit);
    lamp.wait("the PUBACK", |seen| seen.acknowledged.contains(&number).then_some(()));
    assert_eq!(journaled(&host, "lamp"), ["waits"]);
    host.stop();
}
