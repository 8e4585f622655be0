//! Azure's public service SDKs, with only the connection string and the authority changed: the registry, twins, methods and
//! queries over HTTPS. The SDKs take a host name and no port, so a host has an address of loopback for itself, and port 443 there.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use switchbox_tests::{Device, HostFolder, Process, is_available, python_with, runs, workspace};

/// A host whose hub is a loopback address, with the file of its authority. Returns `None` if port 443 cannot be bound here.
fn start(hub: &str) -> Option<(HostFolder, Process, String)> {
    if !is_available("the right to take port 443", std::net::TcpListener::bind((hub, 443)).is_ok()) {
        return None;
    }
    let host_folder = HostFolder::new();
    let certs = host_folder.root().join("certs").display().to_string();
    let made = ["cert", "server", hub, "--folder", &certs];
    assert!(Process::run(&host_folder, made.map(AsRef::as_ref)).wait().success(), "no certificate");
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let host =
        host_folder.start_with(&["--tls-cert", &cert, "--tls-key", &key, "--azure-https", &format!("{hub}:443")]);
    Some((host_folder, host, format!("{certs}/ca.pem")))
}

fn connection_string(host_folder: &HostFolder, host: &Process, hub: &str) -> String {
    host.cli(host_folder, &["hub", "connection-string", "--policy", "iothubowner", "--host-name", hub])
        .trim()
        .to_owned()
}

/// Runs the script, is the device that it asks for, and returns what it said.
fn converse(mut script: Command, mut lamp: Option<&mut Device>) -> String {
    let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = script.stdin.take().unwrap();
    let mut printed = String::new();
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        printed.push_str(&line);
        printed.push('\n');
        match (line.as_str(), lamp.as_mut()) {
            ("WANT config on", Some(lamp)) => {
                lamp.message("the config with desired", |message| message.text() == r#"{"level":3,"on":true}"#);
                writeln!(stdin, "done").unwrap();
            }
            ("WANT method", Some(lamp)) => {
                writeln!(stdin, "done").unwrap();
                let call = lamp.message("the call", |message| message.topic.contains("/methods/dim/request/"));
                assert_eq!(call.text(), r#"{"to":4}"#);
                let rid = call.topic.rsplit('/').next().unwrap();
                lamp.publish(&format!("/devices/lamp-1/methods/dim/response/{rid}/200"), r#"{"dimmed":true}"#);
            }
            _ => {}
        }
    }
    let status = script.wait().unwrap();
    assert!(
        status.success() && printed.ends_with("done\n"),
        "the script ended with {status} after it said:\n{printed}"
    );
    printed
}

#[test]
fn azures_service_sdk_for_python_works_unmodified() {
    let hub = "127.0.11.1";
    let python = python_with("azure.iot.hub");
    if !is_available("azure-iot-hub", python.is_some()) {
        return;
    }
    let Some((host_folder, host, authority)) = start(hub) else { return };
    let mut lamp = host.device("lamp-1");
    lamp.subscribe_config();
    assert!(lamp.subscribe("/devices/lamp-1/methods/#"));
    lamp.publish("/devices/lamp-1/state", r#"{"battery":0.5}"#);
    let mut script = Command::new(python.unwrap());
    script.arg(workspace().join("tests/clients/azure_service.py")).arg(connection_string(&host_folder, &host, hub));
    let printed = converse(script_with(script, "REQUESTS_CA_BUNDLE", &authority), Some(&mut lamp));
    assert_eq!(printed.lines().filter(|line| line.starts_with("ok ")).count(), 9, "{printed}");
}

fn script_with(mut script: Command, variable: &str, authority: &str) -> Command {
    script.env(variable, authority);
    script
}

#[test]
fn azures_service_sdk_for_node_works_unmodified() {
    let hub = "127.0.11.2";
    let folder = workspace().join(".ci/tools/node");
    let installed = folder.join("node_modules/azure-iothub").is_dir() && runs(Command::new("node").arg("--version"));
    if !is_available("azure-iothub", installed) {
        return;
    }
    let Some((host_folder, host, authority)) = start(hub) else { return };
    let mut script = Command::new("node");
    script.arg(workspace().join("tests/clients/azure_service.cjs")).arg(connection_string(&host_folder, &host, hub));
    script.env("NODE_PATH", folder.join("node_modules"));
    let printed = converse(script_with(script, "NODE_EXTRA_CA_CERTS", &authority), None);
    assert_eq!(printed.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{printed}");
}

#[test]
fn azures_provisioning_service_sdk_for_node_works_unmodified() {
    let hub = "127.0.11.7";
    let folder = workspace().join(".ci/tools/node");
    let installed = folder.join("node_modules/azure-iot-provisioning-service").is_dir();
    if !is_available("azure-iot-provisioning-service", installed && runs(Command::new("node").arg("--version"))) {
        return;
    }
    let Some((host_folder, host, authority)) = start(hub) else { return };
    let mut script = Command::new("node");
    script.arg(workspace().join("tests/clients/azure_enrollments.cjs"));
    script
        .args([&connection_string(&host_folder, &host, hub), &authority])
        .env("NODE_PATH", folder.join("node_modules"));
    let printed = converse(script_with(script, "NODE_EXTRA_CA_CERTS", &authority), None);
    assert_eq!(printed.lines().filter(|line| line.starts_with("ok ")).count(), 5, "{printed}");
    let listed = host.cli(&host_folder, &["enrollment", "list"]);
    assert!(listed.contains("fleet") && listed.contains("maker-3") && !listed.contains("maker-17"), "{listed}");
    host.stop();
}
