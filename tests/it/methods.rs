//! Method calls with real clients: over MQTT 3.1.1 and 5 and over HTTP, by operators and by plugins, answered, late, or not at
//! all.

mod many;

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use base64::Engine as _;
use rumqttc::{QoS, v5};
use serde_json::{Value, json};
use switchbox_tests::{Admin, AdminResponse, Device, HostFolder, LIMIT, Process, scripted_plugin, until};

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn invoke(admin: &Admin, device: &str, payload: &str, timeout: &str) -> AdminResponse {
    let body = json!({"method": "dim", "payload": base64(payload), "timeout": timeout});
    admin.post(&Admin::device_path(device, ":invokeMethod"), &body)
}

fn subscribe_methods(device: &mut Device) {
    let filter = format!("/devices/{}/methods/#", device.id);
    assert!(device.subscribe(&filter), "{filter} was refused");
}

/// The calls that a device got so far: request id and payload.
fn calls(device: &Device) -> Vec<(String, String)> {
    calls_from(device, 0)
}

fn calls_from(device: &Device, first: usize) -> Vec<(String, String)> {
    let seen = device.seen();
    let rid = |topic: &str| Some(topic.rsplit_once("/request/")?.1.to_owned());
    seen.messages.iter().skip(first).filter_map(|message| Some((rid(&message.topic)?, message.text()))).collect()
}

fn answer(device: &mut Device, rid: &str, payload: &str) {
    let topic = format!("/devices/{}/methods/dim/response/{rid}/200", device.id);
    device.send(&topic, QoS::AtMostOnce, payload);
}

fn refused(answer: &AdminResponse, status: u16, word: &str, text: &str) {
    assert_eq!((answer.status, answer.body["error"]["status"].as_str()), (status, Some(word)), "{answer:?}");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains(text), "{answer:?}");
}

#[test]
fn a_call_to_a_device_that_is_offline_or_not_subscribed_fails_at_once() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let admin = host.admin();
    let mut lamp = host.device("lamp-1");
    refused(&invoke(&admin, "lamp-1", "", "300s"), 400, "FAILED_PRECONDITION", "does not subscribe");
    subscribe_methods(&mut lamp);
    refused(&invoke(&admin, "lamp-1", "", "301s"), 400, "INVALID_ARGUMENT", "longer than 300");
    drop(lamp);
    let gone = || admin.get(&Admin::device_path("lamp-1", "")).ok()["connected"] == false;
    until("the device to be gone", || gone().then_some(()));
    refused(&invoke(&admin, "lamp-1", "", "300s"), 400, "FAILED_PRECONDITION", "is not connected");
    host.stop();
}

#[test]
fn a_device_that_leaves_while_it_is_called_ends_the_call() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    subscribe_methods(&mut lamp);
    let admin = host.admin();
    let called = thread::spawn(move || invoke(&admin, "lamp-1", "x", "300s"));
    lamp.message_with("x");
    drop(lamp);
    refused(&called.join().unwrap(), 400, "FAILED_PRECONDITION", "is not connected");
    host.stop();
}

#[test]
fn an_answer_that_comes_too_late_is_dropped_counted_and_logged_once() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    let admin = host.admin();
    let mut lamp = host.device("lamp-1");
    subscribe_methods(&mut lamp);
    refused(&invoke(&admin, "lamp-1", "late", "0.1s"), 504, "DEADLINE_EXCEEDED", "did not answer within 100ms");
    let (rid, _) = calls(&lamp)[0].clone();
    answer(&mut lamp, &rid, "too late");
    answer(&mut lamp, "4711", "never asked");
    let counted = |metrics: &Value| metrics.as_str().unwrap().contains("switchbox_method_late_answers_total 2\n");
    until("both to be counted", || counted(&admin.get("/metrics").body).then_some(()));
    let logged = host.log().matches("dropped an answer").count();
    assert_eq!(logged, 1, "{}", host.log());
    host.stop();
}

