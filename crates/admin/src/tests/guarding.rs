//! Tests of access to calls, their rates, the audit log and the answers to browsers.

use serde_json::{Value, json};

use crate::testing::{TestHost, base64};
use switchbox_model::limits::LimitName;
use switchbox_settings::AdminAuth;

const REGISTRY: &str = "/v1/projects/local/locations/local/registries/default";

fn token(host: &TestHost, scope: &str) -> String {
    let made = host.ok("POST", "/v1/tokens", Some(&json!({"name": scope, "scope": scope})));
    format!("Bearer {}", made["token"].as_str().unwrap())
}

fn as_token(host: &TestHost, bearer: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("authorization", bearer), ("content-type", "application/json")];
    host.raw(method, path, &headers, (method != "GET").then(|| body.to_string()).as_deref().map(str::as_bytes))
}

#[test]
fn a_scope_lets_do_what_it_holds_and_no_more() {
    let host = TestHost::new();
    host.ok("POST", &format!("{REGISTRY}/devices"), Some(&json!({"id": "lamp"})));
    let bearers = ["read", "operate", "admin"].map(|scope| token(&host, scope));
    let lamp = format!("{REGISTRY}/devices/lamp");
    for (method, path, body, least) in [
        ("GET", lamp.clone(), json!(null), 0),
        ("GET", "/metrics".into(), json!(null), 0),
        ("POST", format!("{lamp}:modifyCloudToDeviceConfig"), json!({"binaryData": "eA=="}), 1),
        ("PATCH", format!("{lamp}?updateMask=blocked"), json!({"blocked": false}), 2),
        ("POST", "/v1/plugins/relay:disable".into(), json!({}), 2),
        ("GET", "/v1/tokens".into(), json!(null), 2),
        ("GET", "/v1/audit".into(), json!(null), 2),
        ("DELETE", lamp.clone(), json!({}), 2),
    ] {
        for (rank, bearer) in bearers.iter().enumerate() {
            let (status, answer) = as_token(&host, bearer, method, &path, &body);
            assert_eq!(status == 403, rank < least, "{method} {path} with scope {rank}: {answer}");
            if status == 403 {
                let text = answer["error"]["message"].as_str().unwrap();
                assert!(text.starts_with("this call needs a token with the scope"), "{text}");
            }
        }
    }
}

#[test]
fn a_token_that_is_deleted_admits_no_caller() {
    let host = TestHost::new();
    let bearer = token(&host, "operate");
    assert_eq!(as_token(&host, &bearer, "GET", "/v1/plugins", &json!(null)).0, 200);
    let listed = host.ok("GET", "/v1/tokens", None);
    assert_eq!((&listed["tokens"][0]["name"], &listed["tokens"][0]["scope"]), (&json!("operate"), &json!("operate")));
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1);
    host.ok("DELETE", "/v1/tokens/operate", None);
    assert_eq!(as_token(&host, &bearer, "GET", "/v1/plugins", &json!(null)).0, 401);
    assert_eq!(host.refused("DELETE", "/v1/tokens/operate", None).1, "NOT_FOUND");
    assert_eq!(host.refused("POST", "/v1/tokens", Some(&json!({"name": "a", "scope": "open"}))).1, "INVALID_ARGUMENT");
    let open = TestHost::with(AdminAuth::None);
    assert_eq!(open.refused("GET", "/v1/tokens", None).1, "FAILED_PRECONDITION");
}

