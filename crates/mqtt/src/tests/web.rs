//! MQTT over WebSocket: messages that hold many packets, upgrades that are wrong, and how the host takes leave.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use tungstenite::{Message, WebSocket, protocol::CloseFrame};

use super::{
    listeners::{beside, open, read_bytes, tcp, web},
    raw::{ack, connect_v4, connect_v5, publish},
    *,
};
use switchbox_model::limits;

const CONNACK: [u8; 4] = [0x20, 2, 0, 0];
const EVENTS: &str = "/devices/lamp-1/events";

async fn server(options: Options) -> TestServer {
    TestServer::start_at(web(), options).await
}

/// A browser's client writes all that its program sent in one go as one message.
#[tokio::test]
async fn one_message_holds_any_number_of_packets_before_connect_and_after() {
    const COUNT: u16 = 2_000;
    let server = server(Options::default()).await;
    let addr = server.addr;
    let event = |id: u16| publish(0x32, EVENTS, id, None, &"x".repeat(400));
    let events: Vec<u8> = (1..=COUNT).flat_map(event).collect();
    let packet = limits::TELEMETRY_BYTES + limits::PACKET_OVERHEAD_BYTES;
    assert!(events.len() > 2 * packet, "larger than a packet may be");
    for with_connect in [true, false] {
        let events = events.clone();
        beside(move || {
            let mut socket = open(tcp(addr), addr);
            let connect = connect_v4("lamp-1", 2, 60);
            let mut answers = Vec::new();
            if with_connect {
                socket.send(Message::Binary([connect, events].concat().into())).unwrap();
            } else {
                socket.send(Message::Binary(connect.into())).unwrap();
                answers = read_bytes(&mut socket, 4);
                socket.send(Message::Binary(events.into())).unwrap();
            }
            let acks: Vec<u8> = (1..=COUNT).flat_map(|id| ack(0x40, id)).collect();
            let expect = [&CONNACK[..], &acks].concat();
            answers.extend(read_bytes(&mut socket, expect.len() - answers.len()));
            assert!(answers == expect);
        })
        .await;
    }
    assert_eq!(server.events.payloads().len(), 2 * usize::from(COUNT));
}

/// Masked with nothing, which is a mask, too.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length][..], &[0; 4], payload].concat()
}

#[tokio::test]
async fn packets_of_a_message_without_end_are_answered_as_they_come() {
    let server = server(Options::default()).await;
    let addr = server.addr;
    beside(move || {
        let mut socket = open(tcp(addr), addr);
        let tcp = socket.get_mut();
        tcp.write_all(&frame(0x02, &connect_v4("lamp-1", 2, 60))).unwrap();
        assert_eq!(read_bytes(&mut socket, 4), CONNACK);
        for id in 1..=50 {
            let event = publish(0x32, EVENTS, id, None, "x");
            let (one, other) = event.split_at(usize::from(id) % event.len());
            socket.get_mut().write_all(&[frame(0, one), frame(0x89, b"?"), frame(0, other)].concat()).unwrap();
            assert_eq!(read_bytes(&mut socket, 4), ack(0x40, id));
        }
    })
    .await;
}

#[tokio::test]
async fn a_packet_over_the_limit_is_refused_however_its_message_is_cut() {
    let server = server(Options::default()).await;
    let addr = server.addr;
    let large = publish(0x32, EVENTS, 2, None, &"x".repeat(380_000));
    for size in [1_000, large.len()] {
        let large = large.clone();
        let close = beside(move || {
            let mut socket = open(tcp(addr), addr);
            let event = publish(0x32, EVENTS, 1, None, "kept");
            socket.send(Message::Binary([connect_v4("lamp-1", 2, 60), event].concat().into())).unwrap();
            assert_eq!(read_bytes(&mut socket, 8), [&CONNACK[..], &ack(0x40, 1)].concat());
            for piece in large.chunks(size) {
                // It may be closed while this is still being written.
                if socket.send(Message::Binary(piece.to_vec().into())).is_err() {
                    break;
                }
            }
            last(&mut socket)
        })
        .await;
        assert_eq!(close.unwrap().code, 1009.into(), "{size}");
    }
    assert_eq!(server.limit_hits("packet_bytes"), 2);
}

