//! The loop guard: a plugin's effects on one target are held to a rate, visibly and without holding up others, and plugins
//! that feed each other are named.

use rumqttc::QoS;
use serde_json::Value;
use switchbox_tests::{Admin, Device, HostFolder, config, events, limited_scripted_plugin, until};

/// Runs the scripted plugin under this name.
fn hits(plugin: &Value) -> u64 {
    plugin["limitsHit"]["rate-per-target"].as_u64().unwrap_or(0)
}

const ECHO: &str = "{ config = {} }";

#[test]
fn effects_over_the_rate_wait_and_all_come_in_their_order() {
    let host_folder = HostFolder::new();
    let limits = "rate-per-target = \"20/s\"\nburst-per-target = 1";
    limited_scripted_plugin(&host_folder, "echo", ("telemetry", "switch-*"), limits, ECHO);
    let host = host_folder.start();
    let mut switch = host.device("switch-1");
    switch.subscribe_config();
    for n in 0..20 {
        switch.event(format!("n{n}."));
    }
    switch.message_with("n19.");
    let got: Vec<_> = switch.seen().messages.iter().map(switchbox_tests::Message::text).collect();
    assert_eq!(got, (0..20).map(|n| format!("n{n}.")).collect::<Vec<_>>());
    let shown = host.admin().plugin("echo").unwrap();
    assert!(hits(&shown) >= 1, "{shown}");
    assert!(host.admin().dead_letters().is_empty());
    host.logged(&["effects are held back", "switch-1 gets more than 20/s", "under [limits] of its .toml raises it"]);
    host.stop();
}

#[test]
fn other_devices_go_on_and_what_is_held_back_survives_a_stop() {
    let host_folder = HostFolder::new();
    let limits = "rate-per-target = \"7/m\"\nburst-per-target = 1";
    limited_scripted_plugin(&host_folder, "echo", ("telemetry", "switch-*"), limits, ECHO);
    let host = host_folder.start();
    let mut slow = host.device("switch-1");
    slow.subscribe_config();
    slow.event("first");
    slow.message_with("first");
    slow.event("second");
    host.admin().wait_plugin("echo", "to hold back", |plugin| hits(plugin) >= 1);
    let mut other = host.device("switch-2");
    other.subscribe_config();
    other.event("mine");
    other.message_with("mine");
    assert_eq!(slow.seen().messages.len(), 1, "the second was not held back");
    drop((slow, other));
    host.stop();

    let host = host_folder.start();
    let mut slow = host.device("switch-1");
    slow.subscribe_config();
    slow.message_with("second");
    host.stop();
}

#[test]
fn what_would_wait_too_long_goes_to_the_dead_letters_with_the_reason() {
    let host_folder = HostFolder::new();
    limited_scripted_plugin(&host_folder, "echo", ("telemetry", "switch-*"), "rate-per-target = \"1/m\"", ECHO);
    let host = host_folder.start();
    let mut switch = host.device("switch-1");
    switch.event("first");
    switch.event("second");
    let admin = host.admin();
    admin.wait_plugin("echo", "to give up", |plugin| plugin["counters"]["dead"] == 1);
    let dead_letters = admin.dead_letters();
    let error = dead_letters[0]["error"].as_str().unwrap();
    assert!(error.contains("\"rate-per-target\"") && error.contains("switch-1 gets more than 1/m"), "{error}");
    assert!(error.ends_with("; rate-per-target = \"2/m\" under [limits] of its .toml raises it"), "{error}");
    host.stop();
}

#[test]
fn explain_separates_the_delay_of_a_rate_limit_from_the_delay_of_the_device() {
    let host_folder = HostFolder::new();
    let limits = "rate-per-target = \"2/s\"\nburst-per-target = 1";
    limited_scripted_plugin(&host_folder, "echo", ("telemetry", "switch-*"), limits, ECHO);
    let host = host_folder.start();
    let mut switch = host.device("switch-1");
    switch.subscribe_config();
    switch.event("first");
    switch.event("second");
    switch.message_with("second");
    let why = until("the acknowledgement", || {
        let why = host.admin().get("/v1/explain/switch-1@2").ok();
        why["text"].as_str().unwrap().contains("→ acknowledged ").then_some(why)
    });
    let text = why["text"].as_str().unwrap();
    let lines: Vec<_> = text.lines().collect();
    let [_, plugin, held, config] = lines.as_slice() else { panic!("{text}") };
    assert!(plugin.starts_with("→ plugin echo "), "{text}");
    assert!(held.starts_with("→ held back for "), "{text}");
    let by = " by limits.rate-per-target: switch-1 gets more than 2/s from this plugin";
    let line = "; rate-per-target = \"4/s\" under [limits] of its .toml raises it";
    assert!(held.ends_with(&format!("{by}{line}")), "{text}");
    let held_ms = why["chain"][2]["heldBack"]["ms"].as_u64().unwrap();
    let (_, later) = config.rsplit_once("acknowledged ").unwrap();
    let later: u64 = later.strip_suffix(" ms later").unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    assert!(later < held_ms, "the device took {later} ms, the rate {held_ms} ms: {text}");
    let event = why["chain"][0]["event"]["id"].as_str().unwrap();
    for id in [event.to_owned(), format!("{event}.echo")] {
        let other = host.admin().get(&format!("/v1/explain/{id}")).ok();
        assert!(other["text"].as_str().unwrap().contains("→ held back for "), "{id}: {other}");
    }
    host.stop();
}

