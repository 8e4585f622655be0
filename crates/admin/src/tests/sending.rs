//! Tests of configs and method calls: what reaches the device, and the effects of its answers.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use serde_json::json;

use crate::testing::TestHost;
use switchbox_delivery::{DeliveryReport, DownlinkKind, Outbound};

const LAMP: &str = "/v1/projects/local/locations/local/registries/default/devices/lamp";

fn host_with_lamp() -> TestHost {
    let host = TestHost::new();
    let devices = LAMP.strip_suffix("/lamp").unwrap();
    host.ok("POST", devices, Some(&json!({"id": "lamp"})));
    host
}

fn lamp(rest: &str) -> String {
    format!("{LAMP}{rest}")
}

/// The version and the bytes of the config that comes next.
fn config(received: &Receiver<Outbound>) -> (u64, Bytes) {
    let Ok(Outbound::Config(config)) = received.recv() else { panic!("no config came") };
    (config.version, config.payload.clone())
}

#[test]
fn a_config_is_versioned_and_a_stale_write_is_refused() {
    let host = host_with_lamp();
    let set = lamp(":modifyCloudToDeviceConfig");
    let first = host.ok("POST", &set, Some(&json!({"binaryData": "b24="})));
    assert_eq!((&first["version"], &first["binaryData"]), (&json!("1"), &json!("b24=")));
    host.ok("POST", &set, Some(&json!({"binaryData": "b2Zm", "versionToUpdate": "1"})));
    let (status, word, text) = host.refused("POST", &set, Some(&json!({"binaryData": "", "versionToUpdate": 1})));
    assert_eq!((status, word.as_str()), (409, "ABORTED"));
    assert_eq!(text, "version 2 is in force, not version 1");
    let versions = host.ok("GET", &lamp("/configVersions"), None);
    let numbers: Vec<_> = versions["deviceConfigs"].as_array().unwrap().iter().map(|v| v["version"].clone()).collect();
    assert_eq!(numbers, ["2", "1"]);
    assert_eq!(versions["deviceConfigs"][0]["cause"]["api"]["who"], "admin-token");

    let (online, received) = host.connect("lamp");
    online.subscribe(DownlinkKind::Config);
    assert_eq!(config(&received), (2, "off".into()));
    online.acknowledged([DeliveryReport::ConfigAcknowledged { version: 2 }]);
    let newest = host.ok("GET", &lamp("/configVersions?numVersions=1"), None);
    assert!(newest["deviceConfigs"][0]["deviceAckTime"].is_string(), "{newest}");
    let large = crate::testing::base64(&vec![0; 64 * 1024 + 1]);
    assert!(host.refused("POST", &set, Some(&json!({ "binaryData": large }))).2.contains("65537 bytes"));
}

#[test]
fn only_a_config_that_was_written_to_the_devices_connection_has_a_time_of_sending() {
    let host = host_with_lamp();
    let (online, received) = host.connect("lamp");
    online.subscribe(DownlinkKind::Config);
    host.ok("POST", &lamp(":modifyCloudToDeviceConfig"), Some(&json!({"binaryData": "b24="})));
    assert_eq!(config(&received), (1, "on".into()));
    online.acknowledged([DeliveryReport::ConfigRefused { version: 1 }]);
    let shown = host.ok("GET", &lamp(""), None);
    assert!(shown.get("lastConfigSendTime").is_none(), "it was larger than the device takes: {shown}");
    assert_eq!(shown["lastErrorStatus"]["message"], "config version 1 was refused, or is larger than the device takes");
    online.acknowledged([DeliveryReport::ConfigSent]);
    assert!(host.ok("GET", &lamp(""), None)["lastConfigSendTime"].is_string());
}

#[test]
fn a_device_whose_first_config_is_too_large_is_not_made() {
    let host = TestHost::new();
    let devices = LAMP.strip_suffix("/lamp").unwrap();
    let large = crate::testing::base64(&vec![0; 64 * 1024 + 1]);
    let (status, _, text) =
        host.refused("POST", devices, Some(&json!({"id": "lamp", "config": {"binaryData": large}})));
    assert!(status == 400 && text.contains("(limit config_bytes)"), "{text}");
    assert_eq!(host.refused("GET", LAMP, None).0, 404);
}