/// A device that speaks MQTT 5: answers on the response topic with the correlation data, and with its payload as the user
/// property `status`, but where it is empty without.
fn correlating(host: &Process, id: &str) {
    let mut options = v5::MqttOptions::new(id, host.mqtt().ip().to_string(), host.mqtt().port());
    options.set_keep_alive(Duration::from_secs(60));
    let (client, mut connection) = v5::Client::new(options, 10);
    client.subscribe(format!("/devices/{id}/methods/#"), v5::mqttbytes::QoS::AtLeastOnce).unwrap();
    let (ready, subscribed) = mpsc::sync_channel(1);
    thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(v5::Event::Incoming(v5::Incoming::SubAck(_))) => ready.send(()).unwrap(),
                Ok(v5::Event::Incoming(v5::Incoming::Publish(publish))) => correlate(&client, publish),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    subscribed.recv_timeout(LIMIT).expect("no SUBACK");
}

fn correlate(client: &v5::Client, publish: v5::mqttbytes::v5::Publish) {
    let call_properties = publish.properties.expect("the call has no properties");
    let topic = call_properties.response_topic.expect("the call has no response topic");
    let status = String::from_utf8(publish.payload.to_vec()).unwrap();
    let properties = v5::mqttbytes::v5::PublishProperties {
        correlation_data: Some(call_properties.correlation_data.expect("the call has no correlation data")),
        user_properties: if status.is_empty() { Vec::new() } else { vec![("status".into(), status)] },
        ..Default::default()
    };
    let qos = v5::mqttbytes::QoS::AtLeastOnce;
    client.publish_with_properties(topic, qos, false, "done", properties).unwrap();
}

#[test]
fn a_device_answers_by_response_topic_and_correlation_data() {
    let host_folder = HostFolder::new();
    let host = host_folder.start();
    correlating(&host, "lamp-5");
    for (payload, status) in [("404", 404), ("207", 207), ("", 200)] {
        let answer = invoke(&host.admin(), "lamp-5", payload, "30s").ok();
        assert_eq!((&answer["status"], &answer["payload"]), (&json!(status), &json!(base64("done"))));
    }
    host.stop();
}

#[test]
fn calls_under_way_on_one_device_find_their_own_answers() {
    const SOURCES: usize = 40;
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "caller",
        ("telemetry", "source-*"),
        r#"{ method = { device = "lamp-1", name = "dim" } }"#,
    );
    let host = host_folder.start();
    let mut lamp = host.device("lamp-1");
    subscribe_methods(&mut lamp);
    let mut sources: Vec<_> = (0..SOURCES).map(|n| host.device(&format!("source-{n}"))).collect();
    for (n, source) in sources.iter_mut().enumerate() {
        source.subscribe_config();
        source.event(format!("question {n}."));
    }
    // All of them wait before the first is answered, and the last is answered first.
    lamp.wait("all calls", |seen| (seen.messages.len() == SOURCES).then_some(()));
    for (rid, payload) in calls(&lamp).into_iter().rev() {
        answer(&mut lamp, &rid, &format!("to {payload}"));
    }
    for (n, source) in sources.iter().enumerate() {
        assert_eq!(source.message_with("to question").text(), format!("lamp-1 200 to question {n}."));
    }
    host.stop();
}

const CALLS: usize = 1_000;

/// An endpoint that answers every call with 201 and what it was asked, on a port of its own.
fn endpoint() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = vec![0; 4096];
            let mut read = 0;
            while !request[..read].ends_with(b"!") {
                read += stream.read(&mut request[read..]).unwrap();
            }
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let answer = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    port
}

