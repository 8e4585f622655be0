//! What a guest may do is what it was granted, and each call answers as `wit/` says.

use bytes::Bytes;
use switchbox_model::{DeviceNum, Effect, QoS, Seq, limits::KV_BYTES};
use switchbox_plugin_runtime::{Call, Capability, ConfigView, GrantPatterns, KvChange, Limits, Verdict};

use super::world::{World, alone, ask, event, hostile, name, report, setup, start};

#[tokio::test]
async fn an_event_arrives_as_it_is() {
    let text = report(&alone(World::new(), "echo").await);
    for part in [
        "id: 42",
        "time: 1700000000123",
        "device: \"switch-1\"",
        "registry: \"projects/local/locations/local/registries/default\"",
        "attempt: 1",
        "subfolder: \"sub/folder\"",
        "name: \"a\", value: \"b\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn each_call_answers_as_the_interface_says() {
    for (attack, answer) in [
        ("set lamp-1", "Ok(())"),
        ("set door-1", "Error::Denied(\"config of door-1 needs the grant config = [\\\"door-1\\\"]"),
        ("set lamp-9", "Error::NotFound(\"there is no device"),
        ("set a//b", "Error::Invalid("),
        ("set-expected 0", "Ok(())"),
        ("set-expected 3", "Error::Conflict(0)"),
        ("command lamp-1", "Ok(\"42.hostile.0\")"),
        ("command lamp-2", "Error::Offline(\"lamp-2 is not connected"),
        ("command lamp-3", "Error::Offline(\"lamp-3 does not subscribe"),
        ("command door-1", "Error::Denied("),
        // There is room for three.
        ("command-ttl 5", "[Ok(\"42.hostile.0\"), Ok(\"42.hostile.1\"), Ok(\"42.hostile.2\"), Err(Error::Limit("),
        ("command-ttl 5", "the limit \\\"queued-commands\\\" is reached: no more commands may wait for lamp-2"),
        ("command-ttl 2592000001", "Error::Invalid(\"ttl-ms may be at most 2592000000"),
        ("method lamp-2", "Error::Offline("),
        ("method door-1", "Error::Denied("),
        ("read lamp-1", "config-version: 0"),
        ("read lamp-9", "Error::NotFound("),
        ("config-get lamp-1", "Ok(None)"),
        ("list [", "Error::Invalid("),
        ("publish alerts/x", "Ok(())"),
        ("publish secret/x", "Error::Denied(\"publish of secret/x"),
        ("publish /devices/lamp-1/config", "Error::Denied("),
        ("publish $SYS/x", "Error::Denied("),
        ("publish alerts/#", "Error::Invalid("),
        ("network 127.0.0.1:1883", "[Some(PermissionDenied), Some(PermissionDenied), Some(PermissionDenied), Some("),
        ("fetch 127.0.0.1:8080", "Method::Get 0 Ok(()) Some(ErrorCode::HttpRequestDenied)"),
        ("publish-qos", "Error::Invalid(\"qos 3"),
    ] {
        let execution = alone(World::new(), attack).await;
        let text = report(&execution).replace("switchbox_plugin_runtime::types::", "");
        assert!(text.contains(answer), "{attack}: {text}");
    }
}

#[tokio::test]
async fn there_is_nothing_of_the_machine_neither_the_audit_log_nor_any_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    std::fs::write(&log, "by the host").unwrap();
    let text = report(&alone(World::new(), &format!("outside {}", log.display())).await);
    assert!(text.contains("of the machine: []"), "{text}");
    assert_eq!(std::fs::read(&log).unwrap(), b"by the host");
}

#[tokio::test]
async fn effects_are_those_of_the_event_in_order() {
    let execution = alone(World::new(), "command lamp-1").await;
    assert_eq!(
        execution.effects[0],
        Effect::Command {
            device: DeviceNum(1),
            id: "42.hostile.0".into(),
            subfolder: "a/b".into(),
            payload: Bytes::from_static(b"go"),
            properties: Vec::new(),
            ttl_ms: 0
        }
    );
    let execution = alone(World::new(), "publish alerts/x").await;
    let (topic, payload) = ("alerts/x".to_owned(), Bytes::from_static(b"x"));
    assert_eq!(execution.effects[0], Effect::Publish { topic, payload, qos: QoS::AtLeastOnce, retain: true });
    let mut world = World::new();
    let config = ConfigView { version: 7, time_ms: 1, payload: Bytes::from_static(b"old"), acknowledged_ms: None };
    world.configs.insert(1, config);
    let execution = alone(world, "set-expected 7").await;
    let payload = Bytes::from_static(b"on");
    assert_eq!(execution.effects[0], Effect::Config { device: DeviceNum(1), payload, expected: Some(7) });
}

