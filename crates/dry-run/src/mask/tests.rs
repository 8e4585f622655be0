//! What is masked, and which bytes stay the same.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn line(payload: &str, effect: &str) -> ExecutionLine {
    let data = Data::Telemetry {
        subfolder: String::new(),
        payload: Payload(payload.to_owned().into()),
        properties: vec![("X-Token".into(), "tok-12345".into())],
    };
    ExecutionLine {
        instance: 1,
        event: EventLine { data, ..EventLine::default() },
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
                prop_assert!(masks.words.may_be_in_document(&document), "{document}");
            }
        }
    }
}
