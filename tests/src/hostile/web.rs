//! Attacks with MQTT over WebSocket, in frames of unusual sizes.

use super::{Attack, Conn, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("websocket-bytes", "sends CONNECT in WebSocket frames of one byte", |attack| {
        let connect = attack.target.mallory().packet();
        let frames: Vec<u8> = connect.iter().flat_map(|byte| frame(0x82, &[*byte])).collect();
        while attack.continues() {
            let mut conn = upgraded(attack);
            conn.send(&frames);
            let (first, _) = conn.packet().expect("no answer");
            assert_eq!(first, 0x82, "no CONNACK");
        }
    }),
    row("websocket-half-open", "sends half of an upgrade request on 200 connections and stops", |attack| {
        let _held = attack.open(attack.target.ws, 200, &UPGRADE.as_bytes()[..60]);
        attack.repeat_slowly(|_| ());
    }),
    row("websocket-header-bomb", "sends headers without end", |attack| {
        while attack.continues() {
            let mut conn = Conn::open(attack.target.ws).expect("no connection");
            conn.send(b"GET /mqtt HTTP/1.1\r\n");
            for n in 0..5_000 {
                if !conn.send(format!("x-{n}: {}\r\n", "y".repeat(100)).as_bytes()) {
                    break;
                }
            }
            let _ = conn.read_to_end();
        }
    }),
    row("websocket-huge-frame", "announces frames of 2⁶³ bytes and of 1 GB", |attack| {
        let longest = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat();
        let gigabyte = [&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0][..], &[0; 4], &[0; 20_000]].concat();
        ended_by(attack, &[longest, gigabyte]);
    }),
    row("websocket-endless-message", "sends a message in fragments that never ends", |attack| {
        let fragments = [frame(0x02, b"\x10"), frame(0x00, &[b'x'; 100]).repeat(1_000)].concat();
        ended_by(attack, &[fragments]);
    }),
    row(
        "websocket-endless-packets",
        "sends one message without end that is made of good packets, and reads no answer",
        |attack| {
            let ping = frame(0x00, &[0xc0, 0].repeat(60));
            while attack.continues() {
                let mut conn = upgraded(attack);
                let connect = attack.target.mallory().packet();
                let (one, other) = connect.split_at(100.min(connect.len()));
                conn.send(&[frame(0x02, one), pieces(other)].concat());
                for _ in 0..2_000 {
                    if !attack.continues() || !conn.send(&ping.repeat(20)) {
                        break;
                    }
                }
            }
        },
    ),
    row(
        "websocket-endless-packets-before-connect",
        "sends one message without end of packets, and CONNECT is not among them",
        |attack| {
            let endless = [frame(0x02, &[0xc0, 0]), frame(0x00, &[0xc0, 0].repeat(60)).repeat(1_000)].concat();
            let empty = [frame(0x02, &[]), frame(0x00, &[]).repeat(20_000), frame(0x00, &[0xc0, 0])].concat();
            ended_by(attack, &[endless, empty]);
        },
    ),
    row("websocket-wrong-frames", "sends text, reserved bits, unmasked frames, long pings", |attack| {
        let wrong =
            [frame(0x81, b"hello"), frame(0xf2, b"x"), vec![0x82, 1, 0x10], frame(0x89, &[0; 126]), frame(0x80, b"x")];
        ended_by(attack, &wrong);
    }),
    row("websocket-ping-flood", "sends pings and reads no pong", |attack| {
        let burst = frame(0x89, b"ping").repeat(2_000);
        while attack.continues() {
            let mut conn = upgraded(attack);
            for _ in 0..20 {
                conn.send(&burst);
            }
        }
    }),
];

const UPGRADE: &str = "GET /mqtt HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: mqtt\r\n\r\n";

/// A frame with a mask of zeros, which is valid.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("too long a frame");
    let length = if length < 126 { vec![0x80 | length] } else { vec![0xfe, 0, length] };
    [&[first], &length[..], &[0; 4], payload].concat()
}

/// The bytes in continuation frames.
fn pieces(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(120).flat_map(|piece| frame(0x00, piece)).collect()
}

fn upgraded(attack: &Attack) -> Conn {
    let mut conn = Conn::open(attack.target.ws).expect("no connection");
    conn.send(UPGRADE.as_bytes());
    conn.skip_headers();
    conn
}

fn ended_by(attack: &Attack, all: &[Vec<u8>]) {
    while attack.continues() {
        for bytes in all {
            let mut conn = upgraded(attack);
            conn.send(bytes);
            let _ = conn.read_to_end();
        }
    }
}
