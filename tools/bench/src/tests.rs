//! Tests of the load client against a relay with configurable faults, and against mosquitto if it is installed.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    frames::{self, Qos},
    load::{Load, LoadResult},
    memory,
    plan::{Plan, Traffic},
    servers::{Server, find_mosquitto},
    streams::Faults,
};

/// What the relay does with its n-th message.
type Fault = fn(u64) -> Misbehaviour;

enum Misbehaviour {
    Relay,
    Drop,
    Double,
    Skip,
    Hangup,
}

/// A small hop relay: every event comes back as a config with one hop more. It sends an old config first.
async fn relay(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let addr = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, fault));
        }
    });
    addr
}

async fn serve(mut stream: TcpStream, fault: Fault) {
    let (mut input, mut seen) = (Vec::new(), 0);
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        let mut output = Vec::new();
        while let Some(length) = whole(&input) {
            let frame: Vec<_> = input.drain(..length).collect();
            match frame[0] >> 4 {
                1 => output.extend_from_slice(&[0x20, 2, 0, 0]),
                8 => {
                    output.extend_from_slice(&[0x90, 3, frame[2], frame[3], 1]);
                    let old = br#"{"hops":900,"stream":0,"run":0}"#;
                    frames::publish_parts(&mut output, "config", Some(1), [old, b"", b""]);
                }
                3 => {
                    seen += 1;
                    let times = match fault(seen) {
                        Misbehaviour::Relay => [1].as_slice(),
                        Misbehaviour::Drop => &[],
                        Misbehaviour::Double => &[1, 1],
                        Misbehaviour::Skip => &[2],
                        Misbehaviour::Hangup => return,
                    };
                    for more in times {
                        answer(&frame, *more, &mut output);
                    }
                }
                14 => return,
                _ => {}
            }
        }
        if stream.write_all(&output).await.is_err() {
            return;
        }
    }
}

/// The length of the first frame of a client, if it is complete; all are shorter than 16 KiB here.
fn whole(input: &[u8]) -> Option<usize> {
    let low = usize::from(*input.get(1)?);
    let length = if low < 128 { 2 + low } else { 3 + (low & 127) + (usize::from(*input.get(2)?) << 7) };
    (input.len() >= length).then_some(length)
}

fn answer(frame: &[u8], more: u64, output: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(frame);
    let (before, rest) = text.split_once("\"hops\":").expect("hops");
    let (hops, after) = rest.split_once(',').expect("more fields");
    let hops: u64 = hops.parse().expect("a number");
    let record = &before[before.find('{').expect("an object")..];
    let config = format!("{record}\"hops\":{},{after}", hops + more);
    let id = (frame[0] & 0b110 != 0).then_some(9);
    frames::publish_parts(output, "config", id, [config.as_bytes(), b"", b""]);
}

fn plan(addr: SocketAddr, traffic: Traffic, qos: Qos) -> Plan {
    Plan { addr, traffic, connections: 3, window: 4, qos, run: 1, threads: 2, drain: Duration::from_millis(500) }
}

const MOMENT: Duration = Duration::from_millis(100);
/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a plan until this many round trips are done.
async fn reach(plan: &Plan, round_trips: u64) -> LoadResult {
    let load = Load::start(plan).await.expect("started");
    let reached = async {
        load.measure(MOMENT).await;
        while load.completed() < round_trips {
            load.measure(MOMENT).await;
        }
    };
    tokio::time::timeout(LIMIT, reached).await.expect("no more round trips came");
    load.finish().await.expect("finished")
}

/// Runs a plan until messages have moved and then stopped for a while.
async fn exhaust(plan: &Plan) -> LoadResult {
    let load = Load::start(plan).await.expect("started");
    let (mut before, mut idle) = (0, 0);
    while before == 0 || idle < 10 {
        load.measure(MOMENT).await;
        idle = if load.completed() == before { idle + 1 } else { 0 };
        before = load.completed();
    }
    load.finish().await.expect("finished")
}

