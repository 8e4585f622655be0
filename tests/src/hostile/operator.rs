//! Attacks on the operator: through the log, the terminal, and the plugin folder.

use std::{fs, net::Ipv4Addr, path::PathBuf, process::Command, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    Attack, Conn, Login, Row, Target, guests, row,
    wire::{packet, publish, subscribe},
};
use crate::{Admin, acts, has_terminal, on_a_terminal, until};

/// Clears the screen, sets the title, rings the bell, changes colours, reverses the text, and forges a log line.
const CONTROL_TEXT: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}\u{2066}x\r\nFORGED";
/// A separate address, so that the log's limit for other addresses does not hide its lines.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// How long the plugin folder is missing. The host polls it every 100 ms.
const AWAY: Duration = Duration::from_secs(1);

pub(super) const ROWS: &[Row] = &[
    row(
        "terminal-escapes",
        "puts escape sequences, bidirectional marks and line ends into payloads, topics, names, ids and headers",
        |attack| {
            let before = log(&attack.target).len();
            attack.target.posts(":modifyCloudToDeviceConfig", &json!({"binaryData": STANDARD.encode(CONTROL_TEXT)}));
            attack.begin();
            loop {
                unauthenticated(attack);
                operator(&attack.target);
                let log = log(&attack.target)[before..].to_owned();
                let raw = log.lines().find(|line| line.starts_with("FORGED") || line.chars().any(acts));
                assert!(raw.is_none(), "in the log: {raw:?}");
                assert!(log.contains("FORGED"), "nothing of it was logged at all");
                if !attack.continues() {
                    break;
                }
            }
            guests::remove(attack, "words");
        },
    )
    .asserts("neither the log nor the terminal of an operator who lists everything contains such a character"),
    row("long-cells", "reports a state, and sends events, as long as they may be in one word", |attack| {
        // Earlier rows left so many dead letters that this one would not be on the first page.
        let purged = attack.target.program().args(["dead-letters", "purge", "--all"]).output().expect("no program");
        assert!(purged.status.success(), "{purged:?}");
        attack.begin();
        loop {
            long(attack);
            for arguments in LISTS {
                attack.target.run_ok(arguments);
            }
            if !attack.continues() {
                break;
            }
        }
    })
    .asserts("each command that lists them ends with 0, on a terminal and in a pipe"),
    row("plugin-folder-gone", "removes the plugin folder while plugins run, and restores it", |attack| {
        let (plugins, aside) = (&attack.target.plugins, attack.target.plugins.with_extension("aside"));
        let lines = || log(&attack.target).matches("plugin folder").count();
        let before = lines();
        attack.begin();
        loop {
            // A file that is being written keeps the host polling.
            fs::write(plugins.join("half.toml"), "component = ").expect("no room");
            fs::rename(plugins, &aside).expect("the folder stays");
            // Sleeps until the host must have noticed the missing folder.
            std::thread::sleep(AWAY);
            fs::remove_file(aside.join("half.toml")).expect("no such file");
            fs::rename(&aside, plugins).expect("the folder does not come back");
            if !attack.continues() {
                break;
            }
        }
        let more = lines() - before;
        assert!(more <= 4, "{more} lines of the log");
    })
    .asserts("at most four lines of the log; running plugins are not affected"),
];

/// Commands that list things.
const LISTS: &[&str] = &[
    "events",
    "events --json",
    "explain mallory",
    "device list",
    "device get mallory",
    "device get mallory --json",
    "device state mallory",
    "device config get mallory --all",
    "device command list mallory",
    "device twin get mallory",
    "device twin get mallory --json",
    "dead-letters list",
    "dead-letters show",
    "plugin list",
    "plugin logs picky",
    "audit",
];

fn log(target: &Target) -> String {
    String::from_utf8_lossy(&fs::read(&target.log).expect("no log")).into_owned()
}