#[test]
fn a_device_with_an_endpoint_is_called_over_http() {
    let host_folder = HostFolder::new();
    scripted_plugin(
        &host_folder,
        "caller",
        ("telemetry", "source-1"),
        r#"{ method = { device = "pump-1", name = "dim" } }"#,
    );
    let port = endpoint();
    let host = host_folder.start_with(&["--allowed-hosts", &format!("127.0.0.1:{port}")]);
    let admin = host.admin();
    let url = format!("http://127.0.0.1:{port}/dim");
    let device = json!({"id": "pump-1", "methodEndpoint": {"url": url}});
    let made = admin.post("/v1/projects/local/locations/local/registries/default/devices", &device).ok();
    assert_eq!(made["methodEndpoint"]["url"], url.as_str());
    let answer = invoke(&admin, "pump-1", "half!", "30s").ok();
    assert_eq!((&answer["status"], &answer["payload"]), (&json!(201), &json!(base64("half!"))));
    // A plugin calls it in the same way.
    let mut source = host.device("source-1");
    source.subscribe_config();
    source.event("full!");
    source.message_with("pump-1 201 full!");
    drop(source);
    let made = until("the plugin's call to be in the journal", || {
        let calls = admin.get("/v1/methodCalls?device=pump-1&withDevice=true").ok()["methodCalls"].clone();
        (calls[0]["cause"]["plugin"]["name"] == "caller").then_some(calls)
    });
    assert_eq!((&made[0]["answer"]["status"], &made[1]["payload"]), (&json!(201), &json!(base64("half!"))), "{made}");
    assert!(made[0]["eventDevice"].as_str().unwrap().ends_with("/devices/source-1"), "{made}");
    assert!(made[1].get("eventDevice").is_none(), "{made}");
    let of_plugin = admin.get("/v1/methodCalls?plugin=caller").ok();
    assert_eq!((&of_plugin["methodCalls"][0]["id"], &of_plugin["methodCalls"][1]), (&made[0]["id"], &Value::Null));
    let text = host.cli(&host_folder, &["device", "calls", "pump-1"]);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[1].contains("plugin caller") && lines[1].contains("201 full!"), "{text}");
    assert!(lines[2].contains("201 half!") && lines.len() == 3, "{text}");
    host.kill();

    // The endpoint is kept, and the rules are those of the host that calls.
    let host = host_folder.start_with(&["--allowed-hosts", "example.com"]);
    let admin = host.admin();
    refused(&invoke(&admin, "pump-1", "x!", "30s"), 400, "FAILED_PRECONDITION", "methods.allowed-hosts");
    let path = Admin::device_path("pump-1", "?updateMask=methodEndpoint");
    let wrong = admin.patch(&path, &json!({"methodEndpoint": {"url": "ftp://x"}}));
    refused(&wrong, 400, "INVALID_ARGUMENT", "methodEndpoint.url");
    assert!(admin.patch(&path, &json!({"methodEndpoint": {}})).ok().get("methodEndpoint").is_none());
    refused(&invoke(&admin, "pump-1", "x!", "30s"), 400, "FAILED_PRECONDITION", "is not connected");
    host.stop();
}

#[test]
fn a_host_without_a_free_descriptor_waits_with_calls_and_with_the_plugin_folder() {
    let host_folder = HostFolder::new();
    let port = endpoint();
    let host = host_folder.start_with(&["--allowed-hosts", &format!("127.0.0.1:{port}")]);
    let admin = host.admin();
    let device = json!({"id": "pump-1", "methodEndpoint": {"url": format!("http://127.0.0.1:{port}/dim")}});
    let _ = admin.post("/v1/projects/local/locations/local/registries/default/devices", &device).ok();
    let soft_limit = |most: u32| {
        let set = format!("prlimit --pid {} --nofile={most}:", host.pid());
        assert!(switchbox_tests::runs(std::process::Command::new("sh").args(["-c", &set])), "{set}");
    };
    // What is open stays open, the connection of this API client too.
    soft_limit(3);
    let called = thread::spawn(move || invoke(&admin, "pump-1", "wait!", "60s"));
    host_folder.plugin("late.toml", "component = \"builtin:hop-relay\"\n");
    host.logged(&["WARN", "no file descriptor is free (ulimit -n)", "a method call over HTTP"]);
    host.logged(&["WARN", "the plugin folder cannot be read; running plugins continue"]);
    soft_limit(4_096);
    assert_eq!(called.join().unwrap().ok()["status"], json!(201));
    host.admin().wait_plugin("late", "to run", |plugin| plugin["state"] == "running");
    assert_eq!(host.log().matches("no file descriptor is free").count(), 1, "{}", host.log());
    host.stop();
}
