//! What a plugin asks for and is granted.

use super::*;

#[test]
fn where_consent_is_needed_a_plugin_waits_for_it_and_says_what_it_asks_for() {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.wasm", counter());
    std::fs::write(host_folder.root().join("settings.toml"), "[plugins]\ngrant = \"consent\"\n").unwrap();
    let settings = host_folder.root().join("settings.toml");
    let host = host_folder.start_with(&["--settings", settings.to_str().unwrap()]);
    let admin = host.admin();
    let waiting = admin.wait_plugin("counter", "to wait", |plugin| plugin["state"] == "waiting-for-consent");
    assert_eq!(waiting["grants"], serde_json::json!(["config tally-*"]));
    assert_eq!(waiting["grantsInForce"], serde_json::json!([]));
    host.logged(&["counter", "waits for an operator's consent"]);
    let mut pair = Pair::new(&host, "source-1");
    pair.source.event("before");
    let granted = admin.post("/v1/plugins/counter:grant", &serde_json::json!({})).ok();
    assert_eq!(granted["grants"], serde_json::json!({"config": ["tally-*"]}));
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(pair.round_trip("after"), expected("", 1, "after"), "what came before its consent is not for it");
    // Consent that is revoked counts at once.
    host_folder.plugin("counter.toml", "");
    admin.wait_plugin("counter", "to wait again", |plugin| plugin["state"] == "waiting-for-consent");
    host.stop();
}

#[test]
fn grants_that_change_hold_from_the_next_event_on() {
    let host_folder = HostFolder::new();
    let granting = |pattern: &str| format!("component = \"builtin:hop-relay\"\n[grants]\nconfig = [\"{pattern}\"]\n");
    host_folder.plugin("relay.toml", granting("lamp-*"));
    let host = host_folder.start();
    let admin = host.admin();
    let shown = admin.wait_plugin("relay", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(shown["grants"], serde_json::json!(["config *", "config */*"]), "what it asks for");
    assert_eq!(shown["grantsInForce"], serde_json::json!(["config lamp-*"]), "what it may do");
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let record = |hops: u32| format!(r#"{{"deviceId":"lamp-1","hops":{hops}}}"#);
    lamp.event(record(1));
    lamp.message_with(&record(2));
    host_folder.plugin("relay.toml", granting("other-*"));
    let dead_letter = until("an event that it could not handle", || {
        lamp.event(record(10));
        admin.dead_letters().pop()
    });
    assert!(dead_letter.to_string().contains("do not grant it"), "{dead_letter}");
    let before = lamp.seen().messages.len();
    lamp.event(record(20));
    let _ = admin.post("/v1/plugins/relay:grant", &serde_json::json!({"grants": {"config": ["lamp-1"]}})).ok();
    until("an event that it could handle", || {
        lamp.event(record(30));
        lamp.seen().messages.get(before).cloned()
    });
    assert!(lamp.seen().messages.iter().all(|message| message.text() != record(21)));
    host.stop();
}

#[test]
fn the_api_says_which_triggers_and_grants_match() {
    let host_folder = HostFolder::new();
    let trigger = |event: &str, device: &str| format!("[[trigger]]\nevent = \"{event}\"\ndevice = \"{device}\"\n");
    let triggers = [trigger("telemetry", "lamp-*"), "subfolder = \"a/**\"\n".into(), trigger("topic", "#")].concat();
    let grants = "[grants]\nconfig = [\"lamp-*\"]\n";
    host_folder.plugin("relay.toml", format!("component = \"builtin:hop-relay\"\n{triggers}{grants}"));
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("relay", "to run", |plugin| plugin["state"] == "running");
    let (of_lamps, of_topics) = ("telemetry lamp-* a/**", "topic #");
    for (query, triggers, grants) in [
        ("device=lamp-1", vec![of_lamps], vec!["config lamp-*"]),
        ("device=projects/local/locations/local/registries/hall/devices/lamp-1", vec![of_lamps], vec!["config lamp-*"]),
        ("device=switch-1", vec![], vec![]),
        ("kind=telemetry&device=lamp-1&subfolder=a/b/c", vec![of_lamps], vec!["config lamp-*"]),
        ("kind=telemetry&device=lamp-1&subfolder=b", vec![], vec!["config lamp-*"]),
        ("kind=topic&topic=alerts/a", vec![of_topics], vec![]),
        ("kind=topic&topic=$SYS/a", vec![], vec![]),
    ] {
        let answer = admin.get(&format!("/v1/plugins?{query}")).ok();
        let matches = serde_json::json!({"triggers": triggers, "grants": grants});
        assert_eq!(answer["plugins"][0]["matches"], matches, "{query}");
    }
    assert!(admin.get("/v1/plugins").ok()["plugins"][0]["matches"].is_null());
    assert_eq!(admin.get("/v1/plugins?kind=blink").status, 400);
    host.stop();
}
