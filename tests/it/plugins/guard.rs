//! A new version that does what its guard forbids goes by itself, and no event with it.

use super::*;

/// Events that a version of the counter sees before it is compared.
const BEFORE: u64 = 40;
/// A faulty version is rolled back within this many events.
const WITHIN: u64 = 1_000;

const GUARD: &str = "[guard]\nevents = 1000\ntraps = 3\nguest-time = 5.0\neffects-per-event = 1.5\n";

/// Waits until this many events have been handled in all.
fn handled(host: &Process, events: u64) {
    host.admin().wait_plugin("counter", "to handle all", |plugin| {
        plugin["counters"]["done"].as_u64().is_some_and(|done| done >= events)
    });
}

#[test]
fn a_version_that_traps_at_times_does_too_much_or_is_slow_is_rolled_back_and_no_event_is_lost() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pair = Pair::new(&host, "source-1");
    let mut sent = 0;
    let mut send = |count: u64| {
        for _ in 0..count {
            sent += 1;
            pair.source.event(format!("{sent}"));
        }
        sent
    };
    handled(&host, send(BEFORE));
    for (wrong, why) in [
        ("trap_nines = 2", "3 traps in"),
        ("twice = true", "effects per event: 2.00"),
        ("spin = 5000", "guest time (median, µs)"),
    ] {
        let settings = format!("{GUARD}{}", counting("bad", wrong));
        host_folder.plugin("counter.toml", settings);
        admin.wait_plugin("counter", "to be replaced", |plugin| plugin["settings"].to_string().contains("bad"));
        assert!(admin.plugin("counter").unwrap().get("guard").is_some(), "it is under guard");
        let first = send(0);
        let rolled_back = loop {
            handled(&host, send(10).saturating_sub(20));
            let plugin = admin.plugin("counter").unwrap();
            if plugin.get("rolledBack").is_some() {
                break plugin;
            }
            assert!(send(0) - first <= WITHIN, "{wrong}: {plugin}");
        };
        assert!(rolled_back["rolledBack"]["error"].as_str().unwrap().contains(why), "{rolled_back}");
        assert!(rolled_back["settings"].to_string().contains("good"), "{rolled_back}");
        host.logged(&["counter", "the previous version runs", why]);
        handled(&host, send(0));
    }
    rollback_is_shown(&host, &host_folder);
    assert!(admin.dead_letters().is_empty());
    let sent = send(0);
    host.kill();

    // Each acknowledged event was handled, once.
    let (journal, _) = Journal::open(&host_folder);
    let executions = journal.executions_of("counter");
    let done = journal.telemetry().filter(|(event, _)| {
        let outcomes = executions.get(&event.seq).into_iter().flatten();
        outcomes.filter(|handled| matches!(handled.outcome, Outcome::Done { .. })).count() == 1
    });
    assert_eq!(done.count() as u64, sent);
}

/// What was rolled back is in the history, and in the explanation of what it did.
fn rollback_is_shown(host: &Process, host_folder: &HostFolder) {
    let text = host.cli(host_folder, &["plugin", "history", "counter"]);
    assert!(text.contains("3 traps in") && text.contains("effects per event"), "{text}");
    let by_doubling = host.admin().get("/v1/executions?plugin=counter&pageSize=1000").ok();
    let all = by_doubling["executions"].as_array().unwrap();
    let twice = all.iter().find(|execution| execution["effects"].as_array().is_some_and(|effects| effects.len() == 3));
    let id = format!("{}.counter", twice.unwrap()["event"].as_str().unwrap());
    let text = host.cli(host_folder, &["explain", &id]);
    assert!(text.contains("It was rolled back") && text.contains("effects per event"), "{text}");
}

/// What a restart knows of the guard of the counter.
fn stored_traps(host_folder: &HostFolder) -> u64 {
    let file = host_folder.data().join("components/counter.windows.json");
    let stored = fs::read(file).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    stored.and_then(|stored| stored["guard"]["of_version"]["traps"].as_u64()).unwrap_or(0)
}

#[test]
fn a_window_goes_on_after_a_kill_with_its_counts_and_takes_the_version_back() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pair = Pair::new(&host, "source-1");
    let send = |pair: &mut Pair, count: u32| (0..count).for_each(|_| pair.source.event("x"));
    send(&mut pair, 20);
    handled(&host, 20);
    let guard = GUARD.replace("traps = 3", "traps = 4");
    host_folder.plugin("counter.toml", format!("{guard}{}", counting("bad", "trap_nines = 1")));
    host.admin().wait_plugin("counter", "to be replaced", |plugin| plugin["settings"].to_string().contains("bad"));
    // It traps at the 29th, each time that it gets it: three times before the kill, and two seconds later again.
    send(&mut pair, 9);
    until("three traps to be stored", || (stored_traps(&host_folder) == 3).then_some(()));
    host.kill();

    let host = host_folder.start();
    let admin = host.admin();
    let plugin = admin.wait_plugin("counter", "to be rolled back", |plugin| plugin["rolledBack"].is_object());
    let error = plugin["rolledBack"]["error"].as_str().unwrap();
    assert!(error.contains("4 traps in 12 events"), "those before the kill count: {error}");
    assert!(plugin["settings"].to_string().contains("good"), "{plugin}");
    host.logged(&["counter", "the previous version runs"]);
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("after"), expected("good", 30, "after"), "no event is lost");
    assert!(admin.dead_letters().is_empty());
    host.stop();
}

#[test]
fn files_that_were_changed_while_the_host_was_down_are_under_guard() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let versions = || host.admin().get("/v1/plugins/counter/versions").ok();
    until("it to be kept", || versions()["versions"].is_array().then_some(()));
    host.stop();
    host_folder.plugin("counter.toml", counting("bad", "trap = true"));
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert!(plugin["settings"].to_string().contains("bad") && plugin["guard"].is_object(), "{plugin}");
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("good", 1, "a"));
    host.stop();
}

#[test]
fn what_an_operator_takes_away_is_not_given_back_by_the_guard() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", format!("[grants]\nconfig = [\"tally-*\"]\n{}", counting("granted", "")));
    let host = host_folder.start();
    let admin = host.admin();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("granted", 1, "a"));
    let taken_away = "[guard]\nerrors = 1\n[grants]\nconfig = []\n";
    host_folder.plugin("counter.toml", format!("{taken_away}{}", counting("taken", "")));
    admin.wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("taken"));
    // It is denied what it wants to do, which its guard does not allow.
    pair.source.event("b");
    let why = "it stays in force, because the version before has the grant config = [\"tally-*\"]";
    let stays = |plugin: &serde_json::Value| {
        let rolled_back = &plugin["rolledBack"];
        rolled_back["stays"] == true && rolled_back["error"].as_str().is_some_and(|error| error.contains(why))
    };
    let plugin = admin.wait_plugin("counter", "to fail", stays);
    assert!(plugin["settings"].to_string().contains("taken") && plugin.get("guard").is_none(), "{plugin}");
    assert_eq!(plugin["grantsInForce"], json!([]), "{plugin}");
    host.logged(&["counter", "the guard cannot roll the new version back", why]);
    let dead_letter = until("the event to be a dead letter", || admin.dead_letters().pop());
    assert!(dead_letter.to_string().contains("do not grant it"), "{dead_letter}");
    assert_eq!(pair.tally.seen().messages.iter().filter(|message| message.text().contains("marker")).count(), 1);
    host.stop();
    // It stays so over a restart, with the same files.
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert!(stays(&plugin) && plugin["settings"].to_string().contains("taken"), "{plugin}");
    host.stop();
}
