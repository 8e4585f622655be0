//! Google's public client library for Cloud IoT Core works against a host with only its endpoint changed.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use switchbox_tests::{Device, HostFolder, Process, Session, is_available, python_with, workspace};

const LAMP: &str = "projects/acme/locations/europe-west1/registries/hall/devices/lamp-1";

/// Runs the script, is the device that it asks for, and returns what it said.
fn converse(mut script: Command, host: &Process) -> String {
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = script.stdin.take().unwrap();
    let (mut printed, mut lamp) = (String::new(), None);
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        printed.push_str(&line);
        printed.push('\n');
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["WANT", "device", "lamp-1", token] => {
                let mut device = Device::connect(host.mqtt(), Session::with_secret(LAMP, token));
                assert!(device.subscribe("/devices/lamp-1/commands/#"));
                device.event("{}");
                device.publish("/devices/lamp-1/state", r#"{"on":true}"#);
                lamp = Some(device);
            }
            ["WANT", "command"] => {
                let received = lamp.as_ref().unwrap().message_with("blink");
                assert_eq!(received.topic, "/devices/lamp-1/commands/lights");
            }
            _ => continue,
        }
        writeln!(stdin, "done").unwrap();
    }
    let status = script.wait().unwrap();
    assert!(status.success(), "the script ended with {status} after it said:\n{printed}");
    assert!(printed.ends_with("done\n"), "{printed}");
    printed
}

#[test]
fn googles_client_library_works_with_only_its_endpoint_changed() {
    let python = python_with("google.cloud.iot_v1, cryptography");
    if !is_available("google-cloud-iot", python.is_some()) {
        return;
    }
    let host_folder = HostFolder::new();
    let script = |host: &Process, step: &str| {
        let token = fs::read_to_string(host_folder.data().join("admin-token")).unwrap();
        let mut command = Command::new(python.as_ref().unwrap());
        command.arg(workspace().join("tests/clients/google_iot_client.py"));
        command.args([&host.admin().address(), token.trim(), step]);
        command
    };
    let host = host_folder.start();
    let first = converse(script(&host, "first"), &host);
    host.kill();
    let host = host_folder.start();
    let again = converse(script(&host, "again"), &host);
    let steps = format!("{first}{again}").lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(steps, 7, "{first}{again}");
}