#[tokio::test]
async fn the_operator_can_grant_less_than_is_asked() {
    let granted = GrantPatterns::from([
        (Capability::Config, vec!["report".to_owned(), "lamp-2".to_owned()]),
        (Capability::Read, vec!["lamp-*".to_owned()]),
    ]);
    let setup = setup(Limits::default(), Some(&granted)).await;
    let mut instance = hostile().await.start(setup, std::sync::Arc::new(World::new())).await.unwrap();
    for (attack, answer) in [
        ("set lamp-2", "Ok"),
        ("set lamp-1", "the plugin's settings do not grant it"),
        ("command lamp-1", "Denied"),
        ("read lamp-1", "Ok"),
        ("read door-1", "Denied"),
    ] {
        let text = report(&ask(&mut instance, attack).await);
        assert!(text.contains(answer), "{attack}: {text}");
    }
    let text = report(&ask(&mut instance, "list *").await);
    assert_eq!(text.matches(" id: \"lamp-").count(), 3, "{text}");
    assert!(!text.contains("door-1"), "{text}");
}

/// The host learns which grant each device of a list used, and of those that were left out no more than a few names.
#[tokio::test]
async fn a_list_reports_the_grants_that_it_used() {
    let granted = GrantPatterns::from([
        (Capability::Config, vec!["report".to_owned()]),
        (Capability::Read, vec!["lamp-2".to_owned()]),
    ]);
    let setup = setup(Limits::default(), Some(&granted)).await;
    let world = std::sync::Arc::new(World::new());
    let mut instance = hostile().await.start(setup, world.clone()).await.unwrap();
    report(&ask(&mut instance, "list lamp-*").await);
    let checked = || std::mem::take(&mut *world.checked.lock().unwrap());
    let named =
        |names: &[(&str, bool)]| names.iter().map(|(name, granted)| ((*name).to_owned(), *granted)).collect::<Vec<_>>();
    assert_eq!(checked(), named(&[("lamp-2", true), ("lamp-1", false), ("lamp-3", false)]));
    report(&ask(&mut instance, "list *").await);
    let more = ("1 more device of the list *", false);
    assert_eq!(checked(), named(&[("lamp-2", true), ("door-1", false), ("lamp-1", false), ("lamp-3", false), more]));
}

#[tokio::test]
async fn a_method_call_waits_for_its_answer_and_knows_its_event() {
    let world = std::sync::Arc::new(World::new());
    let setup = setup(Limits::default(), None).await;
    let mut instance = hostile().await.start(setup, world.clone()).await.unwrap();
    let text = report(&ask(&mut instance, "method lamp-1").await);
    assert!(text.contains("status: 200"), "{text}");
    let calls = world.calls.lock().unwrap();
    let [call] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!((call.seq, call.device, call.method.as_str()), (Seq(42), DeviceNum(1), "blink"));
    assert_eq!((call.timeout.as_millis(), call.payload.as_ref()), (1_000, &b"3"[..]));
}

#[tokio::test]
async fn a_plugin_reads_what_it_wrote_in_the_same_event() {
    let mut world = World::new();
    world.kv.insert("old".into(), (Bytes::from_static(b"x"), 4));
    let execution = alone(world, "kv").await;
    let text = report(&execution);
    let lines: Vec<_> = text.lines().collect();
    for (line, expect) in lines.iter().zip([
        "Ok(None)",
        "Ok(())",
        "Ok(Some(([49], 1)))",
        "Conflict(1)",
        "Ok(())",
        "Ok([\"a\", \"b\", \"old\"])",
        "Conflict(4)",
        "Ok(())",
        "Ok([\"a\", \"b\"])",
        "Ok([\"b\"])",
    ]) {
        assert!(line.contains(expect), "{line} is not {expect}");
    }
    let change = |key: &str, value: Option<&'static [u8]>, expected| KvChange {
        key: key.into(),
        value: value.map(Bytes::from_static),
        expected,
    };
    assert_eq!(
        execution.kv,
        [change("a", Some(b"1"), Some(0)), change("b", Some(b"2"), None), change("old", None, None)]
    );
}

#[tokio::test]
async fn what_is_over_the_states_quota_is_refused_by_its_limit_and_what_was_within_stays() {
    let execution = alone(World::new(), "kv-flood").await;
    let text = report(&execution);
    assert!(text.contains("Limit(") && text.contains(&KV_BYTES.to_string()), "{text}");
    let kept: usize = execution.kv.iter().map(|set| set.key.len() + set.value.as_ref().map_or(0, Bytes::len)).sum();
    assert!(kept <= KV_BYTES && kept + 65 * 1024 > KV_BYTES, "{kept}");
    // What the plugin has from before counts.
    let mut world = World::new();
    world.kv.insert("old".into(), (Bytes::from(vec![0; KV_BYTES - 3]), 1));
    assert!(report(&alone(world, "kv").await).contains("Limit("));
}

#[tokio::test]
async fn an_execution_can_be_repeated_exactly() {
    let run = async |seq, attempt| {
        let mut instance = start(World::new(), Limits::default()).await;
        let event = event(seq, "time");
        let execution = instance.handle(Call { event: &event, device: Some(&name("switch-1")), attempt }).await;
        assert_eq!(execution.verdict, Verdict::Done);
        report(&execution)
    };
    let first = run(1, 1).await;
    assert!(first.starts_with("1700000000123 "), "{first}");
    assert_eq!(first, run(1, 1).await);
    assert_ne!(first, run(2, 1).await);
    assert_ne!(first, run(1, 2).await);
}
