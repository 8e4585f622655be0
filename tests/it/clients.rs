//! Clients that no one here wrote, against a running host: mosquitto's, Eclipse Paho for Python, MQTT.js, a browser, and
//! mosquitto itself as a bridge. One that is not
//! installed is skipped with a word, but never where `CI` is `true`.

mod bridge;
mod browser;
mod statistics;

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use switchbox_tests::{Admin, HostFolder, Process, is_available, python_with, runs, until, workspace};

fn start() -> (HostFolder, Process) {
    let host_folder = HostFolder::new();
    host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n[limits]\ndeadline = \"30s\"\n");
    start_in(host_folder, &[])
}

fn start_in(host_folder: HostFolder, more: &[&str]) -> (HostFolder, Process) {
    let certs = host_folder.root().join("certs").display().to_string();
    let made = ["cert", "server", "localhost", "127.0.0.1", "--folder", &certs];
    assert!(Process::run(&host_folder, made.map(AsRef::as_ref)).wait().success(), "no certificate");
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let mut arguments = vec!["--tls-cert", &cert, "--tls-key", &key];
    arguments.extend(["--ws", "--mqtt-tls", "--wss"].into_iter().flat_map(|listener| [listener, "127.0.0.1:0"]));
    arguments.extend(more);
    let host = host_folder.start_with(&arguments);
    (host_folder, host)
}

/// One of mosquitto's programs; each ends by itself, at the latest after a minute.
fn mosquitto<'a>(program: &str, host: &Process, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &host.mqtt().port().to_string()]);
    if program == "mosquitto_sub" {
        command.args(["-W", "60"]);
    }
    command.args(arguments);
    command
}

