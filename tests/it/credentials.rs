//! Which clients are accepted, with which credentials, and for how long: the real program with closed enrolment.

mod ends;
mod topics;

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    process::Stdio,
};

use rumqttc::{LastWill, QoS};
use serde_json::{Value, json};
use switchbox_model::broker::SessionKey;
use switchbox_support::clock;
use switchbox_tests::{
    Admin, CLOSED, Device, HostFolder, Journal, Process, Session,
    hostile::{Conn, Login},
    now, registered, skip_on_this_system, token, until,
};

fn connect(host: &Process, id: &str, secret: &str) -> Device {
    Device::connect(host.mqtt(), Session::with_secret(id, secret))
}

#[test]
fn a_device_is_accepted_with_a_token_of_its_key_and_only_the_log_says_why_another_is_refused() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let other = registered(&host, &host_folder, "lamp-2");
    let mode = fs::metadata(host_folder.root().join("lamp-1.key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the private key is its owner's");
    let printed = host.cli(&host_folder, &["device", "token", "--key", "lamp-1.key.pem"]);
    let mut lamp = connect(&host, "lamp-1", &printed);
    lamp.event("hello");

    let sign = |from, to| key.token("local", from, to).unwrap();
    let mut answers = Vec::new();
    for (id, secret, logged) in [
        ("lamp-1", Some(token(&other)), "signature was not made by any of the keys"),
        ("lamp-1", Some(key.token("other", now(), now() + 60).unwrap()), "is for \"other\""),
        ("lamp-1", Some(sign(now() - 7_200, now() - 3_600)), "expired"),
        ("lamp-1", Some(sign(now() + 3_600, now() + 7_200)), "clock"),
        ("lamp-1", Some(sign(now(), now() + 90_000)), "more than 86400"),
        ("lamp-1", Some("a password".into()), "the password is not that of"),
        ("lamp-1", None, "sent no password"),
        ("lamp-9", Some(token(&key)), "devices/lamp-9 is not registered"),
        ("lamp-8", Some("a password".into()), "devices/lamp-8 is not registered"),
        ("lamp-7", None, "devices/lamp-7 is not registered"),
        ("hall/lamp-9", Some(token(&key)), "its registry does not exist"),
        ("no device/at/all", Some(token(&key)), "names no device"),
    ] {
        let secret = secret.clone();
        answers.push(Device::refused(host.mqtt(), Session { secret, ..Session::new(id) }));
        host.logged(&["refused", logged]);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("NotAuthorized"), "{answers:?}");
    let secret = fs::read_to_string(host_folder.root().join("lamp-1.key.pem")).unwrap();
    for line in [secret.lines().nth(1).unwrap(), printed.rsplit('.').next().unwrap(), "a password\""] {
        assert!(!host.log().contains(line), "a secret is in the log: {line}");
    }
    lamp.event("still there");
    host.stop();
}

#[test]
fn a_name_that_a_client_makes_up_is_no_line_of_the_log() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let forged = "2026-01-01T00:00:00Z  INFO switchbox: forged";
    Device::refused(host.mqtt(), Session::of_service(&format!("x\n{forged}"), "program", "a guess"));
    Device::refused(host.mqtt(), Session::with_secret(&format!("y\n{forged}"), "a guess"));
    host.logged(&["refused", "forged"]);
    assert!(!host.log().lines().any(|line| line.starts_with("2026-01-01")), "{}", host.log());
    host.stop();
}

#[test]
fn a_host_that_crashes_leaves_no_core_dump() {
    let host_folder = HostFolder::new();
    let crash = |script: &str| {
        let script = format!("ulimit -c unlimited && {script}");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &script]).current_dir(host_folder.root()).stdout(Stdio::null()).status().unwrap()
    };
    if !crash("kill -ABRT $$").core_dumped() {
        skip_on_this_system("this system leaves no core dumps at all");
        return;
    }
    let mut host = host_folder.start_with(CLOSED);
    let pid = host.pid();
    let crashed = crash(&format!("prlimit --pid {pid} --core=unlimited && kill -ABRT {pid}"));
    assert!(crashed.success());
    let ended = host.wait();
    assert_eq!((ended.signal(), ended.core_dumped()), (Some(6), false));
}

#[test]
fn a_key_is_rotated_without_a_moment_outside() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let old = registered(&host, &host_folder, "lamp-1");
    let pair = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    fs::write(host_folder.root().join("new.pem"), &pair.stdout).unwrap();
    let public = std::process::Command::new("openssl")
        .args(["pkey", "-pubout", "-in", "new.pem", "-out", "new.public.pem"])
        .current_dir(host_folder.root())
        .status()
        .unwrap();
    assert!(public.success());
    let _ = host.cli(&host_folder, &["device", "credential", "add", "lamp-1", "new.public.pem"]);
    let new = host.cli(&host_folder, &["device", "token", "--key", "new.pem"]);
    drop(connect(&host, "lamp-1", &token(&old)));
    let mut lamp = connect(&host, "lamp-1", &new);
    let _ = host.cli(&host_folder, &["device", "credential", "remove", "lamp-1", "1"]);
    Device::refused(host.mqtt(), Session::with_secret("lamp-1", &token(&old)));
    lamp.event("still there");
    host.stop();
}

