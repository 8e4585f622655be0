//! Floods of permitted requests.

use std::fs;

use super::{
    Row, row,
    wire::{packet, publish, subscribe},
};

const EVENTS: &str = "/devices/mallory/events";
static LARGE: [u8; 200_000] = [b'x'; 200_000];

pub(super) const ROWS: &[Row] = &[
    row("telemetry-flood-qos-0", "publishes telemetry of QoS 0 as fast as it can", |attack| {
        let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
        let burst = publish(0x30, EVENTS, 0, &[], &[b'x'; 100]).repeat(500);
        while attack.continues() {
            mallory.send(&burst);
        }
    }),
    row("telemetry-flood-qos-1", "publishes telemetry of QoS 1 as fast as it can and reads what it must", |attack| {
        let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
        let burst: Vec<u8> = (1..=500).flat_map(|id| publish(0x32, EVENTS, id, &[], &[b'x'; 100])).collect();
        while attack.continues() {
            mallory.send(&burst);
            for _ in 0..500 {
                let _ = mallory.packet();
            }
        }
    }),
    row("rejected-events", "publishes telemetry that a plugin rejects as fast as it can", |attack| {
        let lines =
            || fs::read_to_string(&attack.target.log).map_or(0, |log| log.matches("becomes a dead letter").count());
        let before = lines();
        let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
        let burst = publish(0x30, "/devices/mallory/events/rejected", 0, &[], &[b'x'; 100]).repeat(500);
        while attack.continues() {
            mallory.send(&burst);
        }
        let more = lines() - before;
        assert!(more <= 40, "{more} lines of the log");
    })
    .asserts("at most 40 lines of the log"),
    row("large-telemetry-flood", "publishes telemetry of 200 kB without reading the acknowledgements", |attack| {
        while attack.continues() {
            let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
            for id in 1..=100 {
                mallory.send(&publish(0x32, EVENTS, id, &[], &LARGE));
            }
        }
    }),
    row("oversized-publish", "publishes more than 256 KiB, and more than a packet may have", |attack| {
        while attack.continues() {
            for size in [270_000, 400_000] {
                let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
                mallory.send(&publish(0x32, EVENTS, 1, &[], &vec![b'x'; size]));
                let answer = mallory.packet().unwrap_or((0xe0, vec![0]));
                assert!(answer.0 != 0x40 || answer.1.get(2).is_some_and(|code| *code >= 0x80), "taken: {answer:?}");
            }
        }
    }),
    row("never-reading", "subscribes to its own flood of 100 kB messages and never reads", |attack| {
        let mut eves: Vec<_> =
            (0..10).map(|n| attack.target.connect_accepted(&attack.target.eve(&format!("deaf-{n}")))).collect();
        eves.iter_mut().for_each(|eve| {
            let _ = eve.send(&subscribe(1, ["attack/deaf"], 1));
        });
        let mut speaker = attack.target.connect_accepted(&attack.target.eve("speaker"));
        while attack.continues() {
            for _ in 0..10 {
                speaker.send(&publish(0x30, "attack/deaf", 0, &[], &LARGE[..100_000]));
            }
        }
    }),
    row("deaf-pings", "sends PINGREQ without end and never reads the answers", |attack| {
        let mut eve = attack.target.connect_accepted(&attack.target.eve("pings"));
        let burst = packet(0xc0, &[]).repeat(10_000);
        while attack.continues() {
            eve.send(&burst);
        }
    }),
    row("tiny-packets", "publishes empty messages, a segment each", |attack| {
        let mut eve = attack.target.connect_accepted(&attack.target.eve("tiny"));
        while attack.continues() {
            for _ in 0..500 {
                eve.send(&publish(0x30, "attack/t", 0, &[], b""));
            }
        }
    }),
    row("retained-flood", "retains more messages than there may be", |attack| {
        let mut number = 0;
        let mut eve = attack.target.connect_accepted(&attack.target.eve("retainer"));
        while attack.continues() {
            for _ in 0..500 {
                number += 1;
                eve.send(&publish(0x31, &format!("attack/retained/{number}"), 0, &[], &[b'x'; 1_000]));
            }
            eve.send(&packet(0xc0, &[]));
            let _ = eve.packet_of(13);
        }
    }),
    row("retained-replay", "asks for all retained messages again and again without reading them", |attack| {
        let mut retainer = attack.target.connect_accepted(&attack.target.eve("retainer"));
        for number in 0..500 {
            retainer.send(&publish(0x31, &format!("attack/retained/r-{number}"), 0, &[], &[b'x'; 1_000]));
        }
        while attack.continues() {
            let mut eve = attack.target.connect_accepted(&attack.target.eve("caller"));
            for _ in 0..20 {
                eve.send(&subscribe(1, ["attack/retained/#"], 0));
            }
            let _ = eve.read_available();
        }
    }),
    row("echo-chamber", "fifty clients get all that each of them says", |attack| {
        let mut eves: Vec<_> =
            (0..50).map(|n| attack.target.connect_accepted(&attack.target.eve(&format!("echo-{n}")))).collect();
        eves.iter_mut().for_each(|eve| {
            let _ = eve.send(&subscribe(1, ["attack/echo"], 0));
        });
        while attack.continues() {
            for eve in &mut eves {
                eve.send(&publish(0x30, "attack/echo", 0, &[], &[b'x'; 500]));
            }
            eves.iter_mut().step_by(10).for_each(|eve| drop(eve.read_available()));
        }
    }),
];
