//! A plugin that does all that a guest can do wrong, beside one that counts.

use super::*;

/// The limit that ends each hostile guest, with the error in its dead letter.
const FATAL: [(&str, &str); 8] = [
    ("loop", "deadline"),
    ("allocate", "memory"),
    ("recurse", "stack"),
    ("sleep 100000", "deadline"),
    ("panic", "out of cheese"),
    ("trap", "unreachable"),
    ("exit", "exit("),
    ("reject", "not mine"),
];

/// What is only cut short, with the limit that counts it.
const CUT: [(&str, &str); 4] = [
    ("print 1000", "log-lines"),
    ("print-bytes 100000", "output"),
    ("host-calls 2000", "host-calls"),
    ("effects 100", "effects-per-event"),
];

#[test]
fn a_hostile_plugin_hurts_only_itself() {
    let host_folder = HostFolder::new();
    host_folder.plugin("hostile.wasm", fs::read(HOSTILE).unwrap());
    host_folder.plugin(
        "hostile.toml",
        "[[trigger]]\nevent = \"telemetry\"\ndevice = \"villain-*\"\n[limits]\ndeadline = \"1s\"\n",
    );
    host_folder.plugin("counter.wasm", counter());
    let source = "[[trigger]]\nevent = \"telemetry\"\ndevice = \"source-*\"\n";
    host_folder.plugin("counter.toml", format!("{source}{}", counting("", "")));
    let host = host_folder.start();
    let admin = host.admin();
    drop(["lamp-1", "report"].map(|id| host.device(id)));
    let mut pair = Pair::new(&host, "source-1");
    for (n, (attack, _)) in FATAL.iter().chain(&CUT).enumerate() {
        host.device(&format!("villain-{n}")).event(*attack);
    }
    // Others do not notice: their events go their way while the villains are tried five times each.
    let mut count = 0;
    while admin.dead_letters().len() < FATAL.len() {
        count += 1;
        assert_eq!(pair.round_trip(&format!("n{count}")), expected("", count, &format!("n{count}")));
    }
    assert!(count >= 10, "{count} round trips in all the time that five tries take");
    let dead_letters = admin.dead_letters();
    for (attack, expect) in FATAL {
        let has_error = |dead_letter: &&serde_json::Value| {
            dead_letter["error"].as_str().is_some_and(|error| error.contains(expect))
        };
        let dead_letter = dead_letters
            .iter()
            .find(has_error)
            .unwrap_or_else(|| panic!("no dead letter of {attack}: {dead_letters:?}"));
        assert_eq!(dead_letter["plugin"], "hostile");
        assert_eq!(dead_letter["attempt"], if attack == "reject" { 1 } else { 5 }, "{dead_letter}");
    }
    let hostile = admin.plugin("hostile").unwrap();
    for (attack, limit) in CUT {
        assert!(hostile["limitsHit"][limit].as_u64() >= Some(1), "{attack}: {hostile}");
    }
    assert_eq!(hostile["state"], "running");
    // And it still does what is right.
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    host.device("villain-0").event("relay lamp-1");
    lamp.message_with("relayed");
    host.stop();
}
