//! Config and state as a twin: each rule is one test, named after it.

mod plugins;

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_tests::{Admin, Device, HostFolder, Process, Session, config, deputy, until};

/// QoS 1 messages that may be on their way to a device.
const WINDOW: u64 = 32;

fn host_folder() -> HostFolder {
    let host_folder = HostFolder::new();
    deputy(&host_folder, "deputy");
    host_folder
}

fn state(device: &str) -> String {
    format!("/devices/{device}/state")
}

fn create(admin: &Admin, id: &str) {
    let _ = admin.post(&Admin::device_path("", "").replace("/devices/", "/devices"), &json!({ "id": id })).ok();
}

/// A new device that is not connected, its twin as the API has it.
fn twin(admin: &Admin, id: &str) -> Value {
    admin.get(&Admin::device_path(id, "/twin")).ok()
}

fn patch(admin: &Admin, id: &str, patch: &Value) -> Value {
    admin.patch(&Admin::device_path(id, "/twin"), patch).ok()
}

/// Makes a whole config, `binary` in base64; answers with what the API says.
fn set(admin: &Admin, id: &str, binary: &str, expected: u64) -> switchbox_tests::AdminResponse {
    let body = json!({"binaryData": binary, "versionToUpdate": expected.to_string()});
    admin.post(&Admin::device_path(id, ":modifyCloudToDeviceConfig"), &body)
}

/// A device that subscribes to its config.
fn subscriber(host: &Process, session: Session) -> Device {
    let mut device = Device::connect(host.mqtt(), session);
    device.subscribe_config();
    device
}

fn texts(device: &Device) -> Vec<String> {
    let topic = config(&device.id);
    device.seen().messages.iter().filter(|m| m.topic == topic).map(switchbox_tests::Message::text).collect()
}

/// Sends instructions to the guest.
fn order(host: &Process, orders: &Value) {
    host.device("boss").event(orders.to_string());
}

#[test]
fn versions_grow_by_one_and_the_last_ten_of_each_are_kept() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    let mut lamp = host.device("lamp-1");
    for n in 1..=12 {
        assert_eq!(patch(&admin, "lamp-1", &json!({ "n": n }))["desiredVersion"], n.to_string());
        lamp.publish(&state("lamp-1"), json!({ "n": n }).to_string());
    }
    for (path, list) in [("/configVersions", "deviceConfigs"), ("/states", "deviceStates")] {
        let answer = admin.get(&Admin::device_path("lamp-1", path)).ok();
        let versions: Vec<_> = answer[list].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
        let expected: Vec<_> = (3..=12).rev().map(|n| json!(n.to_string())).collect();
        assert_eq!(versions, expected, "{path}");
    }
}

