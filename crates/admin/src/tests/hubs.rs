//! Tests of connection strings: their host name means the registry of the device or policy.

use serde_json::json;

use crate::testing::TestHost;

const REGISTRIES: &str = "/v1/projects/local/locations/local/registries";

#[test]
fn a_connection_string_names_a_host_that_means_its_registry() {
    let host = TestHost::new();
    for id in ["hall", "attic"] {
        host.ok("POST", REGISTRIES, Some(&json!({ "id": id })));
    }
    let path = |registry: &str| format!("{REGISTRIES}/{registry}:hubConnectionString");
    for (registry, requested, name) in [
        ("default", None, "localhost"),
        ("default", Some("plant.example"), "plant.example"),
        ("hall", None, "hall.example"),
        ("hall", Some("Hall.example"), "Hall.example"),
    ] {
        let answer = host.ok("POST", &path(registry), Some(&json!({"policy": "service", "hostName": requested})));
        let text = answer["connectionString"].as_str().unwrap();
        assert!(text.starts_with(&format!("HostName={name};")), "{registry}: {text}");
    }
    for (registry, requested, word, part) in [
        ("attic", None, "FAILED_PRECONDITION", "means registry attic: add NAME=attic to azure.hubs"),
        ("attic", Some("plant.example"), "INVALID_ARGUMENT", "plant.example means registry default"),
        ("default", Some("hall.example"), "INVALID_ARGUMENT", "hall.example means registry hall"),
    ] {
        let request = json!({"policy": "service", "hostName": requested});
        let (_, found, text) = host.refused("POST", &path(registry), Some(&request));
        assert!(found == word && text.contains(part), "{registry}: {found} {text}");
    }
}
