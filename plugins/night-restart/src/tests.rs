//! The plugin against the fake host.

use switchbox_plugin::{Cron, Level, Schedule, prelude::*, serde_json::Value, testing::Harness};

use super::NightRestart;

fn harness(settings: Value) -> Harness<NightRestart> {
    let mut t = Harness::new(settings).unwrap();
    t.device("camera-1").metadata("camera-1", "night-restart", "true");
    t.offline_device("camera-2").metadata("camera-2", "night-restart", "true");
    t.device("camera-3").metadata("camera-3", "night-restart", "false");
    t.device("lamp-1");
    t
}

#[test]
fn the_timer_is_set_when_the_plugin_is_new() {
    let mut t = harness(json!({"cron": "30 2 * * 1-5", "time_zone": "Europe/Berlin"}));
    t.start().unwrap();
    let cron = Cron { expression: "30 2 * * 1-5".into(), time_zone: "Europe/Berlin".into() };
    assert_eq!(t.timer("night"), Some(Schedule::Cron(cron)));
}

#[test]
fn every_device_that_asks_for_it_is_restarted_and_no_other() {
    let mut t = harness(json!({}));
    t.start().unwrap();
    t.fire("night").unwrap();
    for (device, expected) in [("camera-1", 1), ("camera-2", 1), ("camera-3", 0), ("lamp-1", 0)] {
        assert_eq!(t.commands(device).len(), expected, "{device}");
    }
    let command = &t.commands("camera-2")[0];
    assert_eq!((command.payload.as_slice(), command.ttl_ms), (b"RESTART".as_slice(), 1_800_000));
    assert_eq!(t.logs(), [(Level::Info, "2 devices are told to restart".to_owned())]);
    assert!(t.timer("night").is_some(), "it comes again the next night");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (settings, text) in [
        (json!({"command": ""}), "command and metadata must not be empty"),
        (json!({"ttl_s": 0}), "ttl_s must be at least 1"),
        (json!({"zone": "UTC"}), "unknown field `zone`"),
    ] {
        let Err(error) = Harness::<NightRestart>::new(settings) else { panic!("taken: {text}") };
        assert!(error.contains(text), "{error}");
    }
}
