//! What is masked, and which bytes stay the same.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    call::{HostCall, MethodLine, StateLine},
    effect::{EffectLine, OutcomeLine},
    event::{Data, EventLine},
    payload::Payload,
};
use switchbox_model::timer::Schedule;
use switchbox_plugin_runtime::Limits;

fn line(payload: &str, effect: &str) -> ExecutionLine {
    let data = Data::Telemetry {
        subfolder: String::new(),
        payload: Payload(payload.to_owned().into()),
        properties: vec![("X-Token".into(), "tok-12345".into())],
    };
    ExecutionLine {
        instance: 1,
        event: EventLine { number: 0, time_ms: 0, device: "".into(), attempt: 1, data },
        calls: Vec::new(),
        effects: vec![EffectLine::Config {
            device: "lamp-1".into(),
            payload: Payload(effect.to_owned().into()),
            expected: None,
        }],
        outcome: OutcomeLine::Done,
        logs: vec!["info: the password is hunter22!".into()],
        guest_us: 0,
        masked: false,
    }
}

#[test]
fn secrets_are_masked_where_their_keys_stand_and_wherever_they_were_copied_to() {
    let mut line = line(
        r#"{"on":true,"wifi":{"Password":"hunter22!","pin":1234},"n": 1.50}"#,
        r#"{"key":"hunter22!","auth":"Bearer tok-12345","note":"1234"}"#,
    );
    assert!(Masks::new(&[]).unwrap().execution(&mut line));
    let text = serde_json::to_string(&line).unwrap();
    for secret in ["hunter22", "tok-12345", "1234,"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let Data::Telemetry { payload, .. } = &line.event.data else { panic!("{line:?}") };
    assert_eq!(payload.0, r#"{"on":true,"wifi":{"Password":"(masked 1)","pin":0},"n": 1.50}"#);
    let EffectLine::Config { payload, .. } = &line.effects[0] else { panic!("{line:?}") };
    // A short value is masked only if its key is secret.
    assert_eq!(payload.0, r#"{"key":"(masked 1)","auth":"Bearer (masked 3)","note":"1234"}"#);
    assert_eq!(line.logs, ["info: the password is (masked 1)"]);
}

#[test]
fn what_has_no_secrets_keeps_its_bytes_and_masking_twice_is_masking_once() {
    let masks = Masks::new(&["serial".into()]).unwrap();
    let mut plain = line("{\"on\" : true}", "not json");
    let Data::Telemetry { properties, .. } = &mut plain.event.data else { panic!() };
    properties.clear();
    let before = plain.clone();
    assert!(!masks.execution(&mut plain));
    assert_eq!(plain, before);
    let mut once = line(r#"{"serial":"AB-1234567"}"#, r#"{"s":"AB-1234567"}"#);
    assert!(masks.execution(&mut once));
    let mut twice = once.clone();
    masks.execution(&mut twice);
    assert_eq!(twice, once);
}

fn text(text: &str) -> Payload {
    Payload(text.to_owned().into())
}

/// Calls with the secret in each place where one can be.
fn calls(secret: &str) -> Vec<HostCall> {
    let method = |answer| HostCall::Method {
        device: "lamp-1".into(),
        method: format!("m-{secret}"),
        payload: text(secret),
        timeout_ms: 1,
        answer,
    };
    vec![
        HostCall::List {
            registry: "r".into(),
            pattern: format!("{secret}*"),
            after: None,
            limit: 1,
            answer: Vec::new(),
        },
        HostCall::Twin { device: "lamp-1".into(), answer: Err(format!("no {secret}")) },
        HostCall::StateGet {
            key: format!("of/{secret}"),
            answer: Some(StateLine { value: Payload([&b"\xff"[..], secret.as_bytes()].concat().into()), revision: 1 }),
        },
        HostCall::StateKeys {
            prefix: secret.into(),
            after: Some(secret.into()),
            limit: 1,
            answer: vec![format!("{secret}/1")],
        },
        HostCall::TimerHas { name: secret.into(), answer: true },
        method(MethodLine::Answered { status: 200, payload: text(secret) }),
        method(MethodLine::Offline(secret.into())),
        method(MethodLine::TimedOut(secret.into())),
        method(MethodLine::Invalid(secret.into())),
        method(MethodLine::Unavailable(secret.into())),
    ]
}

/// The same for effects.
fn effects(secret: &str) -> Vec<EffectLine> {
    vec![
        EffectLine::Command {
            device: "lamp-1".into(),
            id: "1".into(),
            subfolder: format!("a/{secret}"),
            payload: text("x"),
            properties: vec![("auth".into(), secret.into()), (secret.into(), "1".into())],
            ttl_ms: 0,
        },
        EffectLine::Publish { topic: format!("t/{secret}"), payload: text("x"), qos: 0, retain: false },
        EffectLine::TimerSet { name: secret.into(), schedule: Schedule::Once, payload: text(secret), due_ms: 0 },
        EffectLine::TimerCancel { name: secret.into() },
        EffectLine::State { key: format!("last/{secret}"), value: None, expected: None },
    ]
}

#[test]
fn a_secret_is_masked_in_every_text_of_a_line() {
    let masks = Masks::new(&[]).unwrap();
    let secret = "tok-12345";
    let topic = Data::Topic { topic: format!("in/{secret}"), payload: text("x"), properties: Vec::new() };
    let timer = Data::Timer { name: secret.into(), payload: text("x"), due_ms: 0, late: false };
    for data in [topic, timer, Data::Disconnected { reason: secret.into() }, line("x", "x").event.data] {
        let mut all = line("x", "x");
        all.event.data = data;
        all.calls = calls(secret);
        // Where it has its key.
        all.calls.push(HostCall::StateGet {
            key: "api-key".into(),
            answer: Some(StateLine { value: text(secret), revision: 1 }),
        });
        all.effects = effects(secret);
        all.outcome = OutcomeLine::Reject(format!("not {secret}"));
        assert!(masks.execution(&mut all));
        let written = serde_json::to_string(&all).unwrap();
        assert!(!written.contains(secret), "{written}");
        let HostCall::StateGet { answer: Some(found), .. } = &all.calls[2] else { panic!("{written}") };
        assert_eq!(found.value.0, b"\xff(masked 1)"[..]);
    }
    // The value of a user property of a command, by its own key alone.
    let mut command = line("x", "x");
    command.event.data = Data::Connected;
    command.effects = effects("plain");
    let EffectLine::Command { properties, .. } = &mut command.effects[0] else { panic!() };
    properties[0] = ("X-Token".into(), "tok-9".into());
    assert!(masks.may_mask(&mut command) && masks.execution(&mut command));
    let EffectLine::Command { properties, .. } = &command.effects[0] else { panic!() };
    assert_eq!(properties[0], ("X-Token".into(), "(masked 1)".into()));
}

fn version(settings: &str) -> VersionLine {
    VersionLine {
        version: 1,
        digest: "sha256:0".into(),
        settings: settings.into(),
        asks: Vec::new(),
        granted: None,
        limits: Limits::default(),
        triggers: None,
        masked: false,
    }
}

fn with_effect(payload: &str) -> ExecutionLine {
    let mut line = line("x", payload);
    line.event.data = Data::Connected;
    line.logs.clear();
    line
}

#[test]
fn one_look_at_many_lines_finds_the_one_with_a_secret() {
    let masks = Masks::new(&[]).unwrap();
    let plain = || with_effect(r#"{"Level":1}"#);
    let mut keyed = plain();
    keyed.effects = vec![EffectLine::State { key: "Token/1".into(), value: Some(text("x")), expected: None }];
    let mut documents = b"earlier".to_vec();
    assert!(!masks.may_mask_any([plain(), plain()].iter_mut(), &mut documents));
    for secret in [with_effect(r#"{"PassWord":"x"}"#), with_effect(r#"[{"p\u0069n":1}]"#), keyed] {
        let mut lines = [plain(), secret, plain()];
        let before = lines.clone();
        assert!(masks.may_mask_any(lines.iter_mut(), &mut documents));
        assert_eq!(lines, before);
        assert_eq!(lines.each_mut().map(|line| masks.may_mask(line)), [false, true, false]);
    }
    masks.remember_version(&mut version(r#"{"token":"sesame-open"}"#)).unwrap();
    assert!(masks.may_mask_any([with_effect("sesame-open")].iter_mut(), &mut documents));
}

#[test]
fn secrets_of_settings_and_of_starts_are_masked_in_the_lines_that_follow_under_the_same_names() {
    let masks = Masks::new(&[]).unwrap();
    let copied = r#"{"u":"https://x/?k=sesame-open","v":"of the start","w":"a \"quoted\" one"}"#;
    assert!(!masks.may_mask(&mut with_effect(copied)), "nothing is known yet");
    let mut settings = version(r#"{"url":"x","api_key":"sesame-open","token":"a \"quoted\" one"}"#);
    masks.remember_version(&mut settings).unwrap();
    assert!(masks.version(&mut settings));
    assert_eq!(settings.settings, r#"{"url":"x","api_key":"(masked 1)","token":"(masked 2)"}"#);
    let found = Some(StateLine { value: text("of the start"), revision: 1 });
    let calls = vec![HostCall::StateGet { key: "token".into(), answer: found }];
    let mut start = StartLine { instance: 1, version: 1, time_ms: 0, calls };
    masks.remember_start(&mut start).unwrap();
    assert!(masks.start(&mut start));

    let mut line = with_effect(copied);
    line.event.data = Data::Topic { topic: "t".into(), payload: text(r#"{"pin":"777777"}"#), properties: Vec::new() };
    line.logs = vec!["sesame-open, 777777".into()];
    assert!(masks.may_mask(&mut line) && masks.execution(&mut line));
    let EffectLine::Config { payload, .. } = &line.effects[0] else { panic!("{line:?}") };
    assert_eq!(payload.0, r#"{"u":"https://x/?k=(masked 1)","v":"(masked 3)","w":"(masked 2)"}"#);
    assert_eq!(line.logs, ["(masked 1), (masked 4)"]);
    let mut other = with_effect(r#"{"u":"https://x/"}"#);
    assert!(!masks.may_mask(&mut other) && !masks.execution(&mut other));
}

#[test]
fn what_is_remembered_is_bounded() {
    let masks = Masks::new(&[]).unwrap();
    let half = |letter: &str| version(&json!({"token": letter.repeat(RECORDING_SECRET_BYTES / 2)}).to_string());
    for _ in 0..3 {
        masks.remember_version(&mut half("a")).unwrap();
    }
    masks.remember_version(&mut half("b")).unwrap();
    assert!(masks.remember_version(&mut version(r#"{"token":"c"}"#)).is_err());
    masks.remember_version(&mut version(r#"{"other":"c"}"#)).unwrap();
}

#[test]
fn masked_json_is_still_json() {
    let masks = Masks::new(&[]).unwrap();
    for (effect, expected) in [
        (r#"{"a":1234567, "b":[12345678,1.5],"c":"is 1234567"}"#, r#"{"a":0, "b":[0,1.5],"c":"is 0"}"#),
        (r#"{"code":7654321,"text":"7654321","7654321":true}"#, r#"{"code":0,"text":"(masked 2)","(masked 2)":true}"#),
        (r#"{"n":"\n7654321","m":"\u00377654321"}"#, r#"{"n":"\n(masked 2)","m":"7(masked 2)"}"#),
        ("[7654321", "[(masked 2)"),
        ("7654321 and 1234567", "(masked 2) and 0"),
    ] {
        let mut line = line(r#"{"pin":1234567,"password":"7654321"}"#, effect);
        assert!(masks.execution(&mut line));
        let EffectLine::Config { payload, .. } = &line.effects[0] else { panic!("{line:?}") };
        assert_eq!(payload.0, expected, "{effect}");
        let is_json = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).is_ok();
        assert_eq!(is_json(effect.as_bytes()), is_json(&payload.0), "{effect}");
    }
}

/// A JSON object with this key, each character of it escaped.
fn escaped(key: &str) -> String {
    let units = key.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("{{\"{}\":1}}", units.collect::<String>())
}

proptest! {
    #[test]
    fn the_quick_look_finds_each_key_that_a_pattern_matches(
        key in "[A-Za-z_/\u{130}\u{212a}\"]{0,3}(pin|PassWord|passwd|api[-_/]?|to[k\u{212a}]en|p\u{130}n|private|secret|authorization|)[A-Za-z_]{0,2}(key|)",
        more in prop::option::of("[a-c*?\\[\\]{},]{1,5}"),
    ) {
        // A pattern that is not a glob is refused, and then there is nothing to look for.
        let masks = Masks::new(&more.into_iter().collect::<Vec<_>>());
        if let Ok(masks) = masks && masks.patterns.is_match(key.to_lowercase()) {
            prop_assert!(masks.words.may_be_in_key(&key));
            for document in [json!({key.as_str(): 1}).to_string(), escaped(&key)] {
                prop_assert!(masks.words.may_be_in_document(document.as_bytes()), "{document}");
                let mut documents = [&b"{\"a\":2}"[..], document.as_bytes(), b"[]"].concat();
                prop_assert!(masks.words.may_be_in_documents(&mut documents), "{document}");
            }
        }
    }
}
