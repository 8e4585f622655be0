//! Which config version an effect is.

use super::*;
use switchbox_model::{Outcome, PluginName, Seq};

#[test]
fn a_config_that_was_in_force_already_is_found_by_what_it_says() {
    let version = |version, time_ms, payload: &'static str| ConfigVersion {
        device: DeviceNum(1),
        version,
        time_ms,
        payload: payload.into(),
        cause: Cause::Api { caller: "test".into() },
        acknowledged_ms: None,
    };
    let handled = Handled {
        plugin: PluginName::new("wake").unwrap(),
        digest: "sha256:ab".into(),
        seq: Seq(42),
        attempt: 1,
        time_ms: 20,
        took_us: 1,
        logs: Vec::new(),
        outcome: Outcome::Done { effects: Vec::new() },
    };
    let set = |payload: &'static str| Effect::Config { device: DeviceNum(1), payload: payload.into(), expected: None };
    let patch =
        |patch: &'static str| Effect::PatchDesired { device: DeviceNum(1), patch: patch.into(), expected: None };
    let old = || vec![version(7, 30, "{}"), version(6, 20, "[]"), version(5, 10, r#"{"a":1}"#), version(4, 5, "on")];
    for (versions, effect, expected) in [
        (old(), set(r#"{"a":1}"#), Some(5)),
        (old(), patch(r#"{"a":1.0,"b":null}"#), Some(5)),
        (old(), set("[]"), Some(6)),
        (old(), set("on"), None),
        (old(), set("{}"), None),
        (vec![], set("on"), None),
    ] {
        match config_step(versions, &handled, (0, &effect), DeviceNum(1)) {
            Step::Config(step) => assert_eq!((Some(step.version.version), step.unchanged), (expected, true)),
            other => assert_eq!((expected, other), (None, Step::Gone(Gone::Config { device: DeviceNum(1) }))),
        }
    }
    let nothing = config_step(vec![], &handled, (0, &patch(r#"{"a":null}"#)), DeviceNum(1));
    assert_eq!(nothing, Step::NothingToPatch { device: DeviceNum(1) });
}
