//! Tests of concurrent changes: every acknowledged change is kept.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::testing::TestHost;
use switchbox_model::{Entry, limits};

const REGISTRIES: &str = "/v1/projects/local/locations/local/registries";
const REGISTRY: &str = "/v1/projects/local/locations/local/registries/hall";
const DEVICES: &str = "/v1/projects/local/locations/local/registries/hall/devices";
const DEVICE: &str = "/v1/projects/local/locations/local/registries/hall/devices/lamp";
const SERVICE: &str = "/v1/serviceAccounts/wall";

/// A registry, a device in it and a service account.
fn host() -> TestHost {
    let host = TestHost::new();
    host.ok("POST", REGISTRIES, Some(&json!({"id": "hall"})));
    make(&host);
    host
}

fn make(host: &TestHost) {
    host.ok("POST", DEVICES, Some(&json!({"id": "lamp"})));
    host.ok("POST", "/v1/serviceAccounts", Some(&json!({"id": "wall"})));
}

/// Does all of them at once.
fn at_once<T: Sync>(items: &[T], call: impl Fn(&T) + Sync) {
    let begin = Barrier::new(items.len());
    std::thread::scope(|scope| {
        for item in items {
            let (begin, call) = (&begin, &call);
            scope.spawn(move || {
                begin.wait();
                call(item);
            });
        }
    });
}

fn key() -> Value {
    let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
    json!({"publicKey": {"format": "ES256_PEM", "key": key}})
}

fn authority() -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    json!({"publicKeyCertificate": {"format": "X509_CERTIFICATE_PEM", "certificate": certificate}})
}

/// Fields of each kind of object, by path and mask.
fn fields_of_each() -> Vec<(&'static str, &'static str, Value)> {
    let gateway = json!({"gatewayType": "GATEWAY", "gatewayAuthMethod": "DEVICE_AUTH_TOKEN_ONLY"});
    vec![
        (DEVICE, "blocked", json!(true)),
        (DEVICE, "metadata", json!({"room": "hall"})),
        (DEVICE, "logLevel", json!("DEBUG")),
        (DEVICE, "gatewayConfig", gateway),
        (DEVICE, "methodEndpoint", json!({"url": "http://127.0.0.1:9/lamp"})),
        (REGISTRY, "logLevel", json!("ERROR")),
        (REGISTRY, "httpConfig", json!({"httpEnabledState": "HTTP_DISABLED"})),
        (REGISTRY, "eventNotificationConfigs", json!([{"pubsubTopicName": "projects/p/topics/t"}])),
        (REGISTRY, "stateNotificationConfig", json!({"pubsubTopicName": "projects/p/topics/s"})),
        (SERVICE, "disabled", json!(true)),
        (SERVICE, "publish", json!(["alerts/#"])),
        (SERVICE, "subscribe", json!(["news/#"])),
    ]
}

#[test]
fn concurrent_changes_of_different_fields_all_hold() {
    const ROUNDS: usize = 5;
    let host = host();
    for round in 0..ROUNDS {
        at_once(&fields_of_each(), |(path, mask, value)| {
            host.ok("PATCH", &format!("{path}?updateMask={mask}"), Some(&json!({ *mask: value })));
        });
        for (path, mask, value) in fields_of_each() {
            assert_eq!(host.ok("GET", path, None)[mask], value, "round {round}: {path} {mask}");
        }
        let mask = "logLevel,httpConfig,eventNotificationConfigs,stateNotificationConfig";
        host.ok("PATCH", &format!("{REGISTRY}?updateMask={mask}"), Some(&json!({"httpConfig": {}})));
        host.ok("DELETE", DEVICE, None);
        host.ok("DELETE", SERVICE, None);
        make(&host);
    }
}

#[test]
fn keys_of_the_metadata_are_changed_one_by_one() {
    let host = host();
    let keys: Vec<_> = (0..20).map(|n| format!("my_key.{n}")).collect();
    at_once(&keys, |key| {
        host.ok("PATCH", &format!("{DEVICE}?updateMask=metadata.{key}"), Some(&json!({"metadata": {key: "x"}})));
    });
    at_once(&keys[..10], |key| {
        host.ok("PATCH", &format!("{DEVICE}?updateMask=metadata.{key}"), Some(&json!({})));
    });
    let left = host.ok("GET", DEVICE, None)["metadata"].take();
    let mut left: Vec<_> = left.as_object().unwrap().keys().cloned().collect();
    left.sort_by_key(|key| keys.iter().position(|k| k == key));
    assert_eq!(left, keys[10..]);
    let large = json!({"metadata": {"large": "x".repeat(200_000), "larger": "x".repeat(200_000)}});
    host.ok("PATCH", &format!("{DEVICE}?updateMask=metadata.large"), Some(&large));
    let (_, word, text) = host.refused("PATCH", &format!("{DEVICE}?updateMask=metadata.larger"), Some(&large));
    assert!(word == "INVALID_ARGUMENT" && text.contains("metadata"), "{text}");
}

