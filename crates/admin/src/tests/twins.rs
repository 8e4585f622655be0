//! Tests of twins: the documents keep their bytes, numbers are compared exactly, and an equal config creates no version.

use serde_json::{Value, json};

use crate::testing::TestHost;
use crate::testing::base64;
use switchbox_admin_api::Base64;
use switchbox_delivery::{DownlinkKind, Outbound};

const LAMP: &str = "/v1/projects/local/locations/local/registries/default/devices/lamp";

fn lamp(rest: &str) -> String {
    format!("{LAMP}{rest}")
}

/// A device with this config, if it is not empty, and this reported state.
fn host_with(config: &str, state: &str) -> TestHost {
    let host = TestHost::new();
    host.ok("POST", LAMP.strip_suffix("/lamp").unwrap(), Some(&json!({"id": "lamp"})));
    if !config.is_empty() {
        set(&host, config, "");
    }
    if !state.is_empty() {
        host.report("lamp", state);
    }
    host
}

fn set(host: &TestHost, config: &str, query: &str) -> Value {
    let body = json!({"binaryData": base64(config.as_bytes())});
    host.ok("POST", &lamp(&format!(":modifyCloudToDeviceConfig{query}")), Some(&body))
}

/// The unchanged text of the answer.
fn text(host: &TestHost, method: &str, path: &str, body: Option<&str>) -> String {
    let token = format!("Bearer {}", host.token.as_deref().unwrap());
    let mut answer = host.answer(method, path, &[("authorization", &token)], body.map(str::as_bytes));
    assert_eq!(answer.status(), 200);
    answer.body_mut().read_to_string().unwrap()
}

fn patch(host: &TestHost, patch: &str) -> String {
    text(host, "PATCH", &lamp("/twin"), Some(patch))
}

fn twin(host: &TestHost) -> String {
    text(host, "GET", &lamp("/twin"), None)
}

/// The config in force, byte for byte, and its version.
fn in_force(host: &TestHost) -> (String, String) {
    let newest = host.ok("GET", &lamp("/configVersions?numVersions=1"), None);
    let newest = &newest["deviceConfigs"][0];
    let Base64(payload) = serde_json::from_value(newest["binaryData"].clone()).unwrap();
    (String::from_utf8(payload.to_vec()).unwrap(), newest["version"].as_str().unwrap().to_owned())
}

