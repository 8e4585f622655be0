//! Attacks on the event endpoint: frames of wrong sizes, endless links, credit that is never used.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use switchbox_azure::{Policy, sas};

use super::{Attack, Conn, Row, row};
use crate::now;

pub(super) const ROWS: &[Row] = &[
    row("amqp-wrong-sizes", "announces AMQP frames of no size, of less than their head, and of 4 GB", |attack| {
        let sizes = [0, 1, 7, 8, 9, 16_385, 0x7fff_ffff, u32::MAX];
        while attack.continues() {
            for size in sizes {
                for begun in [&SASL[..], &opened(&anonymous())] {
                    let mut conn = connected(attack);
                    conn.send(begun);
                    conn.send(&[&size.to_be_bytes()[..], &[2, 0, 0, 0], &[0x40; 20_000]].concat());
                    let _ = conn.read_available();
                }
            }
        }
    }),
    row(
        "amqp-wrong-frames",
        "sends performatives that are cut off, nested, of no type, and in no order, values within each other, and settles 2^32 deliveries at once",
        |attack| {
            let bomb = [&[0, 0x53, 0x10][..], &[0, 0x53, 0x70].repeat(4_000)].concat();
            let wrong = [
                frame(&[]),
                frame(&[0, 0x53, 0x10, 0xd0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
                frame(&[0, 0x53, 0x10, 0xc0, 0xff, 0xff]),
                frame(&bomb),
                performative(0x99, &[]),
                performative(0x14, &[uint(7), uint(0)]),
                performative(0x12, &[]),
                performative(0x15, &[vec![0x41], uint(0), uint(u32::MAX)]),
                [begin(), performative(0x15, &[vec![0x41], uint(0), uint(u32::MAX), vec![0x41]])].concat(),
                [begin(), send_to(0, "$cbs"), nested_message()].concat(),
            ];
            while attack.continues() {
                for (bytes, proof) in wrong.iter().flat_map(|bytes| [(bytes, anonymous()), (bytes, plain(attack))]) {
                    let mut conn = connected(attack);
                    conn.send(&opened(&proof));
                    conn.send(bytes);
                    let _ = conn.read_available();
                }
            }
        },
    ),
    row(
        "amqp-endless-sessions",
        "begins sessions and attaches links without end, with and without a token",
        |attack| {
            let most = most(attack);
            while attack.continues() {
                for proof in [anonymous(), plain(attack)] {
                    let mut conn = connected(attack);
                    conn.send(&opened(&proof));
                    for channel in 0..200 {
                        let begin = on(channel, &begin());
                        let links: Vec<u8> = (0..200).flat_map(|handle| on(channel, &attach(handle, "$cbs"))).collect();
                        if !conn.send(&begin) || !conn.send(&links) {
                            break;
                        }
                    }
                    let _ = conn.read_available();
                }
                within(attack, most);
            }
        },
    )
    .asserts("the host takes at most 64 MiB more"),
    row("amqp-credit", "gives credit for 4,294,967,295 events on 8 links, in sessions that take all or 4 of them, and reads none", |attack| {
        let most = most(attack);
        let mut held = Vec::new();
        for number in 0..20 {
            let window = if number % 2 == 0 { u32::MAX } else { 4 };
            let mut conn = connected(attack);
            conn.send(&opened(&plain(attack)));
            conn.send(&begin_with(window));
            for handle in 0..8 {
                let address = format!("default/ConsumerGroups/$Default/Partitions/{}", handle % 4);
                conn.send(&attach(handle, &address));
                conn.send(&credit_with(handle, window));
            }
            held.push(conn);
        }
        let mut device = attack.target.connect_accepted(&attack.target.mallory());
        let event = super::wire::publish(0x30, "/devices/mallory/events", 0, &[], &[b'x'; 8_000]);
        attack.repeat_slowly(|_| {
            device.send(&event);
            within(attack, most);
        });
    })
    .asserts("the host takes at most 64 MiB more"),
    row("amqp-endless-message", "sends a token in transfers that never end", |attack| {
        let most = most(attack);
        while attack.continues() {
            let mut conn = connected(attack);
            conn.send(&opened(&anonymous()));
            conn.send(&[begin(), send_to(0, "$cbs")].concat());
            let piece =
                [performative(0x14, &[uint(0), uint(0), vec![0xa0, 1, 0], uint(0), vec![0x42], vec![0x41]])].concat();
            let piece = longer(&piece, &[b'x'; 16_000]);
            for _ in 0..1_000 {
                if !conn.send(&piece) {
                    break;
                }
            }
            let _ = conn.read_available();
            within(attack, most);
        }
    })
    .asserts("the host takes at most 64 MiB more"),
    row("amqp-without-token", "asks for events, and sends to devices, with no token and with wrong ones", |attack| {
        while attack.continues() {
            let wrong = sasl("PLAIN", format!("\0service\0{}", STANDARD.encode([7; 32])).as_bytes());
            for proof in [anonymous(), wrong] {
                let mut conn = connected(attack);
                conn.send(&opened(&proof));
                conn.send(&begin());
                conn.send(&attach(0, "default/ConsumerGroups/$Default/Partitions/0"));
                conn.send(&[credit(0), send_to(1, "/messages/devicebound")].concat());
                conn.send(&[attach(2, "/devices/healthy/messages/devicebound"), credit(2)].concat());
                conn.send(&[send_to(3, "/devices/healthy/messages/events"), message(3, &[])].concat());
                let answer = conn.read_available();
                let is_transfer = |bytes: &[u8]| bytes == [0, 0x53, 0x14];
                assert!(!answer.windows(3).any(is_transfer), "events without a token");
            }
        }
    })
    .asserts("no event is sent"),
    row(
        "amqp-device",
        "as a device, asks for its twin without end and takes no answer, answers calls that nobody made, sends events for another device",
        |attack| {
            let most = most(attack);
            let names = ["messages/events", "messages/devicebound", "methods/devicebound", "twin"];
            while attack.continues() {
                let mut conn = connected(attack);
                conn.send(&opened(&of_device(attack, "mallory")));
                conn.send(&begin());
                for (handle, name) in (0..).zip(names) {
                    conn.send(&attach(handle, &format!("/devices/mallory/{name}")));
                    conn.send(&send_to(handle + 4, &format!("/devices/mallory/{name}")));
                }
                conn.send(&send_to(8, "/devices/healthy/messages/events"));
                for _ in 0..200 {
                    let asks = [message(7, &twin_get()), message(6, &[]), message(8, &[]), message(4, &[])].concat();
                    if !conn.send(&asks) {
                        break;
                    }
                }
                let _ = conn.read_available();
                within(attack, most);
            }
            let shown = attack.target.api.get("/v1/events?kind=telemetry&pageSize=1000&device=healthy").ok();
            let events = shown["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            assert!(events.iter().all(|event| event["binaryData"] != ""), "an event for another device was taken");
        },
    )
    .asserts("the host takes at most 64 MiB more; no event of another device is taken"),
];

const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// Maximum memory of the host from now on, MiB.
fn most(attack: &Attack) -> u64 {
    attack.target.reset_peak();
    attack.target.resident_mib() + 64
}

fn within(attack: &Attack, most: u64) {
    let peak = attack.target.peak_mib();
    assert!(peak <= most, "the host took {peak} MiB, and may have {most}");
}

fn connected(attack: &Attack) -> Conn {
    Conn::open(attack.target.amqp).expect("no connection")
}

/// A SASL frame, preceded by the header.
fn sasl(mechanism: &str, response: &[u8]) -> Vec<u8> {
    let fields = [text(0xa3, mechanism.as_bytes()), binary(response)];
    let mut init = performative(0x41, &fields);
    init[5] = 1;
    [&SASL[..], &init].concat()
}

fn anonymous() -> Vec<u8> {
    sasl("ANONYMOUS", b"")
}

/// SASL PLAIN with the policy's key.
fn plain(attack: &Attack) -> Vec<u8> {
    sasl("PLAIN", format!("\0service\0{}", attack.target.hub_key).as_bytes())
}

/// SASL PLAIN as this device, with a token of the policy `device`.
fn of_device(attack: &Attack, id: &str) -> Vec<u8> {
    let key = STANDARD.decode(&attack.target.device_policy_key).expect("an odd key");
    let token = sas::sign(&format!("hub/devices/{id}"), &key, now() + 3_600, Some(Policy::Device));
    sasl("PLAIN", format!("\0device@sas.root.hub\0{token}").as_bytes())
}

/// A message on this link, with these sections before an empty payload.
fn message(handle: u32, sections: &[u8]) -> Vec<u8> {
    let transfer = performative(0x14, &[uint(handle), uint(0), vec![0xa0, 1, 0], uint(0), vec![0x41], vec![0x42]]);
    longer(&transfer, &[sections, &[0, 0x53, 0x75, 0xa0, 0]].concat())
}

/// The annotation of a request for the twin.
fn twin_get() -> Vec<u8> {
    let pair = [text(0xa3, b"operation"), text(0xa1, b"GET")].concat();
    let size = u8::try_from(pair.len() + 1).expect("too long a map");
    [&[0, 0x53, 0x72, 0xc1, size, 2][..], &pair].concat()
}

/// A message with deeply nested values.
fn nested_message() -> Vec<u8> {
    let transfer = performative(0x14, &[uint(0), uint(0), vec![0xa0, 1, 0], uint(0), vec![0x42], vec![0x42]]);
    longer(&transfer, &[&[0, 0x53, 0x77][..], &[0, 0x40].repeat(7_000), &[0x40]].concat())
}

/// The bytes that open a connection.
fn opened(proof: &[u8]) -> Vec<u8> {
    [proof, &HEADER, &performative(0x10, &[text(0xa1, b"mallory")])].concat()
}

fn begin() -> Vec<u8> {
    begin_with(u32::MAX)
}

/// `window`: how many transfers the session takes.
fn begin_with(window: u32) -> Vec<u8> {
    performative(0x11, &[vec![0x40], uint(0), uint(window), uint(u32::MAX)])
}

/// A link on which the host sends.
fn attach(handle: u32, from: &str) -> Vec<u8> {
    let name = format!("{from}-{handle}");
    let ends = [described(0x28, &[text(0xa1, from.as_bytes())]), described(0x29, &[text(0xa1, b"here")])];
    let [source, target] = ends;
    let fields = [text(0xa1, name.as_bytes()), uint(handle), vec![0x41], vec![0x40], vec![0x40], source, target];
    performative(0x12, &fields)
}

/// A link on which the attacker sends.
fn send_to(handle: u32, to: &str) -> Vec<u8> {
    let name = format!("{to}-{handle}");
    let ends = [described(0x28, &[text(0xa1, b"here")]), described(0x29, &[text(0xa1, to.as_bytes())])];
    let [source, target] = ends;
    let none = || vec![0x40];
    let fields = [
        text(0xa1, name.as_bytes()),
        uint(handle),
        vec![0x42],
        none(),
        none(),
        source,
        target,
        none(),
        none(),
        uint(0),
    ];
    performative(0x12, &fields)
}

fn credit(handle: u32) -> Vec<u8> {
    credit_with(handle, u32::MAX)
}

fn credit_with(handle: u32, window: u32) -> Vec<u8> {
    let most = || uint(u32::MAX);
    performative(0x13, &[uint(0), uint(window), uint(0), most(), uint(handle), uint(0), most()])
}

fn uint(number: u32) -> Vec<u8> {
    [&[0x70][..], &number.to_be_bytes()].concat()
}

fn text(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(bytes.len()).expect("too long a text")], bytes].concat()
}

fn binary(bytes: &[u8]) -> Vec<u8> {
    text(0xa0, bytes)
}

fn described(code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    let items = fields.concat();
    let size = u32::try_from(items.len() + 4).expect("too long a list");
    let count = u32::try_from(fields.len()).expect("too long a list");
    [&[0, 0x53, code, 0xd0][..], &size.to_be_bytes(), &count.to_be_bytes(), &items].concat()
}

fn frame(body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).expect("too long a frame");
    [&size.to_be_bytes()[..], &[2, 0, 0, 0], body].concat()
}

fn performative(code: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    frame(&described(code, fields))
}

/// The same frame on another channel.
fn on(channel: u16, frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[6..8].copy_from_slice(&channel.to_be_bytes());
    frame
}

/// The same frame with a payload.
fn longer(frame: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(frame.len() + payload.len()).expect("too long a frame");
    [&size.to_be_bytes()[..], &frame[4..], payload].concat()
}