#[test]
fn credentials_are_added_and_removed_one_by_one() {
    let host = host();
    for (path, one) in [(DEVICE, key as fn() -> Value), (SERVICE, key), (REGISTRY, authority)] {
        let max = if path == REGISTRY { limits::REGISTRY_AUTHORITIES } else { limits::CREDENTIALS };
        let all: Vec<_> = (0..max).map(|_| one()).collect();
        at_once(&all, |credential| drop(host.ok("POST", &format!("{path}:addCredential"), Some(credential))));
        assert_eq!(host.ok("GET", path, None)["credentials"].as_array().unwrap().len(), max, "{path}");
        for (verb, credential, word, part) in [
            ("addCredential", &one(), "INVALID_ARGUMENT", "credentials"),
            ("addCredential", &all[0], "ALREADY_EXISTS", "has that credential already"),
            ("removeCredential", &one(), "NOT_FOUND", "has no such credential"),
        ] {
            let (_, found, text) = host.refused("POST", &format!("{path}:{verb}"), Some(credential));
            assert!(found == word && text.contains(part), "{path}:{verb}: {found} {text}");
        }
        // All but one are removed at the same time, so each removal must change the current list.
        at_once(&all[1..], |credential| drop(host.ok("POST", &format!("{path}:removeCredential"), Some(credential))));
        assert_eq!(host.ok("GET", path, None)["credentials"], json!([all[0]]), "{path}");
    }
}

#[test]
fn both_keys_of_a_policy_and_of_a_device_are_renewed_at_once() {
    const ROUNDS: usize = 40;
    const KEYS: [&str; 2] = ["primary", "secondary"];
    let host = host();
    host.ok("PATCH", &format!("{DEVICE}?updateMask=symmetricKeys"), Some(&json!({"symmetricKeys": {}})));
    let call = |mut owner: Value, field: &str, key: &str| {
        owner[field] = key.into();
        let answer = host.ok("POST", &format!("{REGISTRY}:hubConnectionString"), Some(&owner));
        let text = answer["connectionString"].as_str().unwrap();
        text.rsplit_once("SharedAccessKey=").unwrap().1.to_owned()
    };
    for owner in [json!({"policy": "service"}), json!({"deviceId": "lamp"})] {
        let mut before = KEYS.map(|key| call(owner.clone(), "key", key));
        for round in 0..ROUNDS {
            let answered = parking_lot::Mutex::new([const { String::new() }; 2]);
            at_once(&[0, 1], |which| {
                let key = call(owner.clone(), "newKey", KEYS[*which]);
                answered.lock()[*which] = key;
            });
            let after = KEYS.map(|key| call(owner.clone(), "key", key));
            assert_eq!(after, answered.into_inner(), "round {round}: {owner}");
            assert!(after[0] != before[0] && after[1] != before[1], "round {round}: a key of {owner} came back");
            before = after;
        }
    }
}

/// The entries of the journal with changes of the registry.
fn changes(host: &TestHost) -> usize {
    let page = host.runtime.block_on(host.handles.store.journal_page(0, 1 << 20)).unwrap();
    let entries = page.rows.iter().flat_map(|row| &row.entries);
    entries.filter(|entry| matches!(entry, Entry::Registry { .. })).count()
}

