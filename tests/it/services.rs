//! Service accounts of programs that are not devices: what they may do, and what they see of devices.

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_model::broker::SessionKey;
use switchbox_tests::{CLOSED, Device, HostFolder, Journal, Process, Session, now, private_key};

/// Makes the account; gives its password.
fn account(host: &Process, host_folder: &HostFolder, name: &str, lists: &[&str]) -> String {
    let _ = host.cli(host_folder, &[&["service", "create", name], lists].concat());
    host.cli(host_folder, &["service", "password", name])
}

fn connect(host: &Process, account: &str, password: &str) -> Device {
    Device::connect(host.mqtt(), Session::of_service(account, "program", password))
}

#[test]
fn a_program_watches_what_happens_to_devices_and_devices_cannot() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let filter = "registries/default/devices/+/#";
    let password = account(&host, &host_folder, "dashboard", &["--subscribe", "registries/#"]);
    let mut dashboard = connect(&host, "dashboard", &password);
    assert!(dashboard.subscribe(filter));
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    let secret = host.cli(&host_folder, &["device", "password", "lamp-1"]);
    let mut lamp = Device::connect(host.mqtt(), Session::with_secret("lamp-1", &secret));
    assert!(!lamp.subscribe(filter) && !lamp.subscribe("registries/default/devices/lamp-1/events"));
    lamp.subscribe_config();
    assert!(lamp.subscribe("/devices/lamp-1/commands/#"));
    lamp.publish("/devices/lamp-1/events/warm/side", "20");
    lamp.publish("/devices/lamp-1/state", "on");
    let _ = host.cli(&host_folder, &["device", "config", "set", "lamp-1", "bright"]);
    let _ = host.cli(&host_folder, &["device", "command", "send", "lamp-1", "blink", "--subfolder", "now"]);
    drop(lamp);
    for (rest, payload) in [
        ("events/warm/side", "20"),
        ("state", "on"),
        ("config", "bright"),
        ("commands/now", "blink"),
        ("lifecycle", r#""connected""#),
        ("lifecycle", r#""disconnected""#),
    ] {
        let topic = format!("registries/default/devices/lamp-1/{rest}");
        let what = format!("{payload} on {topic}");
        let _ = dashboard.message(&what, |message| message.topic == topic && message.text().contains(payload));
    }
    host.stop();
}

#[test]
fn a_program_does_what_its_lists_say_and_nothing_else() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let lists = ["--publish", "alerts/#", "--subscribe", "alerts/+"];
    let password = account(&host, &host_folder, "siren", &lists);
    let mut siren = connect(&host, "siren", &password);
    for (filter, granted) in [
        ("alerts/fire", true),
        ("alerts/+", true),
        ("$share/all/alerts/+", true),
        ("alerts/#", false),
        ("$share/all/#", false),
        ("registries/#", false),
        ("/devices/lamp-1/config", false),
    ] {
        assert_eq!(siren.subscribe(filter), granted, "{filter}");
    }
    siren.publish("alerts/fire", "now");
    let _ = siren.message_with("now");
    let _ = siren.send("registries/default/devices/lamp-1/events", QoS::AtLeastOnce, "forged");
    siren.ended();
    let refused = Device::begin(host.mqtt(), Session::of_service("siren", "program", "a guess"));
    assert!(refused.ended().contains("NotAuthorized"));
    let unregistered = Device::begin(host.mqtt(), Session::of_service("nobody", "program", &password));
    assert!(unregistered.ended().contains("NotAuthorized"));
    host.stop();
}

#[test]
fn what_is_taken_from_an_account_ends_its_connections_and_a_restart_does_not_bring_it_back() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let path = "/v1/serviceAccounts/siren";
    let password = account(&host, &host_folder, "siren", &["--subscribe", "a/#", "--subscribe", "b"]);
    let kept = Session { clean: false, ..Session::of_service("siren", "program", &password) };
    let mut siren = Device::connect(host.mqtt(), kept.clone());
    assert!(siren.subscribe("a/#") && siren.subscribe("b"));
    let _ = host.admin().patch(&format!("{path}?updateMask=subscribe"), &json!({"subscribe": ["b"]})).ok();
    siren.ended();
    let mut siren = Device::connect(host.mqtt(), kept);
    assert!(!siren.subscribe("a/#") && siren.subscribe("b"));
    let shown = host.admin().get(path).ok();
    assert_eq!(shown["subscribe"], json!(["b"]));
    assert!(!shown.to_string().contains("argon2"), "{shown}");
    let _ = host.admin().patch(&format!("{path}?updateMask=disabled"), &json!({"disabled": true})).ok();
    siren.ended();

    host.kill();
    let host = host_folder.start_with(CLOSED);
    let disabled = Device::begin(host.mqtt(), Session::of_service("siren", "program", &password));
    assert!(disabled.ended().contains("NotAuthorized"));
    let _ = host.admin().patch(&format!("{path}?updateMask=disabled"), &json!({"disabled": false})).ok();
    let siren = connect(&host, "siren", &password);
    let _ = host.cli(&host_folder, &["service", "delete", "siren"]);
    siren.ended();
    host.stop();
}

