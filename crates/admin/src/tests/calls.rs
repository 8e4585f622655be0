//! Tests of the calls for registries, devices, plugins, history and access.

use std::sync::{Arc, atomic::Ordering};

use serde_json::json;

use crate::testing::TestHost;
use switchbox_model::{Entry, Event, EventData, Handled, Outcome, PluginName, Seq};
use switchbox_settings::AdminAuth;

const REGISTRIES: &str = "/v1/projects/local/locations/local/registries";
const DEVICES: &str = "/v1/projects/local/locations/local/registries/default/devices";

fn device(rest: &str) -> String {
    format!("{DEVICES}/{rest}")
}

#[test]
fn only_a_caller_with_the_token_is_accepted() {
    let host = TestHost::new();
    for (headers, text) in [
        (vec![], "a bearer token is needed: the one in admin-token in the host's data folder"),
        (vec![("authorization", "Bearer x")], "the bearer token is not this host's"),
    ] {
        for path in ["/v1/plugins", "/metrics", DEVICES] {
            let (status, answer) = host.raw("GET", path, &headers, None);
            assert_eq!((status, &answer["error"]["status"]), (401, &json!("UNAUTHENTICATED")), "{path}");
            assert_eq!(answer["error"]["message"], text);
        }
    }
    assert_eq!(host.raw("GET", "/healthz", &[], None).0, 200);
    assert_eq!(host.raw("GET", "/readyz", &[], None).0, 503);
    host.ready.store(true, Ordering::Release);
    assert_eq!(host.raw("GET", "/readyz", &[], None).0, 200);
    // The log has the panic's text; this line has the caller.
    assert_eq!(host.handles.tasks.run("timers", || -> u8 { panic!("as the test asked") }), None);
    let mut answer = host.answer("GET", "/readyz", &[], None);
    assert_eq!(answer.status(), 503);
    let text = answer.body_mut().read_to_string().unwrap();
    assert_eq!(text, "not ready: the task \"timers\" panicked: as the test asked; restart the host\n");
    assert_eq!(host.call("GET", "/metrics", None).0, 200);
}

#[test]
fn without_a_token_no_web_page_is_accepted() {
    let host = TestHost::with(AdminAuth::None);
    assert_eq!(host.raw("GET", "/v1/plugins", &[], None).0, 200);
    assert_eq!(host.raw("GET", "/v1/plugins", &[("origin", "http://evil.example")], None).0, 403);
    assert_eq!(host.raw("GET", "/v1/plugins", &[("host", "evil.example")], None).0, 403);
}

#[test]
fn a_registry_is_made_listed_and_deleted() {
    let host = TestHost::new();
    let made = host.ok("POST", REGISTRIES, Some(&json!({"id": "hall"})));
    assert_eq!(made["name"], "projects/local/locations/local/registries/hall");
    assert_eq!(host.refused("POST", REGISTRIES, Some(&json!({"id": "hall"}))).1, "ALREADY_EXISTS");
    let changed = host.ok("PATCH", &format!("{REGISTRIES}/hall?updateMask=log_level"), Some(&json!({"logLevel": 20})));
    assert_eq!((&changed["logLevel"], &changed["createTime"]), (&json!("ERROR"), &made["createTime"]));
    assert_eq!(host.ok("GET", &format!("{REGISTRIES}/hall"), None), changed);
    assert!(host.refused("PATCH", &format!("{REGISTRIES}/hall"), None).2.contains("updateMask"));
    let page = host.ok("GET", &format!("{REGISTRIES}?pageSize=1"), None);
    assert_eq!(page["deviceRegistries"][0]["id"], "default");
    let token = page["nextPageToken"].as_str().unwrap();
    let page = host.ok("GET", &format!("{REGISTRIES}?pageSize=1&pageToken={token}"), None);
    assert_eq!((&page["deviceRegistries"][0]["id"], page.get("nextPageToken")), (&json!("hall"), None));
    let hall = format!("{REGISTRIES}/hall");
    host.ok("POST", &format!("{hall}/devices"), Some(&json!({"id": "a"})));
    assert_eq!(host.refused("DELETE", &hall, None).1, "FAILED_PRECONDITION");
    host.ok("DELETE", &format!("{hall}/devices/a"), None);
    host.ok("DELETE", &hall, None);
    assert_eq!(host.refused("GET", &hall, None).1, "NOT_FOUND");
}

