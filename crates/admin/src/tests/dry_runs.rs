//! Tests of the API for tries and recordings of plugins. Their execution is tested in other crates.

use serde_json::json;

use crate::testing::TestHost;

const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";
const TRY: &str = "/v1/plugins/relay:try";

#[test]
fn a_try_takes_an_event_or_the_number_of_one() {
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "switch-1"})));
    host.telemetry("switch-1", "x");
    let event = json!({"device": "switch-1", "data": {"telemetry": {"payload": "x"}}});
    assert_eq!(host.ok("POST", TRY, Some(&json!({"event": event})))["event"], event);
    let events = host.ok("GET", "/v1/events?kind=telemetry", None);
    let tried = host.ok("POST", TRY, Some(&json!({"eventNumber": events["events"][0]["id"]})));
    assert!(tried["logs"][0].as_str().unwrap().contains("switch-1"), "{tried}");

    for (path, body, word, text) in [
        (TRY, json!({}), "INVALID_ARGUMENT", "either an event or an eventNumber"),
        (TRY, json!({"event": {}, "eventNumber": 1}), "INVALID_ARGUMENT", "either"),
        (TRY, json!({"eventNumber": 4711}), "NOT_FOUND", "event 4711"),
        (TRY, json!({"evnt": {}}), "INVALID_ARGUMENT", "evnt"),
        ("/v1/plugins/other:try", json!({"event": {}}), "FAILED_PRECONDITION", "does not run"),
    ] {
        let (_, found, message) = host.refused("POST", path, Some(&body));
        assert!(found == word && message.contains(text), "{body}: {found} {message}");
    }
}

#[test]
fn a_recording_begins_is_read_while_it_grows_and_ends() {
    let host = TestHost::new();
    host.ok("POST", "/v1/plugins/relay:record", Some(&json!({"seconds": "60", "mask": ["serial"]})));
    let none = host.refused("POST", "/v1/plugins/relay:record", Some(&json!({"seconds": 0})));
    assert_eq!(none.1, "INVALID_ARGUMENT");
    let many: Vec<_> = (0..101).map(|n| format!("key-{n}")).collect();
    let (_, word, text) = host.refused("POST", "/v1/plugins/relay:record", Some(&json!({"mask": many})));
    assert!(word == "INVALID_ARGUMENT" && text.contains("recording_masks"), "{text}");

    assert_eq!(host.refused("GET", "/v1/plugins/relay/recording", None).1, "NOT_FOUND");
    std::fs::create_dir_all(&host.plugins.recordings).unwrap();
    // Larger than one piece of reading.
    let lines = "{\"kind\":\"gap\",\"skipped\":1}\n".repeat(20_000);
    std::fs::write(host.plugins.recordings.join("relay.jsonl"), &lines).unwrap();
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let mut answer = host.answer("GET", "/v1/plugins/relay/recording", &[("authorization", &bearer)], None);
    assert_eq!(answer.headers()["content-type"], "application/jsonl");
    assert_eq!(answer.body_mut().read_to_string().unwrap(), lines);

    let path = "/v1/plugins/relay/journalRecording?since=1970-01-01T00:00:01Z&mask=serial,*code*";
    let mut answer = host.answer("GET", path, &[("authorization", &bearer)], None);
    assert_eq!(answer.headers()["content-type"], "application/jsonl");
    assert_eq!(answer.body_mut().read_to_string().unwrap(), "[\"serial\", \"*code*\"]\n1000\n");
    assert_eq!(host.refused("GET", "/v1/plugins/other/journalRecording", None).1, "FAILED_PRECONDITION");

    assert_eq!(host.ok("POST", "/v1/plugins/relay:stopRecording", None)["ended"], "stopped");
    assert_eq!(host.refused("POST", "/v1/plugins/other:stopRecording", None).1, "NOT_FOUND");
}
