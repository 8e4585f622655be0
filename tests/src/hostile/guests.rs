//! Malicious plugins: a component that is accepted and then misuses each call, each text and each start. Another plugin must be
//! served meanwhile, and the host's memory must not grow.

use std::fs;

use super::{
    Attack, Row, row,
    wire::{packet, publish},
};
use crate::{HOSTILE, until};

/// How much the host's memory may grow, MiB, whatever a guest passes to a call.
const GROWTH_MIB: u64 = 64;
/// How much the instances of a guest may keep of their own memory after many calls, MiB: two of 32 MiB each.
const KEPT_BY_GUESTS_MIB: u64 = 64;

pub(super) const ROWS: &[Row] = &[
    row(
        "argument-bomb-plugin",
        "has its plugin call the host with arguments of 8 MB, and with patterns that are long to compile",
        |attack| {
            let calls = [
                "registry.list-pattern",
                "registry.get",
                "config.set-payload",
                "timer.set-cron",
                "state.keys-prefix",
                "topic.publish-topic",
            ];
            let units = ["?", "*", "{a,", "[a-", "/", "**/"];
            let bombs = calls.iter().flat_map(|call| units.map(|unit| format!("argue {call} 8000000 {unit}")));
            bounded(attack, &bombs.collect::<Vec<_>>());
        },
    )
    .asserts("the host takes at most 64 MiB more"),
    row("text-bomb-plugin", "has its plugin reject events with reasons of 12 MB, and log lines of 8 MB", |attack| {
        bounded(attack, &["reject-bytes 12000000".to_owned(), "argue log.write 8000000 x".to_owned()]);
        let dead_letters = attack.target.api.dead_letters();
        let longest = dead_letters.iter().map(|dead_letter| dead_letter.to_string().len()).max().unwrap_or(0);
        assert!(longest < 100_000, "a dead letter of {longest} bytes");
    })
    .asserts("the host takes at most 64 MiB more; a dead letter has less than 100 kB"),
    row(
        "start-bomb-component",
        "puts components into the folder that panic, loop, call the host with 8 MB, or say 3 MB when they are started",
        |attack| {
            tried(
                attack,
                "start",
                &[
                    r#"start = "list""#,
                    r#"start = "panic""#,
                    r#"start = "words""#,
                    r#"start = "loop""#,
                    r#"describe = "loop""#,
                ],
            );
        },
    )
    .asserts("it never runs; what the host says of it has less than 100 kB"),
    row(
        "description-bomb-component",
        "puts components into the folder that ask for 100,000 triggers, or for patterns of 2 MB",
        |attack| {
            tried(attack, "describe", &[r#"describe = "triggers""#, r#"describe = "glob""#, r#"describe = "globs""#]);
        },
    )
    .asserts("it never runs; what the host says of it has less than 100 kB"),
];

/// The guest that misbehaves on request.
pub(super) fn component() -> Vec<u8> {
    fs::read(HOSTILE).expect("the guest is not there")
}

/// Writes the settings of a plugin of the attackers' own device.
pub(super) fn settings(attack: &Attack, name: &str, more: &str) {
    let trigger = "[[trigger]]\nevent = \"telemetry\"\ndevice = \"mallory\"\n[limits]\ndeadline = \"20s\"\n";
    fs::write(attack.target.plugins.join(format!("{name}.toml")), format!("{trigger}{more}")).expect("no room");
}

/// Waits until the plugin runs.
pub(super) fn runs(attack: &Attack, name: &str) {
    until("the plugin to run", || attack.target.plugin(name).filter(|text| text.contains("\"running\"")));
}

/// Installs the guest under this name for the attackers' own device.
pub(super) fn run(attack: &Attack, name: &str) {
    settings(attack, name, "");
    fs::write(attack.target.plugins.join(format!("{name}.wasm")), component()).expect("no room");
    runs(attack, name);
}

/// Removes the plugin from the folder, and waits until it is gone.
pub(super) fn remove(attack: &Attack, name: &str) {
    for ending in ["toml", "wasm"] {
        let _ = fs::remove_file(attack.target.plugins.join(format!("{name}.{ending}")));
    }
    until("the plugin to be gone", || attack.target.plugin(name).is_none().then_some(()));
}

/// Runs the plugin for the attackers' own device, and sends it these events in turn.
fn bounded(attack: &Attack, events: &[String]) {
    let name = "hostile";
    run(attack, name);
    let idle = attack.target.resident_mib();
    attack.target.reset_peak();
    let mut conn = attack.target.connect_accepted(&attack.target.mallory());
    let mut sent = 0;
    for event in events.iter().cycle() {
        sent += 1;
        conn.send(&publish(0x32, "/devices/mallory/events", (sent % 60_000 + 1) as u16, &[], event.as_bytes()));
        let _ = conn.packet();
        until("the event to be handled", || (attack.target.handled(name)? >= sent).then_some(()));
        let peak = attack.target.peak_mib();
        let again = sent > events.len() as u64;
        let most = idle + GROWTH_MIB + if again { KEPT_BY_GUESTS_MIB } else { 0 };
        assert!(peak <= most, "{event}: the host took {peak} MiB, and {idle} before");
        // Send all events, even if the attack is stopped early.
        if !attack.continues() && sent >= events.len() as u64 {
            break;
        }
    }
    conn.send(&packet(0xe0, &[]));
    remove(attack, name);
}

/// Checks that each of these settings keeps the component from running.
fn tried(attack: &Attack, name: &str, settings: &[&str]) {
    let plugins = &attack.target.plugins;
    fs::write(plugins.join(format!("{name}.wasm")), component()).expect("no room");
    for settings in settings.iter().cycle() {
        let file = format!("[limits]\nstart-deadline = \"300ms\"\n[settings]\n{settings}\n");
        fs::write(plugins.join(format!("{name}.toml")), file).expect("no room");
        let text = until("the host to look at the component", || {
            attack.target.plugin(name).filter(|text| text.contains("\"lastError\":\""))
        });
        assert!(!text.contains("\"running\"") && text.len() < 100_000, "it runs, or says too much: {text:.300}");
        if !attack.continues() {
            break;
        }
    }
    for ending in ["toml", "wasm"] {
        let _ = fs::remove_file(plugins.join(format!("{name}.{ending}")));
    }
}
