//! Tests of what new users of the command line try, against a real host.

use std::thread;

use super::command_tests::{ended, has_row, run};
use switchbox_admin::testing::TestHost;
use switchbox_delivery::{DownlinkKind, Outbound};
use switchbox_model::{Entry, Handled, Outcome, PluginName, Seq};

fn as_operator(host: &TestHost) -> impl Fn(&[&str]) -> Result<String, String> {
    |arguments| run(arguments, &host.base, host.token.as_deref())
}

#[test]
fn registries_are_made_looked_at_changed_and_deleted() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let hall = "projects/local/locations/local/registries/hall";
    let made = run(&["registry", "create", "hall", "--http", "off"]).unwrap();
    assert!(made.starts_with(&format!("{hall} is made; ")), "{made}");
    let list = run(&["registry", "list"]).unwrap();
    assert!(list.contains("HTTP_DISABLED") && list.lines().any(|line| line.starts_with("default ")), "{list}");
    run(&["registry", "update", "hall", "--http", "on"]).unwrap();
    assert!(has_row(&run(&["registry", "get", hall]).unwrap(), "http HTTP_ENABLED"));
    assert!(run(&["registry", "update", "hall"]).unwrap_err().contains("--certificate"));
    assert!(
        run(&["registry", "create", "hall"]).unwrap_err().starts_with(&format!("registry {hall} exists already; "))
    );
    run(&["device", "create", "lamp-1", "--registry", "hall"]).unwrap();
    assert!(run(&["registry", "delete", "hall"]).unwrap_err().contains(&format!("registry {hall} still has devices")));
    run(&["device", "delete", "hall/lamp-1"]).unwrap();
    assert_eq!(run(&["registry", "delete", "hall"]).unwrap(), "hall is deleted");
    let gone = run(&["registry", "get", "hall"]).unwrap_err();
    assert!(gone.starts_with(&format!("registry {hall} does not exist; `switchbox registry list`")), "{gone}");
}

#[test]
fn authorities_of_a_registry_are_added_and_removed_one_by_one() {
    let host = TestHost::new();
    let run = as_operator(&host);
    run(&["registry", "create", "hall"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, count) in [("one", 1), ("other", 2)] {
        let (key, file) = (rcgen::KeyPair::generate().unwrap(), folder.path().join(name));
        std::fs::write(&file, rcgen::CertificateParams::default().self_signed(&key).unwrap().pem()).unwrap();
        let added = run(&["registry", "credential", "add", "hall", file.to_str().unwrap()]).unwrap();
        assert_eq!(added, format!("hall has {count} credential(s)"));
    }
    let list = || run(&["registry", "credential", "list", "hall"]).unwrap();
    let second = list().lines().nth(2).unwrap().split_whitespace().last().unwrap().to_owned();
    assert!(second.starts_with("sha256:"), "{second}");
    let error = run(&["registry", "credential", "remove", "hall", "3"]).unwrap_err();
    assert!(error.contains("hall has 2 credential(s); `switchbox registry credential list hall`"), "{error}");
    run(&["registry", "credential", "remove", "hall", "1"]).unwrap();
    assert!(has_row(&list(), &format!("1 {second}")) && list().lines().count() == 2, "{}", list());
}

#[test]
fn an_error_about_a_device_names_its_registry_where_that_is_missing() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let missing = "registry projects/local/locations/local/registries/hall does not exist; `switchbox registry list`";
    for arguments in [
        &["device", "create", "hall/lamp-1"][..],
        &["device", "get", "hall/lamp-1"],
        &["device", "list", "--registry", "hall"],
        &["device", "config", "set", "lamp-1", "on", "--registry", "hall"],
        &["device", "twin", "get", "hall/lamp-1"],
        &["device", "command", "list", "hall/lamp-1"],
        &["gateway", "make", "hall/hub"],
        &["events", "--device", "hall/lamp-1"],
        &["explain", "hall/lamp-1"],
    ] {
        let error = run(arguments).unwrap_err();
        assert!(error.starts_with(missing), "{arguments:?}: {error}");
    }
    let device = run(&["device", "get", "lamp-1"]).unwrap_err();
    assert!(device.contains("devices/lamp-1 does not exist; `switchbox device list`"), "{device}");
}