#[test]
fn a_device_with_endpoint_and_config_is_one_entry_and_one_that_is_refused_is_nothing() {
    let host = host();
    let before = changes(&host);
    let device = json!({"id": "plug", "methodEndpoint": {"url": "http://127.0.0.1:9/plug"}, "credentials": [key()],
                        "config": {"binaryData": "eA=="}});
    let made = host.ok("POST", DEVICES, Some(&device));
    assert_eq!((&made["config"]["version"], &made["methodEndpoint"]), (&json!("1"), &device["methodEndpoint"]));
    let versions = host.ok("GET", &format!("{DEVICES}/plug/configVersions"), None);
    assert_eq!(versions["deviceConfigs"][0]["binaryData"], "eA==");
    assert_eq!(changes(&host), before + 1);
    let all = json!({"blocked": true, "methodEndpoint": {}, "logLevel": "INFO"});
    host.ok("PATCH", &format!("{DEVICES}/plug?updateMask=blocked,methodEndpoint,logLevel"), Some(&all));
    assert_eq!(changes(&host), before + 2);
    let other = json!({"id": "plug", "config": {"binaryData": "eQ=="}});
    assert_eq!(host.refused("POST", DEVICES, Some(&other)).1, "ALREADY_EXISTS");
    assert_eq!(host.ok("GET", &format!("{DEVICES}/plug"), None)["config"]["version"], "1");
    let nowhere = format!("{REGISTRIES}/nobody/devices");
    let (_, word, text) = host.refused("POST", &nowhere, Some(&other));
    assert!(word == "NOT_FOUND" && text.contains("registries/nobody does not exist"), "{text}");
}

#[test]
fn a_device_is_deleted_with_its_commands_in_one_entry_and_a_refused_deletion_ends_none() {
    let host = host();
    let send = || {
        let command = json!({"binaryData": "eA==", "ttl": "60s"});
        host.ok("POST", &format!("{DEVICE}:sendCommandToDevice"), Some(&command))["id"].as_str().unwrap().to_owned()
    };
    let ids = [send(), send(), send()];
    let purged = || {
        let page = host.runtime.block_on(host.handles.store.journal_page(0, 1 << 20)).unwrap();
        let entries = page.rows.into_iter().flat_map(|row| row.entries);
        let ended =
            entries.filter(|entry| matches!(entry, Entry::DeviceDeleted { .. } | Entry::CommandsSettled { .. }));
        ended.map(|entry| entry.into_events().len()).collect::<Vec<_>>()
    };
    assert_eq!(matching(&host, "DELETE", DEVICE, "\"1\"", &json!({})).0, 412);
    host.ok(
        "PATCH",
        &format!("{DEVICE}?updateMask=gatewayConfig"),
        Some(&json!({"gatewayConfig": {"gatewayType": "GATEWAY"}})),
    );
    host.ok("POST", DEVICES, Some(&json!({"id": "bulb"})));
    let bound = json!({"gatewayId": "lamp", "deviceId": "bulb"});
    host.ok("POST", &format!("{REGISTRY}:bindDeviceToGateway"), Some(&bound));
    assert_eq!(host.refused("DELETE", DEVICE, None).1, "FAILED_PRECONDITION");
    for id in &ids {
        assert_eq!(host.ok("GET", &format!("{DEVICE}/commands/{id}"), None)["status"], "queued");
    }
    assert_eq!(purged(), [0_usize; 0]);
    host.ok("POST", &format!("{REGISTRY}:unbindDeviceFromGateway"), Some(&bound));
    host.ok("DELETE", DEVICE, None);
    assert_eq!(purged(), [3]);
}

/// Status, ETag and JSON of a call with `If-Match`.
fn matching(host: &TestHost, method: &str, path: &str, etag: &str, body: &Value) -> (u16, String, Value) {
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", etag)];
    let headers = if etag.is_empty() { &headers[..2] } else { &headers };
    let body = (method != "GET").then(|| body.to_string());
    let mut answer = host.answer(method, path, headers, body.as_deref().map(str::as_bytes));
    let tag = answer.headers().get("etag").map_or(String::new(), |tag| tag.to_str().unwrap().to_owned());
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), tag, serde_json::from_str(&text).unwrap_or_default())
}

