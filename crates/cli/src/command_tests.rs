//! The command line against a real host.

use std::io::Write as _;

use anyhow::Context;
use clap::Parser;

use super::{
    audit,
    command::Command,
    device, events, exit,
    exit::wrong,
    explain, plugin, plugin_logs,
    printed::{Printed, chain},
};
use switchbox_admin::testing::TestHost;
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[test]
fn an_error_says_everything_once() {
    let error: anyhow::Result<()> =
        Err(std::io::Error::other("disk is full")).context("cannot write a: disk is full").context("no start");
    assert_eq!(chain(&error.unwrap_err()), "no start: cannot write a: disk is full");
}

/// The command's output, or its error.
pub(super) fn run(arguments: &[&str], admin: &str, token: Option<&str>) -> Result<String, String> {
    ended(arguments, admin, token).map(|printed| printed.text)
}

pub(super) fn ended(arguments: &[&str], admin: &str, token: Option<&str>) -> Result<Printed, String> {
    outcome(arguments, admin, token).map_err(|error| chain(&error))
}

fn outcome(arguments: &[&str], admin: &str, token: Option<&str>) -> anyhow::Result<Printed> {
    let mut all = vec!["switchbox"];
    all.extend(arguments);
    all.extend(["--admin", admin]);
    // For `plugin try` it is the event's data.
    if !arguments.contains(&"try") {
        all.extend(["--data", "/nowhere"]);
    }
    all.extend(token.map(|token| ["--token", token]).into_iter().flatten());
    let cli = Cli::try_parse_from(all).map_err(|error| wrong(error.to_string()))?;
    match cli.command {
        Command::Device(options) => device::run(&options),
        Command::Gateway(options) => options.run().map(Printed::from),
        Command::Registry(options) => options.run().map(Printed::from),
        Command::Explain(options) => explain::run(&options).map(Printed::from),
        Command::Events(options) => events::listed(&options).map(Printed::from),
        Command::Plugin(plugin::Options { host, action: plugin::Action::Logs(options) }) => {
            plugin_logs::listed(&host, &options).map(Printed::from)
        }
        Command::Plugin(options) => plugin::run(&options),
        Command::Service(options) => options.run().map(Printed::from),
        Command::Token(options) => options.run().map(Printed::from),
        Command::Audit(options) => audit::run(&options).map(Printed::from),
        Command::DeadLetters(options) => options.run().map(Printed::from),
        _ => panic!("no command for a running host"),
    }
}

#[test]
fn a_wrong_argument_and_something_missing_end_with_codes_of_their_own() {
    let host = TestHost::new();
    let code = |arguments: &[&str]| {
        let error = outcome(arguments, &host.base, host.token.as_deref()).err();
        error.and_then(|error| exit::code(&error))
    };
    for wrong in [
        &["plugin", "try", "relay", "x"][..],
        &["plugin", "try", "relay", "x", "--device", "lamp-1", "--method-answer", "lamp-1=x"],
        &["plugin", "try", "relay", "x", "--device", "lamp-1", "--method-answer", ":on=x"],
        &["plugin", "record", "relay"],
        &["plugin", "shadow", "relay"],
        &["plugin", "canary", "relay", "--settings", "relay.toml"],
        &["explain", "lamp-1@x"],
    ] {
        assert_eq!(code(wrong), Some(2), "{wrong:?}");
    }
    assert_eq!(code(&["device", "create", "lamp-1"]), None);
    for missing in [&["plugin", "diff", "relay", "9"][..], &["device", "credential", "remove", "lamp-1", "3"]] {
        assert_eq!(code(missing), Some(4), "{missing:?}");
    }
}

/// Whether the table has this row; the widths of columns are ignored.
pub(super) fn has_row(table: &str, row: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().eq(row.split_whitespace()))
}

fn has_row_that_begins(table: &str, row: &str) -> bool {
    let row: Vec<_> = row.split_whitespace().collect();
    table.lines().any(|line| line.split_whitespace().take(row.len()).eq(row.iter().copied()))
}

