//! Devices that come and go: what plugins are told of it, and what the registry knows of it.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};
use switchbox_tests::{
    DEPUTY, Device, Place, Process, Session, config, events,
    raw::{self, Raw},
};

fn place() -> Place {
    let place = Place::new();
    place.plugin("deputy.toml", "[limits]\ndeadline = \"30s\"\n");
    place.plugin("deputy.wasm", fs::read(DEPUTY).unwrap());
    place
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
    report.message(&expected.to_string(), |m| serde_json::from_slice::<Value>(&m.payload).ok().as_ref() == Some(expected));
}

/// A connection of MQTT 5 that can be broken by dropping it.
fn fragile(host: SocketAddr, will: Option<(u32, &str, &str)>) -> Raw {
    Raw::connect(host, &raw::connect("sensor-1", true, 0, will)).0
}

const TAKEN_OVER: &str = "taken over by a new connection";
const GOODBYE: &str = "disconnected by the client";
const BROKEN: &str = "connection closed by the client without DISCONNECT";

#[test]
fn plugins_see_devices_come_and_go_with_the_reason_in_order_with_their_telemetry() {
    let place = place();
    let host = place.start();
    let report = report(&host);
    let mut first = host.device("sensor-1");
    first.event(say(1));
    let mut second = Device::connect(host.mqtt(), Session::new("sensor-1"));
    second.event(say(2));
    drop(second);
    wait(&report, &disconnected(GOODBYE));
    let mut third = fragile(host.mqtt(), None);
    third.send(&raw::publish(0x32, &events("sensor-1"), 1, &[], &say(3)));
    let _puback = third.packet();
    drop(third);
    wait(&report, &disconnected(BROKEN));
    let said = |n: u32| json!({ "said": n });
    let expected = [
        [connected(), said(1), disconnected(TAKEN_OVER)],
        [connected(), said(2), disconnected(GOODBYE)],
        [connected(), said(3), disconnected(BROKEN)],
    ];
    assert_eq!(seen(&report), expected.concat());
}