#[test]
fn a_change_with_an_etag_is_made_only_to_what_the_caller_has_seen() {
    let host = host();
    for (path, mask, body) in [
        (DEVICE, "logLevel", json!({"logLevel": "DEBUG"})),
        (REGISTRY, "logLevel", json!({"logLevel": "DEBUG"})),
        (SERVICE, "disabled", json!({"disabled": true})),
    ] {
        let patch = format!("{path}?updateMask={mask}");
        let (_, seen, _) = matching(&host, "GET", path, "", &json!(null));
        let (status, newer, _) = matching(&host, "PATCH", &patch, &seen, &body);
        assert!(status == 200 && newer != seen, "{path}: {status} {seen} {newer}");
        assert_eq!(matching(&host, "GET", path, "", &json!(null)).1, newer);
        for (method, call) in
            [("PATCH", &patch), ("DELETE", &path.to_owned()), ("POST", &format!("{path}:removeCredential"))]
        {
            let credential = if path == REGISTRY { authority() } else { key() };
            let body = if method == "POST" { &credential } else { &body };
            let (status, _, answer) = matching(&host, method, call, &seen, body);
            let (word, text) = (&answer["error"]["status"], answer["error"]["message"].as_str().unwrap());
            assert_eq!((status, word), (412, &json!("ABORTED")), "{method} {call}: {answer}");
            assert!(text.contains(&format!("its ETag is {newer}, not {seen}")), "{text}");
        }
        assert_eq!(matching(&host, "PATCH", &patch, "*", &body).0, 200, "{path}");
        assert_eq!(matching(&host, "PATCH", &patch, "newest", &body).0, 400, "{path}");
    }
    // Of several callers with the same ETag, one succeeds.
    let (_, seen, _) = matching(&host, "GET", DEVICE, "", &json!(null));
    let won = parking_lot::Mutex::new(Vec::new());
    at_once(&(0..8).collect::<Vec<_>>(), |n| {
        let body = json!({"metadata": {"winner": n.to_string()}});
        let (status, ..) = matching(&host, "PATCH", &format!("{DEVICE}?updateMask=metadata"), &seen, &body);
        assert!([200, 412].contains(&status), "{status}");
        won.lock().extend((status == 200).then_some(body));
    });
    let won = won.into_inner();
    assert_eq!((won.len(), &host.ok("GET", DEVICE, None)["metadata"]), (1, &won[0]["metadata"]));
    // A password counts as a change of the device; what the device itself sends does not.
    let (_, seen, _) = matching(&host, "GET", DEVICE, "", &json!(null));
    host.ok("POST", &format!("{DEVICE}:modifyCloudToDeviceConfig"), Some(&json!({"binaryData": "eA=="})));
    assert_eq!(matching(&host, "GET", DEVICE, "", &json!(null)).1, seen);
    let password = json!({"password": "a long password"});
    assert_eq!(matching(&host, "POST", &format!("{DEVICE}:setPassword"), &seen, &password).0, 200);
    assert_eq!(matching(&host, "DELETE", DEVICE, &seen, &json!(null)).0, 412);
    // What the host could not compare is refused, so no caller relies on it.
    for (method, path) in [
        ("PATCH", format!("{DEVICE}/twin")),
        ("POST", format!("{REGISTRY}:bindDeviceToGateway")),
        ("POST", format!("{REGISTRY}:unbindDeviceFromGateway")),
        ("POST", format!("{REGISTRY}/enrollments")),
        ("DELETE", format!("{REGISTRY}/enrollments/maker")),
    ] {
        let (status, _, answer) = matching(&host, method, &path, &seen, &json!({}));
        assert!(status == 400 && answer["error"]["message"] == "this call takes no If-Match", "{path}: {answer}");
    }
}

#[test]
fn a_device_that_cannot_be_deleted_keeps_its_commands() {
    let host = host();
    let gateway = json!({"gatewayConfig": {"gatewayType": "GATEWAY"}});
    host.ok("PATCH", &format!("{DEVICE}?updateMask=gatewayConfig"), Some(&gateway));
    host.ok("POST", DEVICES, Some(&json!({"id": "plug"})));
    host.ok(
        "POST",
        &format!("{REGISTRY}:bindDeviceToGateway"),
        Some(&json!({"gatewayId": "lamp", "deviceId": "plug"})),
    );
    let send = || host.ok("POST", &format!("{DEVICE}:sendCommandToDevice"), Some(&json!({"ttl": "60s"})));
    send();
    assert!(host.refused("DELETE", DEVICE, None).2.contains("still has bound devices"));
    send();
    let mut commands = host.ok("GET", &format!("{DEVICE}/commands"), None)["commands"].take();
    let open: Vec<_> = commands.as_array_mut().unwrap().iter().map(|command| command["status"].clone()).collect();
    assert_eq!(open, ["queued", "queued"]);
}

#[test]
fn settings_of_a_plugin_are_changed_one_by_one() {
    let host = host();
    let (status, _) = host.bytes("PUT", "/v1/plugins/relay", "application/wasm", Some(b"\0asm\x0d\0\x01\0"));
    assert_eq!(status, 200);
    let keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
    at_once(&keys, |key| drop(host.ok("PATCH", "/v1/plugins/relay", Some(&json!({"settings": {key: 1}})))));
    let settings: toml::Table = std::fs::read_to_string(host.folder.join("relay.toml")).unwrap().parse().unwrap();
    assert_eq!(settings["settings"].as_table().unwrap().len(), keys.len());
}
