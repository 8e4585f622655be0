//! The host on a network: TLS, certificates of the host and of devices. mosquitto's clients are the devices.

mod admin;
mod rsa;

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::json;
use switchbox_tests::{Admin, CLOSED, HostFolder, Process, is_available, until};

fn mosquitto_is_there() -> bool {
    let found = Command::new("mosquitto_pub").arg("--help").stdout(Stdio::null()).status().is_ok();
    is_available("mosquitto_pub", found)
}

/// Runs the program without a host; gives what it prints.
fn switchbox(host_folder: &HostFolder, arguments: &[&str]) -> String {
    let mut run = Process::run(host_folder, arguments.iter().map(AsRef::as_ref));
    assert!(run.wait().success(), "{}", run.log());
    run.output()
}

fn folder(host_folder: &HostFolder, name: &str) -> String {
    host_folder.root().join(name).display().to_string()
}

/// A host with certificates in `certs`, and with these arguments more.
fn start(host_folder: &HostFolder, more: &[&str]) -> Process {
    let certs = folder(host_folder, "certs");
    let _ = switchbox(host_folder, &["cert", "server", "localhost", "127.0.0.1", "--folder", &certs]);
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let tls = ["--enroll", "closed", "--mqtt-tls", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    host_folder.start_with(&[&tls, more].concat())
}

/// A certificate for the device by the authority in this folder.
fn certificate(host_folder: &HostFolder, authority: &str, device: &str) {
    let _ = switchbox(host_folder, &["cert", "device", device, "--folder", &folder(host_folder, authority)]);
}

/// What a device says to mosquitto's clients that shows a certificate.
fn shown(authority: &str, device: &str) -> Vec<String> {
    let files = [format!("{authority}/{device}.pem"), format!("{authority}/{device}.key.pem")];
    let [cert, key] = files;
    ["--cafile", "certs/ca.pem", "--cert", &cert, "--key", &key].map(str::to_owned).into()
}

/// What it says that shows a token.
fn with_token(authority: &str, token: &str) -> Vec<String> {
    ["--cafile", authority, "-u", "unused", "-P", token].map(str::to_owned).into()
}

/// mosquitto_pub or mosquitto_sub by TLS, as this device.
fn client(program: &str, host_folder: &HostFolder, host: &Process, id: &str, how: &[String]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(host_folder.root()).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["-h", "localhost", "-p", &host.mqtts().port().to_string(), "-i", id, "-q", "1"]).args(how);
    command
}

fn publishes(host_folder: &HostFolder, host: &Process, id: &str, how: &[String]) -> bool {
    let mut command = client("mosquitto_pub", host_folder, host, id, how);
    command.args(["-t", &switchbox_tests::events(id), "-m", "hello"]).status().unwrap().success()
}

/// A device that is connected. Ends with the test.
struct Live(Child);

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connected(host: &Process, id: &str, expect: bool) {
    until("the device to come or go", || {
        let device = host.admin().get(&Admin::device_path(id, "")).ok();
        (device["connected"] == expect).then_some(())
    });
}

fn live(host_folder: &HostFolder, host: &Process, id: &str, how: &[String]) -> Live {
    let mut command = client("mosquitto_sub", host_folder, host, id, how);
    let live = Live(command.args(["-t", &switchbox_tests::config(id)]).spawn().unwrap());
    connected(host, id, true);
    live
}

#[test]
fn a_token_lets_in_by_tls_and_nothing_without_trust() {
    if !mosquitto_is_there() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, &[]);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1", "--new-key"]);
    let token = host.cli(&host_folder, &["device", "token", "--key", "lamp-1.key.pem"]);
    assert!(publishes(&host_folder, &host, "lamp-1", &with_token("certs/ca.pem", &token)));
    assert!(!publishes(&host_folder, &host, "lamp-1", &["--cafile".into(), "certs/ca.pem".into()]), "without a token");
    assert!(!publishes(&host_folder, &host, "lamp-1", &with_token("certs/ca.pem", &token)[2..]), "without TLS");
    let _ = switchbox(&host_folder, &["cert", "server", "--folder", &folder(&host_folder, "other")]);
    assert!(
        !publishes(&host_folder, &host, "lamp-1", &with_token("other/ca.pem", &token)),
        "a host that is not trusted"
    );
    host.stop();
}

#[test]
fn a_new_certificate_is_taken_up_without_a_restart_and_a_broken_one_is_not() {
    if !mosquitto_is_there() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, &[]);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1", "--new-key"]);
    let token = host.cli(&host_folder, &["device", "token", "--key", "lamp-1.key.pem"]);
    let _ = switchbox(&host_folder, &["cert", "server", "localhost", "--folder", &folder(&host_folder, "new")]);
    let put = |name: &str| {
        fs::copy(host_folder.root().join("new").join(name), host_folder.root().join("certs").join(name)).unwrap();
    };
    // A certificate without its key cannot be used.
    put("server.pem");
    host.logged(&["the TLS certificate cannot be reloaded; the previous one stays in use"]);
    assert!(
        publishes(&host_folder, &host, "lamp-1", &with_token("certs/ca.pem", &token)),
        "the one before is in force"
    );
    put("server.key.pem");
    let new = with_token("new/ca.pem", &token);
    until("the new certificate", || publishes(&host_folder, &host, "lamp-1", &new).then_some(()));
    host.stop();
}

