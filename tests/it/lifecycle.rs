//! Devices that connect and disconnect: the events that plugins get, and what the registry records.

use std::net::SocketAddr;

use serde_json::{Value, json};
use switchbox_tests::{
    Admin, Device, HostFolder, Journal, Process, Session, config, deputy, events,
    raw::{self, Raw},
    until,
};

fn host_folder() -> HostFolder {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    host_folder
}

/// Gets a config for everything that the plugin sees of the sensors.
fn report(host: &Process) -> Device {
    let mut report = host.device("report");
    report.subscribe_config();
    report
}

/// What the plugin saw, in the order in which it saw it.
fn seen(report: &Device) -> Vec<Value> {
    let topic = config(&report.id);
    let seen = report.seen();
    seen.messages.iter().filter(|m| m.topic == topic).map(|m| serde_json::from_slice(&m.payload).unwrap()).collect()
}

/// Telemetry that makes the plugin say this.
fn say(what: u32) -> String {
    json!([{"say": {"said": what}}]).to_string()
}

fn connected() -> Value {
    json!({"connected": "sensor-1"})
}

fn disconnected(reason: &str) -> Value {
    json!({"disconnected": "sensor-1", "reason": reason})
}

fn wait(report: &Device, expected: &Value) {
    report.message(&expected.to_string(), |m| {
        serde_json::from_slice::<Value>(&m.payload).ok().as_ref() == Some(expected)
    });
}

/// A connection of MQTT 5 that can be broken by dropping it.
fn fragile(host: SocketAddr, will: Option<(u32, &str, &str)>) -> Raw {
    Raw::connect(host, &raw::connect("sensor-1", true, 0, will)).0
}

const TAKEN_OVER: &str = "taken over by a new connection";
const CLIENT_DISCONNECTED: &str = "disconnected by the client";
const BROKEN: &str = "connection closed by the client without DISCONNECT";

#[test]
fn plugins_see_devices_come_and_go_with_the_reason_in_order_with_their_telemetry() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    let mut first = host.device("sensor-1");
    first.event(say(1));
    let mut second = Device::connect(host.mqtt(), Session::new("sensor-1"));
    second.event(say(2));
    drop(second);
    wait(&report, &disconnected(CLIENT_DISCONNECTED));
    let mut third = fragile(host.mqtt(), None);
    third.send(&raw::publish(0x32, &events("sensor-1"), 1, &[], &say(3)));
    let _puback = third.packet();
    drop(third);
    wait(&report, &disconnected(BROKEN));
    let telemetry = |n: u32| json!({ "said": n });
    let expected = [
        [connected(), telemetry(1), disconnected(TAKEN_OVER)],
        [connected(), telemetry(2), disconnected(CLIENT_DISCONNECTED)],
        [connected(), telemetry(3), disconnected(BROKEN)],
    ];
    assert_eq!(seen(&report), expected.concat());
}

/// What the registry knows of the sensor, when this holds.
fn known(host: &Process, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let admin = host.admin();
    until(what, || Some(admin.get(&Admin::device_path("sensor-1", "")).ok()).filter(&holds))
}

const TIMES: [&str; 5] =
    ["lastHeartbeatTime", "lastEventTime", "lastStateTime", "lastConfigSendTime", "lastConfigAckTime"];

/// Which of its times the registry has.
fn times(device: &Value) -> Vec<&str> {
    TIMES.into_iter().filter(|name| device.get(name).is_some()).collect()
}

#[test]
fn each_last_time_is_set_by_its_own_cause_and_by_no_other() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let mut sensor = fragile(host.mqtt(), None);
    assert_eq!(times(&known(&host, "the device", |_| true)), [""; 0]);
    let mut expected = Vec::new();
    let publish = |topic: &str| raw::publish(0x32, topic, 1, &[], "{}");
    for (name, packet) in [
        ("lastStateTime", publish("/devices/sensor-1/state")),
        ("lastEventTime", publish(&events("sensor-1"))),
        ("lastHeartbeatTime", raw::packet(0xc0, &[])),
    ] {
        sensor.send(&packet);
        let _answer = sensor.packet();
        expected.push(name);
        let device = known(&host, name, |device| device.get(name).is_some());
        let all = TIMES.into_iter().filter(|name| expected.contains(name)).collect::<Vec<_>>();
        assert_eq!(times(&device), all);
    }
}

#[test]
fn the_last_times_outlive_the_connection_and_the_host() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let mut sensor = fragile(host.mqtt(), None);
    sensor.send(&raw::packet(0xc0, &[]));
    let _pingresp = sensor.packet();
    drop(sensor);
    known(&host, "the end", |device| device["connected"] == false);
    let mut sensor = host.device("sensor-1");
    sensor.event("{}");
    sensor.publish("/devices/sensor-1/state", "{}");
    sensor.subscribe_config();
    let patch = |n: u32| host.admin().patch(&Admin::device_path("sensor-1", "/twin"), &json!({ "n": n })).ok();
    patch(1);
    known(&host, "the acknowledgement", |device| device.get("lastConfigAckTime").is_some());
    drop(sensor);
    let before = known(&host, "the end", |device| device["connected"] == false);
    // More versions than are kept, none of them acknowledged.
    (2..=12).for_each(|n| drop(patch(n)));
    host.stop();
    let after = known(&host_folder.start(), "the device", |_| true);
    for name in TIMES {
        assert!(before.get(name).is_some(), "{name}: {before}");
        assert_eq!(after[name], before[name], "{name}");
    }
}

#[test]
fn a_device_that_was_connected_when_the_host_was_killed_is_disconnected_once_at_the_next_start() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let assert_reported = |host: &Process, what: &Value| {
        let admin = host.admin();
        until("the plugin's report", || {
            (admin.get(&Admin::device_path("report", "/twin")).ok()["desired"] == *what).then_some(())
        });
    };
    drop(host.device("report"));
    let other = host.device("sensor-2");
    assert_reported(&host, &json!({"connected": "sensor-2"}));
    drop(other);
    assert_reported(&host, &json!({"disconnected": "sensor-2", "reason": CLIENT_DISCONNECTED}));
    let _sensor = host.device("sensor-1");
    assert_reported(&host, &connected());
    host.kill();
    let host = host_folder.start();
    assert_reported(&host, &disconnected("the host ended"));
    host.kill();
    let host = host_folder.start();
    let _sensor = host.device("sensor-1");
    assert_reported(&host, &connected());
    host.kill();
    let reports = Journal::open(&host_folder).0.configs("report");
    let reports: Vec<Value> = reports.iter().map(|(_, report)| serde_json::from_slice(report).unwrap()).collect();
    assert_eq!(reports.get(2..), Some(&[connected(), disconnected("the host ended"), connected()][..]));
}

#[test]
fn a_will_that_is_the_devices_own_telemetry_comes_before_its_disconnected_event() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let report = report(&host);
    drop(fragile(host.mqtt(), Some((0, &events("sensor-1"), &say(9)))));
    wait(&report, &disconnected(BROKEN));
    assert_eq!(seen(&report), [connected(), json!({"said": 9}), disconnected(BROKEN)]);
}