fn publish<'a>(host: &Process, arguments: impl IntoIterator<Item = &'a str>) {
    let output = mosquitto("mosquitto_pub", host, arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The output of mosquitto_sub, which receives this many messages.
fn printed(mut subscriber: Command) -> String {
    let output = subscriber.output().unwrap();
    assert!(output.status.success(), "{subscriber:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn mosquitto_publishes_in_every_version_and_quality() {
    if !is_available(
        "mosquitto_pub",
        runs(Command::new("mosquitto_pub").arg("--help")) || Path::new("/usr/bin/mosquitto_pub").exists(),
    ) {
        return;
    }
    let (_place, host) = start();
    drop(host.device("sink-1"));
    let full = "projects/local/locations/local/registries/default/devices/m-full";
    let mut hops = 0;
    for version in ["mqttv311", "mqttv5"] {
        for qos in ["0", "1", "2"] {
            for (id, device) in [("m-short", "m-short"), ("default/m-middle", "m-middle"), (full, "m-full")] {
                hops += 1;
                let (topic, record) =
                    (format!("/devices/{device}/events"), format!(r#"{{"deviceId":"sink-1","hops":{hops}}}"#));
                publish(&host, ["-V", version, "-i", id, "-q", qos, "-t", &topic, "-m", &record]);
                // Asking anew each time: the newest comes on subscribing.
                let expected = format!(r#"{{"deviceId":"sink-1","hops":{}}}"#, hops + 1);
                let topic = "/devices/sink-1/config";
                until("the config", || {
                    let once = ["-V", version, "-i", "sink-1", "-q", "1", "-C", "1", "-t", topic];
                    // A version that came before this one's event was handled is asked for again.
                    newest_is(&host, &expected).then(|| printed(mosquitto("mosquitto_sub", &host, once)))
                })
                .lines()
                .for_each(|line| assert_eq!(line, expected));
            }
        }
    }
}

fn newest_is(host: &Process, expected: &str) -> bool {
    let device = host.admin().get(&Admin::device_path("sink-1", "")).ok();
    device["config"]["binaryData"].as_str().is_some_and(|data| data == base64(expected))
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text.as_bytes()
        .chunks(3)
        .flat_map(|three| {
            let bits = three.iter().enumerate().fold(0, |bits, (n, byte)| bits | u32::from(*byte) << (16 - 8 * n));
            (0..4).map(move |n| match n <= three.len() {
                true => char::from(DIGITS[(bits >> (18 - 6 * n)) as usize & 63]),
                false => '=',
            })
        })
        .collect()
}

#[test]
fn mosquitto_keeps_retained_messages_and_wills() {
    if !is_available(
        "mosquitto_sub",
        Path::new("/usr/bin/mosquitto_sub").exists() || runs(Command::new("mosquitto_sub").arg("--help")),
    ) {
        return;
    }
    let (_place, host) = start();
    for version in ["mqttv311", "mqttv5"] {
        let (kept, will) = (format!("{version}/kept"), format!("{version}/will"));
        publish(&host, ["-V", version, "-i", "m-retains", "-q", "1", "-r", "-t", &kept, "-m", "still here"]);
        let late = ["-V", version, "-i", "m-late", "-q", "1", "-C", "1", "-F", "%r %t %p", "-t", &kept];
        assert_eq!(printed(mosquitto("mosquitto_sub", &host, late)), format!("1 {kept} still here\n"));
        // An empty one takes it away again.
        publish(&host, ["-V", version, "-i", "m-retains", "-q", "1", "-r", "-t", &kept, "-n"]);

        let watch = ["-V", version, "-i", "m-watcher", "-q", "1", "-C", "1", "-t", &will];
        let watcher = mosquitto("mosquitto_sub", &host, watch).stdout(Stdio::piped()).spawn().unwrap();
        let dying = [
            "-V",
            version,
            "-i",
            "m-dying",
            "-t",
            "x",
            "--will-topic",
            &will,
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
            "--will-retain",
        ];
        let mut dying = mosquitto("mosquitto_sub", &host, dying).stdout(Stdio::null()).spawn().unwrap();
        let connected = |id: &str| {
            until(id, || {
                let answer = host.admin().get(&Admin::device_path(id, ""));
                (answer.body["connected"] == true).then_some(())
            });
        };
        connected("m-watcher");
        connected("m-dying");
        // Retained, because the watcher may be connected and not yet have subscribed.
        dying.kill().unwrap();
        dying.wait().unwrap();
        let output = watcher.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "gone\n");
    }
}

/// Runs a script, does what it asks an operator for, and returns what it said.
fn converse(host: &Process, mut command: Command) -> String {
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = script.stdin.take().unwrap();
    let admin = host.admin();
    let mut script_output = String::new();
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        script_output.push_str(&line);
        script_output.push('\n');
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["WANT", "command", device] => {
                let body = json!({"binaryData": base64("blink"), "subfolder": "lights"});
                let _ = admin.post(&Admin::device_path(device, ":sendCommandToDevice"), &body).ok();
                until("the command's acknowledgement", || {
                    let commands = admin.get(&Admin::device_path(device, "/commands")).ok();
                    (commands["commands"][0]["status"] == "acknowledged").then_some(())
                });
                writeln!(stdin, "acknowledged").unwrap();
            }
            ["WANT", "gateway", device] => {
                let path = Admin::device_path(device, "?updateMask=gatewayConfig");
                drop(admin.patch(&path, &json!({"gatewayConfig": {"gatewayType": "GATEWAY"}})).ok());
                writeln!(stdin, "made").unwrap();
            }
            ["WANT", "method", device] => {
                let body = json!({"method": "blink", "payload": base64("3"), "timeout": "30s"});
                let answer = admin.post(&Admin::device_path(device, ":invokeMethod"), &body).ok();
                assert_eq!((&answer["status"], &answer["payload"]), (&json!(200), &json!(base64("blinked"))));
                writeln!(stdin, "answered").unwrap();
            }
            _ => {}
        }
    }
    let status = script.wait().unwrap();
    assert!(status.success(), "the script ended with {status} after it said:\n{script_output}");
    script_output
}

fn check(script_output: &str) {
    for step in [
        "ok three forms of client ids",
        "ok retained",
        "ok will",
        "ok telemetry with QoS 0, 1 and 2, and a config on each change",
        "ok config on subscribe",
        "ok state",
        "ok command",
        "ok method",
        "done",
    ] {
        assert!(script_output.lines().any(|line| line == step), "{step:?} is missing:\n{script_output}");
    }
}

fn script(interpreter: impl AsRef<OsStr>, name: &str, at: SocketAddr, version: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(workspace().join("tests/clients").join(name));
    command.args([at.ip().to_string(), at.port().to_string(), version.to_owned()]);
    command
}

#[test]
fn paho_for_python_does_all_that_a_device_does() {
    let python = python_with("paho.mqtt.enums");
    if !is_available("paho-mqtt 2", python.is_some()) {
        return;
    }
    let (_place, host) = start();
    for version in ["3", "5"] {
        let script_output = converse(&host, script(python.as_ref().unwrap(), "paho_client.py", host.mqtt(), version));
        check(&script_output);
        assert!(script_output.contains("ok gateway"), "{script_output}");
    }
}

#[test]
fn mqtt_js_does_all_that_a_device_does_over_websocket_and_tls_too() {
    let folder = workspace().join(".ci/tools/node");
    let installed = folder.join("node_modules/mqtt").is_dir() && runs(Command::new("node").arg("--version"));
    if !is_available("MQTT.js", installed) {
        return;
    }
    for (protocol, at) in [
        ("mqtt", Process::mqtt as fn(&Process) -> SocketAddr),
        ("ws", Process::ws),
        ("mqtts", Process::mqtts),
        ("wss", Process::wss),
    ] {
        let (host_folder, host) = start();
        for version in ["4", "5"] {
            let mut command = script("node", "mqttjs_client.cjs", at(&host), version);
            command.env("MQTTJS_FOLDER", &folder).env("MQTTJS_PROTOCOL", protocol);
            command.env("MQTTJS_CA", host_folder.root().join("certs/ca.pem"));
            check(&converse(&host, command));
        }
    }
}

#[test]
fn the_public_samples_of_cloud_iot_core_work_with_only_their_endpoints_changed() {
    let folder = workspace().join(".ci/tools/node");
    let installed = ["mqtt", "googleapis"].iter().all(|name| folder.join("node_modules").join(name).is_dir());
    if !is_available("MQTT.js and googleapis", installed && runs(Command::new("node").arg("--version"))) {
        return;
    }
    let (host_folder, host) = start_in(HostFolder::new(), &["--enroll", "closed"]);
    let certs = host_folder.root().join("certs");
    // As the tutorial makes it.
    let words =
        "req -x509 -newkey rsa:2048 -days 3650 -keyout rsa_private.pem -nodes -out rsa_cert.pem -subj /CN=unused";
    let made = Command::new("openssl").args(words.split(' ')).current_dir(&certs).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let certificate = certs.join("rsa_cert.pem").display().to_string();
    for device in ["hop-1", "hub"] {
        let _ = host.cli(&host_folder, &["device", "create", device, "--public-key", &certificate]);
    }
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    let _ = host.cli(&host_folder, &["gateway", "make", "hub"]);
    let _ = host.cli(&host_folder, &["gateway", "bind", "hub", "lamp-1"]);
    let token = std::fs::read_to_string(host_folder.data().join("admin-token")).unwrap();
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/iot_core_samples.cjs")).env("NODE_CLIENTS", &folder);
    command
        .args([host.mqtts().port().to_string(), format!("http://{}", host.admin().address()), token.trim().to_owned()])
        .arg(&certs);
    let output = command.output().unwrap();
    let script_output = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && script_output.ends_with("done\n"),
        "{script_output}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // The gateway's connection may end a moment after the script.
    until("what the gateway did for lamp-1", || {
        let events = host.admin().get("/v1/events?device=lamp-1").ok();
        let found = |kind: &str| events["events"].as_array().unwrap().iter().any(|event| event["kind"] == kind);
        ["connected", "telemetry", "state", "disconnected"].into_iter().all(found).then_some(())
    });
}