#[test]
fn a_device_is_made_changed_listed_and_deleted() {
    let host = TestHost::new();
    let request =
        json!({"id": "lamp-1", "metadata": {"room": "hall"}, "logLevel": 30, "config": {"binaryData": "eA=="}});
    let made = host.ok("POST", DEVICES, Some(&request));
    assert_eq!((&made["logLevel"], &made["config"]["version"]), (&json!("INFO"), &json!("1")));
    assert_eq!(host.refused("POST", DEVICES, Some(&request)).0, 409);

    let changed = host.ok("PATCH", &device("lamp-1?updateMask=blocked"), Some(&json!({"blocked": true})));
    assert_eq!((&changed["blocked"], &changed["metadata"]["room"]), (&json!(true), &json!("hall")));
    assert!(host.refused("PATCH", &device("lamp-1"), Some(&json!({"blocked": true}))).2.contains("updateMask"));

    let by_number =
        host.ok("GET", &device("4611686018427387905?$alt=json;enum-encoding=int&field_mask=id,log_level"), None);
    assert_eq!(by_number, json!({"id": "lamp-1", "logLevel": 30}));

    for id in ["lamp-2", "lamp-3", "odd:name"] {
        host.ok("POST", DEVICES, Some(&json!({ "id": id })));
    }
    let page = host.ok("GET", &format!("{DEVICES}?pageSize=2"), None);
    let second = page["devices"][1]["numId"].clone();
    assert_eq!(
        page["devices"],
        json!([{"id": "lamp-1", "numId": "4611686018427387905"}, {"id": "lamp-2", "numId": second}])
    );
    let token = page["nextPageToken"].as_str().unwrap();
    let page = host.ok("GET", &format!("{DEVICES}?pageSize=2&pageToken={token}&fieldMask=blocked"), None);
    assert_eq!(page["devices"][0], json!({"id": "lamp-3", "numId": page["devices"][0]["numId"], "blocked": false}));
    assert_eq!(page.get("nextPageToken"), None);
    let some = host.ok("GET", &format!("{DEVICES}?deviceIds=lamp-3&deviceIds=lamp-1,nobody"), None);
    assert_eq!(some["devices"].as_array().unwrap().len(), 2);

    assert_eq!(host.ok("GET", &device("odd:name"), None)["id"], "odd:name");
    host.ok("DELETE", &device("lamp-1"), None);
    let (status, word, text) = host.refused("GET", &device("lamp-1"), None);
    assert_eq!((status, word.as_str()), (404, "NOT_FOUND"));
    assert!(text.contains("devices/lamp-1 does not exist"), "{text}");
}