#[test]
fn plugins_that_feed_each_other_through_topics_are_named() {
    let host_folder = HostFolder::new();
    let limits = "rate-per-target = \"50/s\"";
    limited_scripted_plugin(
        &host_folder,
        "plugin-a",
        ("topic", "ping"),
        limits,
        r#"{ publish = { topic = "pong", qos = 1 } }"#,
    );
    limited_scripted_plugin(
        &host_folder,
        "plugin-b",
        ("topic", "pong"),
        limits,
        r#"{ publish = { topic = "ping", qos = 1 } }"#,
    );
    let host = host_folder.start();
    host.device("phone").publish("ping", "x");
    let cycle = "plugin-a → pong → plugin-b → ping → plugin-a";
    host.logged(&["WARN", "plugins feed each other", cycle]);
    for name in ["plugin-a", "plugin-b"] {
        named(&host.admin(), name, cycle);
    }
    // The loop has no end, and the host can still be stopped.
    host.stop();
}

fn named(admin: &Admin, plugin: &str, cycle: &str) {
    admin.wait_plugin(plugin, "to be warned of", |plugin| plugin["warnings"].to_string().contains(cycle));
}

#[test]
fn plugins_that_feed_each_other_through_devices_are_named() {
    let host_folder = HostFolder::new();
    let to = |device: &str| format!("{{ config = {{ device = \"{device}\" }} }}");
    limited_scripted_plugin(&host_folder, "plugin-a", ("telemetry", "switch-1"), "", &to("lamp-1"));
    limited_scripted_plugin(&host_folder, "plugin-b", ("telemetry", "lamp-1"), "", &to("switch-1"));
    let host = host_folder.start();
    let (mut switch, mut lamp) = (host.device("switch-1"), host.device("lamp-1"));
    switch.subscribe_config();
    lamp.subscribe_config();
    let mut round = 0;
    let warned = |plugin: &Value| {
        plugin["warnings"].as_array().unwrap().iter().any(|text| text.as_str().unwrap().starts_with("feeds itself"))
    };
    while round % 50 > 0 || !warned(&host.admin().plugin("plugin-a").unwrap()) {
        round += 1;
        assert!(round < 20_000, "no warning was logged in {round} rounds");
        pass_on(&mut switch, &lamp, round);
        pass_on(&mut lamp, &switch, round);
    }
    host.logged(&["WARN", "plugin-a → lamp-1 → plugin-b → switch-1 → plugin-a"]);
    host.stop();
}

/// One publishes, and the other gets it as its config.
fn pass_on(from: &mut Device, to: &Device, round: usize) {
    from.send(&events(&from.id.clone()), QoS::AtLeastOnce, round.to_string());
    to.wait("its config", |seen| seen.messages.get(round - 1).map(|m| assert_eq!(m.topic, config(&to.id))));
}

#[test]
fn a_hop_relay_is_no_problem() {
    let host_folder = HostFolder::new();
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n");
    let host = host_folder.start();
    let mut hop = host.device("hop-1");
    hop.subscribe_config();
    let mut hops = 0;
    while hops % 50 > 0 || !host.log().contains("relay → hop-1 → relay") {
        assert!(hops < 20_000, "nothing was logged in {hops} hops");
        hop.send(&events("hop-1"), QoS::AtLeastOnce, format!(r#"{{"deviceId":"hop-1","hops":{hops}}}"#));
        hops += 1;
        hop.wait("the next hop", |seen| seen.messages.get(hops - 1).map(drop));
    }
    let warnings: Vec<_> =
        host.log().lines().filter(|line| line.contains("feed each other")).map(str::to_owned).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("INFO"), "{warnings:?}");
    assert_eq!(host.admin().plugin("relay").unwrap()["warnings"].as_array().unwrap().len(), 0);
    host.stop();
}