#[test]
fn a_certificate_by_the_hosts_authority_lets_in_the_device_that_it_names() {
    if !mosquitto_is_there() {
        return;
    }
    let host_folder = HostFolder::new();
    let authority = folder(&host_folder, "certs/ca.pem");
    let host = start(&host_folder, &["--tls-client-ca", &authority]);
    for id in ["lamp-1", "lamp-2"] {
        let _ = host.cli(&host_folder, &["device", "create", id]);
    }
    certificate(&host_folder, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    assert!(publishes(&host_folder, &host, "lamp-1", &own));
    assert!(!publishes(&host_folder, &host, "lamp-2", &own), "it names another device");
    host.logged(&["refused", "common name is \"lamp-1\""]);
    assert!(!publishes(&host_folder, &host, "lamp-9", &own), "there is no such device");
    certificate(&host_folder, "other", "lamp-1");
    assert!(!publishes(&host_folder, &host, "lamp-1", &shown("other", "lamp-1")), "another authority of the same name");
    let first = live(&host_folder, &host, "lamp-1", &own);
    let _ = host.cli(&host_folder, &["device", "block", "lamp-1"]);
    connected(&host, "lamp-1", false);
    drop(first);
    let _ = host.cli(&host_folder, &["device", "unblock", "lamp-1"]);
    let _live = live(&host_folder, &host, "lamp-1", &own);
    fs::copy(host_folder.root().join("other/ca.pem"), &authority).unwrap();
    connected(&host, "lamp-1", false);
    host.stop();
}

#[test]
fn a_registered_certificate_lets_in_until_it_is_removed() {
    if !mosquitto_is_there() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, &[]);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    certificate(&host_folder, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    assert!(!publishes(&host_folder, &host, "lamp-1", &own), "not registered yet");
    let _ = host.cli(&host_folder, &["device", "credential", "add", "lamp-1", "certs/lamp-1.pem"]);
    let _live = live(&host_folder, &host, "lamp-1", &own);
    let _ = host.cli(&host_folder, &["device", "credential", "remove", "lamp-1", "1"]);
    connected(&host, "lamp-1", false);
    host.stop();
}

#[test]
fn a_registrys_own_authority_counts_until_it_is_removed() {
    if !mosquitto_is_there() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = start(&host_folder, &[]);
    let _ = host.cli(&host_folder, &["device", "create", "lamp-1"]);
    certificate(&host_folder, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    let path = "/v1/projects/local/locations/local/registries/default?updateMask=credentials";
    let authority = fs::read_to_string(host_folder.root().join("certs/ca.pem")).unwrap();
    let authority = json!({"publicKeyCertificate": {"format": "X509_CERTIFICATE_PEM", "certificate": authority}});
    let _ = host.admin().patch(path, &json!({"credentials": [authority]})).ok();
    let _live = live(&host_folder, &host, "lamp-1", &own);
    let _ = host.admin().patch(path, &json!({"credentials": []})).ok();
    connected(&host, "lamp-1", false);
    assert!(!publishes(&host_folder, &host, "lamp-1", &own));
    host.stop();
}

#[test]
fn a_host_that_others_can_reach_does_not_start_without_tls_and_says_what_to_do() {
    for (listener, key, with_tls) in [
        ("mqtt", "mqtt.listen", "--mqtt-tls"),
        ("ws", "mqtt.ws-listen", "--wss"),
        ("admin", "admin.listen", "--admin-tls"),
    ] {
        let host_folder = HostFolder::new();
        let (data, plugins) = (folder(&host_folder, "data"), folder(&host_folder, "plugins"));
        let open = [format!("--{listener}"), "0.0.0.0:0".into()];
        let serve = ["serve", "--data", &data, "--plugins", &plugins, &open[0], &open[1]];
        let mut host = Process::run(&host_folder, serve.map(AsRef::as_ref));
        assert!(!host.wait().success());
        for part in [key, with_tls, "switchbox cert server", "--insecure-listener"] {
            assert!(host.log().contains(part), "{part} is not in {}", host.log());
        }
    }
}

#[test]
fn the_line_that_a_new_device_is_given_works_as_it_is_pasted() {
    if !mosquitto_is_there() {
        return;
    }
    for (number, with_tls) in [true, false].into_iter().enumerate() {
        let host_folder = HostFolder::new();
        let host = if with_tls { start(&host_folder, &[]) } else { host_folder.start_with(CLOSED) };
        let id = format!("lamp-{number}");
        let printed = host.cli(&host_folder, &["device", "create", &id, "--new-key"]);
        let (_, pasted) = printed.split_once("Connect as this device:").expect("no example");
        assert_eq!(pasted.contains("--cafile"), with_tls, "{pasted}");
        // The program has another name here.
        let token = host.cli(&host_folder, &["device", "token", "--key", &format!("{id}.key.pem")]);
        let (head, rest) = pasted.split_once("$(").unwrap();
        let pasted = format!("{head}{token}{}", rest.split_once(')').unwrap().1);
        let status = Command::new("sh").args(["-c", pasted.trim()]).current_dir(host_folder.root()).status().unwrap();
        assert!(status.success(), "{pasted}");
        let events = host.admin().get("/v1/events").ok().to_string();
        assert!(events.contains(&id) && events.contains("telemetry"), "{events}");
        host.stop();
    }
}