#[test]
fn an_operator_makes_a_token_and_sees_what_was_done_with_it() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref()).unwrap();
    let token = run(&["token", "create", "--name", "dashboard", "--scope", "read"]);
    assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{token:?}");
    assert!(has_row_that_begins(&run(&["token", "list"]), "dashboard read"));
    assert!(run(&["audit"]).contains("POST"), "{}", run(&["audit"]));
    assert_eq!(run(&["token", "delete", "dashboard"]), "token dashboard is deleted");
    assert_eq!(run(&["token", "list"]).lines().count(), 1);
    assert_eq!(run(&["dead-letters", "list"]).lines().count(), 1, "only the head: there are none");
}

#[test]
fn an_operator_makes_gateways_and_binds_devices_to_them() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref());
    for id in ["hub", "lamp-1"] {
        run(&["device", "create", id]).unwrap();
    }
    assert!(run(&["gateway", "bind", "hub", "lamp-1"]).unwrap_err().contains("only to a gateway"));
    let made = run(&["gateway", "make", "hub", "--auth", "association-and-device-auth-token"]).unwrap();
    assert_eq!(made, "hub is a gateway with ASSOCIATION_AND_DEVICE_AUTH_TOKEN");
    assert_eq!(run(&["gateway", "bind", "hub", "lamp-1"]).unwrap(), "lamp-1 is bound to hub");
    let gateways = run(&["gateway", "list"]).unwrap();
    assert!(has_row(&gateways, "hub no no - ASSOCIATION_AND_DEVICE_AUTH_TOKEN"), "{gateways}");
    assert!(!gateways.contains("lamp-1"), "{gateways}");
    assert!(has_row(&run(&["gateway", "devices", "hub"]).unwrap(), "lamp-1 no no - -"));
    assert!(run(&["gateway", "unmake", "hub"]).unwrap_err().contains("unbind them first"));
    assert_eq!(run(&["gateway", "unbind", "hub", "lamp-1"]).unwrap(), "lamp-1 is not bound to hub any more");
    assert_eq!(run(&["gateway", "unmake", "hub"]).unwrap(), "hub is not a gateway any more");
    assert!(run(&["gateway", "bind", "hub", "other/lamp-1"]).unwrap_err().contains("different registries"));
}

