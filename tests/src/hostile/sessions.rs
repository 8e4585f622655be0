//! Valid MQTT that abuses sessions, packet identifiers, subscriptions and wills.

use super::{
    Conn, Login, Row, row,
    wire::{packet, publish, subscribe},
};

pub(super) const ROWS: &[Row] = &[
    row("takeover-storm", "takes its own session over from four sides, without end", |attack| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while attack.continues() {
                        let _ = attack.target.try_connect(&attack.target.mallory());
                    }
                });
            }
        });
    }),
    row(
        "gateway-storm",
        "attaches and speaks for devices that are not its own, and never reads its errors",
        |attack| {
            // A valid token of another device.
            let token = format!(r#"{{"authorization": "{}"}}"#, attack.target.device_token);
            while attack.continues() {
                let mut oscar = attack.target.connect_accepted(&attack.target.oscar());
                oscar.send(&subscribe(1, ["/devices/oscar/errors"], 0));
                let _ = oscar.packet();
                for id in 1..=200 {
                    for (topic, payload) in [
                        ("/devices/mallory/attach", &*token),
                        ("/devices/healthy/attach", &token),
                        ("/devices/healthy/attach", "{{{{"),
                        ("/devices/healthy/events", "x"),
                        ("/devices/healthy/detach", ""),
                        ("/devices//attach", ""),
                        ("/devices/mallory/detach", ""),
                    ] {
                        oscar.send(&publish(0x32, topic, id, &[], payload.as_bytes()));
                    }
                    oscar.send(&subscribe(id, ["/devices/healthy/config", "/devices/+/commands/#"], 1));
                }
                let _ = oscar.read_available();
            }
        },
    ),
    row("session-hoard", "leaves sessions behind that are to be kept forever", |attack| {
        let mut number = 0;
        while attack.continues() {
            for _ in 0..20 {
                number = (number + 1) % 2_000;
                let kept =
                    Login { properties: FOR_EVER.into(), clean: false, ..attack.target.eve(&format!("kept-{number}")) };
                if let Some(mut conn) = attack.target.try_connect(&kept) {
                    conn.send(&subscribe(1, ["attack/kept"], 1));
                    let _ = conn.packet();
                }
            }
        }
    }),
    row("queue-of-the-absent", "lets the queue of an offline session be filled", |attack| {
        let away = Login { properties: FOR_EVER.into(), clean: false, ..attack.target.eve("absent") };
        let mut conn = attack.target.connect_accepted(&away);
        conn.send(&subscribe(1, ["attack/absent"], 1));
        let _ = conn.packet();
        drop(conn);
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("filler"));
            for id in 1..=200 {
                eve.send(&publish(0x32, "attack/absent", id, &[], &[b'x'; 20_000]));
            }
            for _ in 1..=200 {
                let _ = eve.packet();
            }
        }
    }),
    row("qos-2-never-released", "opens exchanges of QoS 2 and never ends them", |attack| {
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("unreleased"));
            for id in 1..=2_000 {
                eve.send(&publish(0x34, "attack/qos2", id, &[], b"x"));
            }
            for id in 1..=100 {
                eve.send(&publish(0x3c, "attack/qos2", id, &[], b"again"));
            }
            let _ = eve.read_available();
        }
    }),
    row("acknowledgements-for-nothing", "acknowledges packets that were never sent", |attack| {
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("acks"));
            for id in 1..=2_000_u16 {
                for first in [0x40, 0x50, 0x62, 0x70] {
                    eve.send(&packet(first, &id.to_be_bytes()));
                }
            }
            let _ = eve.read_available();
        }
    }),
    row("receive-maximum-abuse", "allows no message under way, and sends more than it may", |attack| {
        while attack.continues() {
            let none = Login { properties: vec![0x21, 0, 0], ..attack.target.eve("window") };
            attack.target.refuses(&none, "with a receive maximum of 0");
            let one = Login { properties: vec![0x21, 0, 1], ..attack.target.eve("window") };
            let mut eve = attack.target.connect_accepted(&one);
            eve.send(&subscribe(1, ["attack/window"], 1));
            for id in 1..=3_000 {
                eve.send(&publish(0x32, "attack/window", id, &[], b"x"));
            }
            let _ = eve.read_available();
        }
    }),
    row("acknowledges-nothing", "fills its own queue, takes nothing out of it, and publishes on", |attack| {
        let mut deaf = attack.target.connect_accepted(&attack.target.eve("deaf"));
        deaf.send(&subscribe(1, ["attack/deaf"], 1));
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("loud"));
            for id in 1..=500 {
                eve.send(&publish(0x32, "attack/deaf", id, &[], b"x"));
            }
            let _ = eve.read_available();
            // Keeps the connection alive.
            deaf.send(&[0xc0, 0]);
        }
    }),
    row("10,000-filters", "subscribes 10,000 filters in one packet", |attack| {
        let filters: Vec<_> = (0..10_000).map(|n| format!("attack/f/{n}/+/#")).collect();
        let bomb = subscribe(1, filters.iter().map(String::as_str), 1);
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("filters"));
            eve.send(&bomb);
            let _ = eve.packet();
        }
    }),
    row(
        "long-filters-left-behind",
        "subscribes filters of 60 kB, and deep ones, in session after session that it leaves",
        |attack| {
            let long: Vec<_> = (0..4).map(|n| format!("attack/{n}/{}", "x".repeat(60_000))).collect();
            let deep: Vec<_> = (0..1_000).map(|n| format!("attack/{n}{}", "/+".repeat(120))).collect();
            let bombs = [long, deep].map(|filters| subscribe(1, filters.iter().map(String::as_str), 1));
            let mut number = 0;
            while attack.continues() {
                for _ in 0..40 {
                    number = (number + 1) % 1_000;
                    let id = format!("hoarder-{number}");
                    let kept = Login { properties: FOR_EVER.into(), clean: false, ..attack.target.eve(&id) };
                    if let Some(mut conn) = attack.target.try_connect(&kept) {
                        conn.send(&bombs[number % 2]);
                        let _ = conn.packet();
                    }
                }
            }
        },
    ),
    row("subscription-churn", "subscribes and unsubscribes without end", |attack| {
        let mut eve = attack.target.connect_accepted(&attack.target.eve("churn"));
        while attack.continues() {
            for n in 0..100 {
                let filter = format!("attack/churn/{n}/#");
                eve.send(&subscribe(1, [&*filter], 1));
                eve.send(&packet(0xa2, &[&[0, 2, 0][..], &crate::raw::text(&filter)].concat()));
            }
            let _ = eve.read_available();
        }
    }),
    row("overlapping-wildcards", "subscribes 500 filters that all match, and publishes", |attack| {
        let filters: Vec<_> = (0..500_u32).map(pattern).collect();
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("overlap"));
            eve.send(&subscribe(1, filters.iter().map(String::as_str), 0));
            let _ = eve.packet();
            for _ in 0..50 {
                eve.send(&publish(0x30, "attack/a/a/a/a/a/a/a/a/a", 0, &[], b"x"));
            }
            let _ = eve.read_available();
        }
    }),
    row("shared-subscription-bomb", "makes 900 shared subscriptions, joins and leaves", |attack| {
        let filters: Vec<_> = (0..900).map(|n| format!("$share/group-{n}/attack/shared")).collect();
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("sharer"));
            eve.send(&subscribe(1, filters.iter().map(String::as_str), 1));
            let _ = eve.packet();
            for id in 1..=5 {
                eve.send(&publish(0x32, "attack/shared", id, &[], b"x"));
            }
            let _ = eve.read_available();
        }
    }),
    row("alias-abuse", "uses topic aliases that are 0, too large, never set, or set anew each time", |attack| {
        while attack.continues() {
            for alias in [0, 33, 65_535, 7] {
                let mut eve = attack.target.connect_accepted(&attack.target.eve("alias"));
                eve.send(&publish(0x30, "", 0, &with_alias(alias), b"x"));
                let _ = eve.read_to_end();
            }
            let mut eve = attack.target.connect_accepted(&attack.target.eve("alias"));
            for n in 0..500 {
                eve.send(&publish(0x30, &format!("attack/alias/{n}"), 0, &with_alias(1 + n % 32), b"x"));
            }
            let _ = eve.read_available();
        }
    }),
    row("will-loop", "leaves wills to itself, and comes back to get them", |attack| {
        let will = ("attack/will".to_owned(), "x".repeat(4_000), true);
        let kept = Login { will: Some(will), properties: FOR_EVER.into(), clean: false, ..attack.target.eve("will") };
        while attack.continues() {
            if let Some(mut conn) = attack.target.try_connect(&kept) {
                conn.send(&subscribe(1, ["attack/will"], 1));
                let _ = conn.packet();
            }
        }
    }),
    row("wills-elsewhere", "leaves wills on topics that are not its own", |attack| {
        while attack.continues() {
            for topic in [
                "/devices/healthy/events",
                "/devices/healthy/config",
                "$SYS/x",
                "registries/default/devices/healthy/state",
            ] {
                let will = Some((topic.to_owned(), "x".to_owned(), true));
                attack.target.refuses(&Login { will, ..attack.target.mallory() }, "with another's will");
            }
        }
    }),
    row("others-topics", "publishes and subscribes what belongs to the other device", |attack| {
        while attack.continues() {
            let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
            let filters = [
                "/devices/healthy/config",
                "/devices/healthy/commands/#",
                "#",
                "+/+/+/#",
                "$share/x/#",
                "registries/#",
            ];
            mallory.send(&subscribe(1, filters, 1));
            let suback = mallory.packet_of(9).expect("no SUBACK");
            let codes = &suback[suback.len() - filters.len()..];
            assert!(codes.iter().all(|code| *code >= 0x80), "subscribed: {suback:?}");
            for topic in ["/devices/healthy/events", "/devices/healthy/config", "attack/x"] {
                mallory.send(&publish(0x32, topic, 1, &[], b"x"));
                let puback = mallory.packet_of(4).expect("no PUBACK");
                assert!(puback.get(2).is_some_and(|code| *code >= 0x80), "published: {puback:?}");
            }
        }
    }),
    row("keep-alive-abuse", "keeps 100 connections alive by a byte now and then", |attack| {
        let unhurried = |n| Login { keep_alive_secs: 65_535, ..attack.target.eve(&format!("unhurried-{n}")) };
        let mut held: Vec<Conn> = (0..100).map(|n| attack.target.connect_accepted(&unhurried(n))).collect();
        let half = publish(0x30, "attack/x", 0, &[], &[b'x'; 100]);
        attack.repeat_slowly(|at| {
            if let Some(byte) = half.get(at..=at).filter(|_| at < 60) {
                held.iter_mut().for_each(|conn| {
                    let _ = conn.send(byte);
                });
            }
        });
    }),
];

/// A session expiry of 2³² − 1 s.
const FOR_EVER: [u8; 5] = [0x11, 0xff, 0xff, 0xff, 0xff];

fn with_alias(alias: u16) -> Vec<u8> {
    [&[0x23][..], &alias.to_be_bytes()].concat()
}

/// `a` or `+` for each level of `attack/a/…`.
fn pattern(number: u32) -> String {
    let levels = (0..9).map(|level| if number >> level & 1 == 0 { "/a" } else { "/+" });
    std::iter::once("attack").chain(levels).collect()
}