#[tokio::test]
async fn a_faultless_relay_is_found_faultless() {
    let kinds = [Traffic::Relay, Traffic::AzureRelay];
    for (traffic, qos) in kinds.into_iter().flat_map(|kind| [(kind, Qos::AtMostOnce), (kind, Qos::AtLeastOnce)]) {
        let addr = relay(|_| Misbehaviour::Relay).await;
        let result = reach(&plan(addr, traffic, qos), 2_000).await;
        assert_eq!((result.faults, result.errors.len()), (Faults::default(), 0), "{:?}", result.errors);
        assert!(result.round_trips.percentile(0.5).expect("measured") > Duration::ZERO);
    }
}

#[tokio::test]
async fn every_fault_of_a_relay_is_counted() {
    let connections = 3;
    for (fault, round_trips, each) in [
        (
            (|n| if n == 50 { Misbehaviour::Drop } else { Misbehaviour::Relay }) as Fault,
            2_000,
            Faults { lost: 1, ..Faults::default() },
        ),
        (
            |n| if n == 50 { Misbehaviour::Double } else { Misbehaviour::Relay },
            2_000,
            Faults { duplicated: 1, ..Faults::default() },
        ),
        (
            |n| if n == 50 { Misbehaviour::Skip } else { Misbehaviour::Relay },
            2_000,
            Faults { skipped: 1, ..Faults::default() },
        ),
        (|_| Misbehaviour::Drop, 0, Faults { lost: 4, ..Faults::default() }),
    ] {
        let addr = relay(fault).await;
        let found = reach(&plan(addr, Traffic::Relay, Qos::AtLeastOnce), round_trips).await.faults;
        let expect = [found.lost, found.duplicated, found.skipped].map(|count| count / connections);
        assert_eq!(expect, [each.lost, each.duplicated, each.skipped], "{found:?}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_an_error_and_its_streams_are_lost() {
    let addr = relay(|n| if n == 50 { Misbehaviour::Hangup } else { Misbehaviour::Relay }).await;
    let result = exhaust(&plan(addr, Traffic::Relay, Qos::AtMostOnce)).await;
    assert_eq!((result.faults.lost, result.errors.len()), (12, 3), "{:?}", result.errors);
    assert!(result.errors.iter().all(|error| error.contains("connection")), "{:?}", result.errors);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let addr = listener.local_addr().expect("address");
    drop(listener);
    let error = Load::start(&plan(addr, Traffic::Echo, Qos::AtMostOnce)).await.err().expect("no server");
    assert!(format!("{error:#}").contains("cannot connect _hop-"), "{error:#}");
}

#[tokio::test]
async fn mosquitto_is_measured_and_ended() {
    let found = find_mosquitto(None).await;
    if !switchbox_testing::is_available("mosquitto", found.is_some()) {
        return;
    }
    let (program, _) = found.expect("it is there");
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::mosquitto(&program, folder.path()).await.expect("started");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        let result = reach(&plan(server.mqtt, Traffic::Echo, qos), 1_000).await;
        assert_eq!((result.faults, result.errors.len()), (Faults::default(), 0), "{:?}", result.errors);
    }
    let idle = memory::idle(&server, Traffic::Echo, 50).await.expect("they live");
    assert!(idle.is_none_or(|resident| resident.before_bytes > 0));
    let addr = server.mqtt;
    server.end().await;
    assert!(TcpStream::connect(addr).await.is_err(), "mosquitto still listens");
}

#[test]
fn each_load_is_measured_once_and_one_message_for_each_of_many_connections_too() {
    assert_eq!(super::loads(&[1, 10, 100], 16), [(1, 1), (100, 1), (1, 16), (10, 16), (100, 16)]);
    assert_eq!(super::loads(&[1], 1), [(1, 1)]);
    assert_eq!(super::loads(&[5, 1], 1), [(1, 1), (5, 1)]);
}