#[test]
fn an_operator_works_with_devices_and_plugins() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref());
    let name = "projects/local/locations/local/registries/default/devices/lamp-1";
    assert_eq!(
        run(&["device", "create", "lamp-1", "--metadata", "room=hall"]).unwrap(),
        format!("{name} is registered")
    );
    let twice = run(&["device", "create", "lamp-1"]).unwrap_err();
    assert!(twice.starts_with(&format!("{name} exists already; choose another name")), "{twice}");
    assert_eq!(run(&["device", "config", "set", "lamp-1", "on"]).unwrap(), "lamp-1 has config version 1");
    assert_eq!(run(&["device", "config", "get", "lamp-1"]).unwrap(), "on");
    assert!(
        run(&["device", "config", "set", "lamp-1", "off", "--version", "7"])
            .unwrap_err()
            .contains("version 1 is in force")
    );
    assert!(run(&["device", "config", "get", "lamp-1", "--all"]).unwrap().contains("ACKNOWLEDGED"));
    assert!(run(&["device", "twin", "get", "lamp-1"]).unwrap().contains("version 1 is not a JSON object"));
    run(&["device", "config", "set", "lamp-1", "{}"]).unwrap();
    let twin = run(&["device", "twin", "patch", "lamp-1", r#"{"on": true}"#, "--version", "2"]).unwrap();
    assert!(has_row(&twin, &format!("/on true - {}", twin.split_whitespace().last().unwrap())), "{twin}");
    let conflict = run(&["device", "twin", "patch", "lamp-1", "{}", "--version", "2"]).unwrap_err();
    assert!(conflict.contains("version 3 is in force"), "{conflict}");
    assert!(has_row(&run(&["device", "get", name]).unwrap(), "metadata room hall"));
    let list = run(&["device", "list"]).unwrap();
    assert!(list.starts_with("DEVICE  CONNECTED") && has_row(&list, "lamp-1 no no 3 -"), "{list}");
    let json: serde_json::Value = serde_json::from_str(&run(&["device", "list", "--json"]).unwrap()).unwrap();
    assert_eq!(json["devices"][0]["id"], "lamp-1");
    assert!(run(&["device", "state", "lamp-1"]).unwrap_err().contains("has not reported a state yet"));
    run(&["device", "delete", "lamp-1"]).unwrap();
    assert!(run(&["device", "get", "lamp-1"]).unwrap_err().contains("does not exist"));

    assert!(has_row(&run(&["plugin", "list"]).unwrap(), "relay running 0 0 0"));
    assert!(has_row(&run(&["plugin", "get", "relay"]).unwrap(), "state running"));
    assert!(has_row(&run(&["plugin", "get", "relay"]).unwrap(), "limits deadline 100ms"));
    assert!(run(&["plugin", "disable", "relay"]).unwrap_err().contains("does not exist"));
    std::fs::create_dir_all(&host.folder).unwrap();
    std::fs::write(host.folder.join("relay.toml"), "").unwrap();
    let granted = run(&["plugin", "grant", "relay", "config=lamp-1", "read=*"]).unwrap();
    assert_eq!(granted, "relay may do this now: config lamp-1");
    let granted = run(&["plugin", "grant", "relay", "config=fan-1"]).unwrap();
    assert!(
        granted.starts_with("relay may do nothing now: none of what it asks for is granted by config fan-1;"),
        "{granted}"
    );
}

#[test]
fn payloads_of_any_size_and_with_any_bytes_are_shown() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref()).unwrap();
    run(&["device", "create", "lamp-1"]);
    let long = format!(r#"{{"text":"{}","n":12345678901234567890123}}"#, "x".repeat(65_536 - 40));
    host.report("lamp-1", &long);
    let file = host.folder.with_extension("config");
    std::fs::write(&file, &long).unwrap();
    run(&["device", "config", "set", "lamp-1", &format!("@{}", file.display())]);
    run(&["device", "command", "send", "lamp-1", "x\u{1b}[2J\ny", "--ttl", "1h"]);
    for arguments in [
        &["device", "twin", "get", "lamp-1"][..],
        &["device", "get", "lamp-1"],
        &["device", "state", "lamp-1"],
        &["device", "config", "get", "lamp-1", "--all"],
        &["device", "config", "get", "lamp-1"],
    ] {
        assert!(run(arguments).contains(&long), "{arguments:?}");
    }
    assert!(run(&["device", "command", "list", "lamp-1"]).contains("x\u{1b}[2J\ny"));
    let twin = run(&["device", "twin", "get", "lamp-1", "--json"]);
    assert!(twin.starts_with("{\n  \"desired\": {\n    \"text\": \"xxx"), "{twin:.80}");
    assert!(twin.contains("\n    \"n\": 12345678901234567890123\n  },\n  \"desiredVersion\": \"1\","));
}