#[test]
fn every_write_is_in_the_audit_log_with_its_caller_and_status() {
    let host = TestHost::new();
    let bearer = token(&host, "read");
    let devices = format!("{REGISTRY}/devices");
    host.ok("POST", &devices, Some(&json!({"id": "lamp"})));
    host.refused("POST", &format!("{devices}/lamp:sendCommandToDevice?$alt=json"), None);
    as_token(&host, &bearer, "DELETE", &format!("{devices}/lamp"), &json!({}));
    host.ok("GET", &format!("{devices}/lamp"), None);
    let mut lines = Vec::new();
    let mut path = "/v1/audit?pageSize=2".to_owned();
    loop {
        let page = host.ok("GET", &path, None);
        lines.extend(page["lines"].as_array().unwrap().clone());
        match page["nextPageToken"].as_str() {
            Some(next) => path = format!("/v1/audit?pageSize=2&pageToken={next}"),
            None => break,
        }
    }
    let found: Vec<_> = lines.iter().map(|line| (&line["who"], &line["call"], &line["status"])).collect();
    let written = [
        ("read", format!("DELETE {devices}/lamp"), 403),
        ("admin-token", format!("POST {devices}/lamp:sendCommandToDevice"), 400),
        ("admin-token", format!("POST {devices}"), 200),
        ("admin-token", "POST /v1/tokens".to_owned(), 200),
    ]
    .map(|(caller, call, status)| (json!(caller), json!(call), json!(status)));
    assert_eq!(found, written.iter().map(|(caller, call, status)| (caller, call, status)).collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line["address"] == "127.0.0.1" && line["time"].is_string()), "{lines:?}");
    assert_eq!(host.refused("GET", "/v1/audit?pageToken=x", None).1, "INVALID_ARGUMENT");
}

#[test]
fn a_line_names_the_object_and_the_parameters_that_matter() {
    let host = TestHost::new();
    let devices = format!("{REGISTRY}/devices");
    host.ok("POST", &devices, Some(&json!({"id": "lamp", "metadata": {"owner": "secret"}})));
    let number = host.ok("GET", &format!("{devices}/lamp"), None)["numId"].as_str().unwrap().to_owned();
    host.ok("PATCH", &format!("{devices}/{number}?updateMask=blocked"), Some(&json!({"blocked": true})));
    host.ok("POST", &format!("{devices}/lamp:setPassword"), Some(&json!({"password": "secret"})));
    let lines = host.ok("GET", "/v1/audit", None)["lines"].take();
    let found: Vec<_> = lines.as_array().unwrap().iter().map(|line| (&line["object"], &line["parameters"])).collect();
    let lamp = json!("projects/local/locations/local/registries/default/devices/lamp");
    assert_eq!(
        found,
        [
            (&lamp, &json!({"password": "(6 bytes)"})),
            (&lamp, &json!({"updateMask": "blocked", "blocked": true})),
            (&lamp, &json!({"id": "lamp", "metadata": {"fields": ["owner"]}})),
        ]
    );
    assert!(!lines.to_string().contains("secret"));
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let answer = host.answer("GET", &format!("{devices}/{number}"), &[("authorization", &bearer)], None);
    assert_eq!(answer.headers()["switchbox-object"], lamp.as_str().unwrap());
}

#[test]
fn a_write_that_cannot_be_written_down_is_not_carried_out() {
    let host = TestHost::new();
    host.ready.store(true, std::sync::atomic::Ordering::Release);
    let devices = format!("{REGISTRY}/devices");
    host.ok("POST", &devices, Some(&json!({"id": "before"})));
    let audit = host.folder.parent().unwrap().join("audit");
    std::fs::remove_dir_all(&audit).unwrap();
    std::fs::write(&audit, "in the way").unwrap();
    let (status, word, text) = host.refused("POST", &devices, Some(&json!({"id": "lost"})));
    assert_eq!((status, word.as_str()), (503, "UNAVAILABLE"));
    assert!(text.starts_with("nothing was changed: the audit log cannot be written"), "{text}");
    assert_eq!(host.refused("GET", &format!("{devices}/lost"), None).0, 404);
    assert_eq!(host.raw("GET", "/readyz", &[], None).0, 503);
    std::fs::remove_file(&audit).unwrap();
    assert_eq!(host.raw("GET", "/readyz", &[], None).0, 200);
    host.ok("POST", &devices, Some(&json!({"id": "after"})));
    assert_eq!(host.ok("GET", "/v1/audit", None)["lines"][0]["parameters"]["id"], "after");
}

