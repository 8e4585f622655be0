//! Tests of enrolments: created, listed, shown without their keys, deleted; and of devices that register themselves by one.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::hmac;
use serde_json::json;

use crate::testing::TestHost;
use switchbox_support::clock;

const REGISTRY: &str = "projects/local/locations/local/registries/default";
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

#[test]
fn a_device_whose_token_does_not_prove_its_registration_is_told_no_more_than_that() {
    let host = TestHost::new();
    let made = host.ok("POST", ENROLLMENTS, Some(&json!({"id": "own", "registrationId": "maker-1"})));
    let key = STANDARD.decode(made["symmetricKeys"]["primaryKey"].as_str().unwrap()).unwrap();
    let public_key = json!({"format": "ES256_PEM", "key": rcgen::KeyPair::generate().unwrap().public_key_pem()});
    let register = |key: &[u8], expires_secs: u64| {
        let claims = json!({"aud": REGISTRY, "sub": "maker-1", "exp": expires_secs, "publicKey": public_key});
        let text = [json!({"alg": "HS256"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let bearer = format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature));
        host.raw("POST", &format!("/v1/{REGISTRY}:registerDevice"), &[("authorization", &bearer)], Some(b""))
    };
    let now_secs = clock::now_ms() / 1_000;
    for (key, expires_secs) in [(&*key, now_secs - 60), (&b"another key"[..], now_secs + 60)] {
        let (status, answer) = register(key, expires_secs);
        let text = "the token does not prove this registration; the host's log has the reason";
        assert_eq!((status, &answer["error"]["message"]), (401, &json!(text)));
    }
    assert_eq!(register(&key, now_secs + 60).0, 200);
}