#[test]
fn kept_sessions_that_an_account_cannot_come_back_to_end_with_what_let_them_in() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let passwords = ["changed", "deleted", "stays"]
        .map(|name| (name, account(&host, &host_folder, name, &["--subscribe", "a/#", "--subscribe", "b"])));
    let mut live = Vec::new();
    for (name, password) in &passwords {
        for client_id in ["there", "away"] {
            let mut session = Session::of_service(name, client_id, password);
            session.clean = false;
            let mut program = Device::connect(host.mqtt(), session);
            assert!(program.subscribe("a/#"));
            if client_id == "there" {
                live.push(program);
            }
        }
    }
    let changed = json!({"subscribe": ["b"]});
    let _ = host.admin().patch("/v1/serviceAccounts/changed?updateMask=subscribe", &changed).ok();
    let _ = host.cli(&host_folder, &["service", "delete", "deleted"]);
    live.iter().take(2).for_each(|program| drop(program.ended()));
    // Not changed by a new password.
    let _ = host.cli(&host_folder, &["service", "password", "stays"]);
    live[2].ended();
    host.stop();
    let (_, loaded) = Journal::open(&host_folder);
    let of = |key: SessionKey| match key {
        SessionKey::Client(id) => id.split('\0').next().unwrap_or_default().to_owned(),
        SessionKey::Device(_) => panic!("a device's session"),
    };
    let sessions: Vec<_> = loaded.broker.sessions.into_iter().map(|session| of(session.key)).collect();
    assert_eq!(sessions, ["stays", "stays"]);
}

#[test]
fn a_program_proves_itself_by_a_key_for_itself_alone() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let _ = host.cli(&host_folder, &["service", "create", "meter", "--publish", "readings/#", "--new-key"]);
    let token =
        |audience| host.cli(&host_folder, &["device", "token", "--key", "meter.key.pem", "--audience", audience]);
    let mut meter = connect(&host, "meter", &token("serviceAccounts/meter"));
    meter.publish("readings/1", "20");
    let other = Device::begin(host.mqtt(), Session::of_service("meter", "other", &token("local")));
    assert!(other.ended().contains("NotAuthorized"));
    host.stop();
}

#[test]
fn what_an_account_proved_itself_with_ends_its_connection_when_it_ends() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let password = account(&host, &host_folder, "meter", &["--publish", "readings/#", "--new-key"]);
    let key = private_key(&host_folder, "meter");
    let by_token = |from, to| connect(&host, "meter", &key.token("serviceAccounts/meter", from, to).unwrap());
    let mut by_password = connect(&host, "meter", &password);
    // The ten minutes by which clocks may differ are nearly over.
    let brief = Session { client_id: "brief".into(), ..Session::of_service("meter", "", "") };
    let secret = key.token("serviceAccounts/meter", now() - 3_600, now() - 597).unwrap();
    Device::connect(host.mqtt(), Session { secret: Some(secret), ..brief }).ended();
    by_password.publish("readings/1", "still there");
    let _ = host.cli(&host_folder, &["service", "password", "meter"]);
    by_password.ended();
    let mut keyed = by_token(now(), now() + 3_600);
    keyed.publish("readings/1", "still there");
    let path = "/v1/serviceAccounts/meter?updateMask=credentials";
    let _ = host.admin().patch(path, &json!({"credentials": []})).ok();
    keyed.ended();
    host.stop();
}

#[test]
fn a_list_with_a_wrong_filter_is_refused_by_name() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let answer = host.admin().post("/v1/serviceAccounts", &json!({"id": "x", "publish": ["a#"]}));
    let message = answer.body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned();
    assert!(answer.status == 400 && message.contains("\"a#\""), "{answer:?}");
    host.stop();
}
