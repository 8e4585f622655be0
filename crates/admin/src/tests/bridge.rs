//! Tests of devices that use HTTP.

use serde_json::json;

use crate::testing::TestHost;
use switchbox_model::limits::names;
use switchbox_settings::AdminAuth;

const LAMP: &str = "/v1/projects/local/locations/local/registries/default/devices/lamp";

/// A device with a password.
fn host() -> TestHost {
    let host = TestHost::new();
    host.ok("POST", LAMP.strip_suffix("/lamp").unwrap(), Some(&json!({"id": "lamp"})));
    host.ok("POST", &format!("{LAMP}:setPassword"), Some(&json!({"password": "open, sesame"})));
    host
}

fn as_lamp(host: &TestHost, method: &str, rest: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
    let body = (method != "GET").then(|| body.to_string());
    let headers = [("authorization", "Bearer open, sesame")];
    host.raw(method, &format!("{LAMP}{rest}"), &headers, body.as_deref().map(str::as_bytes))
}

#[test]
fn a_device_sends_and_fetches_over_http_what_it_would_over_mqtt() {
    let host = host();
    let event = json!({"binaryData": "b24=", "subFolder": "light"});
    assert_eq!(as_lamp(&host, "POST", ":publishEvent", &event), (200, json!({})));
    assert_eq!(as_lamp(&host, "POST", ":setState", &json!({"state": {"binaryData": "b2Zm"}})), (200, json!({})));
    let events = host.ok("GET", "/v1/events?kind=telemetry", None);
    let sent = &events["events"][0];
    assert_eq!(
        (&sent["subfolder"], &sent["binaryData"], &sent["durable"]),
        (&json!("light"), &json!("b24="), &json!(true))
    );
    assert_eq!(host.ok("GET", LAMP, None)["state"]["binaryData"], "b2Zm");

    assert_eq!(as_lamp(&host, "GET", "/config", &json!(null)), (200, json!({})));
    host.ok("POST", &format!("{LAMP}:modifyCloudToDeviceConfig"), Some(&json!({"binaryData": "eA=="})));
    let (_, config) = as_lamp(&host, "GET", "/config?localVersion=0", &json!(null));
    assert_eq!((&config["version"], &config["binaryData"], config.get("cause")), (&json!("1"), &json!("eA=="), None));
    assert_eq!(as_lamp(&host, "GET", "/config?localVersion=1", &json!(null)).1, json!({}));
}

#[test]
fn only_the_device_itself_is_accepted_over_http() {
    let host = host();
    let operator = format!("Bearer {}", host.token.as_deref().unwrap());
    let path = format!("{LAMP}:publishEvent");
    for headers in [vec![], vec![("authorization", "Bearer wrong")], vec![("authorization", operator.as_str())]] {
        let (status, answer) = host.raw("POST", &path, &headers, Some(b"{}"));
        assert_eq!((status, &answer["error"]["status"]), (401, &json!("UNAUTHENTICATED")), "{headers:?}");
    }
    host.ok("PATCH", &format!("{LAMP}?updateMask=blocked"), Some(&json!({"blocked": true})));
    assert_eq!(as_lamp(&host, "POST", ":publishEvent", &json!({})).0, 401);
    host.ok("PATCH", &format!("{LAMP}?updateMask=blocked"), Some(&json!({"blocked": false})));
    let registry = LAMP.strip_suffix("/devices/lamp").unwrap();
    let off = json!({"httpConfig": {"httpEnabledState": "HTTP_DISABLED"}});
    host.ok("PATCH", &format!("{registry}?updateMask=httpConfig"), Some(&off));
    let (status, answer) = as_lamp(&host, "POST", ":publishEvent", &json!({}));
    assert_eq!((status, &answer["error"]["status"]), (403, &json!("PERMISSION_DENIED")), "{answer}");
}

#[test]
fn a_token_that_the_devices_key_signs_lets_it_in_over_http() {
    let host = TestHost::new();
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = json!({"publicKey": {"format": "ES256_PEM", "key": pair.public_key_pem()}});
    host.ok("POST", LAMP.strip_suffix("/lamp").unwrap(), Some(&json!({"id": "lamp", "credentials": [key]})));
    let now = switchbox_support::clock::now_ms() / 1_000;
    let signing = switchbox_auth::signing::SigningKey::from_pem(pair.serialize_pem().as_bytes()).unwrap();
    for (issued, expires, status) in [(now, now + 60, 200), (now - 7_200, now - 3_600, 401)] {
        let bearer = format!("Bearer {}", signing.token("local", issued, expires).unwrap());
        let path = format!("{LAMP}:publishEvent");
        assert_eq!(host.raw("POST", &path, &[("authorization", &bearer)], Some(b"{}")).0, status);
    }
}

#[test]
fn what_a_device_sends_over_http_has_the_limits_that_it_has_over_mqtt() {
    let host = host();
    let bytes = |count| crate::testing::base64(&vec![0; count]);
    for (rest, body, part) in [
        (":publishEvent", json!({"binaryData": bytes(256 * 1024 + 1)}), "262145 bytes is larger than 262144"),
        (":publishEvent", json!({"subfolder": "a//b"}), "empty levels"),
        (":setState", json!({"state": {"binaryData": bytes(64 * 1024 + 1)}}), "65537 bytes is larger than 65536"),
        (":setState", json!({}), "state"),
    ] {
        let (status, answer) = as_lamp(&host, "POST", rest, &body);
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(status == 400 && text.contains(part), "{rest}: {status} {text}");
    }
    for limit in [names::TELEMETRY_BYTES, names::STATE_BYTES] {
        assert_eq!(host.handles.counters.limit_hits(limit), 1, "{limit}");
    }
}

#[test]
fn no_web_page_acts_as_a_device_where_devices_need_no_credentials() {
    let host = TestHost::with(AdminAuth::None);
    let path = format!("{LAMP}:publishEvent");
    assert_eq!(host.raw("POST", &path, &[("origin", "http://evil.example")], Some(b"{}")).0, 403);
    assert_eq!(host.raw("POST", &path, &[], Some(b"{}")).0, 200);
}
