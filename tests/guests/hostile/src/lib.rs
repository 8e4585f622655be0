//! A guest that does, on request, everything a plugin should not: the payload of an event (or the settings of a start)
//! names the attack. What it saw it reports as the config of the device `report`. Never used outside the tests.

// The names of what a component exports are none for a library of this machine: the linker refuses them.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "the generated bindings")]

mod arguments;
mod bindings;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bindings::exports::switchbox::plugin::handler::{
    Capability, Description, Disposition, EventKind, Grant, Guest, Trigger,
};
use bindings::switchbox::plugin::{
    command, config, log, method, registry, state, timer, topic, twin,
    types::{Event, EventData},
};

struct Hostile;

impl Guest for Hostile {
    fn describe(settings: String) -> Description {
        match settings.as_str() {
            r#"{"describe":"triggers"}"# => return described(vec![seen("*"); 100_000], ""),
            r#"{"describe":"glob"}"# => return described(vec![seen(&"?".repeat(2_000_000))], ""),
            r#"{"describe":"globs"}"# => return described(vec![seen(&"?".repeat(1_000)); 200], ""),
            r#"{"describe":"texts"}"# => return described(vec![seen("*")], &"s".repeat(3_000_000)),
            r#"{"describe":"loop"}"# => endless_loop(),
            r#"{"describe":"call"}"# => drop(registry::get("lamp-1")),
            _ => {}
        }
        described(vec![seen("*")], "Does on request what a plugin should not.")
    }

    fn start(settings: String) -> Result<(), String> {
        match settings.as_str() {
            r#"{"start":"refuse"}"# => Err("`target` is missing".into()),
            r#"{"start":"words"}"# => Err("w".repeat(3_000_000)),
            r#"{"start":"list"}"# => {
                registry::list(&"?".repeat(8_000_000), None, 10).map(|_| ()).map_err(|e| e.to_string())
            }
            r#"{"start":"read"}"# => registry::get("lamp-1").map(|_| ()).map_err(|e| e.to_string()),
            r#"{"start":"panic"}"# => panic!("no start today"),
            r#"{"start":"loop"}"# => endless_loop(),
            r#"{"start":"effect"}"# => config::set("lamp-1", b"x", None).map_err(|e| e.to_string()),
            _ => Ok(()),
        }
    }

    fn on_event(event: Event) -> Result<(), Disposition> {
        let EventData::Telemetry(telemetry) = &event.data else { return Ok(()) };
        let text = String::from_utf8_lossy(&telemetry.payload).into_owned();
        let mut words = text.splitn(4, ' ');
        let [what, argument] = [(); 2].map(|()| words.next().unwrap_or_default());
        if what == "argue" {
            let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(0);
            report(&arguments::argue(argument, size, words.next().unwrap_or("x")));
            return Ok(());
        }
        attack(what, argument, &event)
    }
}

fn seen(device: &str) -> Trigger {
    Trigger { event: EventKind::Telemetry, device: device.into(), subfolder: None }
}

fn described(triggers: Vec<Trigger>, summary: &str) -> Description {
    let grants = [
        (Capability::Config, "report"),
        (Capability::Config, "lamp-*"),
        (Capability::Command, "lamp-*"),
        (Capability::Method, "lamp-*"),
        (Capability::Read, "*"),
        (Capability::Publish, "alerts/#"),
    ];
    Description {
        name: "hostile".into(),
        version: "0.1.0".into(),
        summary: summary.into(),
        triggers,
        grants: grants.map(|(capability, pattern)| Grant { capability, pattern: pattern.into() }).into(),
        default_settings: "{}".into(),
    }
}

fn report(text: &str) {
    drop(config::set("report", text.as_bytes(), None));
}

fn attack(what: &str, argument: &str, event: &Event) -> Result<(), Disposition> {
    let number = argument.parse::<u64>().unwrap_or(0);
    match what {
        "nothing" => {}
        "echo" => report(&format!("{event:?}")),
        "relay" => drop(config::set(argument, b"relayed", None)),
        "loop" => endless_loop(),
        "allocate" => allocate(),
        "recurse" => report(&recurse(1).to_string()),
        "panic" => panic!("out of cheese"),
        "trap" => std::process::abort(),
        "exit" => std::process::exit(3),
        "print" => (0..number).for_each(|n| println!("line {n}")),
        "print-bytes" => print!("{}", "x".repeat(number as usize)),
        "log" => (0..number).for_each(|n| log::write(log::Level::Warn, &format!("line {n}"))),
        "effects" => effects(number),
        "huge" => report(&format!("{:?}", config::set("lamp-1", &vec![0; number as usize], None))),
        "host-calls" => host_calls(number),
        "sleep" => sleep(number),
        "retry" => {
            drop(config::set("lamp-1", b"never", None));
            return Err(Disposition::Retry("later".into()));
        }
        "reject-bytes" => return Err(Disposition::Reject("r".repeat(number as usize))),
        "reject" => return Err(Disposition::Reject("not mine".into())),
        "set" => report(&format!("{:?}", config::set(argument, b"on", None))),
        "set-expected" => report(&format!("{:?}", config::set("lamp-1", b"on", Some(number)))),
        "command" => {
            let options = command::Options { subfolder: "a/b".into(), ttl_ms: 0 };
            report(&format!("{:?}", command::send(argument, b"go", &options)));
        }
        "command-ttl" => {
            let options = command::Options { subfolder: String::new(), ttl_ms: number };
            let answers = [(); 4].map(|()| command::send("lamp-2", b"go", &options));
            report(&format!("{answers:?}"));
        }
        "method" => report(&format!("{:?}", method::call(argument, "blink", b"3", 1_000))),
        "read" => report(&format!("{:?}", registry::get(argument))),
        "list" => report(&format!("{:?}", registry::list(argument, None, 10))),
        "config-get" => report(&format!("{:?}", config::get(argument))),
        "kv" => kv(),
        "kv-flood" => report(&format!("{:?}", kv_flood())),
        "twin" => report(&format!("{:?}", twin::get("lamp-1"))),
        "timer" => report(&format!("{:?}", timer::set("t", &timer::Schedule::After(1), b""))),
        "publish" => {
            let options = topic::Options { qos: 1, retain: true };
            report(&format!("{:?}", topic::publish(argument, b"x", options)));
        }
        "publish-qos" => {
            let options = topic::Options { qos: 3, retain: false };
            report(&format!("{:?}", topic::publish("alerts/x", b"x", options)));
        }
        "time" => time(),
        "outside" => outside(argument),
        "network" => network(argument),
        "fetch" => fetch(argument),
        other => return Err(Disposition::Reject(format!("unknown attack {other:?}"))),
    }
    Ok(())
}

