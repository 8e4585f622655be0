//! What scripts rely on: exit codes and output; and what shells and readers of manuals get.

use std::process::Output;

use serde_json::Value;
use switchbox_tests::{HostFolder, Process, has_terminal, on_a_terminal};

struct Shell<'a> {
    host_folder: &'a HostFolder,
    host: &'a Process,
}

impl Shell<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        self.host.command(self.host_folder, arguments).output().unwrap()
    }

    fn code(&self, arguments: &[&str]) -> i32 {
        self.run(arguments).status.code().unwrap()
    }

    /// What a command that does its work prints.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn the_exit_code_says_what_went_wrong() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let shell = Shell { host_folder: &host_folder, host: &host };
    shell.prints(&["device", "create", "lamp-1"]);
    let reader = shell.prints(&["token", "create", "--name", "reader", "--scope", "read"]);
    let reader = reader.trim();
    for (code, arguments) in [
        (0, &["device", "get", "lamp-1"][..]),
        (2, &["device", "fly", "lamp-1"]),
        (2, &["device", "get", "a/b/c/d"]),
        (2, &["device", "get", "lamp 1"]),
        (2, &["device", "update", "lamp-1"]),
        (2, &["events", "--kind", "none"]),
        (2, &["events", "--since", "yesterday"]),
        (2, &["plugin", "new", "Night-light"]),
        (2, &["plugin", "new", "night-light", "--lang", "js", "--sdk", "/"]),
        (2, &["plugin", "canary", "night-light", "--settings", "night-light.toml"]),
        (2, &["plugin", "canary", "night-light", "--share", "1"]),
        (2, &["plugin", "shadow", "night-light"]),
        (2, &["plugin", "record", "night-light"]),
        (4, &["device", "get", "lamp-2"]),
        (4, &["plugin", "logs", "nobody"]),
        (4, &["explain", "99"]),
        (5, &["device", "delete", "lamp-1", "--token", reader]),
        (5, &["device", "get", "lamp-1", "--token", "wrong"]),
        (6, &["device", "get", "lamp-1", "--admin", "http://127.0.0.1:1"]),
        (7, &["device", "create", "lamp-1"]),
        (7, &["device", "config", "set", "lamp-1", "on", "--version", "7"]),
        (7, &["device", "command", "send", "lamp-1", "blink"]),
        (7, &["device", "method", "lamp-1", "blink"]),
        (1, &["device", "config", "set", "lamp-1", "@nowhere"]),
    ] {
        assert_eq!(shell.code(arguments), code, "{arguments:?}");
    }
    let mut silent = host.device("lamp-1");
    silent.subscribe("/devices/lamp-1/methods/#");
    assert_eq!(shell.code(&["device", "method", "lamp-1", "blink", "--timeout", "200ms"]), 8);
    host.stop();
}

#[test]
fn answers_are_tables_documents_or_lines() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let shell = Shell { host_folder: &host_folder, host: &host };
    host.device("lamp-1").event(r#"{"on": true}"#);
    host.device("lamp-2").event("on");
    let events = |more: &[&str]| shell.prints(&[&["events", "--kind", "telemetry"], more].concat());
    let lines: Vec<Value> =
        events(&["--output", "jsonl"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["data"], &lines[0]["binaryData"]), (&"on".into(), &"b24=".into()));
    assert_eq!((lines.len(), &lines[1]["data"]["on"]), (2, &true.into()));
    let document: Value = serde_json::from_str(&events(&["-o", "json"])).unwrap();
    assert_eq!(document, serde_json::from_str::<Value>(&events(&["--json"])).unwrap());
    assert_eq!(document["events"], Value::Array(lines));
    assert!(events(&["--output", "table"]).lines().next().unwrap().ends_with(" lamp-2 telemetry on"));

    let device = shell.prints(&["device", "get", "lamp-1", "-o", "jsonl"]);
    assert_eq!((device.lines().count(), device.contains(r#""id":"lamp-1""#)), (1, true), "{device}");
    assert_eq!(shell.prints(&["plugin", "list", "-o", "jsonl"]).trim(), "");

    let time = document["events"][0]["time"].as_str().unwrap();
    assert_eq!(events(&["--since", time]).lines().count(), 1);
    assert_eq!(events(&["--since", "1h"]).lines().count(), 2);
    assert_eq!(events(&["--since", "1h", "--limit", "1"]).lines().count(), 1);
    assert_eq!(events(&["--since", "2999-01-01T00:00:00Z"]).trim(), "");
    host.stop();
}

#[test]
fn people_at_a_terminal_see_colours_and_how_long_ago() {
    if !has_terminal() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    host.device("lamp-1").event("\u{1b}[31mred");
    let mut command = host.command(&host_folder, &[]);
    let plain = on_a_terminal(&command, "device list").1;
    assert!(!plain.contains('\u{1b}') && plain.contains(" s ago"), "{plain}");
    command.env("NO_COLOR", "").env("TERM", "xterm");
    let coloured = on_a_terminal(&command, "device list").1;
    assert!(coloured.contains("\u{1b}[01mDEVICE\u{1b}[00m"), "{coloured:?}");
    let events = on_a_terminal(&command, "events --kind telemetry").1;
    assert!(events.contains("\u{1b}[01mlamp-1\u{1b}[00m") && events.contains("\\u{1b}[31mred"), "{events:?}");
    host.stop();
}

#[test]
fn shells_complete_commands_and_readers_get_manual_pages() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let shell = Shell { host_folder: &host_folder, host: &host };
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shell.prints(&["completions", name]);
        assert!(script.contains("dead-letters") && script.contains("redrive"), "{name}: {script:.200}");
    }
    let folder = host_folder.root().join("man");
    shell.prints(&["man", folder.to_str().unwrap()]);
    for page in ["switchbox.1", "switchbox-device-config-set.1", "switchbox-plugin-logs.1"] {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}: {text:.200}");
    }
    host.stop();
}
