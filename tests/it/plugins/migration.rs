//! A version that keeps the plugin's state in another form: the state goes with the switch, all of it or nothing, and comes back
//! only if it can.

use serde_json::Value;

use super::*;
use switchbox_tests::migrant;

/// The schema in which an event was counted, and the count.
fn counted(pair: &mut Pair, text: &str) -> (u64, u64) {
    let answer: Value = serde_json::from_str(&pair.round_trip(text)).unwrap();
    (answer["schema"].as_u64().unwrap(), answer["count"].as_u64().unwrap())
}

/// Installs this version and waits until it is in force.
fn install(host: &Process, host_folder: &HostFolder, component: Vec<u8>) {
    let bytes = component[..].to_vec();
    host_folder.plugin("migrant.wasm", component);
    let digest = switchbox_plugin_runtime::digest(&bytes);
    host.admin().wait_plugin("migrant", "to be in force", |plugin| plugin["digest"] == digest.as_str());
}

fn host_with(component: Vec<u8>) -> (HostFolder, Process) {
    let host_folder = HostFolder::new();
    host_folder.plugin("migrant.toml", "[limits]\ndeadline = \"30s\"\n");
    host_folder.plugin("migrant.wasm", component);
    let host = host_folder.start();
    host.admin().wait_plugin("migrant", "to run", |plugin| plugin["state"] == "running");
    (host_folder, host)
}

/// A device whose events are counted without an answer.
fn quiet(host: &Process, id: &str) {
    let done = |plugin: &Value| plugin["counters"]["done"].as_u64().unwrap();
    let before = done(&host.admin().plugin("migrant").unwrap());
    host.device(id).event("x");
    host.admin().wait_plugin("migrant", "to count it", |plugin| done(plugin) > before);
}

#[test]
fn the_state_goes_up_with_a_version_and_down_with_a_rollback_also_over_a_kill() {
    let (host_folder, host) = host_with(migrant(0, 0));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "a"), (0, 1));
    install(&host, &host_folder, migrant(2, 1));
    assert_eq!(counted(&mut pair, "b"), (2, 2));
    host.kill();

    let host = host_folder.start();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "c"), (2, 3));
    install(&host, &host_folder, migrant(1, 0));
    assert_eq!(counted(&mut pair, "d"), (1, 4));
    install(&host, &host_folder, migrant(3, 1));
    assert_eq!(counted(&mut pair, "e"), (3, 5));
    let history = host.cli(&host_folder, &["plugin", "history", "migrant"]);
    let _ = host.cli(&host_folder, &["plugin", "rollback", "migrant", "--to", "3"]);
    host.admin().wait_plugin("migrant", "to go back", |plugin| plugin["stateSchema"] == 1);
    assert_eq!(counted(&mut pair, "f"), (1, 6), "{history}");
    host.logged(&["migrant", "the state was brought from schema 3 to 1"]);
    host.stop();
}

#[test]
fn a_rollback_that_cannot_be_undone_is_refused_with_the_reason() {
    let (host_folder, host) = host_with(migrant(1, 1));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "a"), (1, 1));
    install(&host, &host_folder, migrant(2, 2));
    let refused = host.admin().post("/v1/plugins/migrant:rollback", &json!({"to": "1"}));
    let why = "version 1 of migrant keeps its state in schema 1: the migration of the state to schema 2 cannot be undone: \
               the test says so";
    assert!(refused.status == 400 && refused.body.to_string().contains(why), "{refused:?}");
    let output = host.command(&host_folder, &["plugin", "rollback", "migrant"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be undone: the test says so"), "{output:?}");
    // Also where the file itself is replaced.
    host_folder.plugin("migrant.wasm", migrant(1, 1));
    let plugin = host.admin().wait_plugin("migrant", "to refuse it", |plugin| plugin["lastError"].is_string());
    let error = plugin["lastError"].as_str().unwrap();
    assert!(
        error.contains("stays in schema 2 and is not brought to 1") && error.contains("the test says so"),
        "{error}"
    );
    assert_eq!(counted(&mut pair, "b"), (2, 2));
    host.stop();

    // Without a version that could bring it down, the state waits for one.
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("migrant", "to be refused", |plugin| plugin["state"] == "broken");
    assert!(plugin["lastError"].as_str().unwrap().contains("no version that keeps it so is running"), "{plugin}");
    install(&host, &host_folder, migrant(2, 2));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "c"), (2, 3));
    host.stop();
}

