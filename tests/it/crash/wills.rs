//! SIGKILL while clients disconnect or reconnect: the message on every client's topic is right, and subscribers get
//! each will once.
//!
//! `SWITCHBOX_CRASH_ROUNDS` gives the number of rounds (10), `SWITCHBOX_CRASH_SEED` the random seed (printed).

use std::{collections::HashMap, time::Duration};

use switchbox_model::EventData;
use switchbox_tests::{
    HostFolder, Journal, Process, Random, crash_plan,
    raw::{Raw, ack, connect, packet, text},
};

const HOUR: u32 = 3_600;
/// The host is killed so soon after the sockets were closed, at most.
const SOON_US: u64 = 4_000;

/// Messages on `status/+` in a round, less than a window: the first message of each client, four wills, and one reconnection.
const EXPECTED: usize = 6 + 4 + 1;

/// What a client leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// MQTT 3.1.1, clean session, a retained will.
    Clean,
    /// The same in a kept session.
    Kept,
    /// MQTT 5, a session that ends with its connection.
    Brief,
    /// A device whose will is its own telemetry, or its state.
    Telemetry,
    State,
    /// It reconnects and publishes while its old connection is still open.
    Returning,
}

const KINDS: [Kind; 6] = [Kind::Clean, Kind::Kept, Kind::Brief, Kind::Telemetry, Kind::State, Kind::Returning];

impl Kind {
    fn id(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn will_topic(self) -> String {
        match self {
            Self::Telemetry => "/devices/telemetry/events".into(),
            Self::State => "/devices/state/state".into(),
            _ => self.topic(),
        }
    }

    fn topic(self) -> String {
        format!("status/{}", self.id())
    }

    fn connect(self, will: Option<&str>) -> Vec<u8> {
        let (v5, clean) = (self == Self::Brief, self != Self::Kept);
        // QoS 1; retained on an ordinary topic.
        let retain = if self.will_topic() == self.topic() { 0x20 } else { 0 };
        let flags = u8::from(clean) << 1 | if will.is_some() { 0x0c | retain } else { 0 };
        let none: &[u8] = if v5 { &[0] } else { &[] };
        let head = [&text("MQTT")[..], &[if v5 { 5 } else { 4 }, flags, 0, 0], none].concat();
        let will = will.map(|will| [none, &text(&self.will_topic()), &text(will)].concat()).unwrap_or_default();
        packet(0x10, &[head, text(&self.id()), will].concat())
    }

    /// Says this on its topic, retained, and waits until that is durable.
    fn says(self, client: &mut Raw, words: &str) {
        let id = 9_u16.to_be_bytes();
        let none: &[u8] = if self == Self::Brief { &[0] } else { &[] };
        client.send(&packet(0x33, &[&text(&self.topic())[..], &id, none, words.as_bytes()].concat()));
        client.expect(&ack(0x40, 9));
    }
}

/// Connects all clients, disconnects them, and kills the host a moment later.
fn lose(host: Process, round: u64, random: &mut Random) {
    let (will, online, back) = (format!("offline {round}"), format!("online {round}"), format!("back {round}"));
    let clients: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let (mut client, _) = Raw::connect(host.mqtt(), &kind.connect(Some(&will)));
            kind.says(&mut client, &online);
            client
        })
        .collect();
    let (mut returned, _) = Raw::connect(host.mqtt(), &Kind::Returning.connect(None));
    Kind::Returning.says(&mut returned, &back);
    drop(clients);
    // Sleeps for a time of chance before the host is killed.
    std::thread::sleep(Duration::from_micros(random.below(SOON_US)));
    host.kill();
}

/// What the topic says.
fn says(host: &Process, kind: Kind, round: u64) -> String {
    let (mut late, _) = Raw::connect(host.mqtt(), &connect(&format!("late-{round}"), true, 0, None));
    late.subscribe(&kind.topic(), 0);
    let got = late.packet();
    late.send_disconnect();
    String::from_utf8(got[5 + kind.topic().len()..].to_vec()).unwrap()
}

/// What came for the one that watches, in order, acknowledged.
fn watched(host: &Process) -> Vec<String> {
    let (mut watcher, present) = Raw::connect(host.mqtt(), &connect("watcher", false, HOUR, None));
    assert!(present);
    let (mut got, mut acks) = (Vec::new(), Vec::new());
    for _ in 0..EXPECTED {
        let packet = watcher.packet();
        let topic = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        acks.extend(ack(0x40, u16::from_be_bytes([packet[4 + topic], packet[5 + topic]])));
        let words = String::from_utf8(packet[7 + topic..].to_vec()).unwrap();
        got.push(format!("{}: {words}", std::str::from_utf8(&packet[4..4 + topic]).unwrap()));
    }
    watcher.send(&acks);
    watcher.expect_silence();
    watcher.send_disconnect();
    got
}

/// What is wrong after that round. Each start registers a device that did not exist before.
fn wrong(host: &Process, round: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let got = watched(host);
    for kind in KINDS {
        let expected = match kind {
            Kind::Returning => format!("back {round}"),
            Kind::Telemetry | Kind::State => format!("online {round}"),
            _ => format!("offline {round}"),
        };
        let found = says(host, kind, round);
        if found != expected {
            wrong.push(format!("round {round}: {kind:?} says {found:?}, not {expected:?}"));
        }
        let of_kind: Vec<_> = got.iter().filter(|line| line.starts_with(&kind.topic())).collect();
        let words: &[&str] = match kind {
            Kind::Returning => &["online", "offline", "back"],
            Kind::Telemetry | Kind::State => &["online"],
            _ => &["online", "offline"],
        };
        let all: Vec<_> = words.iter().map(|word| format!("{}: {word} {round}", kind.topic())).collect();
        if of_kind != all.iter().collect::<Vec<_>>() {
            wrong.push(format!("round {round}: the watching client got {of_kind:?}, not {all:?}"));
        }
    }
    wrong
}

#[test]
fn a_kill_in_the_moment_in_which_clients_are_lost_neither_loses_nor_doubles_a_will() {
    let (rounds, mut random) = crash_plan(10);
    let host_folder = HostFolder::new();
    let mut host = host_folder.start();
    let (mut watcher, _) = Raw::connect(host.mqtt(), &connect("watcher", false, HOUR, None));
    watcher.subscribe("status/+", 1);
    watcher.send_disconnect();
    let mut all_wrong = Vec::new();
    for round in 0..rounds {
        lose(host, round, &mut random);
        host = host_folder.start();
        all_wrong.extend(wrong(&host, round));
    }
    host.stop();
    let mut events: HashMap<String, usize> = HashMap::new();
    for event in Journal::open(&host_folder).0.events {
        let (EventData::Telemetry { payload, .. } | EventData::State { payload, .. }) = &event.data else { continue };
        *events.entry(format!("{}: {}", event.data.kind() as u8, String::from_utf8_lossy(payload))).or_default() += 1;
    }
    assert_eq!(events.len(), 2 * usize::try_from(rounds).unwrap(), "wills that are events: {events:?}");
    all_wrong.extend(
        events.into_iter().filter(|(_, times)| *times != 1).map(|(event, times)| format!("{event} {times} times")),
    );
    assert!(all_wrong.is_empty(), "{} of {rounds} rounds:\n{}", all_wrong.len(), all_wrong.join("\n"));
}