#[test]
fn a_patch_changes_what_it_names_and_no_other_byte() {
    let desired = r#"{"z":1.5777777777770001,"a":1E5,"id":12345678901234567890123}"#;
    let host = host_with(desired, "");
    let shown = patch(&host, r#"{"on":true}"#);
    let expected = r#"{"z":1.5777777777770001,"a":1E5,"id":12345678901234567890123,"on":true}"#;
    assert_eq!(in_force(&host), (expected.to_owned(), "2".to_owned()));
    assert!(shown.contains(expected), "{shown}");
    patch(&host, r#"{"a":null,"id":98765432109876543210987}"#);
    let expected = r#"{"z":1.5777777777770001,"id":98765432109876543210987,"on":true}"#;
    assert_eq!(in_force(&host), (expected.to_owned(), "3".to_owned()));
}

#[test]
fn numbers_differ_exactly_when_their_values_do() {
    for (desired, reported, differs) in [
        (r#"{"fw":1724442618569203714}"#, r#"{"fw":1724442618569203713}"#, true),
        (r#"{"a":{"fw":[-18446744073709551617]}}"#, r#"{"a":{"fw":[-18446744073709551616]}}"#, true),
        (r#"{"a":0.1234567890123456789}"#, r#"{"a":0.1234567890123456788}"#, true),
        (r#"{"a":21,"b":[1.0],"c":2.1e1,"d":0}"#, r#"{"a":21.0,"b":[1],"c":210E-1,"d":-0.0}"#, false),
        (r#"{"a":18446744073709551616}"#, r#"{"a":1.8446744073709551616e19}"#, false),
    ] {
        let host = host_with(desired, reported);
        assert_eq!(!twin(&host).contains(r#""differs":[]"#), differs, "{desired} and {reported}");
    }
}

#[test]
fn what_changes_nothing_makes_no_version_and_no_message() {
    let host = host_with("", "");
    assert!(patch(&host, "{}").contains(r#""desiredVersion":"0""#));
    let (online, received) = host.connect("lamp");
    online.subscribe(DownlinkKind::Config);
    patch(&host, r#"{"t":0.1,"on":true}"#);
    for nothing in ["{}", r#"{"t":0.1,"on":true}"#, r#"{"t":1e-1}"#, r#"{"gone":null}"#] {
        let shown = patch(&host, nothing);
        assert!(shown.contains(r#""desiredVersion":"1""#), "{nothing}: {shown}");
    }
    let same = set(&host, r#"{"t":0.1,"on":true}"#, "");
    assert_eq!((&same["version"], &same["unchanged"]), (&json!("1"), &json!(true)));
    // Other bytes are another config, even if they mean the same.
    let other = set(&host, r#"{"on":true,"t":0.1}"#, "");
    assert_eq!((&other["version"], other.get("unchanged")), (&json!("2"), None));
    let body = json!({"binaryData": other["binaryData"], "force": true});
    let forced = host.ok("POST", &lamp(":modifyCloudToDeviceConfig"), Some(&body));
    assert_eq!((&forced["version"], forced.get("unchanged")), (&json!("3"), None));
    let body = json!({"binaryData": other["binaryData"], "versionToUpdate": 2});
    assert_eq!(host.refused("POST", &lamp(":modifyCloudToDeviceConfig"), Some(&body)).0, 409);
    let versions: Vec<_> = std::iter::from_fn(|| received.try_recv().ok())
        .map(|sent| if let Outbound::Config(config) = sent { config.version } else { 0 })
        .collect();
    assert_eq!(versions, [1, 2, 3]);
}

#[test]
fn a_state_is_called_what_it_is() {
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for (state, part) in [
        (r#"{"temperature":1e400}"#, r#""reported":{"temperature":1e400}"#),
        (&*deep, "version 1 cannot be part of a twin: it is nested deeper than 128 levels"),
        ("warm", "version 1 is not a JSON object: it is not JSON: expected value at line 1 column 1"),
        ("[1]", "version 1 is not a JSON object: it is a JSON array"),
        ("7", "version 1 is not a JSON object: it is a single JSON value"),
    ] {
        let host = host_with("{}", state);
        let shown = twin(&host);
        assert!(shown.contains(part), "{state:.30}: {shown:.300}");
    }
}

#[test]
fn a_tolerance_is_for_one_call_or_for_a_device() {
    let host =
        host_with(r#"{"t":21.3,"id":1724442618569203714}"#, r#"{"t":21.299999237060547,"id":1724442618569203714}"#);
    let differs = |query: &str| {
        let shown: Value = serde_json::from_str(&text(&host, "GET", &lamp(&format!("/twin{query}")), None)).unwrap();
        shown["differs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(differs(""), ["/t"]);
    assert!(differs("?tolerance=float32").is_empty());
    assert!(differs("?tolerance=1e-6").is_empty());
    assert_eq!(differs("?tolerance=1e-9"), ["/t"]);
    for wrong in ["2", "-1", "x"] {
        let (status, _, text) = host.refused("GET", &lamp(&format!("/twin?tolerance={wrong}")), None);
        assert!(status == 400 && text.contains("a tolerance is a number from 0 up to 1"), "{wrong}: {text}");
    }
    let metadata = |tolerance: &str| json!({"metadata": {"twin-tolerance": tolerance}});
    host.ok("PATCH", &lamp("?updateMask=metadata"), Some(&metadata("float32")));
    assert!(differs("").is_empty());
    assert_eq!(differs("?tolerance=0"), ["/t"]);
    let (_, _, text) = host.refused("PATCH", &lamp("?updateMask=metadata"), Some(&metadata("much")));
    assert!(text.contains("twin-tolerance") && text.contains("from 0 up to 1"), "{text}");
}
