//! Malformed MQTT packets.

use super::{
    Attack, Conn, Login, Row, row,
    wire::{packet, publish, subscribe},
};
use crate::raw::text;

/// A remaining length of 256 MiB, the longest there is.
const LONGEST: [u8; 4] = [0xff, 0xff, 0xff, 0x7f];

pub(super) const ROWS: &[Row] = &[
    row("packets-before-connect", "publishes and subscribes before its CONNECT", |attack| {
        rejected_at_once(attack, &[publish(0x32, "a", 1, &[], b"x"), subscribe(1, ["#"], 0), packet(0xc0, &[])]);
    }),
    row("no-packet-at-all", "begins with packets of no kind, and with noise", |attack| {
        rejected_at_once(attack, &[vec![0, 0], vec![0xf0, 0], super::transport::noise(3_000)]);
    }),
    row("256-mb-connect", "announces a CONNECT of 256 MB and begins to send it", |attack| {
        rejected_at_once(attack, &[[&[0x10][..], &LONGEST, &[0; 9_000]].concat()]);
    }),
    row("256-mb-publish", "announces a PUBLISH of 256 MB and begins to send it", |attack| {
        rejected(attack, &[[&[0x30][..], &LONGEST, &[0; 100_000]].concat()]);
    }),
    row("length-without-end", "sends a remaining length of five bytes", |attack| {
        rejected(attack, &[vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]]);
    }),
    row("wrong-lengths", "lies about every length within a packet", |attack| {
        rejected(
            attack,
            &[
                packet(0x30, &[0xff, 0xff, b'a']),
                packet(0x32, &[0, 1, b'a', 0]),
                packet(0x30, &[0, 1, b'a', 0xff, 0xff, 0xff, 0x7f]),
                packet(0x82, &[0, 1, 0, 0, 200, b'a']),
                packet(0x82, &[0, 1, 0]),
                packet(0xa2, &[0, 1, 0]),
                packet(0x40, &[0]),
                packet(0xc0, &[1, 2, 3]),
                packet(0xe0, &[0, 0x7f, 1]),
            ],
        );
    }),
    row("half-packets", "sends half a PUBLISH on 100 connections and stops", |attack| {
        let half = publish(0x32, "/devices/mallory/events", 1, &[], &[b'x'; 200_000]);
        let mut held: Vec<_> =
            (0..100).map(|n| attack.target.connect_accepted(&attack.target.eve(&format!("half-{n}")))).collect();
        held.iter_mut().for_each(|conn| {
            let _ = conn.send(&half[..100_000]);
        });
        attack.repeat_slowly(|_| ());
    }),
    row("reserved-flags", "sets flags that must not be set", |attack| {
        let subscription = subscribe(1, ["attack/a"], 0);
        let mut flags = vec![publish(0x36, "attack/a", 1, &[], b"x"), publish(0x38, "attack/a", 0, &[], b"x")];
        for first in [0x80, 0x83, 0x8f] {
            flags.push([&[first], &subscription[1..]].concat());
        }
        for first in [0x60, 0x41, 0xc1, 0xe1, 0xa0] {
            flags.push(packet(first, &[0, 1]));
        }
        rejected(attack, &flags);
    }),
    row("second-connect", "sends CONNECT again", |attack| {
        rejected(attack, &[attack.target.mallory().packet()]);
    }),
    row("topics-that-are-no-text", "uses topics and filters that are no UTF-8", |attack| {
        let mut invalid = Vec::new();
        for topic in [&b"attack/\xff\xfe"[..], b"attack/\xc0\xaf", b"attack/\xed\xa0\x80", b"attack/\xf5\x80\x80\x80"] {
            invalid.extend([with_topic(topic), with_filter(topic)]);
        }
        rejected(attack, &invalid);
    }),
    row("topics-with-nul", "uses topics and filters with NUL", |attack| {
        rejected(attack, &[with_topic(b"attack/\0"), with_filter(b"attack/\0/x"), with_topic(b"\0")]);
    }),
    row("topics-beyond-ascii", "uses topics of every alphabet, and of control characters", |attack| {
        let topics = [
            "ünïcödé",
            "ランプ",
            "💡",
            "\u{202e}evil",
            "\u{feff}",
            "a\nb\r",
            "\u{7f}\u{1}",
            "\u{10ffff}",
            "%00",
            "../..",
        ];
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("letters"));
            for topic in topics {
                let topic = format!("attack/{topic}");
                eve.send(&subscribe(1, [&*topic], 0));
                eve.send(&publish(0x30, &topic, 0, &[], b"x"));
            }
            eve.send(&packet(0xc0, &[]));
            let _ = eve.read_available();
        }
    }),
    row("deep-topics", "publishes and subscribes with 30,000 levels", |attack| {
        let deep = format!("attack/{}", "a/".repeat(30_000));
        while attack.continues() {
            for bytes in [
                publish(0x32, &deep, 1, &[], b"x"),
                subscribe(1, [&*deep], 1),
                subscribe(1, [&*deep.replace('a', "+")], 1),
            ] {
                let mut eve = attack.target.connect_accepted(&attack.target.eve("deep"));
                eve.send(&bytes);
                let _ = eve.packet();
            }
        }
    }),
    row("odd-client-ids", "logs in with every special character in its id", |attack| {
        let long = "x".repeat(65_000);
        let odd = [
            "",
            " ",
            "/",
            "//",
            "+",
            "#",
            "$SYS",
            "%",
            "%2e%2e",
            "..",
            "../../etc/passwd",
            "a\\b",
            "a'b",
            "a\"b",
            "a;b",
            "a|b",
            "<script>",
            "{{7*7}}",
            "${jndi:ldap://x}",
            "a\nFORGED line",
            "a\r\n\x1b[2J",
            "ランプ",
            "💡",
            "\u{202e}",
            "_auto-1",
            "projects/local/locations/local/registries/default/devices/",
            "default/healthy/x",
            "healthy/",
            "/healthy",
            "healthy#",
            "serviceAccounts/eve",
            &*long,
        ];
        while attack.continues() {
            for id in odd {
                attack.target.refuses(&Login { id: id.to_owned(), ..attack.target.mallory() }, &format!("as {id:?}"));
            }
        }
        let log = std::fs::read_to_string(&attack.target.log).expect("no log");
        assert!(!log.lines().any(|line| line.starts_with("FORGED")), "a client wrote a line of the log");
    }),
    row("huge-user-properties", "sends user properties up to the packet's limit", |attack| {
        let property = [&[0x26][..], &text("n"), &text(&"v".repeat(100))].concat();
        let many = property.repeat(500);
        let endless = property.repeat(4_000);
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("properties"));
            for _ in 0..20 {
                eve.send(&publish(0x30, "attack/properties", 0, &many, b"x"));
            }
            eve.send(&publish(0x30, "attack/properties", 0, &endless, b"x"));
            let _ = eve.read_to_end();
            let login = Login { properties: many.clone(), ..attack.target.eve("properties") };
            attack.target.refuses(&login, "with a CONNECT of 50 kB");
        }
    }),
];

fn with_topic(topic: &[u8]) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes();
    packet(0x30, &[&length[..], topic, &[0], b"x"].concat())
}

fn with_filter(filter: &[u8]) -> Vec<u8> {
    let length = u16::try_from(filter.len()).unwrap_or(u16::MAX).to_be_bytes();
    packet(0x82, &[&[0, 1, 0][..], &length, filter, &[0]].concat())
}

/// Each packet ends the connection of a client that was accepted.
fn rejected(attack: &Attack, all: &[Vec<u8>]) {
    while attack.continues() {
        for bytes in all {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("malformed"));
            eve.send(bytes);
            let _ = eve.read_to_end();
        }
    }
}

/// Each packet ends the connection of a client that has sent nothing before.
fn rejected_at_once(attack: &Attack, all: &[Vec<u8>]) {
    while attack.continues() {
        for bytes in all {
            let mut conn = Conn::open(attack.target.mqtt).expect("no connection");
            conn.send(bytes);
            assert_ne!(conn.read_to_end().first(), Some(&0x20), "an answer to {:?}", &bytes[..bytes.len().min(8)]);
        }
    }
}
