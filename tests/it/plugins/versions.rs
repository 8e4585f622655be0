//! A new version that is worse than the one before, and ways back.

use super::*;
use switchbox_support::clock;

#[test]
fn a_new_version_that_traps_in_its_first_events_is_rolled_back() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("good", ""));
    let host = host_folder.start();
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("good", 1, "a"));
    host_folder.plugin("counter.toml", counting("bad", "trap = true"));
    host.admin().wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("bad"));
    // It has set the config and counted when it traps: neither is kept.
    assert_eq!(pair.round_trip("b"), expected("good", 2, "b"));
    host.logged(&["counter", "the previous version runs"]);
    assert_eq!(pair.round_trip("c"), expected("good", 3, "c"));
    assert!(pair.tally.seen().messages.iter().all(|message| !message.text().contains("bad")));
    assert!(host.admin().dead_letters().is_empty());
    let shown = host.admin().plugin("counter").unwrap();
    assert!(shown["lastError"].as_str().unwrap().contains("told to trap"), "{shown}");
    host.stop();
}

#[test]
fn a_plugin_goes_back_to_the_component_that_ran_before_also_after_a_restart() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("", ""));
    let host = host_folder.start();
    let admin = host.admin();
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let nothing = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({}));
    assert_eq!(nothing.status, 400, "{nothing:?}");
    host_folder.plugin("counter.wasm", stamped(&counter(), "two"));
    let second = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != first["digest"]);
    host.stop();
    let host = host_folder.start();
    let admin = host.admin();
    for digest in [&first["digest"], &second["digest"]] {
        let _ = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({})).ok();
        admin.wait_plugin("counter", "to go back", |plugin| plugin["digest"] == *digest);
    }
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("", 1, "a"));
    host.stop();
}

#[test]
fn the_history_says_what_ran_since_when_and_by_whom_and_any_of_it_comes_back_with_its_settings() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.toml", counting("one", ""));
    host_folder.plugin("counter.wasm", counter());
    let host = host_folder.start();
    let admin = host.admin();
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let marked = |host: &Process, marker: &str| {
        host.admin().wait_plugin("counter", marker, |plugin| plugin["settings"].to_string().contains(marker))
    };
    let _ = admin.patch("/v1/plugins/counter", &serde_json::json!({"settings": {"marker": "two"}})).ok();
    marked(&host, "two");
    host_folder.plugin("counter.wasm", stamped(&counter(), "three"));
    admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != first["digest"]);
    let versions = |host: &Process| {
        let answer = host.admin().get("/v1/plugins/counter/versions").ok();
        answer["versions"].as_array().unwrap().clone()
    };
    // It is written down when it runs.
    until("three versions to be kept", || (versions(&host).len() == 3).then_some(()));
    let numbers = |versions: &[serde_json::Value]| -> Vec<u64> {
        versions.iter().map(|version| version["number"].as_u64().unwrap()).collect()
    };
    let kept = versions(&host);
    assert_eq!(numbers(&kept), [3, 2, 1]);
    assert_eq!((&kept[0]["inForce"], &kept[1]["inForce"]), (&true.into(), &false.into()), "{kept:?}");
    assert_eq!((kept[1]["by"].as_str(), &kept[2].get("by")), (Some("admin-token"), &None), "{kept:?}");
    assert!(kept[0]["imports"].to_string().contains("switchbox:plugin/config@0.1.0"), "{kept:?}");

    let text = host.cli(&host_folder, &["plugin", "diff", "counter", "1", "3"]);
    assert!(text.contains("- marker = \"one\"") && text.contains("+ marker = \"two\""), "{text}");
    assert!(text.contains("component:") && text.contains("triggers: the same"), "{text}");
    let text = host.cli(&host_folder, &["plugin", "rollback", "counter", "--to", first["digest"].as_str().unwrap()]);
    assert!(text.contains("goes back to version 2"), "the newest with this component: {text}");
    admin.wait_plugin("counter", "to go back", |plugin| plugin["digest"] == first["digest"]);
    let _ = host.cli(&host_folder, &["plugin", "rollback", "counter", "--to", "1"]);
    marked(&host, "one");
    until("the history to follow", || (numbers(&versions(&host)) == [1, 2, 3]).then_some(()));
    host.kill();

    // Also after a kill, without the old component in the folder.
    let host = host_folder.start();
    let before = host.admin().post("/v1/plugins/counter:rollback", &serde_json::json!({"to": "3"})).ok();
    assert_eq!(before["version"], 3);
    host.admin().wait_plugin("counter", "to be the third again", |plugin| plugin["digest"] != first["digest"]);
    let mut pair = Pair::new(&host, "source-1");
    assert_eq!(pair.round_trip("a"), expected("two", 1, "a"));
    let text = host.cli(&host_folder, &["plugin", "history", "counter"]);
    assert!(text.contains("in force") && text.contains("token admin-token"), "{text}");
    host.stop();
}