#[test]
fn what_is_wrong_with_a_call_is_said() {
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "a"})));
    for (method, path, body, word, part) in [
        ("POST", DEVICES.into(), json!({"id": "a b"}), "INVALID_ARGUMENT", "may hold only letters"),
        ("POST", DEVICES.into(), json!({"id": "b", "colour": 1}), "INVALID_ARGUMENT", "Unknown name \"colour\""),
        ("POST", DEVICES.into(), json!({}), "INVALID_ARGUMENT", "id is missing"),
        ("POST", device("a"), json!({}), "UNIMPLEMENTED", ":VERB"),
        ("POST", device("a:dance"), json!({}), "UNIMPLEMENTED", "dance"),
        ("POST", format!("{REGISTRIES}/default:bindDeviceToGateway"), json!({}), "INVALID_ARGUMENT", "gatewayId"),
        ("POST", format!("{REGISTRIES}/default:setIamPolicy"), json!({}), "UNIMPLEMENTED", "policies"),
        ("PATCH", device("a/twin"), json!([1]), "INVALID_ARGUMENT", "must be a JSON object"),
        ("PATCH", device("a/twin?versionToUpdate=x"), json!({}), "INVALID_ARGUMENT", "versionToUpdate"),
        ("PATCH", device("a/twin?versionToUpdate=3"), json!({}), "ABORTED", "version 0 is in force"),
        ("PATCH", device("nobody/twin"), json!({}), "NOT_FOUND", "nobody"),
        ("POST", "/v1/plugins/other:rollback".into(), json!({}), "NOT_FOUND", "plugin other"),
        ("POST", "/v1/plugins/relay:grant".into(), json!({"grants": {"fly": []}}), "INVALID_ARGUMENT", "fly"),
        ("POST", "/v1/plugins/other:grant".into(), json!({}), "NOT_FOUND", "plugin other"),
        ("POST", "/v1/nothing".into(), json!({}), "NOT_FOUND", "/v1/nothing"),
        ("POST", "/v1/events".into(), json!({}), "UNIMPLEMENTED", "POST"),
    ] {
        let (_, found, text) = host.refused(method, &path, Some(&body));
        assert!(found == word && text.contains(part), "{method} {path}: {found} {text}");
    }
    for (path, word, part) in [
        (format!("{DEVICES}?pagesize=1"), "INVALID_ARGUMENT", "pagesize"),
        (format!("{DEVICES}?pageSize=-1"), "INVALID_ARGUMENT", "pageSize"),
        ("/v1/events?kind=blinked".into(), "INVALID_ARGUMENT", "blinked"),
        ("/v1/events?pageToken=x".into(), "INVALID_ARGUMENT", "pageToken"),
        ("/v1/events:follow?device=nobody".into(), "NOT_FOUND", "devices/nobody"),
        ("/v1/executions?interesting=maybe".into(), "INVALID_ARGUMENT", "interesting"),
        ("/v1/executions?device=nobody".into(), "NOT_FOUND", "devices/nobody"),
        ("/v1/explain/1".into(), "NOT_FOUND", "event 1"),
        ("/v1/explain/a%20b".into(), "INVALID_ARGUMENT", "lamp-1@7"),
        ("/v1/explain/a@1".into(), "NOT_FOUND", "config version 1"),
        ("/v1/explain/nobody".into(), "NOT_FOUND", "devices/nobody"),
        ("/v1/explain/api.7".into(), "NOT_FOUND", "api.7"),
        ("/v1/explain/deadLetters/7".into(), "NOT_FOUND", "dead letter 7"),
        (format!("{REGISTRIES}/nobody/devices"), "NOT_FOUND", "registries/nobody"),
    ] {
        let (_, found, text) = host.refused("GET", &path, None);
        assert!(found == word && text.contains(part), "{path}: {found} {text}");
    }
    let (_, answer) = host.call("POST", DEVICES, Some(&json!({"gatewayConfig": {"colour": 1}})));
    assert_eq!(answer["error"]["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(answer["error"]["details"][0]["fieldViolations"][0]["field"], "gatewayConfig.colour");
    let (status, answer) = host.bytes("POST", DEVICES, "application/json", Some(b"{\"id\": }"));
    assert_eq!(status, 400);
    assert!(answer["error"]["message"].as_str().unwrap().contains("line 1 column 8"), "{answer}");
}

#[test]
fn what_happened_is_read_page_by_page_newest_first() {
    let host = TestHost::new();
    for id in ["a", "b"] {
        host.ok("POST", DEVICES, Some(&json!({ "id": id })));
    }
    for (id, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
        host.telemetry(id, payload);
    }
    let mut path = "/v1/events?device=a&pageSize=2&kind=telemetry".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = host.ok("GET", &path, None);
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()));
        assert_eq!(page["searchedTo"].is_string(), page["nextPageToken"].is_string(), "{page}");
        match page["nextPageToken"].as_str() {
            Some(token) => path = format!("/v1/events?device=a&pageSize=2&kind=telemetry&pageToken={token}"),
            None => break,
        }
    }
    assert_eq!(seen, ["4", "3", "1"]);
}