/// Sends the text in every field that accepts text of an unauthenticated client.
fn unauthenticated(attack: &Attack) {
    let target = &attack.target;
    let mut mallory = target.connect_accepted(&target.mallory());
    let topics = ["events", "events/rejected", "state", &format!("events/{CONTROL_TEXT}"), CONTROL_TEXT];
    for (id, topic) in (1_u16..).zip(topics) {
        if !mallory.send(&publish(0x32, &format!("/devices/mallory/{topic}"), id, &[], CONTROL_TEXT.as_bytes())) {
            break;
        }
        let _ = mallory.packet();
    }
    // Each of these may end its connection.
    let eve = target.eve(CONTROL_TEXT);
    let will = Some((format!("attack/{CONTROL_TEXT}"), CONTROL_TEXT.to_owned(), true));
    let header = STANDARD.encode(format!("{{\"alg\":{}}}", json!(CONTROL_TEXT)));
    let claims = STANDARD.encode(json!({"aud": CONTROL_TEXT, "iat": CONTROL_TEXT, "exp": CONTROL_TEXT}).to_string());
    let logins = [
        Login { user: CONTROL_TEXT.to_owned(), ..Login::with_password(CONTROL_TEXT, CONTROL_TEXT) },
        Login::with_password(&format!("mallory{CONTROL_TEXT}"), &format!("{header}.{claims}.AAAA")),
        Login { user: format!("serviceAccounts/{CONTROL_TEXT}"), ..eve.clone() },
        Login { will, ..eve.clone() },
    ];
    let packets = [
        subscribe(1, [CONTROL_TEXT, &format!("attack/{CONTROL_TEXT}")], 1),
        publish(0x33, &format!("attack/{CONTROL_TEXT}"), 1, &[], CONTROL_TEXT.as_bytes()),
        publish(0x32, CONTROL_TEXT, 1, &[], CONTROL_TEXT.as_bytes()),
        publish(0x32, &format!("/devices/{CONTROL_TEXT}/attach"), 1, &[], CONTROL_TEXT.as_bytes()),
    ];
    for login in logins {
        let mut conn = Conn::open_from(ADDRESS, target.mqtt);
        conn.send(&login.packet());
        let _ = conn.packet();
    }
    for (words, login) in
        packets.iter().flat_map(|words| [(words, &eve), (words, &target.oscar())].map(|(w, l)| (w, l.clone())))
    {
        let mut conn = Conn::open_from(ADDRESS, target.mqtt);
        conn.send(&[&login.packet()[..], words].concat());
        let _ = (conn.packet(), conn.read_available());
    }
    let escape = "\u{1b}[2J\u{202e}";
    for head in [
        format!("GET /{escape} HTTP/1.1\r\nhost: {escape}\r\n\r\n"),
        format!("GET /mqtt HTTP/1.1\r\nhost: x\r\nupgrade: {escape}\r\nsec-websocket-protocol: {escape}\r\n\r\n"),
    ] {
        for listener in [target.ws, target.admin, target.mqtt] {
            let mut conn = Conn::open_from(ADDRESS, listener);
            conn.send(head.as_bytes());
            let _ = conn.read_available();
        }
    }
    guests::run(attack, "words");
    for words in [format!("argue log.write 60 {CONTROL_TEXT}"), CONTROL_TEXT.to_owned()] {
        mallory.send(&publish(0x32, "/devices/mallory/events", 9, &[], words.as_bytes()));
        let _ = mallory.packet();
    }
    until("the plugin to write to its log", || (target.handled("words")? >= 2).then_some(()));
    mallory.send(&packet(0xe0, &[]));
}

/// Runs all list commands on a terminal.
fn operator(target: &Target) {
    for arguments in LISTS.iter().chain(&["plugin logs words", "plugin get words"]) {
        let shown = target.run_ok(arguments);
        let raw = shown.lines().find(|line| line.starts_with("FORGED") || line.chars().any(acts));
        assert!(raw.is_none(), "{arguments} shows {raw:?}");
    }
}

/// Sends the longest possible word in every field that a command shows.
fn long(attack: &Attack) {
    let target = &attack.target;
    let word = |bytes: usize| "y".repeat(bytes);
    let state = format!("{{\"a\":\"{}\"}}", word(65_536 - 8));
    let mut mallory = target.connect_accepted(&target.mallory());
    for (topic, payload) in [("state", &state), ("events", &word(262_144)), ("events/rejected", &word(262_144))] {
        mallory.send(&publish(0x32, &format!("/devices/mallory/{topic}"), 1, &[], payload.as_bytes()));
        let puback = mallory.packet_of(4).expect("the longest there may be is refused");
        assert!(puback.get(2).is_none_or(|code| *code < 0x80), "refused: {puback:?}");
    }
    mallory.send(&packet(0xe0, &[]));
    target.posts(":modifyCloudToDeviceConfig", &json!({"binaryData": STANDARD.encode(&state)}));
    target.posts(":sendCommandToDevice", &json!({"binaryData": STANDARD.encode(word(262_144)), "ttl": "1s"}));
    until("the dead letter", || {
        target.api.dead_letters().iter().any(|dead_letter| dead_letter.to_string().len() > 262_144).then_some(())
    });
}

impl Target {
    /// Calls the API about the attackers' own device. Earlier rows may have used up the token's calls.
    fn posts(&self, verb: &str, body: &serde_json::Value) {
        let path = Admin::device_path("mallory", verb);
        until("a call to be taken", || {
            let answer = self.api.post(&path, body);
            (answer.status != 429).then(|| drop(answer.ok()))
        });
    }

    /// The `switchbox` command, as the host's operator runs it.
    fn program(&self) -> Command {
        let plain = self.program.lock().expect("a row has failed");
        let mut command = Command::new(plain.get_program());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.plugins.parent().map(PathBuf::from).unwrap_or_default());
        command
    }

    /// Runs the command into a pipe, and on a terminal if there is one; returns the terminal's output.
    ///
    /// # Panics
    ///
    /// Panics if its exit code is not 0.
    fn run_ok(&self, arguments: &str) -> String {
        let dead_letter =
            || self.api.dead_letters().last().map(|dead_letter| dead_letter["id"].to_string().replace('"', ""));
        let arguments = match arguments {
            "dead-letters show" => format!("{arguments} {}", dead_letter().expect("no dead letter")),
            _ => arguments.to_owned(),
        };
        let output = self.program().args(arguments.split(' ')).output().expect("the program does not start");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {} {printed:.500}", output.status);
        if !has_terminal() {
            return String::new();
        }
        let (status, shown) = on_a_terminal(&self.program(), &arguments);
        assert!(status.success(), "{arguments}: {status} {shown:.500}");
        shown
    }
}
