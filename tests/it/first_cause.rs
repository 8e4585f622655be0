//! An explanation goes back to the first cause, through whatever lies between: timers, messages between plugins, commands that
//! ended. Each test is named after what lies between.

use serde_json::{Value, json};
use switchbox_tests::{
    Admin, Device, HostFolder, Message, Process, config, deputy, limited_scripted_plugin, scripted_plugin, until,
};

fn listening(host: &Process, id: &str) -> Device {
    let mut device = host.device(id);
    device.subscribe_config();
    device
}

/// The lines of the chain, without its times and digests: from `at`, `(sha256` and what was set `for` on.
fn chain(admin: &Admin, id: &str) -> Vec<String> {
    let lines = admin.get(&format!("/v1/explain/{id}")).ok()["text"].as_str().unwrap().to_owned();
    let short = |line: &str| {
        [" at 2", " (sha256", ", first"]
            .iter()
            .fold(line.to_owned(), |line, end| line.split(end).next().unwrap_or_default().to_owned())
    };
    lines.lines().map(short).collect()
}

/// The last step without its result.
fn last(chain: &[String]) -> &str {
    chain.last().unwrap().split(": ").next().unwrap()
}

fn newest_event(admin: &Admin, filter: &str) -> Value {
    until(filter, || {
        Some(admin.get(&format!("/v1/events?{filter}")).ok()["events"][0].clone()).filter(|event| !event.is_null())
    })
}

#[test]
fn a_timer_leads_back_to_the_event_that_set_it_also_after_a_restart() {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    let host = host_folder.start();
    let report = listening(&host, "report");
    let order = json!([{"every": {"timer": "tick", "ms": 200}}]).to_string();
    host.device("boss").event(order.as_str());
    report.message("a config by the timer", |message| message.topic == config("report"));
    let expected = |version: u64, fired: &str| {
        let version = format!("→ config version {version} for report");
        let set = "→ timer \"tick\" set for every 200 ms";
        let (first, fired) = (format!("boss sent {order}"), format!("→ timer \"tick\" of plugin deputy fired{fired}"));
        [first.as_str(), "→ plugin deputy", set, &fired, "→ plugin deputy", &version].map(str::to_owned)
    };
    let lines = chain(&host.admin(), "report@1");
    assert_eq!((&lines[..5], last(&lines)), (&expected(1, "")[..5], expected(1, "")[5].as_str()));
    host.stop();
    let fired = |message: &Message| serde_json::from_str::<Value>(&message.text()).unwrap();
    let before = report.seen().messages.last().map(fired).unwrap()["count"].as_u64();

    let host = host_folder.start();
    let report = listening(&host, "report");
    let is_new = |message: &Message| fired(message)["late"] == false && fired(message)["count"].as_u64() > before;
    let newest = report.message("a config by the timer", is_new);
    let count = fired(&newest)["count"].as_u64().unwrap();
    let lines = chain(&host.admin(), &format!("report@{count}"));
    let expected = expected(count, "");
    assert_eq!((&lines[..5], last(&lines)), (&expected[..5], expected[5].as_str()));
    host.stop();
}

#[test]
fn a_plugins_start_is_reported_as_a_start() {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    let host = host_folder.start();
    let admin = host.admin();
    let id = newest_event(&admin, "kind=timer")["id"].as_str().unwrap().to_owned();
    let lines = chain(&admin, &id);
    assert_eq!(lines[0], "plugin deputy was new, or its component or settings changed,");
    host.stop();
}

