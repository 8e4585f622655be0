//! Attacks below MQTT: TCP and TLS.

use super::{Conn, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("tls-silence", "opens 300 TLS connections and says nothing", |attack| {
        let _held = attack.open(attack.target.mqtts, 300, b"");
        attack.repeat_slowly(|_| ());
    }),
    row("tls-slow-handshake", "sends a ClientHello byte by byte on 100 connections", |attack| {
        let mut slow = attack.open(attack.target.mqtts, 100, b"");
        attack.repeat_slowly(|at| {
            slow.iter_mut().for_each(|conn| {
                let _ = conn.send(&HELLO[at % HELLO.len()..][..1]);
            })
        });
    }),
    row("tls-garbage", "sends random bytes for a handshake", |attack| {
        while attack.continues() {
            let mut conns = attack.open(attack.target.mqtts, 50, &noise(4_000));
            conns.iter_mut().for_each(|conn| drop(conn.read_to_end()));
        }
    }),
    row("tls-huge-record", "announces TLS records longer than there may be", |attack| {
        while attack.continues() {
            let record = [&[22, 3, 1, 0xff, 0xff][..], &[1; 60_000]].concat();
            let mut conns = attack.open(attack.target.mqtts, 20, &record);
            conns.iter_mut().for_each(|conn| drop(conn.read_to_end()));
        }
    }),
    row("tls-handshake-storm", "begins handshakes and leaves when the host has signed", |attack| {
        while attack.continues() {
            let mut conns = attack.open(attack.target.mqtts, 20, HELLO);
            for conn in &mut conns {
                let answer = conn.read_available();
                assert!(answer.is_empty() || matches!(answer[0], 21 | 22), "no TLS: {answer:?}");
            }
        }
    }),
    row("plain-on-tls", "speaks plain MQTT where TLS is spoken", |attack| {
        while attack.continues() {
            let mut conns = attack.open(attack.target.mqtts, 20, &attack.target.mallory().packet());
            for conn in &mut conns {
                assert_ne!(conn.read_to_end().first(), Some(&0x20), "accepted without TLS");
            }
        }
    }),
    row("http-on-mqtt", "speaks HTTP to the MQTT port", |attack| {
        while attack.continues() {
            let mut conns = attack.open(attack.target.mqtt, 20, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            conns.iter_mut().for_each(|conn| drop(conn.read_to_end()));
        }
    }),
    row("connection-flood", "connects and leaves as fast as it can, from one address", |attack| {
        while attack.continues() {
            for _ in 0..200 {
                let _ = Conn::open(attack.target.mqtt);
            }
        }
    }),
    row("connections-without-connect", "opens 500 connections and never sends a CONNECT", |attack| {
        let _held = attack.open(attack.target.mqtt, 500, b"");
        attack.repeat_slowly(|_| ());
    }),
    row("descriptors-taken", "opens 1,099 connections and says nothing, more than 1,024 descriptors", |attack| {
        crate::more_descriptors();
        let _held = attack.open(attack.target.mqtt, 1_099, b"");
        attack.repeat_slowly(|_| ());
    })
    .asserts("the same with 1,024 descriptors is in `tests/it/upkeep.rs`"),
    row("half-connect", "sends half a CONNECT on 200 connections and stops", |attack| {
        let connect = attack.target.mallory().packet();
        let _held = attack.open(attack.target.mqtt, 200, &connect[..connect.len() / 2]);
        attack.repeat_slowly(|_| ());
    }),
    row("connect-byte-by-byte", "sends CONNECT one byte at a time on 50 connections", |attack| {
        let connect = attack.target.mallory().packet();
        let mut slow = attack.open(attack.target.mqtt, 50, b"");
        attack.repeat_slowly(|at| {
            if let Some(byte) = connect.get(at..=at) {
                slow.iter_mut().for_each(|conn| {
                    let _ = conn.send(byte);
                });
            }
        });
    }),
];

/// Pseudo-random bytes, the same in each run.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    next.take(length).collect()
}

/// A minimal ClientHello of TLS 1.2: one suite, one curve, one signature algorithm.
#[rustfmt::skip]
const HELLO: &[u8] = &[
    22, 3, 1, 0, 82,
    1, 0, 0, 78, 3, 3,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
    0,
    0, 2, 0xc0, 0x2b,
    1, 0,
    0, 35,
    0, 10, 0, 4, 0, 2, 0, 0x17,
    0, 11, 0, 2, 1, 0,
    0, 13, 0, 4, 0, 2, 4, 3,
    0, 23, 0, 0,
    0xff, 1, 0, 1, 0,
    0, 35, 0, 0,
];