#[test]
fn a_page_that_ends_early_says_how_far_the_journal_was_searched_and_the_next_goes_on_from_there() {
    /// A call looks at 16,384 records.
    const RECORDS: u64 = 16_384;
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "a"})));
    host.telemetry("a", "before");
    host.runtime.block_on(async {
        for time_ms in 1..=RECORDS {
            host.handles.store.call(Entry::ClockSet { time_ms }).await.unwrap();
        }
    });
    let page = host.ok("GET", "/v1/events?kind=telemetry", None);
    assert_eq!((&page["events"], &page["searchedTo"]), (&json!([]), &json!("1970-01-01T00:00:00.001Z")), "{page}");
    let next = format!("/v1/events?kind=telemetry&pageToken={}", page["nextPageToken"].as_str().unwrap());
    let page = host.ok("GET", &next, None);
    assert_eq!((page["events"].as_array().unwrap().len(), page.get("nextPageToken")), (1, None), "{page}");
    for path in ["/v1/executions", "/v1/methodCalls"] {
        let page = host.ok("GET", path, None);
        assert!(page["nextPageToken"].is_string() && page["searchedTo"] == "1970-01-01T00:00:00.001Z", "{page}");
    }
}

#[test]
fn an_execution_and_a_dead_letter_can_be_read_and_driven_again() {
    let host = TestHost::new();
    let event = Event { seq: Seq(1), time_ms: 0, device: None, durable: true, data: EventData::Connected };
    let handled = |seq, outcome| {
        Entry::from(Handled {
            plugin: PluginName::new("relay").unwrap(),
            digest: Arc::from("sha256:0"),
            seq: Seq(seq),
            attempt: 1,
            time_ms: 0,
            took_us: 7,
            logs: vec!["hm".into()],
            outcome,
        })
    };
    let dead = Outcome::Dead { error: "hops is not a number".into(), event: Box::new(event) };
    for entry in [handled(1, dead), handled(2, Outcome::Done { effects: vec![] })] {
        host.runtime.block_on(host.handles.store.call(entry)).unwrap();
    }
    let found = host.ok("GET", "/v1/executions?plugin=relay", None);
    assert_eq!(
        (&found["executions"][0]["outcome"], &found["executions"][1]["outcome"]),
        (&json!("done"), &json!("dead"))
    );
    let one = host.ok("GET", "/v1/executions?event=2", None);
    assert_eq!(one["executions"].as_array().unwrap().len(), 1);
    let dead_letters = host.ok("GET", "/v1/deadLetters", None);
    assert_eq!(dead_letters["deadLetters"][0]["error"], "hops is not a number");
    assert_eq!(host.ok("GET", "/v1/deadLetters/1", None)["event"]["id"], "1");
    host.ok("POST", "/v1/deadLetters/1:redrive", None);
    assert_eq!(host.refused("POST", "/v1/deadLetters/2:redrive", None).1, "NOT_FOUND");
    assert_eq!(host.ok("GET", "/v1/executions?interesting=true", None)["executions"].as_array().unwrap().len(), 2);
    assert_eq!(host.ok("GET", "/v1/deadLetters?plugin=other", None)["deadLetters"], json!([]));
    let all = host.ok("POST", "/v1/deadLetters:redrive", Some(&json!({"plugin": "relay"})));
    assert_eq!(all, json!({"redriven": 1, "left": 0}));
    assert_eq!(*host.plugins.redriven.lock(), [1, 1]);
    assert_eq!(host.refused("DELETE", "/v1/deadLetters", None).1, "INVALID_ARGUMENT");
    assert_eq!(host.ok("DELETE", "/v1/deadLetters?plugin=other", None)["purged"], 0);
    assert_eq!(host.ok("DELETE", "/v1/deadLetters?plugin=relay", None)["purged"], 1);
    assert_eq!(host.refused("DELETE", "/v1/deadLetters/1", None).1, "NOT_FOUND");
}