/// A request of HTTP.
fn fetch(authority: &str) {
    use bindings::http::wasi::http::{
        outgoing_handler::handle,
        types::{Fields, OutgoingRequest, OutgoingResponse, RequestOptions},
    };
    let request = OutgoingRequest::new(Fields::new());
    // These have no error that could say that they are refused.
    let (method, status) = (request.method(), OutgoingResponse::new(Fields::new()).status_code());
    let set = request.set_authority(Some(authority));
    let sent = handle(request, Some(RequestOptions::new()));
    report(&format!("{method:?} {status} {set:?} {:?}", sent.err()));
}

fn endless_loop() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn allocate() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 2]);
    recurse(std::hint::black_box(frame[0] + 1)) + std::hint::black_box(frame[1])
}

fn effects(number: u64) {
    let last = (0..number).map(|_| config::set("lamp-1", b"on", None)).fold(None, |_, answer| Some(answer));
    report(&format!("{last:?}"));
    if let Some(Err(error)) = last {
        println!("{error}");
    }
}

fn host_calls(number: u64) {
    let last = (0..number).map(|_| registry::get("lamp-1")).fold(None, |_, answer| Some(answer));
    if let Some(Err(error)) = last {
        println!("{error}");
    }
}

fn sleep(ms: u64) {
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(ms));
    report(&format!("{}", began.elapsed().as_millis()));
}

fn kv() {
    let steps = [
        format!("{:?}", state::get("a")),
        format!("{:?}", state::set("a", b"1", Some(0))),
        format!("{:?}", state::get("a").map(|e| e.map(|e| (e.value, e.revision)))),
        format!("{:?}", state::set("a", b"2", Some(9))),
        format!("{:?}", state::set("b", b"2", None)),
        format!("{:?}", state::keys("", None, 10)),
        format!("{:?}", state::set("old", b"y", Some(3))),
        format!("{:?}", state::delete("old")),
        format!("{:?}", state::keys("", None, 10)),
        format!("{:?}", state::keys("", Some("a"), 10)),
    ];
    report(&steps.join("\n"));
}

fn kv_flood() -> Result<(), state::Error> {
    (0..40).try_for_each(|n| state::set(&format!("k{n}"), &vec![0; 64 * 1024], None))
}

#[allow(clippy::disallowed_methods, reason = "what the guest's own clock says is the question")]
/// What there is of the machine, and should not be.
fn outside(file: &str) {
    let found = [
        ("read", std::fs::read(file).is_ok()),
        ("written", std::fs::write(file, b"by a plugin").is_ok()),
        ("made", std::fs::write("made.log", b"by a plugin").is_ok()),
        ("listed", ["/", "."].into_iter().any(|folder| std::fs::read_dir(folder).is_ok())),
        ("environment", std::env::vars().next().is_some()),
        ("arguments", std::env::args().next().is_some()),
    ];
    let found: Vec<_> = found.into_iter().filter_map(|(what, is_there)| is_there.then_some(what)).collect();
    report(&format!("of the machine: {found:?}"));
}

/// What the interfaces of the network answer.
fn network(address: &str) {
    let found = [
        std::net::TcpStream::connect(address).err(),
        std::net::TcpListener::bind("127.0.0.1:0").err(),
        std::net::UdpSocket::bind("127.0.0.1:0").err(),
        std::net::ToSocketAddrs::to_socket_addrs("localhost:80").err(),
    ];
    report(&format!("{:?}", found.map(|error| error.map(|error| error.kind()))));
}

fn time() {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let random = RandomState::new().hash_one(1);
    let bytes = random_bytes();
    report(&format!("{wall} {random} {bytes}"));
}

/// What std takes from `wasi:random/random` for a new map is only the insecure seed; this asks anew each time.
fn random_bytes() -> u64 {
    let map: std::collections::HashSet<u64> = (0..8).collect();
    map.iter().fold(0, |all, n| all * 8 + n)
}

bindings::export!(Hostile with_types_in bindings);
