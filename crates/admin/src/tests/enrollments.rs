//! Tests of enrolments: created, listed, shown without their keys, deleted.

use serde_json::json;

use crate::testing::TestHost;

const ENROLLMENTS: &str = "/v1/projects/local/locations/local/registries/default/enrollments";

#[test]
fn the_keys_of_an_enrolment_are_in_the_answer_that_makes_it_and_in_no_other() {
    let host = TestHost::new();
    let made = host.ok("POST", ENROLLMENTS, Some(&json!({"id": "fleet", "metadata": {"floor": "1"}})));
    assert!(made["symmetricKeys"]["primaryKey"].is_string() && made["idScope"] == "default", "{made}");
    host.ok("POST", ENROLLMENTS, Some(&json!({"id": "own", "registrationId": "maker-1", "deviceId": "lamp-1"})));
    let listed = host.ok("GET", ENROLLMENTS, None);
    let ids: Vec<_> = listed["enrollments"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, ["fleet", "own"]);
    assert!(!listed.to_string().contains("symmetricKeys"), "{listed}");
    let page = host.ok("GET", &format!("{ENROLLMENTS}?pageSize=1"), None);
    assert_eq!(page["nextPageToken"], "fleet");
    let page = host.ok("GET", &format!("{ENROLLMENTS}?pageSize=1&pageToken=fleet"), None);
    assert_eq!((&page["enrollments"][0]["id"], page.get("nextPageToken")), (&json!("own"), None));
    let shown = host.ok("GET", &format!("{ENROLLMENTS}/own"), None);
    assert_eq!((&shown["deviceId"], shown.get("symmetricKeys")), (&json!("lamp-1"), None));
    host.ok("DELETE", &format!("{ENROLLMENTS}/own"), None);
    assert_eq!(host.call("GET", &format!("{ENROLLMENTS}/own"), None).0, 404);
    assert_eq!(host.call("DELETE", &format!("{ENROLLMENTS}/own"), None).0, 404);
}

#[test]
fn what_cannot_be_an_enrolment_is_refused() {
    let host = TestHost::new();
    host.ok("POST", ENROLLMENTS, Some(&json!({"id": "one", "registrationId": "maker-1"})));
    for (body, status) in [
        (json!({}), 400),
        (json!({"id": "a/b"}), 400),
        (json!({"id": "two", "deviceId": "lamp-1"}), 400),
        (json!({"id": "two", "certificate": "no PEM"}), 400),
        (json!({"id": "two", "payload": "{"}), 400),
        (json!({"id": "two", "payload": format!("\"{}\"", "x".repeat(9_000))}), 400),
        (json!({"id": "two", "metadata": {"a,b": "x"}}), 400),
        (json!({"id": "two", "symmetricKeys": {"primaryKey": "AAAA"}}), 400),
        (json!({"id": "one"}), 409),
        (json!({"id": "two", "registrationId": "maker-1"}), 409),
    ] {
        let answer = host.call("POST", ENROLLMENTS, Some(&body));
        assert_eq!(answer.0, status, "{body}: {answer:?}");
    }
}