#[test]
fn a_device_of_another_registry_is_named_in_every_form_everywhere() {
    let host = TestHost::new();
    let run = as_operator(&host);
    run(&["registry", "create", "hall"]).unwrap();
    let full = "projects/local/locations/local/registries/hall/devices/lamp-1";
    run(&["device", "create", full]).unwrap();
    run(&["device", "create", "hub", "--registry", "hall"]).unwrap();
    for (arguments, name) in [(&[][..], full), (&[], "hall/lamp-1"), (&["--registry", "hall"], "lamp-1")] {
        let run = |command: &[&str]| run(&[command, arguments].concat()).unwrap();
        run(&["device", "config", "set", name, "on"]);
        assert_eq!(run(&["device", "config", "get", name]), "on");
        assert!(run(&["explain", name]).contains("for hall/lamp-1: on"));
        assert!(run(&["explain", &format!("{name}@1")]).contains("config version 1 for hall/lamp-1"));
        run(&["events", "--device", name]);
        assert!(has_row(&run(&["device", "get", name]), &format!("name {full}")));
    }
    run(&["gateway", "make", "hub", "--registry", "hall"]).unwrap();
    let hub = full.replace("lamp-1", "hub");
    assert_eq!(run(&["gateway", "bind", &hub, "lamp-1"]).unwrap(), format!("lamp-1 is bound to {hub}"));
    assert!(has_row(&run(&["gateway", "devices", "hall/hub"]).unwrap(), "lamp-1 no no - -"));
    let apart = run(&["device", "get", "hall/lamp-1", "--registry", "default"]).unwrap_err();
    assert!(apart.contains("leave one of the two out"), "{apart}");
}

#[test]
fn the_end_of_a_command_is_shown_with_its_status_and_an_id_for_explain() {
    let host = TestHost::new();
    let run = as_operator(&host);
    run(&["registry", "create", "hall"]).unwrap();
    run(&["device", "create", "hall/lamp-1"]).unwrap();
    let sent = run(&["device", "command", "send", "hall/lamp-1", "blink", "--ttl", "1h"]).unwrap();
    let id = sent.strip_prefix("taken: command ").unwrap();
    run(&["device", "command", "cancel", "hall/lamp-1", id]).unwrap();
    let events = run(&["events", "--kind", "command-settled"]).unwrap();
    assert!(events.ends_with(&format!(" hall/lamp-1 command-settled {id} purged")), "{events}");
    let name = events.split_whitespace().find(|word| word.contains("lamp-1")).unwrap();
    assert!(run(&["device", "command", "show", name, id]).unwrap().contains("purged"));
    assert!(run(&["explain", id]).unwrap().contains("for hall/lamp-1"));
}

#[test]
fn a_method_that_the_device_refuses_ends_with_a_code_of_its_own() {
    let host = TestHost::new();
    host.ok(
        "POST",
        "/v1/projects/local/locations/local/registries/default/devices",
        Some(&serde_json::json!({"id": "lamp-1"})),
    );
    let (online, received) = host.connect("lamp-1");
    let received = parking_lot::Mutex::new(received);
    online.subscribe(DownlinkKind::Methods);
    for (status, code) in [(200, 0), (399, 0), (404, 3), (500, 3)] {
        let called = thread::scope(|scope| {
            scope.spawn(|| {
                let Ok(Outbound::Method(call)) = received.lock().recv() else { panic!("no call") };
                assert!(online.answer(call.rid, status, "why".into()));
            });
            ended(&["device", "method", "lamp-1", "dim", "50"], &host.base, host.token.as_deref()).unwrap()
        });
        assert_eq!((called.text, called.code), (format!("{status} why"), code));
    }
    drop(online);
    let offline = ended(&["device", "method", "lamp-1", "dim"], &host.base, host.token.as_deref());
    assert!(offline.is_err_and(|error| error.contains("not connected")));
}