#[test]
fn a_migration_that_fails_leaves_the_state_and_the_version_before() {
    for (device, why) in [
        ("quiet-refuse", "told to refuse"),
        ("quiet-trap", "told to trap"),
        ("quiet-endless", "the limit \"migration-time\" is reached: the guest took longer than 10s"),
    ] {
        let (host_folder, host) = host_with(migrant(0, 0));
        let mut pair = Pair::new(&host, "a-source");
        assert_eq!(counted(&mut pair, "a"), (0, 1));
        quiet(&host, device);
        host_folder.plugin("migrant.wasm", migrant(1, 0));
        let plugin = host.admin().wait_plugin("migrant", why, |plugin| plugin["lastError"].is_string());
        let error = plugin["lastError"].as_str().unwrap();
        assert!(error.contains(why) && error.contains("the state stays in schema 0"), "{error}");
        assert_eq!((&plugin["state"], &plugin["stateSchema"]), (&json!("running"), &json!(0)));
        // Its keys were changed first, and are there again.
        assert_eq!(counted(&mut pair, "b"), (0, 2));
        host.logged(&["migrant", why, "the version before keeps running"]);
        host.stop();
    }
}

#[test]
fn the_guard_brings_the_state_down_with_the_version_that_it_rolls_back() {
    let (host_folder, host) = host_with(migrant(0, 0));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "a"), (0, 1));
    install(&host, &host_folder, migrant(1, 0));
    assert_eq!(counted(&mut pair, "b"), (1, 2));
    assert_eq!(counted(&mut pair, "trap at 1"), (0, 3));
    let plugin = host.admin().plugin("migrant").unwrap();
    assert_eq!((&plugin["stateSchema"], &plugin["rolledBack"]["stays"]), (&json!(0), &json!(false)), "{plugin}");
    host.logged(&["migrant", "the previous version runs"]);
    assert!(host.admin().dead_letters().is_empty());
    host.kill();
    let host = host_folder.start();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "c"), (0, 4));
    host.stop();
}

#[test]
fn a_version_whose_migration_cannot_be_undone_stays_when_its_guard_fails_and_that_is_told() {
    let (host_folder, host) = host_with(migrant(0, 0));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "a"), (0, 1));
    install(&host, &host_folder, migrant(1, 1));
    let mut other = Pair::new(&host, "source-2");
    pair.source.event("trap at 1");
    let why = "it stays in force, because the state stays in schema 1 and is not brought to 0: the migration of the state to \
               schema 1 cannot be undone: the test says so";
    let plugin = host.admin().wait_plugin("migrant", "to fail", |plugin| plugin["rolledBack"].is_object());
    let rolled_back = &plugin["rolledBack"];
    assert_eq!((&rolled_back["stays"], &rolled_back["digest"]), (&json!(true), &plugin["digest"]), "{plugin}");
    assert!(rolled_back["error"].as_str().unwrap().contains(why), "{plugin}");
    host.logged(&["migrant", "the guard cannot roll the new version back", why]);
    assert_eq!(counted(&mut other, "b"), (1, 1));
    // It is written down behind the event.
    until("the history to say it", || {
        let history = host.cli(&host_folder, &["plugin", "history", "migrant"]);
        history.contains("failed its guard").then_some(())
    });
    let text = host.cli(&host_folder, &["plugin", "get", "migrant"]);
    assert!(text.contains("failed its guard, in force"), "{text}");
    let dead_letter = until("the event to be a dead letter", || host.admin().dead_letters().pop());
    let text = host.cli(&host_folder, &["explain", dead_letter["event"]["id"].as_str().unwrap()]);
    assert!(text.contains("failed its guard") && text.contains("the test says so"), "{text}");
    host.stop();
    // It stays so over a restart, with the same files.
    let host = host_folder.start();
    let plugin = host.admin().wait_plugin("migrant", "to run", |plugin| plugin["state"] == "running");
    assert_eq!((&plugin["rolledBack"]["stays"], &plugin["stateSchema"]), (&json!(true), &json!(1)), "{plugin}");
    host.stop();
}