#[test]
fn a_twin_is_patched_and_compared_without_loss() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref());
    run(&["device", "create", "lamp-1"]).unwrap();
    let patch = r#"{"z": 1.50, "id": 12345678901234567890123, "t": 1e400}"#;
    run(&["device", "twin", "patch", "lamp-1", patch]).unwrap();
    host.report("lamp-1", r#"{"z":1.5000001,"id":12345678901234567890123}"#);
    let twin = run(&["device", "twin", "get", "lamp-1"]).unwrap();
    assert!(twin.contains(r#"{"z":1.50,"id":12345678901234567890123,"t":1e400}"#), "{twin}");
    assert!(twin.contains("/z") && twin.contains("/t"), "{twin}");
    let twin = run(&["device", "twin", "get", "lamp-1", "--tolerance", "1e-6"]).unwrap();
    assert!(!twin.contains("/z") && twin.contains("/t"), "{twin}");
    assert!(run(&["device", "twin", "get", "lamp-1", "--tolerance", "7"]).unwrap_err().contains("from 0 up to 1"));
    for wrong in ["[1]", "on", "{\"a\":", ""] {
        let refused = run(&["device", "twin", "patch", "lamp-1", wrong]).unwrap_err();
        assert!(refused.contains("patch must be a JSON object, such as"), "{wrong}: {refused}");
    }
    let unchanged = run(&["device", "config", "set", "lamp-1", r#"{"z":1.50,"id":12345678901234567890123,"t":1e400}"#]);
    assert_eq!(
        unchanged.unwrap(),
        "lamp-1 has config version 1 already, with these bytes; --force makes a new version"
    );
    let forced = run(&["device", "config", "set", "lamp-1", r#"{"z":1.50}"#, "--force"]).unwrap();
    assert_eq!(forced, "lamp-1 has config version 2");
}

#[test]
fn an_operator_follows_a_command_to_its_end() {
    let host = TestHost::new();
    let run = |arguments: &[&str]| run(arguments, &host.base, host.token.as_deref());
    run(&["device", "create", "lamp-1"]).unwrap();
    let command = |arguments: &[&str]| run(&[&["device", "command"][..], arguments].concat());
    assert!(command(&["send", "lamp-1", "blink"]).unwrap_err().contains("is not connected; give the command a ttl"));
    let id = |taken: String| taken.strip_prefix("taken: command ").unwrap().to_owned();
    let first = id(command(&["send", "lamp-1", "blink", "--ttl", "30min"]).unwrap());
    let second = id(command(&["send", "lamp-1", "ring", "--ttl", "1h", "--subfolder", "bell"]).unwrap());
    command(&["send", "lamp-1", "sing", "--ttl", "1h"]).unwrap();

    let queued = command(&["list", "lamp-1", "--status", "queued"]).unwrap();
    let ids: Vec<_> = queued.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!((ids.len(), ids[1], ids[2]), (3, second.as_str(), first.as_str()), "newest first: {queued}");
    assert_eq!(command(&["list", "lamp-1", "--limit", "1"]).unwrap().lines().count(), 2);
    assert_eq!(command(&["cancel", "lamp-1", &first]).unwrap(), format!("command {first} is cancelled"));
    assert!(command(&["cancel", "lamp-1", &first]).unwrap_err().contains("has ended already: purged"));
    assert!(command(&["cancel", "lamp-1", "none"]).unwrap_err().contains("command none does not exist"));
    assert_eq!(command(&["purge", "lamp-1"]).unwrap(), "2 command(s) cancelled");
    let shown = command(&["show", "lamp-1", &second]).unwrap();
    assert!(has_row(&shown, "status purged") && has_row(&shown, "ttl 3600s"), "{shown}");
    assert!(has_row(&shown, "subfolder bell") && has_row(&shown, "data ring"), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("purged ")), "every status has its time: {shown}");
    assert!(command(&["list", "lamp-1", "--status", "lost"]).unwrap_err().contains("status must be queued"));

    let (online, received) = host.connect("lamp-1");
    online.subscribe(DownlinkKind::Commands);
    let now = id(command(&["send", "lamp-1", "blink"]).unwrap());
    let Ok(Outbound::Command(sent)) = received.recv() else { panic!("no command came") };
    online.acknowledged([DeliveryReport::CommandSent { num: sent.num }]);
    assert!(has_row(&command(&["show", "lamp-1", &now]).unwrap(), "status sent"));
}

#[test]
fn what_stands_in_the_way_of_talking_to_a_host_is_said() {
    let host = TestHost::new();
    let no_token = run(&["device", "list"], &host.base, None).unwrap_err();
    assert!(no_token.contains("a bearer token is needed") && no_token.contains("--data"), "{no_token}");
    assert!(no_token.contains("/nowhere has no token"), "{no_token}");
    let wrong = run(&["device", "list"], &host.base, Some("x")).unwrap_err();
    assert!(wrong.contains("not this host's (the token given)"), "{wrong}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Read::read(&mut stream, &mut [0; 4_096]).unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    });
    let other = run(&["device", "list"], &elsewhere, None).unwrap_err();
    assert!(other.contains("is not a Switchbox host (404 Not Found); name one with"), "{other}");
    for admin in ["http://a b", "ftp://127.0.0.1:1"] {
        let invalid_address = run(&["device", "list"], admin, None).unwrap_err();
        assert!(invalid_address.contains("write --admin like http://127.0.0.1:8080"), "{invalid_address}");
    }
    let no_host = run(&["device", "list"], "127.0.0.1:1", None).unwrap_err();
    assert!(
        no_host.contains("no host answers at http://127.0.0.1:1") && no_host.contains("switchbox serve"),
        "{no_host}"
    );
}