#[test]
fn a_device_shows_its_credentials_and_never_a_secret() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, pair.public_key_pem()).unwrap();
    run(&["device", "create", "lamp-1", "--public-key", file.to_str().unwrap()]).unwrap();
    run(&["device", "credential", "add", "lamp-1", file.to_str().unwrap(), "--expires", "2030-01-01T00:00:00Z"])
        .unwrap();
    let password = run(&["device", "password", "lamp-1"]).unwrap();
    let shown = run(&["device", "get", "lamp-1"]).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &rcgen::PublicKeyData::subject_public_key_info(&pair));
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(has_row(&shown, &format!("credential 1 ES256_PEM sha256:{hex} expires never")), "{shown}");
    assert!(
        has_row(&shown, &format!("credential 2 ES256_PEM sha256:{hex} expires 2030-01-01T00:00:00.000Z")),
        "{shown}"
    );
    assert!(has_row(&shown, "password set") && !shown.contains(&password), "{shown}");
    let list = run(&["device", "credential", "list", "lamp-1"]).unwrap();
    assert!(has_row(&list, &format!("1 ES256_PEM sha256:{hex} never")), "{list}");
    let json = run(&["device", "get", "lamp-1", "--json"]).unwrap();
    assert!(json.contains("\"hasPassword\": true") && !json.contains(&password), "{json}");
}

#[test]
fn a_service_account_shows_that_it_has_a_password() {
    let host = TestHost::new();
    let run = as_operator(&host);
    run(&["service", "create", "wall", "--subscribe", "alerts/#"]).unwrap();
    let password = run(&["service", "password", "wall"]).unwrap();
    let shown = run(&["service", "get", "wall"]).unwrap();
    assert!(has_row(&shown, "password set") && !shown.contains(&password), "{shown}");
    let json = run(&["service", "get", "wall", "--json"]).unwrap();
    assert!(json.contains("\"hasPassword\": true") && !json.contains(&password), "{json}");
    run(&["service", "password", "wall", "--remove"]).unwrap();
    assert!(!run(&["service", "get", "wall", "--json"]).unwrap().contains("hasPassword"));
}

#[test]
fn all_versions_that_are_kept_are_shown_and_payloads_as_text_beside_their_base64() {
    let host = TestHost::new();
    let run = as_operator(&host);
    run(&["device", "create", "lamp-1"]).unwrap();
    host.state("lamp-1", "dim");
    host.state("lamp-1", "bright");
    let states = run(&["device", "state", "lamp-1"]).unwrap();
    let rows: Vec<_> = states.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(rows, ["DATA", "bright", "dim"], "{states}");
    assert_eq!(run(&["device", "state", "lamp-1", "--newest"]).unwrap(), "bright");
    run(&["device", "config", "set", "lamp-1", "on"]).unwrap();
    run(&["device", "config", "set", "lamp-1", "off"]).unwrap();
    assert_eq!(run(&["device", "config", "get", "lamp-1", "--versions"]).unwrap().lines().count(), 3);
    let json: serde_json::Value =
        serde_json::from_str(&run(&["device", "state", "lamp-1", "--json"]).unwrap()).unwrap();
    assert_eq!(json["deviceStates"][0]["data"], "bright");
    assert_eq!(json["deviceStates"][0]["binaryData"], "YnJpZ2h0");
}

fn execution(event: u64, time_ms: u64, logs: &[&str], outcome: Outcome) -> Entry {
    Entry::from(Handled {
        plugin: PluginName::new("relay").unwrap(),
        digest: "sha256:ab".into(),
        seq: Seq(event),
        attempt: 1,
        time_ms,
        took_us: 5,
        logs: logs.iter().map(|line| (*line).to_owned()).collect(),
        outcome,
    })
}

#[test]
fn what_a_plugin_logged_is_read_from_the_journal() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let done = || Outcome::Done { effects: vec![] };
    let now = switchbox_support::clock::now_ms();
    for entry in [
        execution(1, now - 3 * 3_600_000, &["info: old"], done()),
        execution(2, now - 1_000, &["info: a", "info: b"], done()),
        execution(3, now - 900, &[], done()),
        execution(4, now - 800, &["warn: c"], done()),
    ] {
        host.runtime.block_on(host.handles.store.call(entry)).unwrap();
    }
    let texts = |printed: &str| -> Vec<String> {
        printed.lines().map(|line| line.split_once("Z ").unwrap().1.trim().to_owned()).collect()
    };
    let logs = |more: &[&str]| run(&[&["plugin", "logs", "relay"][..], more].concat());
    assert_eq!(texts(&logs(&[]).unwrap()), ["1 info: old", "2 info: a", "2 info: b", "4 warn: c"]);
    assert_eq!(texts(&logs(&["--since", "1h"]).unwrap()), ["2 info: a", "2 info: b", "4 warn: c"]);
    assert_eq!(texts(&logs(&["--limit", "2"]).unwrap()), ["2 info: b", "4 warn: c"]);
    let json: serde_json::Value = serde_json::from_str(&logs(&["--json"]).unwrap()).unwrap();
    assert_eq!((&json["lines"][3]["event"], &json["lines"][3]["line"]), (&"4".into(), &"warn: c".into()));
    let unknown = run(&["plugin", "logs", "nobody"]).unwrap_err();
    assert!(unknown.contains("plugin nobody does not exist; `switchbox plugin list`"), "{unknown}");
    assert_eq!(ended(&["plugin", "logs", "relay"], &host.base, host.token.as_deref()).unwrap().code, 0);
}