#[test]
fn plugins_are_files_in_the_watched_folder() {
    let host = TestHost::new();
    assert_eq!(host.ok("GET", "/v1/plugins", None)["plugins"][0]["state"], "running");
    assert_eq!(host.ok("GET", "/v1/plugins/relay", None)["name"], "relay");
    assert_eq!(host.refused("GET", "/v1/plugins/other", None).1, "NOT_FOUND");

    // Larger than the limit of any other call.
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    component.resize(2 * 1024 * 1024, 0);
    let (status, answer) = host.bytes("PUT", "/v1/plugins/relay", "application/wasm", Some(&component));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(std::fs::read(host.folder.join("relay.wasm")).unwrap(), component);
    let (status, answer) = host.bytes("PUT", "/v1/plugins/relay", "application/wasm", Some(b"hello"));
    assert_eq!((status, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));

    host.ok("POST", "/v1/plugins/relay:disable", None);
    host.ok("PATCH", "/v1/plugins/relay", Some(&json!({"settings": {"target": "lamp-1"}})));
    host.ok("POST", "/v1/plugins/relay:reload", None);
    let settings: toml::Table = std::fs::read_to_string(host.folder.join("relay.toml")).unwrap().parse().unwrap();
    assert_eq!(settings["enabled"].as_bool(), Some(false));
    assert_eq!(settings["settings"]["target"].as_str(), Some("lamp-1"));
    // All requested grants, then fewer.
    let settings = |host: &TestHost| std::fs::read_to_string(host.folder.join("relay.toml")).unwrap();
    assert_eq!(host.ok("POST", "/v1/plugins/relay:grant", None)["grantsInForce"], json!(["config lamp-*"]));
    assert!(settings(&host).ends_with("[grants]\nconfig = [\"lamp-*\"]\n"), "{}", settings(&host));
    let answer = host.ok("POST", "/v1/plugins/relay:grant", Some(&json!({"grants": {"read": ["a"]}})));
    assert_eq!(answer["grantsInForce"], json!([]));
    assert!(settings(&host).contains("read = [\"a\"]") && !settings(&host).contains("lamp-*"));
    let (_, word, text) = host.refused("POST", "/v1/plugins/relay:grant", Some(&json!({"grants": {"read": ["["]}})));
    assert!(word == "INVALID_ARGUMENT" && text.contains("grants.read"), "{text}");
    host.ok("POST", "/v1/plugins/relay:rollback", None);
    assert_eq!(std::fs::read(host.folder.join("relay.wasm")).unwrap(), b"\0asm\x0d\0\x01\0before");
    host.ok("DELETE", "/v1/plugins/relay", None);
    assert_eq!(std::fs::read_dir(&host.folder).unwrap().count(), 0);
    assert_eq!(host.refused("POST", "/v1/plugins/relay:enable", None).1, "NOT_FOUND");
}

#[test]
fn devices_that_enrolled_by_themselves_and_were_never_used_go_in_one_call() {
    use switchbox_core::registry::Registration;
    use switchbox_model::registry::DeviceSpec;
    let host = TestHost::new();
    let enrol = |id: &str| {
        let name = switchbox_model::DeviceName::parse(id, &switchbox_model::RegistryName::default_registry()).unwrap();
        let with = Registration { spec: DeviceSpec::enrolled(), ..Registration::default() };
        host.runtime.block_on(host.handles.registry.create(name, with)).unwrap();
    };
    for id in ["mqttjs_1", "mqttjs_2", "there", "sender", "lamp", "queued", "named"] {
        enrol(id);
    }
    host.ok("POST", DEVICES, Some(&json!({"id": "made"})));
    let (_online, _received) = host.connect("there");
    host.telemetry("sender", "x");
    host.ok("POST", &device("lamp:modifyCloudToDeviceConfig"), Some(&json!({"binaryData": "eA=="})));
    host.ok("POST", &device("queued:sendCommandToDevice"), Some(&json!({"binaryData": "eA==", "ttl": "60s"})));
    host.ok("PATCH", &device("named?updateMask=metadata"), Some(&json!({"metadata": {"switchbox-enrolled": "mine"}})));
    let prune = format!("{REGISTRIES}/default:pruneDevices");
    assert_eq!(host.refused("POST", &prune, None).1, "INVALID_ARGUMENT");
    for dry_run in [true, false] {
        let mut answer = host.ok("POST", &prune, Some(&json!({"neverUsed": true, "dryRun": dry_run})));
        let ids = answer["deviceIds"].as_array_mut().unwrap();
        ids.sort_by_key(ToString::to_string);
        assert_eq!(answer, json!({"pruned": 2, "deviceIds": ["mqttjs_1", "mqttjs_2"]}));
    }
    let left = host.ok("GET", DEVICES, None);
    let left: Vec<_> =
        left["devices"].as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect();
    assert_eq!(left, ["lamp", "made", "named", "queued", "sender", "there"]);
}

