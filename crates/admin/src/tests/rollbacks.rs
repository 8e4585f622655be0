//! Tests of rollbacks to versions, and of what explanations say of canaries.

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;

use crate::testing::TestHost;
use switchbox_model::{Entry, Handled, JournaledDigest, Outcome, PluginName, Seq};

#[test]
fn a_rollback_skips_what_the_guard_rolled_back_and_brings_the_files_of_the_version_in_force_back() {
    const FAILED: &[u8] = b"\0asm\x0d\0\x01\0failed";
    let host = TestHost::new();
    host.plugins.failed.store(true, Ordering::Relaxed);
    host.bytes("PUT", "/v1/plugins/relay", "application/wasm", Some(FAILED));
    let file = || std::fs::read(host.folder.join("relay.wasm")).unwrap();
    let back = host.ok("POST", "/v1/plugins/relay:rollback", None);
    assert_eq!((&back["version"], file()), (&json!(1), b"\0asm\x0d\0\x01\0before".to_vec()));
    // Version 2 runs, and the files have another.
    host.bytes("PUT", "/v1/plugins/relay", "application/wasm", Some(FAILED));
    let to_2 = json!({"to": "2"});
    let back = host.ok("POST", "/v1/plugins/relay:rollback", Some(&to_2));
    assert_eq!((&back["version"], file()), (&json!(2), b"\0asm\x0d\0\x01\0now".to_vec()));
    let refused = host.refused("POST", "/v1/plugins/relay:rollback", Some(&to_2));
    assert!(refused.2.contains("in force already"), "{refused:?}");
    host.ok("PATCH", "/v1/plugins/relay", Some(&json!({"settings": {"target": "lamp-1"}})));
    host.ok("POST", "/v1/plugins/relay:rollback", Some(&to_2));
    assert_eq!(std::fs::read(host.folder.join("relay.toml")).unwrap(), b"");
}

#[test]
fn an_explanation_says_why_the_guard_ended_the_canary_that_had_the_event() {
    let host = TestHost::new();
    host.ok("POST", "/v1/projects/local/locations/local/registries/default/devices", Some(&json!({"id": "lamp"})));
    ["a", "b", "c"].iter().for_each(|payload| host.telemetry("lamp", payload));
    let canary = JournaledDigest::of_canary("sha256:0");
    for (seq, digest, attempt) in [(1, canary, 1), (2, Arc::from("sha256:0"), 2), (3, Arc::from("sha256:0"), 1)] {
        let handled = Entry::from(Handled {
            plugin: PluginName::new("relay").unwrap(),
            digest,
            seq: Seq(seq),
            attempt,
            time_ms: 4_000,
            took_us: 7,
            logs: Vec::new(),
            outcome: Outcome::Done { effects: Vec::new() },
        });
        host.runtime.block_on(host.handles.store.call(handled)).unwrap();
    }
    let notes = |id: &str| host.ok("GET", &format!("/v1/explain/{id}"), None)["notes"].clone();
    let why = "At 1970-01-01T00:00:05.000Z the guard ended it: 1 traps in 2 events";
    assert_eq!(notes("1"), json!([format!("a canary of relay handled event 1. {why}")]));
    assert_eq!(notes("2"), json!([format!("a canary of relay had event 2 before. {why}")]));
    assert_eq!(notes("3"), json!(null));
    let executions = host.ok("GET", "/v1/executions?plugin=relay", None)["executions"].clone();
    let of: Vec<_> = executions.as_array().unwrap().iter().map(|one| (&one["digest"], one.get("canary"))).collect();
    let digest = json!("sha256:0");
    assert_eq!(of, [(&digest, None), (&digest, None), (&digest, Some(&json!(true)))]);
}

#[test]
fn an_explanation_says_that_effects_wait_for_approval() {
    let host = TestHost::new();
    host.ok("POST", "/v1/projects/local/locations/local/registries/default/devices", Some(&json!({"id": "lamp"})));
    (0..7).for_each(|_| host.telemetry("lamp", "on"));
    let explanation = |id: &str| host.ok("GET", &format!("/v1/explain/{id}"), None);
    let waits = json!({"waitsForApproval": {"id": "7.relay", "since": "1970-01-01T00:00:00.000Z", "why": "", "effectCount": 12}});
    let event = explanation("7");
    assert_eq!(event["branches"], json!([waits]));
    assert!(!event["text"].as_str().unwrap().contains("no plugin has handled it"), "{event}");
    for id in ["7.relay", "7.relay.0"] {
        assert_eq!(explanation(id)["chain"][1], waits, "{id}");
    }
    assert_eq!(explanation("6")["branches"], json!([]));
    assert_eq!(host.refused("GET", "/v1/explain/6.relay", None).1, "NOT_FOUND");
}

#[test]
fn state_that_is_not_kept_is_said_so_once() {
    let host = TestHost::new();
    host.ok("DELETE", "/v1/plugins/gone?purgeState=true", None);
    let (_, word, text) = host.refused("DELETE", "/v1/plugins/nobody?purgeState=true", None);
    assert_eq!((&*word, &*text), ("NOT_FOUND", "no state of a plugin nobody is kept"));
}
