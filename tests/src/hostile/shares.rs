//! Attempts to use more than a fair share: of stored messages, of a publisher's waiting time, of a device's window.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Attack, Conn, Login, Row, row,
    wire::{packet, publish, subscribe},
};
use crate::{Admin, until, until_within};

/// Messages that a publisher sends in a round while others subscribe slowly, and how long that may take on a busy machine.
const MESSAGES: u16 = 400;
const IN_TIME: Duration = Duration::from_secs(20);
/// Method calls in a round: more than may wait for a PUBACK.
const CALLS: usize = 40;

pub(super) const ROWS: &[Row] = &[
    row("account-hoard", "keeps sessions and retained messages, more than one account may have", |attack| {
        let mut hoarder = attack.target.connect_accepted(&attack.target.eve("hoarder"));
        let mut number = 0_u32;
        while attack.continues() {
            for _ in 0..20 {
                number += 1;
                let for_ever = vec![0x11, 0xff, 0xff, 0xff, 0xff];
                let kept = Login {
                    properties: for_ever,
                    clean: false,
                    ..attack.target.eve(&format!("hoard-{}", number % 4_000))
                };
                let _ = attack.target.try_connect(&kept);
            }
            // The first round uses up the whole burst.
            let bursts = if number == 20 { 21 } else { 1 };
            for _ in 0..bursts {
                retain(&mut hoarder, &mut number);
            }
            // Another account still has room: its retained messages are kept and delivered.
            let mut modest = attack.target.connect_accepted(&attack.target.adam("modest"));
            for (id, payload) in [(1, &b""[..]), (2, b"x")] {
                modest.send(&publish(0x33, "attack/modest", id, &[], payload));
                let puback = modest.packet_of(4).expect("no PUBACK");
                assert!(puback.get(2).is_none_or(|code| *code < 0x80), "not kept for another account: {puback:?}");
            }
            modest.send(&subscribe(3, ["attack/modest"], 0));
            let is_kept = until_within(IN_TIME, || (modest.read_available().ends_with(b"x")).then_some(()));
            assert!(is_kept.is_some(), "acknowledged for another account, and not kept");
        }
    })
    .asserts("another account's retained messages are kept"),
    row("slow-takers", "lets twenty subscribers take a message now and then, and publishes to them", |attack| {
        let one_by_one = |n| Login { properties: vec![0x21, 0, 1], ..attack.target.eve(&format!("slow-{n}")) };
        let mut slow: Vec<Conn> = (0..20).map(|n| attack.target.connect_accepted(&one_by_one(n))).collect();
        for conn in &mut slow {
            conn.send(&subscribe(1, ["attack/slow"], 1));
            conn.packet_of(9).expect("no SUBACK");
        }
        let mut fast = attack.target.connect_accepted(&attack.target.eve("fast"));
        while attack.continues() {
            let began = Instant::now();
            for id in 1..=MESSAGES {
                fast.send(&publish(0x32, "attack/slow", id, &[], b"x"));
            }
            for _ in 1..=MESSAGES {
                fast.packet_of(4).expect("no PUBACK");
            }
            assert!(began.elapsed() < IN_TIME, "{MESSAGES} messages took {:?}", began.elapsed());
            for conn in &mut slow {
                let body = conn.packet_of(3).expect("no message");
                let topic = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                conn.send(&packet(0x40, &body[topic..topic + 2]));
            }
        }
    })
    .asserts("400 messages are published within 20 s"),
    row("answers-without-puback", "answers method calls and acknowledges none of them", |attack| {
        let mut mallory = attack.target.connect_accepted(&attack.target.mallory());
        mallory.send(&subscribe(1, ["/devices/mallory/methods/#"], 1));
        mallory.packet_of(9).expect("no SUBACK");
        while attack.continues() {
            std::thread::scope(|scope| {
                let calls = scope.spawn(|| (0..CALLS).map(|_| call(attack)).collect::<Vec<_>>());
                (0..CALLS).for_each(|_| answer(&mut mallory));
                let statuses = calls.join().expect("no calls");
                assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
            });
        }
    })
    .asserts("each of 40 calls at a time is answered"),
];

/// Retains 500 more messages, each on its own topic.
fn retain(hoarder: &mut Conn, number: &mut u32) {
    for id in 1..=500_u16 {
        *number += 1;
        hoarder.send(&publish(0x33, &format!("attack/hoard/{number}"), id, &[], b"x"));
    }
    for _ in 1..=500 {
        let _ = hoarder.packet_of(4);
    }
}

/// The status of a call. Earlier rows may have used up the token's calls.
fn call(attack: &Attack) -> u16 {
    let path = Admin::device_path("mallory", ":invokeMethod");
    until("a method call to be taken", || {
        let status = attack.target.api.post(&path, &json!({"method": "m", "timeout": "10s"})).status;
        (status != 429).then_some(status)
    })
}

/// Answers the next call, without sending a PUBACK.
fn answer(device: &mut Conn) {
    let body = device.packet_of(3).expect("no method call");
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = String::from_utf8(body[2..2 + length].to_vec()).expect("an odd topic");
    let response = topic.replace("/request/", "/response/");
    device.send(&publish(0x30, &format!("{response}/200"), 0, &[], b"ok"));
}
