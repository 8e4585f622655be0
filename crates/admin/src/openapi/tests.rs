//! The document and the running API agree: every call of one is in the other, with the same parameters and fields.

use serde_json::{Map, Value, json};

use super::conformance::{DOCUMENT, operations, problem, schema};
use crate::testing::TestHost;

/// The path of an object that exists.
fn existing(path: &str) -> String {
    let path = path.replace("{p}", "local").replace("{l}", "local").replace("{r}", "default").replace("{d}", "lamp");
    path.replace("{name}", "relay").replace("{id}", "1")
}

fn host() -> TestHost {
    let host = TestHost::new();
    let devices = "/v1/projects/local/locations/local/registries/default/devices";
    host.ok("POST", devices, Some(&json!({"id": "lamp"})));
    host.ok("POST", "/v1/serviceAccounts", Some(&json!({"id": "relay"})));
    host
}

fn fields(schema: &str) -> Option<&'static Map<String, Value>> {
    DOCUMENT["components"]["schemas"][schema]["properties"].as_object()
}

#[test]
fn every_documented_call_is_answered_and_says_which_parameters_it_has() {
    let host = host();
    for (method, path, operation) in operations() {
        if operation["security"] == json!([]) {
            assert_ne!(host.call(&method, &existing(&path), None).0, 404, "{method} {path}");
            continue;
        }
        if operation["x-switchbox-scope"] == "device" {
            // Enrolment is open here, so a device without a credential is admitted.
            assert_ne!(host.raw(&method, &existing(&path), &[], None).0, 404, "{method} {path}");
            continue;
        }
        assert_eq!(host.raw(&method, &existing(&path), &[], None).0, 401, "{method} {path} asks for no token");
        let url = format!("{}?noSuchParameter=1", existing(&path));
        let (status, answer) = host.call(&method, &url, None);
        let text = answer["error"]["message"].as_str().unwrap_or_default();
        let missing = ["this API has no", "cannot be done with"].iter().any(|part| text.contains(part));
        assert!(status != 404 && status != 405 && !missing, "{method} {path}: {status} {text}");
        // A call for an object that does not exist yet, or without a JSON answer, does not show its parameters.
        let Some((_, known)) = text.split_once("this call has ") else { continue };
        let documented: Vec<_> =
            operation["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "query").collect();
        let documented: Vec<_> = documented.iter().map(|p| p["name"].as_str().unwrap()).collect();
        let known: Vec<_> = known.split(", ").filter(|name| *name != "none").collect();
        assert_eq!(documented, known, "{method} {path}");
    }
}

#[test]
fn what_is_not_documented_is_not_there() {
    let host = host();
    let documented = operations();
    // With another method, what follows a colon is part of a name.
    for path in documented.iter().map(|(_, path, _)| path).filter(|path| !path.contains("}:")) {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if documented.iter().any(|(m, p, _)| m == method && p == path) {
                continue;
            }
            let (_, answer) = host.call(method, &existing(path), None);
            let text = answer["error"]["message"].as_str().unwrap_or_default();
            let missing = ["this API has no", "cannot be done with", "not in this version"];
            assert!(missing.iter().any(|part| text.contains(part)), "{method} {path}: {answer}");
        }
    }
}

/// The error for a body with an unknown field lists the known ones.
#[test]
fn every_documented_body_has_the_fields_that_the_call_takes() {
    let host = host();
    for (method, path, operation) in operations() {
        let Some(name) = schema(&operation, "/requestBody") else { continue };
        let (_, answer) = host.call(&method, &existing(&path), Some(&json!({"?": 1})));
        let text = answer["error"]["message"].as_str().unwrap();
        let (_, known) = text.split_once("Cannot find field; expected ").unwrap_or_else(|| panic!("{path}: {text}"));
        let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        assert!(fields(name).unwrap().keys().eq(known), "{name}, which {method} {path} takes");
    }
}

#[test]
fn an_answer_is_null_only_where_the_document_says_so() {
    let series = |values: Value| problem("GET", "/v1/status/series", &json!({"commitP50Us": values}));
    assert_eq!(fields("HostSeries").unwrap()["commitP50Us"]["items"]["oneOf"][1], json!({"type": "null"}));
    assert_eq!(series(json!([7, null])), None);
    assert!(series(json!(["7"])).is_some() && series(json!(null)).is_some());
    let plugin = host().ok("GET", "/v1/plugins/relay", None);
    assert_eq!(plugin.get("lastError"), None, "{plugin}");
}

#[test]
fn every_schema_that_is_named_is_there() {
    let mut open = vec![&*DOCUMENT];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        if let Some(name) = value.get("$ref").and_then(Value::as_str) {
            assert!(DOCUMENT.pointer(name.trim_start_matches('#')).is_some(), "{name} is nowhere");
            seen += 1;
        }
        match value {
            Value::Object(fields) => open.extend(fields.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(seen > 50, "only {seen}");
}