#[test]
fn after_the_guard_rolled_a_version_back_its_files_are_brought_back_to_the_one_that_runs() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    host_folder.plugin("counter.toml", counting("first", ""));
    let host = host_folder.start();
    let admin = host.admin();
    let marked =
        |marker: &str| admin.wait_plugin("counter", marker, |plugin| plugin["settings"].to_string().contains(marker));
    let versions = || admin.get("/v1/plugins/counter/versions").ok()["versions"].as_array().unwrap().clone();
    let recorded = |count: usize| until("the versions to be kept", || (versions().len() == count).then_some(()));
    marked("first");
    recorded(1);
    host_folder.plugin("counter.toml", counting("good", ""));
    marked("good");
    recorded(2);
    let mut pair = Pair::new(&host, "source-1");
    // The guard goes back to a version whose window is over.
    for count in 1..=10 {
        let text = count.to_string();
        assert_eq!(pair.round_trip(&text), expected("good", count, &text));
    }
    host_folder.plugin("counter.toml", counting("bad", "trap = true"));
    recorded(3);
    assert_eq!(pair.round_trip("a"), expected("good", 11, "a"));
    admin.wait_plugin("counter", "to be rolled back", |plugin| plugin["rolledBack"].is_object());
    until("the history to say so", || versions().iter().any(|one| one["rolledBack"].is_object()).then_some(()));

    // The version that runs, which the files do not have.
    let text = host.cli(&host_folder, &["plugin", "rollback", "counter", "--to", "2"]);
    assert!(text.contains("goes back to version 2"), "{text}");
    admin.wait_plugin("counter", "to have its files back", |plugin| plugin.get("rolledBack").is_none());
    let file = std::fs::read_to_string(host_folder.plugins().join("counter.toml")).unwrap();
    assert_eq!(file, counting("good", ""));
    assert_eq!(pair.round_trip("b"), expected("good", 12, "b"));
    until("the history to have both times", || {
        let valid = versions().into_iter().find(|one| one["number"] == 2)?;
        (valid["inForce"] == true && valid["earlier"].as_array().is_some_and(|earlier| earlier.len() == 1))
            .then_some(())
    });
    let again = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({"to": "2"}));
    assert!(again.status == 400 && again.body.to_string().contains("in force already"), "{again:?}");
    let text = host.cli(&host_folder, &["plugin", "history", "counter"]);
    assert!(text.contains("rolled back") && text.contains("before"), "{text}");

    // Without --to it goes to the last version that did not fail.
    let back = admin.post("/v1/plugins/counter:rollback", &serde_json::json!({})).ok();
    assert_eq!(back["version"], 1, "{back}");
    marked("first");
    host.stop();
}

#[test]
fn compiled_code_that_no_plugin_uses_any_more_goes() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.toml", counting("", ""));
    host_folder.plugin("counter.wasm", counter());
    let host = host_folder.start();
    let admin = host.admin();
    let mut digest = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running")["digest"].clone();
    for version in ["two", "three"] {
        host_folder.plugin("counter.wasm", stamped(&counter(), version));
        let next = admin.wait_plugin("counter", "to be replaced", |plugin| plugin["digest"] != digest);
        digest = next["digest"].clone();
    }
    host_folder.plugin("refused.toml", "[settings]\nstart = \"refuse\"\n");
    host_folder.plugin("refused.wasm", std::fs::read(HOSTILE).unwrap());
    admin.wait_plugin("refused", "to be refused", |plugin| plugin["state"] == "broken");
    let files = || std::fs::read_dir(host_folder.data().join("compiled")).unwrap().count();
    // The first of the three comes back if the last one fails, which would need its code at the next start.
    until("the code of what runs and of the version before to be all that is kept", || (files() == 2).then_some(()));
    host.stop();
}

#[test]
fn a_version_is_in_the_history_since_it_came_into_force_and_not_since_its_files_were_seen() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.toml", counting("", ""));
    host_folder.plugin("counter.wasm", counter());
    let host = host_folder.start();
    let admin = host.admin();
    let first = admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running")["digest"].clone();
    host_folder.plugin("counter.wasm", stamped(&counter(), "two"));
    // The new one is compiled while the old one runs.
    let mut old_ran_ms = 0;
    until("the new version to be in force", || {
        let before_ms = clock::now_ms();
        let is_old = admin.plugin("counter").is_some_and(|plugin| plugin["digest"] == first);
        if is_old {
            old_ran_ms = before_ms;
        }
        (!is_old).then_some(())
    });
    let since = until("the new version to be in the history", || {
        let versions = admin.get("/v1/plugins/counter/versions").ok()["versions"].as_array().unwrap().clone();
        versions.into_iter().find(|version| version["number"] == 2).map(|version| version["time"].clone())
    });
    // The host may have read its clock some milliseconds before the switch.
    let earliest = clock::rfc3339(old_ran_ms.saturating_sub(20));
    assert!(since.as_str().unwrap() >= earliest.as_str(), "{since} is before {earliest}");
    host.stop();
}
