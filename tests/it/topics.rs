//! Plugins and ordinary topics: what a plugin publishes reaches subscribers and other plugins, what clients publish reaches
//! plugins, and a crash loses none of it.

use rumqttc::QoS;
use switchbox_tests::{HostFolder, Journal, Session, scripted_plugin};

#[test]
fn a_plugin_publishes_to_all_that_subscribe() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "alarm",
        ("telemetry", "door-*"),
        r#"{ publish = { topic = "alerts/door", qos = 1, retain = true } }"#,
    );
    let host = host_folder.start();
    let mut phone = host.device("phone");
    assert!(phone.subscribe("alerts/#"));
    let mut door = host.device("door-1");
    door.event("open");
    let message = phone.message_with("open");
    assert_eq!((message.topic.as_str(), message.retain), ("alerts/door", false));
    // It is retained for later subscribers.
    let mut late = host.device("late");
    assert!(late.subscribe("alerts/+"));
    assert!(late.message_with("open").retain);
    host.stop();
}

#[test]
fn a_message_of_any_client_triggers_a_plugin() {
    let host_folder = HostFolder::new();
    scripted_plugin(&host_folder, "app", ("topic", "home/+/request"), r#"{ config = { device = "lamp-1" } }"#);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let mut phone = host.device("phone");
    phone.publish("home/hall/request", "on");
    lamp.message_with("on");
    phone.publish("home/hall/other", "nobody");
    phone.publish("home/hall/request/deeper", "nobody");
    // A will is a message too.
    let will = rumqttc::LastWill::new("home/will/request", "last", QoS::AtLeastOnce, false);
    let lost = switchbox_tests::Device::connect(host.mqtt(), Session { will: Some(will), ..Session::new("lost") });
    // A second client of the same name ends the first one's connection without DISCONNECT.
    let again = host.device("lost");
    lamp.message_with("last");
    drop((lost, again));
    host.stop();
    let (journal, _) = Journal::open(&host_folder);
    let executions = journal.executions_of("app");
    assert_eq!(executions.len(), 2, "messages that no plugin is triggered by are not journaled: {executions:?}");
}

#[test]
fn what_a_plugin_publishes_triggers_another() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "first",
        ("telemetry", "switch-*"),
        r#"{ publish = { topic = "middle/x", qos = 1 } }"#,
    );
    scripted_plugin(&host_folder, "second", ("topic", "middle/#"), r#"{ config = { device = "lamp-1" } }"#);
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let mut switch = host.device("switch-1");
    for n in 0..50 {
        switch.event(format!("press {n}"));
    }
    lamp.message_with("press 49");
    host.stop();
    let (journal, _) = Journal::open(&host_folder);
    let handled: Vec<_> = journal.configs("lamp-1");
    assert_eq!(handled.len(), 50, "in order and each once");
}

#[test]
fn a_crash_loses_no_message_of_an_acknowledged_event() {
    const ROUNDS: usize = 5;
    const EVENTS: usize = 40;
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "first",
        ("telemetry", "switch-*"),
        r#"{ publish = { topic = "middle/x", qos = 1 } }"#,
    );
    scripted_plugin(&host_folder, "second", ("topic", "middle/#"), r#"{ config = { device = "lamp-1" } }"#);
    for round in 0..ROUNDS {
        let host = host_folder.start();
        drop(host.device("lamp-1"));
        let mut switch = host.device("switch-1");
        for n in 0..EVENTS {
            switch.event(format!("press {round}.{n}."));
        }
        host.kill();
    }
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    let last = format!("press {}.{}.", ROUNDS - 1, EVENTS - 1);
    lamp.message_with(&last);
    host.stop();
    let (journal, _) = Journal::open(&host_folder);
    let configs: Vec<_> = journal.configs("lamp-1").into_iter().map(|(_, payload)| payload).collect();
    for (round, n) in (0..ROUNDS).flat_map(|round| (0..EVENTS).map(move |n| (round, n))) {
        let sent = format!("press {round}.{n}.");
        assert!(configs.iter().any(|payload| *payload == sent.as_bytes()), "{sent} is lost");
    }
}
