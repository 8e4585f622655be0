//! After an execution that was left out of a recording, a new instance begins.

use std::fs;

use serde_json::json;
use switchbox_tests::{HOSTILE, HostFolder};

use super::{record, recorded, replay, stop_recording};

/// Events that are left out, each with one after it that is recorded.
const LEFT_OUT: usize = 8;
/// Workers of a plugin that computes, so that what is handled in turn can be spread over as many instances.
const WORKERS: usize = 2;

#[test]
fn what_follows_an_execution_that_was_left_out_begins_with_a_new_instance() {
    let host_folder = HostFolder::new();
    host_folder.plugin("rogue.wasm", fs::read(HOSTILE).unwrap());
    host_folder.plugin("rogue.toml", "[limits]\ndeadline = \"30s\"\nhost-call-time = \"60s\"\n");
    let host = host_folder.start();
    record(&host, "rogue");
    // What the plugin reads of it is more than a recording takes for one execution, 4 MiB.
    let lamp = json!({"id": "lamp-1", "metadata": {"long": "x".repeat(16_000)}});
    let _ = host.admin().post("/v1/projects/local/locations/local/registries/default/devices", &lamp).ok();
    drop(host.device("report"));
    let mut device = host.device("rogue-1");
    for _ in 0..LEFT_OUT {
        device.event("host-calls 400");
        device.event("time");
    }
    recorded(&host, "rogue", LEFT_OUT as u64);
    let file = host_folder.root().join("rogue.jsonl");
    stop_recording(&host, &host_folder, "rogue", &file);
    host.stop();
    let text = fs::read_to_string(&file).unwrap();
    let starts = text.lines().filter(|line| line.starts_with(r#"{"kind":"start""#)).count();
    assert!(starts >= LEFT_OUT - WORKERS, "{starts} instances");
    let (code, replayed) = replay(&file, &["--component", HOSTILE]);
    let counts = (&replayed["executions"], &replayed["skipped"], &replayed["different"]);
    assert_eq!((code, counts), (0, (&json!(LEFT_OUT), &json!(LEFT_OUT), &json!(0))), "{replayed}");
}