#[test]
fn the_data_of_a_try_is_what_data_says_whatever_it_is() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let tried = |more: &[&str]| run(&[&["plugin", "try", "relay"][..], more].concat());
    let event = |more: &[&str]| {
        let answer: serde_json::Value = serde_json::from_str(&tried(&[more, &["--json"]].concat()).unwrap()).unwrap();
        answer["event"]["data"].clone()
    };
    for text in ["on", "/tmp", "{\"on\": true}"] {
        for given in [&["--data", text][..], &[text]] {
            let data = event(&[&["--device", "lamp-1"][..], given].concat());
            assert_eq!(data["telemetry"]["payload"], text, "{given:?}");
        }
    }
    assert_eq!(event(&["--timer", "night", "--data", "x"])["timer"]["payload"], "x");
    // Nothing is dropped.
    let file = host.folder.with_extension("event");
    std::fs::write(&file, r#"{"device": "lamp-1", "data": {"telemetry": {"payload": "from the file"}}}"#).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(event(&["--event", file])["telemetry"]["payload"], "from the file");
    for (other, named) in
        [(&["--event", file][..], "--event FILE"), (&["--event-number", "7"], "--event-number N"), (&["off"], "DATA")]
    {
        let error = tried(&[other, &["--data", "{}"]].concat()).unwrap_err();
        let begin = format!("--data is the event's data, and {named} has the event's data too: leave one of them out");
        assert!(error.starts_with(&begin) && error.ends_with("name that by SWITCHBOX_DATA=DIR"), "{error}");
    }
    assert!(tried(&["--device", "lamp-1"]).unwrap_err().contains("give the event's data"));
    let rule = host.folder.with_extension("js");
    std::fs::write(&rule, "export const handler = {};").unwrap();
    let error = run(&["plugin", "try", rule.to_str().unwrap(), "--device", "lamp-1", "on"]).unwrap_err();
    assert!(error.contains("build it with `switchbox plugin build`"), "{error}");
}

#[test]
fn a_file_in_place_of_a_format_is_taken_or_the_right_option_is_named() {
    let host = TestHost::new();
    let run = as_operator(&host);
    let error = run(&["plugin", "list", "-o", "night.jsonl"]).unwrap_err();
    assert!(
        error.contains("table, json or jsonl, and not night.jsonl") && error.contains("--file names it"),
        "{error}"
    );
    let error = run(&["plugin", "list", "-o", "jsno"]).unwrap_err();
    assert!(error.contains("possible values: table, json, jsonl"), "{error}");
    // `plugin record` has no other use for it.
    let file = host.folder.with_extension("jsonl");
    let path = file.to_str().unwrap();
    for named in ["-o", "--output", "-f"] {
        let error = run(&["plugin", "record", "relay", named, path]).unwrap_err();
        assert!(error.contains("recording of plugin relay"), "it asks the host for it: {error}");
        let error = run(&["plugin", "record", "relay", "--always", named, path]).unwrap_err();
        assert!(error.contains("--always"), "{error}");
    }
    let error = run(&["plugin", "record", "relay", "-o", path, "--file", path]).unwrap_err();
    assert!(error.contains("both name the file"), "{error}");
    let begun = run(&["plugin", "record", "relay", "--for", "1h", "-o", "json"]).unwrap();
    assert!(begun.starts_with("relay is being recorded"), "a format is no file: {begun}");
    let error = run(&["plugin", "record", "relay", "--from-journal"]).unwrap_err();
    assert!(error.contains("--from-journal needs --file FILE"), "{error}");
}
