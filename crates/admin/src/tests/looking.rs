//! Tests of the console's calls: the host's status, filters of devices, a sample of the events, the page.

use std::io::{BufRead as _, BufReader};

use serde_json::json;

use crate::testing::TestHost;

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

#[test]
fn the_status_says_what_the_callers_token_may_do() {
    let host = TestHost::new();
    let status = host.ok("GET", "/v1/status", None);
    assert_eq!(status["caller"]["scope"], "admin");
    assert_eq!((&status["devices"]["registered"], &status["plugins"]["running"]), (&json!(0), &json!(1)));
    assert_eq!(status["problems"], json!(["the host takes no clients"]), "it is not ready");
    let made = host.ok("POST", "/v1/tokens", Some(&json!({"name": "looker", "scope": "read"})));
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let (code, status) = host.raw("GET", "/v1/status", &[("authorization", &bearer)], None);
    assert_eq!((code, &status["caller"]), (200, &json!({"name": "looker", "scope": "read"})));
    assert_eq!(host.ok("GET", "/v1/status/series", None)["everySeconds"], 10);
}

#[test]
fn devices_are_found_by_what_they_are_like() {
    let host = TestHost::new();
    for (id, metadata) in
        [("lamp-1", json!({"room": "Hall"})), ("lamp-2", json!({})), ("fan-1", json!({"room": "attic", "grp": "a,b"}))]
    {
        host.ok("POST", DEVICES, Some(&json!({"id": id, "metadata": metadata})));
    }
    host.ok("PATCH", &format!("{DEVICES}/lamp-2?updateMask=blocked"), Some(&json!({"blocked": true})));
    host.ok("PATCH", &format!("{DEVICES}/lamp-1/twin"), Some(&json!({"on": true})));
    let (_online, _received) = host.connect("fan-1");
    host.telemetry("fan-1", "x");
    for (filter, expected) in [
        ("search=hall", vec!["lamp-1"]),
        ("search=LAMP", vec!["lamp-1", "lamp-2"]),
        ("connected=true", vec!["fan-1"]),
        ("blocked=true", vec!["lamp-2"]),
        ("blocked=false&connected=false", vec!["lamp-1"]),
        ("differs=true", vec!["lamp-1"]),
        ("differs=false", vec!["fan-1", "lamp-2"]),
        ("metadata=room", vec!["fan-1", "lamp-1"]),
        ("metadata=room%3Dattic", vec!["fan-1"]),
        ("metadata=grp=a,b", vec!["fan-1"]),
        ("metadata=grp%3Da%2Cb&metadata=room", vec!["fan-1"]),
        ("seenSince=2020-01-01T00:00:00Z", vec!["fan-1"]),
        ("seenSince=2999-01-01T00:00:00Z", vec![]),
        ("seenBefore=2020-01-01T00:00:00Z", vec!["lamp-1", "lamp-2"]),
        ("seenBefore=2999-01-01T00:00:00Z", vec!["fan-1", "lamp-1", "lamp-2"]),
    ] {
        let page = host.ok("GET", &format!("{DEVICES}?{filter}&fieldMask=id"), None);
        let found = page["devices"].as_array().into_iter().flatten();
        let found: Vec<_> = found.map(|device| device["id"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{filter}");
    }
    host.report("lamp-1", r#"{"on":true}"#);
    assert_eq!(host.ok("GET", &format!("{DEVICES}?differs=true"), None), json!({}));
    assert!(host.refused("GET", &format!("{DEVICES}?connected=perhaps"), None).2.contains("true or false"));
}

/// A poll of the journal finds the events of a tenth of a second; a follower that asks for ten a second gets one of them.
#[test]
fn a_follower_may_take_a_sample_and_gets_the_number_of_omitted_items() {
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "a"})));
    host.telemetry("a", "0");
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let before_it = [("authorization", bearer.as_str()), ("last-event-id", "0-0-0")];
    for _ in 0..20 {
        host.telemetry("a", "1");
    }
    let answer = host.answer("GET", "/v1/events:follow?perSecond=10", &before_it, None);
    let mut lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
    let (mut sent, mut left_out) = (0, 0);
    while sent + left_out < 21 {
        match lines.next().unwrap().as_str() {
            "event: event" => sent += 1,
            "event: sampled" => {
                let data = lines.next().unwrap();
                let data: serde_json::Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                left_out += data["leftOut"].as_u64().unwrap();
            }
            _ => {}
        }
    }
    assert!(sent >= 1 && left_out > sent, "{sent} were sent, {left_out} left out");
}

#[test]
fn the_page_is_served_without_a_token_and_under_a_strict_policy() {
    let host = TestHost::new();
    for (path, kind) in
        [("/", "text/html"), ("/console/app.js", "text/javascript"), ("/console/console.css", "text/css")]
    {
        let answer = host.answer("GET", path, &[], None);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(header("content-type").starts_with(kind), "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!((header("x-content-type-options"), header("x-frame-options")), ("nosniff".into(), "DENY".into()));
        let again = host.answer("GET", path, &[("if-none-match", &header("etag"))], None);
        assert_eq!(again.status(), 304, "the browser has it");
    }
    assert_eq!(host.raw("GET", "/console/no-such-file.js", &[], None).0, 404);
    assert_eq!(host.raw("POST", "/", &[], None).0, 501);
}

#[test]
fn a_message_is_published_retained_and_shown() {
    let host = TestHost::new();
    let publish = "/v1/topics:publish";
    host.ok("POST", publish, Some(&json!({"topic": "hall/light", "binaryData": "b24=", "qos": 1, "retain": true})));
    host.ok("POST", publish, Some(&json!({"topic": "attic/light", "binaryData": "b24=", "retain": true})));
    let topics = |page: &serde_json::Value| {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|message| message["topic"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(topics(&host.ok("GET", "/v1/topics?filter=hall/%23", None)), ["hall/light"]);
    let first = host.ok("GET", "/v1/topics?pageSize=1", None);
    assert_eq!(topics(&first), ["attic/light"]);
    let next = format!("/v1/topics?pageSize=1&pageToken={}", first["nextPageToken"].as_str().unwrap());
    assert_eq!(topics(&host.ok("GET", &next, None)), ["hall/light"]);
    host.ok("POST", publish, Some(&json!({"topic": "attic/light", "retain": true})));
    assert_eq!(topics(&host.ok("GET", "/v1/topics", None)), ["hall/light"], "an empty payload takes it away");
    for topic in ["", "a/#", "/devices/a/config", "registries/default/devices/a/events", "$SYS/x"] {
        assert_eq!(host.refused("POST", publish, Some(&json!({"topic": topic}))).0, 400, "{topic}");
    }
    for filter in ["a/%23/b", "registries/%23", "$share/g/a", "/devices/%23"] {
        assert_eq!(host.refused("GET", &format!("/v1/topics?filter={filter}"), None).0, 400, "{filter}");
    }
}

#[test]
fn messages_on_topics_are_followed_as_they_come() {
    let host = TestHost::new();
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let answer = host.answer("GET", "/v1/topics:follow?filter=hall/%23", &[("authorization", bearer.as_str())], None);
    let mut lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), ": following");
    for topic in ["attic/light", "hall/light"] {
        host.ok("POST", "/v1/topics:publish", Some(&json!({"topic": topic, "binaryData": "b24="})));
    }
    let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&data["topic"], &data["binaryData"]), (&json!("hall/light"), &json!("b24=")));
}
