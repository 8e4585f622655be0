//! A candidate beside a plugin in force: it sees the same events, its effects are not carried out, and the differences are found.

mod canaries;

use std::fs;

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_tests::{COUNTER, HostFolder, Process, events, scripted_plugin};

/// The counter's settings. The deadline leaves room for a busy machine.
fn counting(more: &str) -> String {
    format!("[limits]\ndeadline = \"30s\"\n[settings]\n{more}\n")
}

fn host_folder() -> HostFolder {
    let host_folder = HostFolder::new();
    host_folder.plugin("counter.toml", counting(""));
    host_folder.plugin("counter.wasm", fs::read(COUNTER).unwrap());
    host_folder
}

/// The results of the shadow after this many events.
fn report(host: &Process, events: u64) -> Value {
    switchbox_tests::until("the shadow to have seen all", || {
        let report = host.admin().get("/v1/plugins/counter/shadow").ok();
        let count = |field: &str| report[field].as_str().unwrap().parse::<u64>().unwrap();
        (count("events") + count("dropped") >= events && count("queued") == 0).then_some(report)
    })
}

fn count(report: &Value, field: &str) -> u64 {
    report[field].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_shadow_finds_one_wrong_effect_in_ten_thousand_events() {
    const EVENTS: u64 = 10_000;
    /// How many events are sent before the shadow has seen the previous ones.
    const TOGETHER: u64 = 500;
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    drop(host.device("tally-source-1"));
    let mut source = host.device("source-1");
    // The candidate begins with the state that the plugin has.
    (0..3).for_each(|n| source.event(format!("before {n}")));
    let settings = host_folder.root().join("candidate.toml");
    fs::write(&settings, counting("wrong_at = \"7777\"")).unwrap();
    let arguments = ["plugin", "shadow", "counter", "--settings", settings.to_str().unwrap()];
    let text = host.cli(&host_folder, &arguments);
    assert!(text.contains("running") && text.contains("100% of devices"), "{text}");
    let again = host.admin().post("/v1/plugins/counter:shadow", &json!({"settings": ""}));
    assert!(again.status == 400 && again.body.to_string().contains("has a shadow already"), "{again:?}");
    for n in 0..EVENTS {
        source.send(&events("source-1"), QoS::AtLeastOnce, n.to_string());
        if (n + 1) % TOGETHER == 0 {
            report(&host, n + 1);
        }
    }
    let report = report(&host, EVENTS);
    assert_eq!((count(&report, "events"), count(&report, "dropped")), (EVENTS, 0), "{report}");
    assert_eq!((count(&report, "equal"), count(&report, "different")), (EVENTS - 1, 1), "{report}");
    assert_eq!(report["kinds"], json!({"different config": 1}), "{report}");
    let differs = report["examples"][0]["differs"][0].as_str().unwrap();
    assert!(differs.contains(r#""marker":"","count":7781,"text":"7777""#) && differs.contains("wrong"), "{differs}");
    // Nothing of it was done: the device's config and the count are those of the plugin in force.
    let config = admin.get(&switchbox_tests::Admin::device_path("tally-source-1", "/configVersions")).ok();
    assert_eq!(config["deviceConfigs"].as_array().unwrap().len(), 10, "{config}");
    assert_eq!(config["deviceConfigs"][0]["version"], (EVENTS + 3).to_string());
    let text = host.cli(&host_folder, &["plugin", "shadow", "counter", "--stop"]);
    assert!(text.contains("ended: stopped") && text.contains("different config"), "{text}");
    host.stop();
}

#[test]
fn a_shadow_of_some_devices_names_failures_and_ends_with_the_version_that_it_is_compared_with() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    admin.wait_plugin("counter", "to run", |plugin| plugin["state"] == "running");
    let none = host.admin().get("/v1/plugins/counter/shadow");
    assert_eq!(none.status, 404);
    let begun =
        admin.post("/v1/plugins/counter:shadow", &json!({"settings": counting("trap = true"), "share": 0.5})).ok();
    assert_eq!(begun["share"], 0.5);
    let mut devices: Vec<_> = (0..20).map(|n| host.device(&format!("source-{n}"))).collect();
    (0..20).for_each(|n| drop(host.device(&format!("tally-source-{n}"))));
    devices.iter_mut().for_each(|device| (0..2).for_each(|n| device.event(n.to_string())));
    admin.wait_plugin("counter", "to handle all", |plugin| plugin["counters"]["done"] == 40);
    let seen = switchbox_tests::until("the shadow to be done", || {
        let report = host.admin().get("/v1/plugins/counter/shadow").ok();
        (report["queued"] == "0" && count(&report, "events").is_multiple_of(2)).then_some(report)
    });
    let errors = count(&seen, "errors");
    assert!(
        errors == count(&seen, "events") && (2..40).contains(&errors) && errors.is_multiple_of(2),
        "whole devices: {seen}"
    );
    assert!(seen["examples"][0]["differs"].to_string().contains("told to trap"), "{seen}");
    assert!(admin.dead_letters().is_empty());
    // Another version in force: there is nothing to compare with any more.
    host_folder.plugin("counter.toml", counting("marker = \"new\""));
    admin.wait_plugin("counter", "to be edited", |plugin| plugin["settings"].to_string().contains("new"));
    devices.iter_mut().for_each(|device| device.event("later"));
    admin.wait_plugin("counter", "to handle all", |plugin| plugin["counters"]["done"] == 60);
    switchbox_tests::until("the shadow to end", || {
        let report = host.admin().get("/v1/plugins/counter/shadow").ok();
        report["ended"].as_str().is_some_and(|why| why.contains("another version")).then_some(())
    });
    host.stop();
}

#[test]
fn a_shadow_that_calls_another_method_differs_and_its_memory_is_shown() {
    let host_folder = HostFolder::new();
    let call = r#"{ method = { device = "lamp-1", name = "dim", report = "out/x" } }"#;
    scripted_plugin(&host_folder, "caller", ("telemetry", "switch-*"), call);
    let host = host_folder.start();
    host.admin().wait_plugin("caller", "to run", |plugin| plugin["state"] == "running");
    drop(host.device("lamp-1"));
    let in_force = fs::read_to_string(host_folder.plugins().join("caller.toml")).unwrap();
    let candidate = host_folder.root().join("candidate.toml");
    fs::write(&candidate, in_force.replace("dim", "blink")).unwrap();
    let _ = host.cli(&host_folder, &["plugin", "shadow", "caller", "--settings", candidate.to_str().unwrap()]);
    // What it publishes is the same, as the lamp is offline.
    host.device("switch-1").event("on");
    let report = switchbox_tests::until("the shadow to have seen it", || {
        let report = host.admin().get("/v1/plugins/caller/shadow").ok();
        (count(&report, "events") == 1).then_some(report)
    });
    assert_eq!(
        (&report["kinds"], &report["different"]),
        (&json!({"different method-call": 1}), &json!("1")),
        "{report}"
    );
    let differs = report["examples"][0]["differs"].to_string();
    assert!(differs.contains("method call 1: was lamp-1 dim on, is lamp-1 blink on"), "{differs}");
    assert!(count(&report, "memoryBytes") > 64 * 1024, "{report}");
    let text = host.cli(&host_folder, &["plugin", "shadow", "caller", "--report"]);
    assert!(text.contains("bytes of memory, new") && text.contains("different method-call"), "{text}");
    host.stop();
}