#[test]
fn the_largest_states_are_one_page() {
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "lamp"})));
    let state: &'static str = Box::leak("x".repeat(1024 * 1024).into_boxed_str());
    (0..5).for_each(|_| host.state("lamp", state));
    let page = host.ok("GET", &device("lamp/states"), None);
    assert_eq!(page["deviceStates"].as_array().unwrap().len(), 2, "the newest that fit");
    assert!(page.to_string().len() < 4 * 1024 * 1024);
}

#[test]
fn clients_of_chance_become_devices_up_to_a_limit() {
    use switchbox_auth::Credentials;
    let host = TestHost::new();
    let auth = host.handles.auth.clone().with_most_enrolled(2);
    let admit = |client_id: &str| {
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let shown = Credentials {
            client_id,
            user_name: None,
            password: None,
            address,
            certificates: &[],
            device: None,
            signed: None,
        };
        host.runtime.block_on(auth.admit(shown)).unwrap().principal.device().is_some()
    };
    assert_eq!(["a", "b", "c", "a"].map(admit), [true, true, false, true]);
    host.telemetry("a", "used");
    assert_eq!(["c", "d"].map(admit), [true, false]);
    let enrolled = host.ok("GET", &device("c"), None);
    assert_eq!(enrolled["metadata"], json!({"switchbox-enrolled": "by itself"}));
}

#[test]
fn a_page_ends_before_it_is_too_large_and_the_next_continues() {
    const LARGE: &str = "256 KiB of telemetry";
    let host = TestHost::new();
    host.ok("POST", DEVICES, Some(&json!({"id": "lamp"})));
    let payload: &'static str = Box::leak(LARGE.repeat(256 * 1024 / LARGE.len()).into_boxed_str());
    for _ in 0..30 {
        host.telemetry("lamp", payload);
    }
    for n in 0..20 {
        let body = json!({"binaryData": "A".repeat(340_000), "ttl": "60s", "subfolder": n.to_string()});
        host.ok("POST", &device("lamp:sendCommandToDevice"), Some(&body));
        let metadata = json!({"id": format!("d-{n}"), "metadata": {"x": "y".repeat(250_000)}});
        host.ok("POST", DEVICES, Some(&metadata));
    }
    for (path, field, all) in [
        ("/v1/events?kind=telemetry&pageSize=1000".to_owned(), "events", 30),
        (format!("{DEVICES}/lamp/commands?pageSize=1000"), "commands", 20),
        (format!("{DEVICES}?pageSize=1000&fieldMask=metadata"), "devices", 21),
    ] {
        let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (status, page) = host.call("GET", &format!("{path}&pageToken={token}"), None);
            assert_eq!(status, 200);
            let bytes = page.to_string().len();
            assert!(bytes <= 4 * 1024 * 1024 + 1024, "{path}: a page of {bytes} bytes");
            found.extend(page[field].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            pages += 1;
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        let mut once = found.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((found.len(), once.len()), (all, all), "{path}");
        assert!(pages > 1, "{path}: {pages} pages");
    }
    let hits = host.handles.counters.limit_hits(switchbox_model::limits::names::ADMIN_PAGE_BYTES);
    assert!(hits >= 3, "{hits}");
}