#[test]
fn a_message_between_plugins_leads_back_to_what_the_first_one_saw() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "caller",
        ("telemetry", "switch-*"),
        r#"{ publish = { topic = "bus/zero" } }, { publish = { topic = "bus/one", qos = 1 } }"#,
    );
    scripted_plugin(&host_folder, "zero", ("topic", "bus/zero"), r#"{ config = { device = "lamp-0" } }"#);
    scripted_plugin(&host_folder, "one", ("topic", "bus/one"), r#"{ config = { device = "lamp-1" } }"#);
    let host = host_folder.start();
    let (lamp_0, lamp_1) = (listening(&host, "lamp-0"), listening(&host, "lamp-1"));
    host.device("switch-1").event("on");
    for (lamp, device, topic, plugin) in [(lamp_0, "lamp-0", "bus/zero", "zero"), (lamp_1, "lamp-1", "bus/one", "one")]
    {
        lamp.message_with("on");
        let lines = chain(&host.admin(), device);
        let expected = [
            "switch-1 sent on".to_owned(),
            "→ plugin caller".to_owned(),
            format!("→ on was published on {topic}"),
            format!("→ plugin {plugin}"),
        ];
        assert_eq!((&lines[..4], last(&lines)), (&expected[..], format!("→ config version 1 for {device}").as_str()));
    }
    host.stop();
}

/// Two plugins that answer each other without end, with a command for lamp-1 in each round.
fn ping_pong(host_folder: &HostFolder) {
    let slow = "rate-per-target = \"100/s\"";
    limited_scripted_plugin(host_folder, "there", ("topic", "ping"), slow, r#"{ publish = { topic = "pong" } }"#);
    let back = r#"{ publish = { topic = "ping" } }, { command = { device = "lamp-1", ttl-ms = 600000 } }"#;
    limited_scripted_plugin(host_folder, "back", ("topic", "pong"), slow, back);
}

#[test]
fn a_chain_that_goes_round_is_cut_and_says_so() {
    let host_folder = HostFolder::new();
    ping_pong(&host_folder);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    host.device("phone-1").publish("ping", "ball");
    lamp.wait("many rounds", |seen| (seen.messages.len() >= 30).then_some(()));
    let admin = host.admin();
    let lines = until("a command of a late round that has ended", || {
        let settled = newest_event(&admin, "kind=command-settled&device=lamp-1");
        let lines = chain(&admin, settled["commandId"].as_str().unwrap());
        (lines[0] == "(it began earlier; run explain on the first event below)").then_some(lines)
    });
    // An effect that its rate held back is a link as well, so the first link is of either plugin.
    let is_first = |topic: &str, plugin: &str| {
        lines[1..3] == [format!("→ ball was published on {topic}"), format!("→ plugin {plugin}")]
    };
    assert!(is_first("pong", "back") || is_first("ping", "there"), "{lines:?}");
    host.stop();
}

/// A reader could otherwise be answered with 64 payloads of 256 KiB and more.
#[test]
fn an_explanation_has_no_more_payloads_than_fit_in_an_answer() {
    let host_folder = HostFolder::new();
    ping_pong(&host_folder);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    host.device("phone-1").publish("ping", "x".repeat(200_000));
    lamp.wait("some rounds", |seen| (seen.messages.len() >= 10).then_some(()));
    let admin = host.admin();
    let settled = until("a command that has ended", || {
        let events = admin.get("/v1/events?kind=command-settled&device=lamp-1&pageSize=100").ok();
        let events = events["events"].as_array().unwrap().clone();
        (events.len() >= 10).then(|| events[0].clone())
    });
    let shown = admin.get(&format!("/v1/explain/{}", settled["commandId"].as_str().unwrap())).ok();
    assert_eq!(shown["chain"][0], serde_json::json!({"earlier": true}));
    let bytes = shown.to_string().len();
    assert!((1_000_000..4_000_000).contains(&bytes), "{bytes}");
    host.stop();
}

#[test]
fn the_end_of_a_command_leads_back_to_its_sender() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "sender",
        ("telemetry", "switch-*"),
        r#"{ command = { device = "lamp-1", ttl-ms = 600000 } }"#,
    );
    scripted_plugin(
        &host_folder,
        "listener",
        ("command-settled", "*"),
        r#"{ report-settled = { device = "report" } }"#,
    );
    let host = host_folder.start();
    let admin = host.admin();
    let report = listening(&host, "report");
    let mut lamp = host.device("lamp-1");
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    host.device("switch-1").event("blink");
    report.message("the report", |message| message.topic == config("report"));
    let lines = chain(&admin, "report");
    let id = newest_event(&admin, "kind=telemetry&device=switch-1")["id"].as_str().unwrap().to_owned();
    let sender = ["switch-1 sent blink".to_owned(), "→ plugin sender".to_owned()];
    assert_eq!(lines[..2], sender);
    assert!(
        lines[2].starts_with(&format!("→ command {id}.sender.0 for lamp-1: blink → sent → acknowledged")),
        "{lines:?}"
    );
    let after = [format!("→ command {id}.sender.0 of lamp-1 was acknowledged"), "→ plugin listener".to_owned()];
    assert_eq!((&lines[3..5], last(&lines)), (&after[..], "→ config version 1 for report"));

    // One that an operator sent leads back to the operator.
    let sent = json!({"binaryData": "Z28=", "ttl": "600s"});
    let _ = admin.post(&Admin::device_path("lamp-1", ":sendCommandToDevice"), &sent).ok();
    report.wait("the second report", |seen| (seen.messages.len() == 2).then_some(()));
    assert_eq!(chain(&admin, "report")[0], "an operator (admin-token) called the admin API");
    host.stop();
}

#[test]
fn coming_and_reporting_are_first_causes_themselves() {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    let host = host_folder.start();
    let admin = host.admin();
    let report = listening(&host, "report");
    let mut sensor = host.device("sensor-1");
    report.message("the coming", |message| message.text().contains("connected"));
    assert_eq!(chain(&admin, "report@1")[..2], ["sensor-1 connected", "→ plugin deputy"]);
    sensor.publish("/devices/sensor-1/state", r#"{"t":20}"#);
    report.message("the state", |message| message.text().contains("state"));
    assert_eq!(chain(&admin, "report@2")[..2], [r#"sensor-1 reported state 1, {"t":20},"#, "→ plugin deputy"]);
    host.stop();
}

#[test]
fn a_call_that_is_refused_at_once_is_remembered_too() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "caller",
        ("telemetry", "switch-*"),
        r#"{ method = { device = "lamp-1", name = "dim", report = "report" } }"#,
    );
    let host = host_folder.start();
    let admin = host.admin();
    let report = listening(&host, "report");
    drop(host.device("lamp-1"));
    until("lamp-1 to be gone", || {
        (admin.get(&Admin::device_path("lamp-1", "")).ok()["connected"] == false).then_some(())
    });
    host.device("switch-1").event("50");
    report.message("the report", |message| message.text().contains("failed"));
    let id = newest_event(&admin, "kind=telemetry&device=switch-1")["id"].as_str().unwrap().to_owned();
    let lines = chain(&admin, &format!("{id}.caller.m0"));
    assert_eq!(lines[0], "switch-1 sent 50");
    let text = admin.get(&format!("/v1/explain/{id}.caller.m0")).ok()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("→ method dim of lamp-1 called with 50 at "), "{text}");
    assert!(text.contains(": lamp-1 is not connected"), "{text}");

    let refused = admin.post(&Admin::device_path("lamp-1", ":invokeMethod"), &json!({"method": "dim"}));
    let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
    let call = message.split("(call ").nth(1).unwrap().trim_end_matches(')').to_owned();
    let text = until("the call to be written down", || {
        let answer = admin.get(&format!("/v1/explain/{call}"));
        (answer.status == 200).then(|| answer.body["text"].as_str().unwrap().to_owned())
    });
    assert!(text.starts_with("an operator (admin-token) called the admin API\n→ method dim of lamp-1"), "{text}");
    host.stop();
}