#[test]
fn a_number_names_a_device_only_where_no_id_could_be_meant() {
    let host = TestHost::new();
    let devices = format!("{REGISTRY}/devices");
    for id in ["a", "b", "c", "2"] {
        host.ok("POST", &devices, Some(&json!({"id": id})));
    }
    host.ok(
        "PATCH",
        &format!("{devices}/a?updateMask=gatewayConfig"),
        Some(&json!({"gatewayConfig": {"gatewayType": 1}})),
    );
    host.ok("DELETE", &format!("{devices}/2"), None);
    let binding = |device: &str| json!({"gatewayId": "a", "deviceId": device});
    for (method, path, body) in [
        ("DELETE", format!("{devices}/2"), json!({})),
        ("GET", format!("{devices}/2"), json!(null)),
        ("PATCH", format!("{devices}/3?updateMask=blocked"), json!({"blocked": true})),
        ("POST", format!("{devices}/3:sendCommandToDevice"), json!({"binaryData": "eA==", "ttl": "60s"})),
        ("POST", format!("{devices}/3:modifyCloudToDeviceConfig"), json!({"binaryData": "eA=="})),
        ("POST", format!("{devices}/3:invokeMethod"), json!({"method": "x"})),
        ("POST", format!("{devices}/3:setPassword"), json!({"password": "x"})),
        ("PATCH", format!("{devices}/3/twin"), json!({"x": 1})),
        ("DELETE", format!("{devices}/3/commands"), json!({})),
        ("POST", format!("{REGISTRY}:bindDeviceToGateway"), binding("3")),
        ("POST", format!("{REGISTRY}:unbindDeviceFromGateway"), binding("3")),
    ] {
        let refused = host.refused(method, &path, (method != "GET").then_some(&body));
        assert_eq!(refused.1, "NOT_FOUND", "{method} {path}: {refused:?}");
    }
    assert_eq!(host.ok("GET", &devices, None)["devices"].as_array().unwrap().len(), 3);
    // The name in Google's clients.
    let number = host.device("b").num.num_id().to_string();
    assert_eq!(host.ok("GET", &format!("{devices}/{number}"), None)["id"], "b");
    host.ok("POST", &format!("{REGISTRY}:bindDeviceToGateway"), Some(&binding(&number)));
    let object = host.ok("GET", "/v1/audit", None)["lines"][0]["object"].take();
    let object = object.as_str().unwrap();
    assert!(object.ends_with("/devices/b") && object.contains("/devices/a, "), "{object}");
}

#[test]
fn a_token_that_may_not_write_cannot_make_the_audit_log_forget() {
    let host = TestHost::new();
    let bearer = token(&host, "read");
    let long = format!("/v1/tokens/{}", "é".repeat(600));
    for _ in 0..200 {
        assert_eq!(as_token(&host, &bearer, "DELETE", &long, &json!({})).0, 403);
    }
    let lines = host.ok("GET", "/v1/audit?pageSize=100", None)["lines"].take();
    let lines = lines.as_array().unwrap();
    let refused: Vec<_> = lines.iter().filter(|line| line["who"] == "read").collect();
    assert!(!refused.is_empty() && refused.len() <= 30, "{}", refused.len());
    assert!(refused.iter().all(|line| line["call"].as_str().unwrap().len() < 600));
    assert!(refused[0]["call"].as_str().unwrap().ends_with("(no more of these for a minute)"), "{}", refused[0]);
    assert_eq!(lines.last().unwrap()["call"], "POST /v1/tokens");
}

#[test]
fn a_caller_with_wrong_tokens_is_throttled_and_one_with_a_token_is_not() {
    let host = TestHost::new();
    let guess = || host.answer("GET", "/v1/plugins", &[("authorization", "Bearer guess")], None);
    let slowed = std::iter::repeat_with(guess).take(10_000).find(|answer| answer.status() != 401).unwrap();
    assert_eq!(slowed.status(), 429);
    let wait: u64 = slowed.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait >= 1, "{wait}");
    host.ok("GET", "/v1/plugins", None);
    assert_eq!(host.raw("GET", "/healthz", &[], None).0, 200);
}

#[test]
fn a_body_that_is_too_large_is_refused_with_the_limit() {
    let host = TestHost::new();
    let large = vec![b' '; 1024 * 1024 + 1];
    for (method, path) in [
        ("POST", format!("{REGISTRY}/devices")),
        ("PATCH", "/v1/plugins/relay".into()),
        ("POST", "/v1/plugins/relay:reload".into()),
        ("POST", "/v1/deadLetters/1:redrive".into()),
    ] {
        let (status, answer) = host.bytes(method, &path, "application/json", Some(&large));
        assert_eq!(status, 413, "{method} {path}: {answer}");
        let text = answer["error"]["message"].as_str().unwrap();
        assert_eq!(text, "the request's body is larger than the 1048576 bytes that this call takes");
    }
}

