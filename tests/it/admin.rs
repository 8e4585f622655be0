//! What guards the admin API outlives a kill.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
};

use serde_json::json;
use switchbox_tests::{Admin, HostFolder, Process, acts, has_terminal, hostile::Conn, on_a_terminal, until};

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

/// The status of a GET with this token.
fn status(host: &Process, token: &str, path: &str) -> u16 {
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let url = format!("http://{}{path}", host.admin().address());
    agent.get(url).header("authorization", format!("Bearer {token}")).call().unwrap().status().as_u16()
}

#[test]
fn tokens_and_the_audit_log_outlive_a_kill() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let made = host.admin().post("/v1/tokens", &json!({"name": "grafana", "scope": "read"})).ok();
    let token = made["token"].as_str().unwrap();
    let _ = host.admin().post(DEVICES, &json!({"id": "lamp-1"})).ok();
    host.kill();

    let host = host_folder.start();
    assert_eq!(status(&host, token, &Admin::device_path("lamp-1", "")), 200);
    assert_eq!((status(&host, token, "/v1/tokens"), status(&host, &token[1..], "/metrics")), (403, 401));
    let lines = host.admin().get("/v1/audit").ok();
    let found: Vec<_> =
        lines["lines"].as_array().unwrap().iter().map(|line| (&line["call"], &line["status"])).collect();
    let (devices, tokens) = (json!(format!("POST {DEVICES}")), json!("POST /v1/tokens"));
    assert_eq!(found, [(&devices, &json!(200)), (&tokens, &json!(200))]);
    host.stop();
}

#[test]
fn a_write_is_in_the_audit_log_also_when_its_caller_hangs_up_before_the_answer() {
    const CALLS: usize = 20;
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let _ = host.admin().post(DEVICES, &json!({"id": "lamp-1"})).ok();
    let token = std::fs::read_to_string(host_folder.data().join("admin-token")).unwrap();
    let path = Admin::device_path("lamp-1", ":modifyCloudToDeviceConfig");
    let body = r#"{"binaryData": "eA==", "force": true}"#;
    let call = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    );
    let address = host.admin().address().parse().unwrap();
    let version = || {
        let config = host.admin().get(&Admin::device_path("lamp-1", "")).ok()["config"]["version"].take();
        config.as_str().map_or(0, |version| version.parse().unwrap())
    };
    // A caller may disconnect before the host has read its call: then there is none.
    until("the calls to be made", || {
        assert!(Conn::open(address).unwrap().send(call.as_bytes()));
        (version() >= CALLS).then_some(())
    });
    until("each to be written down", || {
        let lines = host.admin().get("/v1/audit").ok()["lines"].take();
        let of_config = |line: &&serde_json::Value| line["call"] == format!("POST {path}") && line["status"] == 200;
        (lines.as_array().unwrap().iter().filter(of_config).count() == version()).then_some(())
    });
    host.stop();
}

/// A call whose body is not needed is answered before the body has come. The client's next call on the connection must not be lost.
#[test]
fn a_connection_goes_on_after_an_answer_that_came_before_the_body() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let token = std::fs::read_to_string(host_folder.data().join("admin-token")).unwrap();
    let mut connection = TcpStream::connect(host.admin().address()).unwrap();
    let mut answers = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let head = |call: &str, more: &str| {
        format!("{call} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{more}\r\n", token.trim())
    };
    // A body ends without a line end.
    let mut status = || {
        let begin = |line: String| line.rfind("HTTP/1.1").map(|at| line[at..].to_owned());
        answers.find_map(begin).unwrap_or_default()
    };
    for _ in 0..3 {
        let call = head("POST /v1/plugins/nobody:stopRecording", "content-length: 2\r\n");
        connection.write_all(call.as_bytes()).unwrap();
        assert_eq!(status(), "HTTP/1.1 404 Not Found");
        connection.write_all(b"{}").unwrap();
        connection.write_all(head("GET /v1/plugins", "").as_bytes()).unwrap();
        assert_eq!(status(), "HTTP/1.1 200 OK");
    }
    host.stop();
}

#[test]
fn a_client_that_uses_unknown_ids_is_throttled_too() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    for call in ["GET /nothing", "GET /v1/plugins:nothing", "PUT /healthz"] {
        let mut conn = Conn::open(host.admin().address().parse().unwrap()).unwrap();
        let burst = format!("{call} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").repeat(100);
        until(call, || {
            assert!(conn.send(burst.as_bytes()));
            let mut answers = String::new();
            while answers.matches("HTTP/1.1 ").count() < 100 {
                answers.push_str(&String::from_utf8_lossy(&conn.read_available()));
            }
            answers.contains("HTTP/1.1 429 ").then_some(())
        });
    }
    host.stop();
}