#[test]
fn an_endpoint_that_may_not_be_called_is_warned_of_when_it_is_set() {
    let host = TestHost::new();
    let allowed = "example.com".parse().unwrap();
    host.handles.delivery.set_proxy(switchbox_proxy::Handle::new(allowed, host.handles.counters.clone()));
    let devices = LAMP.strip_suffix("/lamp").unwrap();
    let endpoint = |url: &str| json!({"id": "lamp", "methodEndpoint": {"url": url}});
    let made = host.ok("POST", devices, Some(&endpoint("http://example.org/lamp")));
    let warning = made["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("methodEndpoint.url: example.org:80 is not among the hosts"), "{warning}");
    let path = lamp("?updateMask=methodEndpoint");
    assert!(host.ok("PATCH", &path, Some(&endpoint("http://example.com/lamp"))).get("warnings").is_none());
}

#[test]
fn a_method_call_brings_the_devices_answer_or_says_why_there_is_none() {
    let host = host_with_lamp();
    let call = lamp(":invokeMethod");
    let body = json!({"method": "blink", "payload": "Mw==", "timeout": "30s"});
    assert_eq!(host.refused("POST", &call, Some(&body)).1, "FAILED_PRECONDITION");
    let (online, received) = host.connect("lamp");
    online.subscribe(DownlinkKind::Methods);
    let (answer, _received) = std::thread::scope(|scope| {
        let online = &online;
        let answering = scope.spawn(move || {
            let Ok(Outbound::Method(call)) = received.recv() else { panic!("no call came") };
            assert_eq!((&*call.name, call.payload.as_ref()), ("blink", &b"3"[..]));
            assert!(online.answer(call.rid, 207, "done".into()));
            received
        });
        let answer = host.ok("POST", &call, Some(&body));
        (answer, answering.join().unwrap())
    });
    assert_eq!((&answer["status"], &answer["payload"]), (&json!(207), &json!("ZG9uZQ==")));
    let why = host.ok("GET", &format!("/v1/explain/{}", answer["id"].as_str().unwrap()), None);
    let (text, made) = (why["text"].as_str().unwrap(), &why["chain"][1]["methodCall"]);
    assert!(text.starts_with("an operator (admin-token) called the admin API\n→ method blink of lamp"), "{text}");
    assert!(text.contains("called with 3") && text.contains("answered 207 done"), "{text}");
    assert_eq!((&made["answer"]["status"], &made["payload"]), (&json!(207), &json!("Mw==")));
    let calls = host.ok("GET", "/v1/methodCalls?device=lamp", None);
    let [answered, failed] = [0, 1].map(|n| calls["methodCalls"][n].clone());
    assert_eq!((&answered["id"], &answered["answer"]), (&answer["id"], &made["answer"]), "{calls}");
    assert!(failed["error"].as_str().unwrap().ends_with("is not connected") && failed["answer"].is_null(), "{calls}");
    assert_eq!((calls["methodCalls"].as_array().unwrap().len(), &failed["cause"]), (2, &answered["cause"]), "{calls}");
    for none in ["plugin=relay", "since=2999-01-01T00:00:00Z"] {
        let calls = host.ok("GET", &format!("/v1/methodCalls?withDevice=true&{none}"), None);
        assert_eq!(calls["methodCalls"], json!([]), "{none}");
    }
    let quick = json!({"method": "blink", "timeout": "0.05s"});
    let (status, word, _) = host.refused("POST", &call, Some(&quick));
    assert_eq!((status, word.as_str()), (504, "DEADLINE_EXCEEDED"));
    let (_, word, text) = host.refused("POST", &call, Some(&json!({"method": "a b"})));
    assert!(word == "INVALID_ARGUMENT" && text.contains("method name"), "{text}");
    let long = json!({"method": "blink", "timeout": "301s"});
    assert!(host.refused("POST", &call, Some(&long)).2.contains("longer than 300"));
}