#[test]
fn a_head_that_holds_too_much_is_refused_by_a_limit_that_has_a_name_and_is_counted() {
    let host = TestHost::new();
    let bearer = format!("Bearer {}", host.token.as_deref().unwrap());
    let (devices, long) = (format!("{REGISTRY}/devices"), "x".repeat(5_000));
    let hits = |limit: &str| host.handles.counters.limit_hits(LimitName::find(limit).unwrap());
    let large = "x".repeat(64 * 1024);
    for (path, header, limit) in [
        (format!("{devices}/{long}"), "", "admin_path_bytes"),
        (format!("/{long}"), "", "admin_path_bytes"),
        (format!("{devices}?pageToken={long}"), "", "admin_parameter_bytes"),
        (format!("{devices}?$alt={long}"), "", "admin_parameter_bytes"),
        (devices.clone(), &large, "admin_head_bytes"),
    ] {
        let before = hits(limit);
        let (status, answer) = host.raw("GET", &path, &[("authorization", &bearer), ("last-event-id", header)], None);
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{limit}: {text}");
        assert!(text.contains(&format!("(limit {limit})")) && text.len() < 300, "{text}");
        assert_eq!(hits(limit), before + 1, "{limit}");
    }
    let before = hits("admin_head_bytes");
    assert_eq!(host.raw("GET", &devices, &[("x", "y"); 120], None).0, 431);
    // It is counted when the connection ends, which the caller may see a moment earlier.
    let is_counted = || host.raw("GET", "/healthz", &[], None).0 == 200 && hits("admin_head_bytes") == before + 1;
    assert!((0..1_000).any(|_| is_counted()));
    // Too large page sizes are cut, and lists of ids may be long.
    let ids = "lamp-1,".repeat(8_000);
    for query in ["pageSize=10001".to_owned(), format!("deviceIds={ids}")] {
        host.ok("GET", &format!("{devices}?{query}"), None);
    }
    assert_eq!(hits("admin_page_items"), 1);
}

#[test]
fn a_field_that_holds_too_much_is_refused_by_a_limit_that_has_a_name_and_is_counted() {
    let host = TestHost::new();
    host.ok("POST", &format!("{REGISTRY}/devices"), Some(&json!({"id": "lamp-1"})));
    let device = |verb: &str| format!("{REGISTRY}/devices/lamp-1{verb}");
    let bytes = |count: usize| base64(&vec![b'x'; count]);
    let (long, key) = ("x".repeat(300), json!({"publicKey": {"format": "ES256_PEM", "key": "x".repeat(20_000)}}));
    let certificate = json!({"publicKeyCertificate": {"format": 1, "certificate": "x".repeat(20_000)}});
    let (devices, services, registries) = (
        format!("{REGISTRY}/devices"),
        "/v1/serviceAccounts".to_owned(),
        REGISTRY.rsplit_once('/').unwrap().0.to_owned(),
    );
    for (path, body, limit) in [
        (&devices, json!({"id": long}), "id_bytes"),
        (&devices, json!({"id": "a", "metadata": {"a": "x".repeat(300_000)}}), "metadata_bytes"),
        (&devices, json!({"id": "a", "credentials": [key]}), "credential_bytes"),
        (
            &devices,
            json!({"id": "a", "methodEndpoint": {"url": format!("http://a/{}", "x".repeat(3_000))}}),
            "endpoint_url_bytes",
        ),
        (&device(":modifyCloudToDeviceConfig"), json!({"binaryData": bytes(70_000)}), "config_bytes"),
        (&device(":sendCommandToDevice"), json!({"binaryData": bytes(300_000), "ttl": "60s"}), "command_bytes"),
        (&device(":sendCommandToDevice"), json!({"binaryData": "", "ttl": "2592000.5s"}), "command_ttl"),
        (&device(":sendCommandToDevice"), json!({"binaryData": "", "subfolder": long}), "subfolder_bytes"),
        (&device(":invokeMethod"), json!({"method": long}), "method_name_bytes"),
        (&device(":invokeMethod"), json!({"method": "dim", "payload": bytes(300_000)}), "method_bytes"),
        (&device(":invokeMethod"), json!({"method": "dim", "timeout": "300.5s"}), "method_timeout"),
        (&device(":setPassword"), json!({"password": long}), "password_bytes"),
        (&services, json!({"id": "a", "publish": vec!["a"; 101]}), "service_filters"),
        (&services, json!({"id": "a", "subscribe": ["x".repeat(2_000)]}), "service_filter_bytes"),
        (&registries, json!({"id": "a", "credentials": vec![certificate.clone(); 11]}), "registry_authorities"),
        (&registries, json!({"id": "a", "credentials": [certificate]}), "credential_bytes"),
        (
            &registries,
            json!({"id": "a", "eventNotificationConfigs": vec![json!({"pubsubTopicName": "t"}); 11]}),
            "event_topics",
        ),
        (
            &registries,
            json!({"id": "a", "stateNotificationConfig": {"pubsubTopicName": "t".repeat(2_000)}}),
            "event_topic_bytes",
        ),
        (&"/v1/tokens".to_owned(), json!({"name": long, "scope": "read"}), "admin_token_name_bytes"),
        (&format!("{REGISTRY}:bindDeviceToGateway"), json!({"gatewayId": long, "deviceId": "lamp-1"}), "id_bytes"),
    ] {
        let before = host.handles.counters.limit_hits(LimitName::find(limit).unwrap());
        let (status, answer) = host.call("POST", path, Some(&body));
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400, "{path} {limit}: {status} {text}");
        assert!(limit == "id_bytes" || text.contains(&format!("(limit {limit})")), "{path}: {text}");
        assert_eq!(host.handles.counters.limit_hits(LimitName::find(limit).unwrap()) - before, 1, "{path} {limit}");
    }
}