/// `switchbox` with these arguments, towards this host: what it printed.
fn switchbox(host_folder: &HostFolder, host: &Process, arguments: &[&str]) -> String {
    let (url, data) = (format!("http://{}", host.admin().address()), host_folder.data());
    let to = ["--admin".as_ref(), url.as_ref(), "--data".as_ref(), data.as_os_str()];
    let mut command = Process::run(host_folder, arguments.iter().map(AsRef::as_ref).chain(to));
    assert!(command.wait().success(), "{arguments:?}: {}", command.log());
    command.output().trim().to_owned()
}

#[test]
fn tokens_are_made_and_writes_are_read_on_the_command_line() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let token = switchbox(&host_folder, &host, &["token", "create", "--name", "shop", "--scope", "operate"]);
    assert_eq!((status(&host, &token, "/v1/plugins"), status(&host, &token, "/v1/audit")), (200, 403));
    let list = switchbox(&host_folder, &host, &["token", "list"]);
    assert!(list.contains("shop") && list.contains("operate") && !list.contains(&token), "{list}");
    switchbox(&host_folder, &host, &["token", "delete", "shop"]);
    assert_eq!(status(&host, &token, "/v1/plugins"), 401);
    let audit = switchbox(&host_folder, &host, &["audit", "--count", "2"]);
    let lines: Vec<_> = audit.lines().skip(1).collect();
    assert!(lines.len() == 2 && lines[0].contains("DELETE /v1/tokens/shop"), "{audit}");
    assert!(
        lines[1].contains("POST /v1/tokens") && lines[1].contains(r#"{"name":"shop","scope":"operate"}"#),
        "{audit}"
    );
    host.stop();
}

#[test]
fn what_unauthenticated_clients_sent_does_not_act_on_a_terminal() {
    if !has_terminal() {
        return;
    }
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let evil = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}x\nFORGED";
    host.device("lamp-1").event(evil);
    host.device("lamp-1").publish("/devices/lamp-1/state", format!("{evil}{}", "y".repeat(60_000)));
    let _ = switchbox(&host_folder, &host, &["device", "config", "set", "lamp-1", evil]);
    let _ = switchbox(&host_folder, &host, &["device", "command", "send", "lamp-1", evil, "--ttl", "1h"]);
    for arguments in [
        "events",
        "events --json",
        "explain lamp-1",
        "device get lamp-1",
        "device get lamp-1 --json",
        "device state lamp-1",
        "device config get lamp-1",
        "device config get lamp-1 --all",
        "device command list lamp-1",
        "device twin get lamp-1",
        "device twin get lamp-1 --json",
        "device state '\u{1b}[2J\u{202e}'",
    ] {
        let (_, shown) = on_a_terminal(&host.command(&host_folder, &[]), arguments);
        assert!(!shown.is_empty() && !shown.chars().any(acts), "{arguments}: {shown:.500?}");
        let piped = host.command(&host_folder, &arguments.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(!String::from_utf8(piped.stdout).unwrap().contains("\\u{1b}") || arguments.starts_with("explain"));
    }
    let (_, list) = on_a_terminal(&host.command(&host_folder, &[]), "device config get lamp-1 --all");
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 100), "{list}");
    assert!(switchbox(&host_folder, &host, &["device", "config", "get", "lamp-1"]).contains(evil));
    host.stop();
}

#[test]
fn a_follower_of_events_is_disconnected_when_its_token_is_deleted() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let make = || host.admin().post("/v1/tokens", &json!({"name": "wall", "scope": "read"})).ok()["token"].take();
    let token = make();
    let mut follower = Conn::open(host.admin().address().parse().unwrap()).unwrap();
    let token = token.as_str().unwrap();
    follower
        .send(format!("GET /v1/events:follow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n").as_bytes());
    follower.skip_headers();
    host.device("lamp-1").event("for all to see");
    let mut seen = String::new();
    until("the event", || {
        seen.push_str(&String::from_utf8_lossy(&follower.read_available()));
        seen.contains("telemetry").then_some(())
    });
    assert_eq!(host.admin().delete("/v1/tokens/wall").status, 200);
    // A new token of the same name is another token.
    make();
    // The stream's last chunk.
    until("the end of the stream", || {
        seen.push_str(&String::from_utf8_lossy(&follower.read_available()));
        seen.ends_with("\r\n0\r\n\r\n").then_some(())
    });
    host.stop();
}