#[test]
fn a_password_lets_in_until_it_is_replaced_and_is_stored_nowhere() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    let password = host.cli(&host_folder, &["device", "password", "lamp-1"]);
    let lamp = connect(&host, "lamp-1", &password);
    let newer = host.cli(&host_folder, &["device", "password", "lamp-1"]);
    lamp.ended();
    Device::refused(host.mqtt(), Session::with_secret("lamp-1", &password));
    drop(connect(&host, "lamp-1", &newer));
    let shown = host.admin().get(&Admin::device_path("lamp-1", "")).ok();
    assert!(!shown.to_string().contains("argon2"), "{shown}");
    host.kill();
    let host = host_folder.start_with(CLOSED);
    drop(connect(&host, "lamp-1", &newer));
    host.stop();
    for file in
        fs::read_dir(host_folder.data()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = fs::read(&file).unwrap();
        for secret in [&password, &newer] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "the password stands in {}", file.display());
        }
    }
}

#[test]
fn the_secret_that_let_a_client_in_is_not_in_the_hosts_memory_any_more() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let _ = host.cli(&host_folder, &["device", "create", "lamp-2"]);
    let password = host.cli(&host_folder, &["device", "password", "lamp-2"]);
    host.stop();

    // Another process, which has seen the password at the login alone.
    let host = host_folder.start_with(CLOSED);
    let signed = token(&key);
    let mut live = Vec::new();
    for (id, secret) in [("lamp-1", &signed), ("lamp-2", &password)] {
        let will = Some(LastWill::new(format!("/devices/{id}/events"), "a will is kept", QoS::AtLeastOnce, false));
        let mut lamp = Device::connect(host.mqtt(), Session { will, ..Session::with_secret(id, secret) });
        lamp.event("hello");
        live.push(lamp);
    }
    for (secret, there) in [(signed.as_str(), false), (&password, false), ("a will is kept", true)] {
        match host.memory_with(secret) {
            Some(places) => assert_eq!(!places.is_empty(), there, "{places:?}"),
            None => skip_on_this_system("the memory of another process cannot be read here"),
        }
    }
    host.stop();
}

#[test]
fn a_client_that_guesses_is_throttled_and_no_other() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let _ = host.cli(&host_folder, &["device", "create", "lamp-2"]);
    let password = host.cli(&host_folder, &["device", "password", "lamp-2"]);
    // The pauses grow, so that sooner or later one is not over yet.
    until("the guesses to be slowed down", || {
        Device::refused(host.mqtt(), Session::with_secret("lamp-1", "a guess"));
        host.log().contains("too many wrong passwords for this client from this address").then_some(())
    });
    // Neither the device itself with its key nor another one at the same address.
    drop(connect(&host, "lamp-1", &token(&key)));
    drop(connect(&host, "lamp-2", &password));
    host.stop();
}

#[test]
fn failures_from_another_address_lock_no_client_out() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    let password = host.cli(&host_folder, &["device", "password", "lamp-1"]);
    // The pauses grow, so that sooner or later one is not over yet.
    until("the guesses to be slowed down", || {
        let mut conn = Conn::open_from([127, 0, 0, 2].into(), host.mqtt());
        conn.send(&Login::with_password("lamp-1", "a guess").packet());
        assert!(!conn.is_accepted());
        let slowed =
            |line: &str| line.contains("127.0.0.2") && line.contains("too many wrong passwords for this client");
        host.log().lines().any(slowed).then_some(())
    });
    drop(connect(&host, "lamp-1", &password));
    host.stop();
}

#[test]
fn what_last_went_wrong_with_a_device_is_shown_and_outlives_its_connection_and_the_host() {
    let host_folder = HostFolder::new();
    let host = host_folder.start_with(CLOSED);
    let key = registered(&host, &host_folder, "lamp-1");
    let last = |host: &Process| {
        let device = host.admin().get(&Admin::device_path("lamp-1", "")).ok();
        (device["lastErrorStatus"]["code"].clone(), device["lastErrorStatus"]["message"].to_string(), device)
    };
    assert_eq!(last(&host).0, Value::Null);
    Device::refused(host.mqtt(), Session::with_secret("lamp-1", "a guess"));
    let (code, message, device) = last(&host);
    assert!(code == 16 && message.contains("the password is not that of"), "{message}");
    assert!(device["lastErrorTime"].is_string(), "{device}");
    let mut lamp = connect(&host, "lamp-1", &token(&key));
    assert!(!lamp.subscribe("/devices/lamp-2/config"));
    let (code, message, _) = last(&host);
    assert!(code == 7 && message.contains("/devices/lamp-2/config"), "{message}");
    let _ = lamp.send(&format!("elsewhere/{}", "x".repeat(5_000)), QoS::AtLeastOnce, "x");
    lamp.ended();
    let after = until("the end of the connection", || Some(last(&host).1).filter(|text| text.contains("closed")));
    assert!(after.len() < 600, "{after}");
    host.stop();
    let host = host_folder.start_with(CLOSED);
    assert_eq!(last(&host).1, after);
    host.stop();
}

#[test]
fn a_credential_that_is_none_is_refused_by_the_api_with_the_reason() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let admin = host.admin();
    let path = Admin::device_path("", "");
    let path = path.trim_end_matches('/');
    for (format, key, part) in [
        ("ES256_PEM", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "private key"),
        ("RSA_PEM", "hello", "-----BEGIN PUBLIC KEY-----"),
    ] {
        let body = json!({"id": "x", "credentials": [{"publicKey": {"format": format, "key": key}}]});
        let answer = admin.post(path, &body);
        let message = answer.body.pointer("/error/message").and_then(Value::as_str).unwrap_or_default().to_owned();
        assert!(answer.status == 400 && message.contains(part), "{answer:?}");
    }
    host.stop();
}