#[test]
fn versions_change_under_load_and_no_event_is_lost_or_counted_twice() {
    let (host_folder, host) = host_with(migrant(0, 0));
    let mut pairs: Vec<_> = (0..4).map(|n| Pair::new(&host, &format!("source-{n}"))).collect();
    let stop = AtomicBool::new(false);
    let sent: u64 = std::thread::scope(|scope| {
        let senders: Vec<_> = pairs
            .iter_mut()
            .map(|pair| {
                scope.spawn(|| {
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) {
                        sent += 1;
                        pair.source.event(format!("{sent}"));
                    }
                    sent
                })
            })
            .collect();
        for round in 1..=6 {
            let schema = [0, 2, 1][round % 3];
            install(&host, &host_folder, migrant(schema, 0));
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    host.admin().wait_plugin("migrant", "to handle all", |plugin| plugin["counters"]["done"] == sent);
    let counts: u64 = pairs.iter_mut().map(|pair| counted(pair, "the last").1 - 1).sum();
    assert_eq!(counts, sent);
    assert!(host.admin().dead_letters().is_empty());
    host.kill();
    let (journal, _) = Journal::open(&host_folder);
    let executions = journal.executions_of("migrant");
    let done = |one: &&switchbox_tests::Execution| matches!(one.outcome, Outcome::Done { .. });
    assert!(executions.values().all(|handled| handled.iter().copied().filter(|one| done(one)).count() == 1));
    assert_eq!(executions.len() as u64, sent + 4);
}

#[test]
fn a_candidate_with_another_schema_is_tried_and_shadowed_on_a_migrated_copy_and_is_no_canary() {
    let (host_folder, host) = host_with(migrant(0, 0));
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(counted(&mut pair, "a"), (0, 1));
    let candidate = host_folder.root().join("migrant.wasm");
    fs::write(&candidate, migrant(1, 0)).unwrap();
    let file = candidate.to_str().unwrap();
    let tried = host.cli(&host_folder, &["plugin", "try", file, "--device", "source-1", "--json", "x"]);
    assert!(tried.contains(r#"\"schema\":1,\"count\":2"#), "{tried}");
    let output = host.command(&host_folder, &["plugin", "canary", "migrant", "--component", file, "--share", "10%"]);
    let output = { output }.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("a canary shares the state"), "{output:?}");
    let _ = host.cli(&host_folder, &["plugin", "shadow", "migrant", "--component", file]);
    assert_eq!(counted(&mut pair, "b"), (0, 2));
    let report = until("the shadow to see it", || {
        let report = host.admin().get("/v1/plugins/migrant/shadow").ok();
        (report["events"] == "1").then_some(report)
    });
    // It counted on from the copy; the configs differ in the schema alone.
    assert!(report.to_string().contains(r#"\"schema\":1,\"count\":2"#), "{report}");
    assert_eq!(counted(&mut pair, "c"), (0, 3), "the state itself is as it was");
    host.stop();
}

#[test]
fn a_case_tests_a_migration() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cases")).unwrap();
    fs::write(folder.path().join("migrant.wasm"), migrant(2, 1)).unwrap();
    let case = json!({
        "world": {"devices": {"tally-source-1": {}}, "state": {"v1/source-1": "7"}, "stateSchema": 1},
        "events": [{"device": "source-1", "data": {"telemetry": {"payload": "x"}}}],
        "downTo": 1,
    });
    fs::write(folder.path().join("cases/up.json"), case.to_string()).unwrap();
    let refused = json!({
        "world": {"state": {"v1/quiet-trap": "7"}, "stateSchema": 1}, "events": [], "downTo": 0,
    });
    fs::write(folder.path().join("cases/refused.json"), refused.to_string()).unwrap();
    let test = |more: &[&str]| {
        let mut command = std::process::Command::new(switchbox_tests::program());
        let output = command.args(["plugin", "test"]).arg(folder.path()).args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let accepted = test(&["--accept"]);
    assert_eq!(accepted.0, Some(0), "{accepted:?}");
    let results = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(format!("cases/{name}.expected.json"))).unwrap()).unwrap()
    };
    let up = results("up");
    assert_eq!((&up[0]["migration"], &up[2]["migration"]), (&json!("up from 1"), &json!("down to 1")), "{up}");
    assert!(up[1]["effects"].to_string().contains("\"count\":8"), "{up}");
    assert!(up[2]["effects"].to_string().contains("v1/source-1"), "{up}");
    let refused = results("refused");
    assert!(refused[0]["outcome"].to_string().contains("told to trap"), "{refused}");
    assert!(refused[1]["outcome"].to_string().contains("down to 1, not to 0: the test says so"), "{refused}");
    assert_eq!(test(&[]).0, Some(0));
    fs::write(folder.path().join("cases/up.json"), case.to_string().replace("\"7\"", "\"9\"")).unwrap();
    let failed = test(&[]);
    assert!(failed.0 == Some(9) && failed.1.contains("event 2"), "{failed:?}");
}
