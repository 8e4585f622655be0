//! The host as it stands on a network: TLS, certificates of the host and of devices. mosquitto's clients are the devices.

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
use switchbox_tests::{Admin, CLOSED, Place, Process, there, until};

fn mosquitto_is_there() -> bool {
    let found = Command::new("mosquitto_pub").arg("--help").stdout(Stdio::null()).status().is_ok();
    there("mosquitto_pub", found)
}

/// Runs the program without a host; gives what it prints.
fn switchbox(place: &Place, arguments: &[&str]) -> String {
    let mut run = Process::run(place, arguments.iter().map(AsRef::as_ref));
    assert!(run.wait().success(), "{}", run.log());
    run.output()
}

fn folder(place: &Place, name: &str) -> String {
    place.root().join(name).display().to_string()
}

/// A host with certificates in `certs`, and with these arguments more.
fn start(place: &Place, more: &[&str]) -> Process {
    let certs = folder(place, "certs");
    let _ = switchbox(place, &["cert", "server", "localhost", "127.0.0.1", "--folder", &certs]);
    let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
    let tls = ["--enroll", "closed", "--mqtt-tls", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    place.start_with(&[&tls, more].concat())
}

/// A certificate for the device by the authority in this folder.
fn certificate(place: &Place, authority: &str, device: &str) {
    let _ = switchbox(place, &["cert", "device", device, "--folder", &folder(place, authority)]);
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
fn client(program: &str, place: &Place, host: &Process, id: &str, how: &[String]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(place.root()).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["-h", "localhost", "-p", &host.mqtts().port().to_string(), "-i", id, "-q", "1"]).args(how);
    command
}

fn publishes(place: &Place, host: &Process, id: &str, how: &[String]) -> bool {
    let mut command = client("mosquitto_pub", place, host, id, how);
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

fn live(place: &Place, host: &Process, id: &str, how: &[String]) -> Live {
    let mut command = client("mosquitto_sub", place, host, id, how);
    let live = Live(command.args(["-t", &switchbox_tests::config(id)]).spawn().unwrap());
    connected(host, id, true);
    live
}

#[test]
fn a_token_lets_in_by_tls_and_nothing_without_trust() {
    if !mosquitto_is_there() {
        return;
    }
    let place = Place::new();
    let host = start(&place, &[]);
    let _ = host.cli(&place, &["device", "create", "lamp-1", "--new-key"]);
    let token = host.cli(&place, &["device", "token", "--key", "lamp-1.key.pem"]);
    assert!(publishes(&place, &host, "lamp-1", &with_token("certs/ca.pem", &token)));
    assert!(!publishes(&place, &host, "lamp-1", &["--cafile".into(), "certs/ca.pem".into()]), "without a token");
    assert!(!publishes(&place, &host, "lamp-1", &with_token("certs/ca.pem", &token)[2..]), "without TLS");
    let _ = switchbox(&place, &["cert", "server", "--folder", &folder(&place, "other")]);
    assert!(!publishes(&place, &host, "lamp-1", &with_token("other/ca.pem", &token)), "a host that is not trusted");
    host.stop();
}

#[test]
fn a_new_certificate_is_taken_up_without_a_restart_and_a_broken_one_is_not() {
    if !mosquitto_is_there() {
        return;
    }
    let place = Place::new();
    let host = start(&place, &[]);
    let _ = host.cli(&place, &["device", "create", "lamp-1", "--new-key"]);
    let token = host.cli(&place, &["device", "token", "--key", "lamp-1.key.pem"]);
    let _ = switchbox(&place, &["cert", "server", "localhost", "--folder", &folder(&place, "new")]);
    let put = |name: &str| {
        fs::copy(place.root().join("new").join(name), place.root().join("certs").join(name)).unwrap();
    };
    // A certificate without its key cannot be used.
    put("server.pem");
    host.logged(&["the TLS certificate before stays in force"]);
    assert!(publishes(&place, &host, "lamp-1", &with_token("certs/ca.pem", &token)), "the one before is in force");
    put("server.key.pem");
    let new = with_token("new/ca.pem", &token);
    until("the new certificate", || publishes(&place, &host, "lamp-1", &new).then_some(()));
    host.stop();
}

#[test]
fn a_certificate_by_the_hosts_authority_lets_in_the_device_that_it_names() {
    if !mosquitto_is_there() {
        return;
    }
    let place = Place::new();
    let authority = folder(&place, "certs/ca.pem");
    let host = start(&place, &["--tls-client-ca", &authority]);
    for id in ["lamp-1", "lamp-2"] {
        let _ = host.cli(&place, &["device", "create", id]);
    }
    certificate(&place, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    assert!(publishes(&place, &host, "lamp-1", &own));
    assert!(!publishes(&place, &host, "lamp-2", &own), "it names another device");
    host.logged(&["not let in", "common name is \"lamp-1\""]);
    assert!(!publishes(&place, &host, "lamp-9", &own), "there is no such device");
    certificate(&place, "other", "lamp-1");
    assert!(!publishes(&place, &host, "lamp-1", &shown("other", "lamp-1")), "another authority of the same name");
    let first = live(&place, &host, "lamp-1", &own);
    let _ = host.cli(&place, &["device", "block", "lamp-1"]);
    connected(&host, "lamp-1", false);
    drop(first);
    let _ = host.cli(&place, &["device", "unblock", "lamp-1"]);
    let _live = live(&place, &host, "lamp-1", &own);
    fs::copy(place.root().join("other/ca.pem"), &authority).unwrap();
    connected(&host, "lamp-1", false);
    host.stop();
}

#[test]
fn a_registered_certificate_lets_in_until_it_is_removed() {
    if !mosquitto_is_there() {
        return;
    }
    let place = Place::new();
    let host = start(&place, &[]);
    let _ = host.cli(&place, &["device", "create", "lamp-1"]);
    certificate(&place, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    assert!(!publishes(&place, &host, "lamp-1", &own), "not registered yet");
    let _ = host.cli(&place, &["device", "credential", "add", "lamp-1", "certs/lamp-1.pem"]);
    let _live = live(&place, &host, "lamp-1", &own);
    let _ = host.cli(&place, &["device", "credential", "remove", "lamp-1", "1"]);
    connected(&host, "lamp-1", false);
    host.stop();
}

#[test]
fn a_registrys_own_authority_counts_until_it_is_removed() {
    if !mosquitto_is_there() {
        return;
    }
    let place = Place::new();
    let host = start(&place, &[]);
    let _ = host.cli(&place, &["device", "create", "lamp-1"]);
    certificate(&place, "certs", "lamp-1");
    let own = shown("certs", "lamp-1");
    let path = "/v1/projects/local/locations/local/registries/default?updateMask=credentials";
    let authority = fs::read_to_string(place.root().join("certs/ca.pem")).unwrap();
    let authority = json!({"publicKeyCertificate": {"format": "X509_CERTIFICATE_PEM", "certificate": authority}});
    let _ = host.admin().patch(path, &json!({"credentials": [authority]})).ok();
    let _live = live(&place, &host, "lamp-1", &own);
    let _ = host.admin().patch(path, &json!({"credentials": []})).ok();
    connected(&host, "lamp-1", false);
    assert!(!publishes(&place, &host, "lamp-1", &own));
    host.stop();
}

#[test]
fn a_host_that_others_can_reach_does_not_start_without_tls_and_says_what_to_do() {
    for (listener, key, with_tls) in [
        ("mqtt", "mqtt.listen", "--mqtt-tls"),
        ("ws", "mqtt.ws-listen", "--wss"),
        ("admin", "admin.listen", "--admin-tls"),
    ] {
        let place = Place::new();
        let (data, plugins) = (folder(&place, "data"), folder(&place, "plugins"));
        let open = [format!("--{listener}"), "0.0.0.0:0".into()];
        let serve = ["serve", "--data", &data, "--plugins", &plugins, &open[0], &open[1]];
        let mut host = Process::run(&place, serve.map(AsRef::as_ref));
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
        let place = Place::new();
        let host = if with_tls { start(&place, &[]) } else { place.start_with(CLOSED) };
        let id = format!("lamp-{number}");
        let printed = host.cli(&place, &["device", "create", &id, "--new-key"]);
        let (_, pasted) = printed.split_once("Be this device:").expect("no example");
        assert_eq!(pasted.contains("--cafile"), with_tls, "{pasted}");
        // The program has another name here.
        let token = host.cli(&place, &["device", "token", "--key", &format!("{id}.key.pem")]);
        let (head, rest) = pasted.split_once("$(").unwrap();
        let pasted = format!("{head}{token}{}", rest.split_once(')').unwrap().1);
        let status = Command::new("sh").args(["-c", pasted.trim()]).current_dir(place.root()).status().unwrap();
        assert!(status.success(), "{pasted}");
        let events = host.admin().get("/v1/events").ok().to_string();
        assert!(events.contains(&id) && events.contains("telemetry"), "{events}");
        host.stop();
    }
}
