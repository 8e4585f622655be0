//! A candidate that acts for some devices.

use super::*;
use switchbox_tests::{Device, until};

/// A source, and the target that gets its count.
fn pair(host: &Process, n: u32) -> (Device, Device) {
    let source = format!("source-{n}");
    let mut tally = host.device(&format!("tally-{source}"));
    tally.subscribe_config();
    (host.device(&source), tally)
}

/// Which version acted, and what it counted.
fn round_trip((source, tally): &mut (Device, Device), text: &str) -> (String, u64) {
    source.event(text);
    let answer = tally.message_with(&format!(r#""text":"{text}""#)).text();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    (answer["marker"].as_str().unwrap().to_owned(), answer["count"].as_u64().unwrap())
}

#[test]
fn a_canary_acts_for_some_devices_with_the_state_that_they_have_until_it_is_promoted() {
    let host_folder = host_folder();
    host_folder.plugin("counter.toml", counting("marker = \"old\""));
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pairs: Vec<_> = (0..8).map(|n| pair(&host, n)).collect();
    let mut all = |text: &str| -> Vec<_> { pairs.iter_mut().map(|pair| round_trip(pair, text)).collect() };
    assert!(all("a").iter().all(|answer| *answer == ("old".to_owned(), 1)));
    let settings = host_folder.root().join("candidate.toml");
    fs::write(&settings, counting("marker = \"new\"")).unwrap();
    let candidate = settings.to_str().unwrap();
    let text =
        host.cli(&host_folder, &["plugin", "canary", "counter", "--settings", candidate, "--devices", "source-[01]"]);
    assert!(text.contains("running") && text.contains("source-[01]"), "{text}");
    let markers = |answer: &[(String, u64)]| answer.iter().map(|(marker, _)| marker.clone()).collect::<Vec<_>>();
    let answer = all("b");
    assert_eq!(markers(&answer), ["new", "new", "old", "old", "old", "old", "old", "old"]);
    assert!(answer.iter().all(|(_, count)| *count == 2), "{answer:?}");
    // A step, and the devices keep their owner and their count.
    let _ = host.cli(&host_folder, &["plugin", "canary", "counter", "--share", "50%"]);
    let [first, second] = [all("c"), all("d")];
    assert_eq!(markers(&first), markers(&second));
    assert!(first.iter().all(|(_, count)| *count == 3) && second.iter().all(|(_, count)| *count == 4));
    let _ = host.cli(&host_folder, &["plugin", "canary", "counter", "--abort"]);
    assert!(all("e").iter().all(|answer| *answer == ("old".to_owned(), 5)));
    let _ = host.cli(&host_folder, &["plugin", "canary", "counter", "--settings", candidate, "--share", "10%"]);
    let text = host.cli(&host_folder, &["plugin", "canary", "counter", "--promote"]);
    assert!(text.contains("comes into force"), "{text}");
    admin.wait_plugin("counter", "to be promoted", |plugin| plugin["settings"].to_string().contains("new"));
    assert!(all("f").iter().all(|answer| *answer == ("new".to_owned(), 6)));
    let ended = admin.get("/v1/plugins/counter/canary").ok();
    assert!(ended["ended"].as_str().unwrap().contains("another version"), "{ended}");
    host.stop();
}

#[test]
fn the_guard_ends_a_canary_and_its_event_goes_to_the_version_in_force() {
    let host_folder = host_folder();
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pair = pair(&host, 0);
    let body = json!({"settings": counting("trap = true"), "devices": "source-0"});
    let _ = host.admin().post("/v1/plugins/counter:canary", &body).ok();
    assert_eq!(round_trip(&mut pair, "a"), (String::new(), 1));
    let canary = until("the canary to end", || {
        let canary = host.admin().get("/v1/plugins/counter/canary").ok();
        canary.get("ended").is_some().then_some(canary)
    });
    assert!(canary["ended"].as_str().unwrap().contains("told to trap"), "{canary}");
    host.logged(&["counter", "the guard ended the canary"]);
    assert!(host.admin().dead_letters().is_empty());
    host.stop();
}

#[test]
fn a_canary_ends_when_its_plugin_is_disabled_and_a_second_one_is_refused() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let candidate = |settings: &str| {
        let body = json!({"settings": settings, "devices": "source-0"});
        admin.post("/v1/plugins/counter:canary", &body)
    };
    let refused = candidate("component = \"other.wasm\"\n");
    assert!(refused.status == 400 && refused.body.to_string().contains("leave it out"), "{refused:?}");
    let _ = candidate(&counting("marker = \"new\"")).ok();
    let again = candidate(&counting("marker = \"newer\""));
    assert!(again.status == 400 && again.body.to_string().contains("has a canary already"), "{again:?}");
    let _ = host.cli(&host_folder, &["plugin", "disable", "counter"]);
    let ended = until("the canary to end", || {
        // It is not found until its end is written to the plugin's history.
        admin.get("/v1/plugins/counter/canary").body.get("ended").cloned()
    });
    assert_eq!(ended, "the plugin was disabled or removed");
    let _ = host.cli(&host_folder, &["plugin", "enable", "counter"]);
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let canary = admin.get("/v1/plugins/counter/canary").ok();
    assert_eq!(canary["ended"], ended, "{canary}");
    assert_eq!(round_trip(&mut pair(&host, 0), "a"), (String::new(), 1));
    host.stop();
}

#[test]
fn a_canary_goes_on_after_a_kill_with_its_devices_and_its_counts() {
    let host_folder = host_folder();
    host_folder.plugin("counter.toml", counting("marker = \"old\""));
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let candidate = host_folder.root().join("candidate.wasm");
    fs::write(&candidate, switchbox_tests::stamped(&fs::read(COUNTER).unwrap(), "new")).unwrap();
    let settings = host_folder.root().join("candidate.toml");
    fs::write(&settings, counting("marker = \"new\"")).unwrap();
    let (component, settings) = (candidate.to_str().unwrap(), settings.to_str().unwrap());
    let all = ["--component", component, "--settings", settings, "--devices", "source-[01]"];
    let _ = host.cli(&host_folder, &[&["plugin", "canary", "counter"], &all[..]].concat());
    let mut pairs: Vec<_> = (0..3).map(|n| pair(&host, n)).collect();
    let marker = |pair: &mut (Device, Device), text: &str| round_trip(pair, text).0;
    assert_eq!(pairs.iter_mut().map(|pair| marker(pair, "a")).collect::<Vec<_>>(), ["new", "new", "old"]);
    let before = host.admin().get("/v1/plugins/counter/canary").ok();
    until("its counts to be stored", || {
        let stored = fs::read_to_string(host_folder.data().join("components/counter.windows.json")).ok()?;
        let stored: Value = serde_json::from_str(&stored).unwrap();
        (stored["canary"]["behaviour"]["events"] == 2).then_some(())
    });
    drop(pairs);
    host.kill();

    let host = host_folder.start();
    let after = host.admin().get("/v1/plugins/counter/canary").ok();
    for same in ["digest", "devices", "since", "events"] {
        assert_eq!(before[same], after[same], "{same}: {after}");
    }
    assert!(after.get("ended").is_none(), "{after}");
    let mut pairs: Vec<_> = (0..3).map(|n| pair(&host, n)).collect();
    assert_eq!(pairs.iter_mut().map(|pair| marker(pair, "b")).collect::<Vec<_>>(), ["new", "new", "old"]);
    // Its component is kept, so that it can be put in force.
    let _ = host.cli(&host_folder, &["plugin", "canary", "counter", "--promote"]);
    host.admin().wait_plugin("counter", "to be promoted", |plugin| plugin["settings"].to_string().contains("new"));
    assert_eq!(pairs.iter_mut().map(|pair| round_trip(pair, "c")).collect::<Vec<_>>(), vec![("new".to_owned(), 3); 3]);
    host.stop();
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let ended = host.admin().get("/v1/plugins/counter/canary").ok();
    assert!(ended["ended"].as_str().unwrap().contains("another version"), "{ended}");
    host.stop();
}

/// Why the target of the first source got its config of this version.
fn explained(host: &Process, host_folder: &HostFolder, version: u64) -> String {
    host.cli(host_folder, &["explain", &format!("tally-source-0@{version}")])
}

#[test]
fn what_a_canary_did_and_why_its_guard_ended_it_is_explained_also_after_a_kill() {
    let host_folder = host_folder();
    host_folder.plugin("counter.toml", counting("marker = \"old\""));
    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let mut pair = pair(&host, 0);
    let settings = counting("marker = \"new\"\ntrap_nines = 1");
    let _ = host.admin().post("/v1/plugins/counter:canary", &json!({"settings": settings, "devices": "source-0"})).ok();
    for count in 1..=8 {
        assert_eq!(round_trip(&mut pair, &count.to_string()), ("new".to_owned(), count));
    }
    assert_eq!(round_trip(&mut pair, "9"), ("old".to_owned(), 9));
    assert_eq!(round_trip(&mut pair, "10"), ("old".to_owned(), 10));
    let guard_is_reported = |host: &Process| {
        // The component is the same, and told apart.
        let text = explained(host, &host_folder, 8);
        assert!(text.contains("(canary sha256:") && text.contains("a canary of counter handled event"), "{text}");
        assert!(text.contains("the guard ended it: 1 traps") && text.contains("told to trap"), "{text}");
        let text = explained(host, &host_folder, 9);
        assert!(text.contains("(sha256:") && text.contains("a canary of counter had event"), "{text}");
        let text = explained(host, &host_folder, 10);
        assert!(text.contains("(sha256:") && !text.contains("canary"), "{text}");
    };
    guard_is_reported(&host);
    let executions = host.admin().get("/v1/executions?plugin=counter&pageSize=100").ok();
    let by_canary = executions["executions"].as_array().unwrap().iter().filter(|execution| execution["canary"] == true);
    assert_eq!(by_canary.count(), 8, "{executions}");
    until("its end to be stored", || {
        let stored = fs::read_to_string(host_folder.data().join("components/counter.history.json")).ok()?;
        stored.contains("told to trap").then_some(())
    });
    host.kill();

    let host = host_folder.start();
    host.admin().wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    guard_is_reported(&host);
    let canary = host.admin().get("/v1/plugins/counter/canary").ok();
    assert!(canary["ended"].as_str().unwrap().contains("told to trap"), "{canary}");
    assert_eq!((&canary["endedByGuard"], &canary["events"]), (&json!(true), &json!("9")), "{canary}");
    host.stop();
}