#[test]
fn every_answer_says_that_browsers_are_to_do_nothing_with_it() {
    let host = TestHost::new();
    for path in ["/healthz", "/openapi.json", "/v1/plugins", "/nothing", "/v1/events:follow"] {
        let answer = host.answer("GET", path, &[("origin", "http://other.example")], None);
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
        assert_eq!(header("x-frame-options").as_deref(), Some("DENY"), "{path}");
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path}");
        assert!(header("content-security-policy").unwrap().contains("default-src 'none'"), "{path}");
        assert_eq!(header("access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn a_web_page_may_call_only_where_the_settings_name_its_origin() {
    let host = TestHost::with_origins(&["https://panel.example"]);
    let allowed_origin = |host: &TestHost, origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let answer = host.answer("OPTIONS", &format!("{REGISTRY}/devices/lamp:invokeMethod"), &headers, None);
        answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(allowed_origin(&host, "https://panel.example").as_deref(), Some("https://panel.example"));
    assert_eq!(allowed_origin(&host, "https://other.example"), None);
    assert_eq!(allowed_origin(&TestHost::new(), "https://panel.example"), None);
}

#[test]
fn a_plugins_name_leads_to_no_other_folder() {
    let host = TestHost::new();
    let component = b"\0asm\x0d\0\x01\0";
    for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..%5c..%5cx", "a%2fb", "%2fetc%2fx", ".hidden", "a%00b"] {
        for (method, body) in [("PUT", Some(&component[..])), ("GET", None), ("DELETE", None)] {
            let (status, answer) = host.bytes(method, &format!("/v1/plugins/{name}"), "application/wasm", body);
            let text = answer["error"]["message"].as_str().unwrap_or_default();
            assert!(status == 400 && text.contains("plugin name"), "{method} {name}: {status} {answer}");
        }
    }
    assert!(!host.folder.exists() || std::fs::read_dir(&host.folder).unwrap().count() == 0);
}

#[test]
fn a_bearer_token_is_asked_for_and_taken_as_http_says() {
    let host = TestHost::new();
    let token = host.token.clone().unwrap();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let (status, _) = host.raw("GET", "/v1/status", &[("authorization", &format!("{scheme} {token}"))], None);
        assert_eq!(status, 200, "{scheme}");
    }
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic eDp5")]] {
        let answer = host.answer("GET", "/v1/status", headers, None);
        let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), challenge), (401, Some("Bearer")), "{headers:?}");
    }
}