/// The host's close frame, if one comes before the connection ends.
fn last(socket: &mut WebSocket<TcpStream>) -> Option<CloseFrame> {
    loop {
        match socket.read() {
            Ok(Message::Close(close)) => return close,
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// Upgrades, sends this and returns the close frame that results.
fn closed_after(addr: SocketAddr, bytes: Vec<u8>) -> impl FnOnce() -> Option<CloseFrame> {
    move || {
        let mut socket = open(tcp(addr), addr);
        socket.get_mut().write_all(&bytes).unwrap();
        last(&mut socket)
    }
}

#[tokio::test]
async fn whatever_the_host_ends_it_says_so_with_a_close_frame() {
    let short = Duration::from_millis(50);
    let server = server(Options { connect_deadline: short * 10, packet_deadline: short, ..Options::default() }).await;
    server.register_blocked().await;
    let hello = frame(0x82, &connect_v4("lamp-1", 2, 60));
    let after = |more: &[u8]| [&hello[..], more].concat();
    for (name, bytes, code) in [
        ("text", frame(0x81, b"hello"), 1003),
        ("text later", after(&frame(0x81, b"hello")), 1003),
        ("no mask", vec![0x82, 1, 0x10], 1002),
        ("no CONNECT", frame(0x82, &[0x30, 0]), 1002),
        ("a CONNECT that is too large", frame(0x82, &[0x10, 0xff, 0xff, 0x7f]), 1009),
        ("no CONNECT in time", frame(0x02, &[0x10]), 1008),
        ("refused", frame(0x82, &connect_v4("blocked", 2, 60)), 1008),
        ("refused, MQTT 5", frame(0x82, &connect_v5("blocked", 2, &[])), 1008),
        ("no packet", after(&frame(0x82, &[0, 0])), 1002),
        ("a topic that is not its own", after(&frame(0x82, &publish(0x32, "registries/x", 1, None, ""))), 1008),
        ("half a packet", after(&frame(0x82, &[0x30, 9, 0])), 1008),
        ("half a frame", after(&frame(0x82, &[0xc0, 0, 0xc0])[..8]), 1008),
        ("DISCONNECT", after(&frame(0x82, &[0xe0, 0])), 1000),
    ] {
        let close = beside(closed_after(server.addr, bytes)).await;
        assert_eq!(close.map(|close| u16::from(close.code)), Some(code), "{name}");
    }
    let reasons =
        ["wrong packet", "packet_deadline"].map(|reason| server.metrics.closed.get_or_create(&Reason { reason }).get());
    assert_eq!(reasons, [3, 2]);
    assert_eq!((server.limit_hits("connect_deadline"), server.limit_hits("connect_packet_bytes")), (1, 1));
}

#[tokio::test]
async fn a_client_gets_a_close_frame_at_a_takeover_and_when_the_host_stops() {
    let mut server = server(Options::default()).await;
    let (addr, hello) = (server.addr, connect_v4("lamp-1", 2, 60));
    let connect = move || {
        let mut socket = open(tcp(addr), addr);
        socket.send(Message::Binary(hello.clone().into())).unwrap();
        assert_eq!(read_bytes(&mut socket, 4), CONNACK);
        socket
    };
    let mut first = beside(connect.clone()).await;
    let mut second = beside(connect).await;
    let mut silent = beside(move || open(tcp(addr), addr)).await;
    assert_eq!(beside(move || last(&mut first)).await.unwrap().code, 1008.into());
    server.shutdown.cancel();
    assert_eq!(beside(move || last(&mut second)).await.unwrap().code, 1001.into());
    assert_eq!(beside(move || last(&mut silent)).await.unwrap().code, 1001.into());
    server.service.take();
}

#[tokio::test]
async fn a_close_frame_and_a_ping_are_answered() {
    let server = server(Options::default()).await;
    let (addr, hello) = (server.addr, frame(0x82, &connect_v4("lamp-1", 2, 60)));
    let pings = [frame(0x89, b"one"), frame(0x89, b"two")].concat();
    beside(move || {
        let mut socket = open(tcp(addr), addr);
        socket.get_mut().write_all(&[hello, pings].concat()).unwrap();
        let mut pong = None;
        while pong.is_none() {
            if let Message::Pong(payload) = socket.read().unwrap() {
                pong = Some(payload);
            }
        }
        // Of many pings the newest is to be answered (RFC 6455, section 5.5.3).
        assert!([&b"one"[..], b"two"].contains(&&pong.unwrap()[..]));
        socket.close(Some(CloseFrame { code: 4000.into(), reason: "bye".into() })).unwrap();
        assert_eq!(last(&mut socket).unwrap().code, 4000.into());
    })
    .await;
    until("it is gone", || server.metrics.connections.get() == 0).await;
}

/// What each wrong upgrade gets is a table in `web/upgrade.rs`.
#[tokio::test]
async fn what_is_no_upgrade_gets_an_http_answer_to_its_end() {
    let server = server(Options { connect_deadline: Duration::from_secs(2), ..Options::default() }).await;
    let addr = server.addr;
    let with = |more: &str| {
        format!(
            "GET /mqtt HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        )
    };
    for (request, status, says) in [
        (with("sec-websocket-protocol: foo\r\nsec-websocket-protocol: mqtt\r\n"), "101", "mqtt"),
        (with(""), "400", "the WebSocket subprotocol must be mqtt"),
        (with(&format!("sec-websocket-protocol: {}\r\n", "x".repeat(10_000))), "400", "the client offers xxx"),
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n".into(), "426", "MQTT over WebSocket is served here"),
        (format!("GET / HTTP/1.1\r\n{}", "x: y\r\n".repeat(20_000)), "431", "100 lines"),
        (format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(100_000)), "431", "16384 bytes"),
    ] {
        let answer = beside(move || {
            let mut tcp = tcp(addr);
            // It may be closed while this is still being written.
            let _ = tcp.write_all(request.as_bytes());
            let _ = tcp.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = tcp.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        })
        .await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(says), "{answer}");
        assert!(answer.len() < 1_000, "it repeats what the client sent: {answer}");
    }
    // Counted when the connection has ended, which the client may see a moment earlier.
    until("each is counted", || server.refused("handshake") == 5).await;
    assert_eq!(server.metrics.limit_hits(limits::names::UPGRADE_BYTES), 2);
}
