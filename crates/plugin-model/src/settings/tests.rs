//! Tests of settings files that are read, and of the errors of wrong ones.

use std::time::Duration;

use super::*;
use crate::limits::Size;
use switchbox_model::EventKind;

#[test]
fn the_example_of_the_design_is_read_whole() {
    let settings = parse(
        r#"
        component = "builtin:switch-wakes-device"
        enabled = true

        [[trigger]]
        event = "telemetry"
        device = "switch-*"
        subfolder = "buttons"

        [grants]
        config  = ["lamp-*"]
        publish = ["alerts/\#"]

        [limits]
        deadline = "250ms"
        memory = "16MiB"
        effects-per-event = 8
        rate-per-target = "10/s"

        [settings]
        target = "lamp-1"
        at = 2026-01-01T00:00:00Z
        "#
        .replace("\\#", "#")
        .as_str(),
    )
    .unwrap();
    assert_eq!(settings.component, Some(ComponentRef::Builtin("switch-wakes-device".into())));
    let trigger = Trigger { event: EventKind::Telemetry, device: "switch-*".into(), subfolder: Some("buttons".into()) };
    assert_eq!(settings.triggers, Some(vec![trigger]));
    assert_eq!(settings.grants.as_ref().unwrap()[&Capability::Config], ["lamp-*"]);
    assert_eq!(settings.limits.deadline, Duration::from_millis(250));
    assert_eq!(settings.limits.memory, Size(16 << 20));
    assert_eq!(settings.limits.effects_per_event, 8);
    assert_eq!(settings.limits.rate_per_target.unwrap().to_string(), "10/s");
    assert_eq!(settings.settings.unwrap()["target"], "lamp-1");
}

#[test]
fn a_size_is_a_text_or_a_number_of_bytes() {
    let settings = parse("[limits]\nmemory = 33554432\noutput = \"1MiB\"\n").unwrap();
    assert_eq!((settings.limits.memory, settings.limits.output), (Size(32 << 20), Size(1 << 20)));
    assert!(parse("[limits]\nmemory = -1\n").unwrap_err().to_string().starts_with("limits.memory: "));
}

#[test]
fn an_empty_file_is_all_defaults() {
    assert_eq!(parse("").unwrap(), PluginSettings::default());
}

#[test]
fn all_problems_are_reported_with_their_keys() {
    for (text, keys) in [
        ("enabeld = true", &["enabeld"] as &[&str]),
        ("enabled = 1", &["enabled"]),
        ("component = \"../x.wasm\"", &["component"]),
        ("component = \"lib.so\"", &["component"]),
        ("component = 1\nenabled = 2", &["component", "enabled"]),
        ("trigger = 1", &["trigger"]),
        ("[[trigger]]\ndevice = \"x\"", &["trigger[1]"]),
        ("[[trigger]]\nevent = \"state\"\n[[trigger]]\nevent = \"moon\"", &["trigger[2]"]),
        ("[[trigger]]\nevent = \"state\"\ncolour = 1", &["trigger[1]"]),
        ("[[trigger]]\nevent = \"state\"\ndevice = \"[\"", &["trigger[1]"]),
        ("grants = 1", &["grants"]),
        ("[grants]\nconfig = \"x\"\nfly = []\nread = [\"[\"]", &["grants.config", "grants.fly", "grants.read"]),
        ("[limits]\ndeadline = 5\nmemory = \"1PB\"\nhue = 1", &["limits.deadline", "limits.hue", "limits.memory"]),
        ("[limits]\nmemory = \"1GiB\"", &["limits.memory"]),
        ("settings = 1", &["settings"]),
        ("a = = b", &[""]),
    ] {
        let mut found: Vec<_> = parse(text).unwrap_err().0.into_iter().map(|p| p.key).collect();
        found.sort();
        assert_eq!(found, keys, "{text}");
    }
}

#[test]
fn what_can_never_work_is_refused() {
    let many = "[[trigger]]\nevent = \"state\"\n".repeat(300);
    let long = format!("[grants]\nconfig = [\"{}\"]", "?".repeat(2_000));
    let large = format!("[settings]\na = \"{}\"", "x".repeat(300_000));
    for (text, key, part) in [
        ("[[trigger]]\nevent = \"state\"\nsubfolder = \"a\"", "trigger[1]", "telemetry"),
        ("[[trigger]]\nevent = \"telemetry\"\ndevice = \"hall/lamp\"", "trigger[1]", "no /"),
        ("[[trigger]]\nevent = \"topic\"\ndevice = \"/devices/+/events\"", "trigger[1]", "the host's own"),
        ("[grants]\npublish = [\"a\", \"registries/x\"]", "grants.publish", "the host's own"),
        ("[grants]\nconfig = [\"/devices/lamp-1\"]", "grants.config", "matches no device"),
        ("[limits]\nlog-lines = 4000000000", "limits.log-lines", "at most 1000000"),
        (&many, "trigger", "\"triggers\""),
        (&long, "grants.config", "\"pattern-bytes\""),
        (&large, "settings", "\"settings-bytes\""),
    ] {
        let [problem] = &parse(text).unwrap_err().0[..] else { panic!("{text:.80}") };
        assert_eq!(problem.key, key, "{}", problem.text);
        assert!(problem.text.contains(part) && problem.text.len() < 400, "{}", problem.text);
    }
}

#[test]
fn a_problem_says_what_would_be_right() {
    let check = |text| parse(text).unwrap_err().to_string();
    assert_eq!(
        check("[limits]\ndeadline = \"soon\""),
        "limits.deadline: \"soon\" is not a duration; write it as 100ms, 5s or 1m"
    );
    assert_eq!(check("limits = 3"), "limits: is an integer, but must be a table: [limits]");
    assert_eq!(check("guard = 1.5"), "guard: is a float, but must be a table: [guard]");
    assert_eq!(check("[grants]\nconfig = \"lamp-*\""), "grants.config: is a string, but must be a list: [\"lamp-*\"]");
    assert_eq!(check("\n\nenabled"), "line 3 is not TOML: key with no value, expected `=`");
}