#[test]
fn the_newest_config_comes_on_subscribe_and_then_every_change_in_order() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    for n in 1..=3 {
        patch(&admin, "lamp-1", &json!({ "n": n }));
    }
    let lamp = subscriber(&host, Session::new("lamp-1"));
    lamp.message_with(r#"{"n":3}"#);
    for n in 4..=23 {
        patch(&admin, "lamp-1", &json!({ "n": n }));
    }
    lamp.message_with(r#"{"n":23}"#);
    assert_eq!(texts(&lamp), (3..=23).map(|n| format!(r#"{{"n":{n}}}"#)).collect::<Vec<_>>());
}

#[test]
fn changes_are_coalesced_only_when_the_window_is_full() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    let silent = subscriber(&host, Session { acknowledges: false, ..Session::new("lamp-1") });
    for n in 1..=WINDOW + 8 {
        patch(&admin, "lamp-1", &json!({ "n": n }));
    }
    silent.message_with(&format!(r#"{{"n":{WINDOW}}}"#));
    assert_eq!(texts(&silent), (1..=WINDOW).map(|n| format!(r#"{{"n":{n}}}"#)).collect::<Vec<_>>());
    drop(silent);
    let lamp = subscriber(&host, Session::new("lamp-1"));
    lamp.message_with(&format!(r#"{{"n":{}}}"#, WINDOW + 8));
    assert_eq!(texts(&lamp).len(), 1);
}

#[test]
fn a_config_is_acknowledged_by_the_puback_and_by_nothing_else() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    patch(&admin, "lamp-1", &json!({"on": true}));
    let silent = subscriber(&host, Session { acknowledges: false, ..Session::new("lamp-1") });
    silent.message_with("true");
    drop(silent);
    assert_eq!(twin(&admin, "lamp-1").get("acknowledgedVersion"), None);
    let lamp = subscriber(&host, Session::new("lamp-1"));
    let shown = until("the acknowledgement", || {
        let shown = twin(&admin, "lamp-1");
        shown.get("acknowledgedVersion").is_some().then_some(shown)
    });
    assert_eq!(shown["acknowledgedVersion"], "1");
    assert!(shown["acknowledgedTime"].as_str() >= shown["desiredTime"].as_str(), "{shown}");
    // What is newer and not acknowledged does not take it back.
    drop(lamp);
    patch(&admin, "lamp-1", &json!({"on": false}));
    assert_eq!(twin(&admin, "lamp-1")["acknowledgedVersion"], "1");
}

#[test]
fn a_version_that_is_not_in_force_is_refused_and_changes_nothing() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    patch(&admin, "lamp-1", &json!({"a": 1}));
    let path = |version: u64| Admin::device_path("lamp-1", &format!("/twin?versionToUpdate={version}"));
    let refused = admin.patch(&path(2), &json!({"a": 2}));
    assert_eq!((refused.status, refused.body["error"]["status"].as_str()), (409, Some("ABORTED")));
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("version 1 is in force, not version 2"));
    assert_eq!(set(&admin, "lamp-1", "e30=", 7).status, 409);
    assert_eq!(twin(&admin, "lamp-1")["desired"], json!({"a": 1}));
    assert_eq!(admin.patch(&path(1), &json!({"b": 2})).ok()["desired"], json!({"a": 1, "b": 2}));
}

#[test]
fn a_device_offline_through_twenty_patches_gets_one_merged_config() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    for n in 0..20 {
        patch(
            &admin,
            "lamp-1",
            &json!({format!("k{:02}", n % 10): n, "gone": if n == 19 { Value::Null } else { n.into() }}),
        );
    }
    host.kill();
    let host = host_folder.start();
    let lamp = subscriber(&host, Session::new("lamp-1"));
    let got: Value = serde_json::from_str(&lamp.message_with("k00").text()).unwrap();
    let expected: serde_json::Map<_, _> = (0..10).map(|n| (format!("k{n:02}"), json!(n + 10))).collect();
    assert_eq!(got, Value::Object(expected));
    // Nothing else comes after it.
    patch(&host.admin(), "lamp-1", &json!({"last": true}));
    lamp.message_with("last");
    assert_eq!(texts(&lamp).len(), 2);
}

#[test]
fn of_two_patches_at_the_same_time_none_is_lost() {
    let host_folder = host_folder();
    let host = host_folder.start();
    create(&host.admin(), "lamp-1");
    std::thread::scope(|scope| {
        for source in 0..4 {
            let host = &host;
            scope.spawn(move || {
                let admin = host.admin();
                for n in 0..25 {
                    patch(&admin, "lamp-1", &json!({format!("{source}-{n}"): n}));
                }
            });
        }
        let plugin = (0..25).map(|n| json!({"patch": {"device": "lamp-1", "patch": {format!("plugin-{n}"): n}}}));
        order(&host, &plugin.collect());
    });
    let shown = until("the plugin's patches", || {
        let shown = twin(&host.admin(), "lamp-1");
        (shown["desiredVersion"] == "125").then_some(shown)
    });
    assert_eq!(shown["desired"].as_object().unwrap().len(), 125);
}

#[test]
fn a_config_that_is_no_json_object_cannot_be_patched_and_the_twin_says_so() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    create(&admin, "lamp-1");
    let _ = set(&admin, "lamp-1", "b24=", 0).ok();
    let shown = twin(&admin, "lamp-1");
    assert!(shown["desiredProblem"].as_str().unwrap().contains("version 1 is not a JSON object"), "{shown}");
    assert_eq!((&shown["desired"], shown.get("differs")), (&Value::Null, None));
    let refused = admin.patch(&Admin::device_path("lamp-1", "/twin"), &json!({"on": true}));
    assert_eq!((refused.status, refused.body["error"]["status"].as_str()), (400, Some("FAILED_PRECONDITION")));
    // No effect of the event happens, and the plugin gets an error that says what is wrong.
    order(
        &host,
        &json!([{"patch": {"device": "report", "patch": {"a": 1}}}, {"patch": {"device": "lamp-1", "patch": {"a": 1}}}]),
    );
    create(&admin, "report");
    let dead_letters =
        until("the dead letter", || Some(admin.dead_letters()).filter(|dead_letters| !dead_letters.is_empty()));
    assert!(dead_letters[0]["error"].as_str().is_some(), "{dead_letters:?}");
    assert_eq!(twin(&admin, "report")["desiredVersion"], "0");
}

#[test]
fn what_differs_is_named_by_path_and_since_when_also_after_a_restart() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let admin = host.admin();
    let mut lamp = host.device("lamp-1");
    patch(&admin, "lamp-1", &json!({"light": {"on": true, "level": 3}, "name": "hall"}));
    lamp.publish(&state("lamp-1"), r#"{"light":{"on":true,"level":3},"name":"hall","firmware":7}"#);
    assert_eq!(twin(&admin, "lamp-1")["differs"], json!([]));
    let changed = patch(&admin, "lamp-1", &json!({"light": {"level": 5}}));
    // A report with the same content does not change the time.
    lamp.publish(&state("lamp-1"), r#"{"light":{"on":true,"level":3},"name":"hall"}"#);
    let expected = json!([{"path": "/light/level", "desired": 5, "reported": 3, "since": changed["desiredTime"]}]);
    assert_eq!(twin(&admin, "lamp-1")["differs"], expected);
    host.kill();
    let host = host_folder.start();
    assert_eq!(twin(&host.admin(), "lamp-1")["differs"], expected);
}

#[test]
fn a_state_over_64_kib_is_refused_and_the_log_says_why() {
    let host_folder = host_folder();
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    lamp.publish(&state("lamp-1"), vec![b' '; 64 * 1024]);
    lamp.send(&state("lamp-1"), QoS::AtLeastOnce, vec![b' '; 64 * 1024 + 1]);
    lamp.wait("the end of the connection", |seen| seen.ended.is_some().then_some(()));
    host.logged(&["lamp-1", "the state is larger than devices.max-state-bytes: it has 65537 bytes, at most 65536"]);
    assert_eq!(twin(&host.admin(), "lamp-1")["reportedVersion"], "1");
}
