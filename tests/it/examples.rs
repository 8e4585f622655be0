//! The example plugins in a real host, each with the clients that its README names.

use std::time::Duration;

use serde_json::{Value, json};
use switchbox_tests::{Admin, Device, HostFolder, Process, until_within};

/// A night that comes every minute, and a busy machine.
const NIGHT: Duration = Duration::from_secs(150);

fn start(name: &str, settings: &str) -> (HostFolder, Process) {
    let host_folder = HostFolder::new();
    host_folder.plugin(&format!("{name}.toml"), format!("component = \"builtin:{name}\"\n\n[settings]\n{settings}"));
    let host = host_folder.start();
    host.admin().wait_plugin(name, "to run", |plugin| plugin["state"] == "running");
    (host_folder, host)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn garage_door() {
    let (_place, host) = start("garage-door", "timeout_s = 60\n");
    let mut door = host.device("door-1");
    assert!(door.subscribe("/devices/door-1/methods/#"));
    let mut phone = host.device("phone-1");
    assert!(phone.subscribe("garage/+/response"));
    phone.publish("garage/door-1/request", r#"{"action": "open", "id": 7, "arguments": {"speed": "slow"}}"#);

    let call = door.message("the call", |message| message.topic.starts_with("/devices/door-1/methods/open/request/"));
    assert_eq!(parsed(&call.text()), json!({"speed": "slow"}));
    let rid = call.topic.rsplit('/').next().unwrap().to_owned();
    door.publish(&format!("/devices/door-1/methods/open/response/{rid}/200"), r#"{"opens": true}"#);
    let answer = phone.message("the answer", |message| message.topic == "garage/door-1/response");
    assert_eq!(parsed(&answer.text()), json!({"id": 7, "ok": true, "status": 200, "answer": {"opens": true}}));

    drop(door);
    let gone = |seen: &Value| seen["ok"] == false && seen["error"].as_str().is_some_and(|e| e.starts_with("offline"));
    let alerts = until_within(NIGHT, || {
        phone.publish("garage/door-1/request", r#"{"action": "close"}"#);
        let answers = phone.seen().messages.iter().map(|message| parsed(&message.text())).collect::<Vec<_>>();
        answers.into_iter().find(gone)
    });
    assert!(alerts.is_some(), "the phone is told that the door is offline");
    host.stop();
}

#[test]
fn motion_alert() {
    let (_place, host) = start("motion-alert", "quiet_s = 2\n");
    let mut phone = host.device("phone-1");
    assert!(phone.subscribe("alerts/+"));
    let mut sensor = host.device("motion-1");
    let mut still = host.device("motion-2");
    still.event(r#"{"motion": false}"#);
    for _ in 0..4 {
        sensor.event(r#"{"motion": true}"#);
    }
    // One at once, the other three in one when the sensor may speak again.
    let alerts = phone.wait("all four movements", |seen| {
        let alerts: Vec<_> = seen.messages.iter().map(|m| (m.topic.clone(), parsed(&m.text()))).collect();
        let movements: u64 = alerts.iter().filter_map(|(_, alert)| alert["movements"].as_u64()).sum();
        (movements == 4).then_some(alerts)
    });
    assert!(alerts.len() < 4, "{alerts:?}");
    assert_eq!(alerts[0].1["movements"], 1);
    assert!(
        alerts.iter().all(|(topic, alert)| topic == "alerts/motion-1" && alert["sensor"] == "motion-1"),
        "{alerts:?}"
    );
    host.stop();
}

#[test]
fn night_restart() {
    let (host_folder, host) = start("night-restart", "cron = \"* * * * *\"\ntime_zone = \"Europe/Berlin\"\n");
    let admin = host.admin();
    for (id, restarts) in [("camera-1", "true"), ("camera-2", "false")] {
        let device = json!({"id": id, "metadata": {"night-restart": restarts}});
        let _ = admin.post("/v1/projects/local/locations/local/registries/default/devices", &device).ok();
    }
    // camera-1 is asleep when its hour comes, and the host is restarted before it wakes.
    let queued = |admin: &Admin| {
        let commands = admin.get(&Admin::device_path("camera-1", "/commands")).ok();
        commands["commands"].as_array().is_some_and(|commands| !commands.is_empty()).then_some(())
    };
    assert!(until_within(NIGHT, || queued(&admin)).is_some(), "the night never came");
    host.stop();
    let host = host_folder.start();
    let mut camera: Device = host.device("camera-1");
    assert!(camera.subscribe("/devices/camera-1/commands/#"));
    let command = camera.message("the command", |message| message.topic == "/devices/camera-1/commands");
    assert_eq!(command.text(), "RESTART");
    let other = host.admin().get(&Admin::device_path("camera-2", "/commands")).ok();
    assert!(other["commands"].as_array().is_none_or(Vec::is_empty), "{other}");
    host.stop();
}

#[test]
fn thermostat() {
    let (_place, host) = start("thermostat", "hysteresis = 0.5\n");
    let mut heater = host.device("heater-1");
    heater.subscribe_config();
    let mut thermostat = host.device("thermostat-1");
    for (temperature, heating) in [(19.0, true), (20.6, false), (19.4, true)] {
        thermostat.publish("/devices/thermostat-1/state", json!({"temperature": temperature}).to_string());
        // In between nothing changes.
        thermostat.publish("/devices/thermostat-1/state", r#"{"temperature": 20.0}"#);
        heater.wait("the switch", |seen| {
            let newest = seen.messages.last()?;
            (parsed(&newest.text())["heating"] == heating).then_some(())
        });
    }
    assert_eq!(heater.seen().messages.len(), 3);
    host.stop();
}
