//! Recordings made of executions as the journal has them.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::recording::Reader;
use switchbox_model::{EventData, RegistryName, Seq, timer};

fn device(id: &str) -> DeviceName {
    DeviceName::parse(id, &RegistryName::default_registry()).unwrap()
}

/// The only devices that are known.
fn name(num: DeviceNum) -> Option<DeviceName> {
    match num.0 {
        1 => Some(device("switch-1")),
        2 => Some(device("lamp-1")),
        _ => None,
    }
}

fn event(seq: u64, device: u64) -> Event {
    let data = EventData::Telemetry { subfolder: String::new(), payload: Bytes::from("x"), properties: Vec::new() };
    Event { seq: Seq(seq), time_ms: seq, device: Some(DeviceNum(device)), durable: true, data }
}

fn handled(seq: u64, digest: &str, outcome: Outcome) -> Handled {
    let (plugin, digest) = (PluginName::new("wake").unwrap(), Arc::from(digest));
    Handled { plugin, digest, seq: Seq(seq), attempt: 1, time_ms: seq, took_us: 7, logs: Vec::new(), outcome }
}

fn config(target: u64) -> Outcome {
    let effect = Effect::Config { device: DeviceNum(target), payload: Bytes::from("{}"), expected: None };
    Outcome::Done { effects: vec![effect] }
}

fn ran(digest: &str, time_ms: u64, settings: &str) -> RanVersion {
    RanVersion { digest: digest.into(), times_ms: vec![time_ms], settings: PluginSettings::parse(settings).unwrap() }
}

fn lines_of(versions: Vec<RanVersion>) -> JournalLines {
    JournalLines::new(&PluginName::new("wake").unwrap(), versions, &[]).unwrap()
}

fn add(lines: &mut JournalLines, handled: &Handled, of: u64) {
    let event = event(handled.seq.0, of);
    lines.add(handled, Some((&event, name(DeviceNum(of)).as_ref())), &name);
}

fn read(mut lines: JournalLines) -> Vec<Line> {
    lines.end("over".into());
    let mut reader = Reader::new(std::io::Cursor::new(lines.take())).unwrap();
    assert!(reader.from_journal);
    std::iter::from_fn(|| reader.next_line().unwrap()).collect()
}

#[test]
fn an_execution_has_its_event_its_effects_and_that_their_devices_were_there() {
    let mut lines = lines_of(vec![ran("sha256:1", 0, "[settings]\npassword = \"secret-9\"\n")]);
    add(&mut lines, &handled(5, "sha256:1", config(2)), 1);
    let failed = Outcome::Dead { error: "not JSON".into(), event: Box::new(event(6, 1)) };
    add(&mut lines, &handled(6, "sha256:1", failed), 1);
    let lines = read(lines);
    let [Line::Version(version), Line::Start(start), Line::Execution(done), Line::Execution(dead), Line::End { .. }] =
        &lines[..]
    else {
        panic!("{lines:#?}")
    };
    assert!(version.masked && !version.settings.contains("secret-9"), "{version:?}");
    assert_eq!((start.instance, start.version, start.time_ms), (1, 1, 5));
    assert_eq!((done.event.number, &*done.event.device, done.guest_us), (5, "switch-1", 7));
    assert_eq!(done.calls, [HostCall::Has { device: "lamp-1".into(), answer: true }]);
    assert_eq!(done.effects.len(), 1);
    assert_eq!((dead.effects.len(), &dead.outcome), (0, &OutcomeLine::Failed("not JSON".into())));
}

#[test]
fn what_is_not_known_any_more_is_left_out_and_counted() {
    let mut lines = lines_of(vec![ran("sha256:1", 0, "")]);
    add(&mut lines, &handled(1, "sha256:1", config(2)), 9);
    add(&mut lines, &handled(2, "sha256:1", config(9)), 1);
    add(&mut lines, &handled(3, "sha256:2", config(2)), 1);
    lines.add(&handled(4, "sha256:1", config(2)), None, &name);
    add(&mut lines, &handled(5, "sha256:1", config(2)), 1);
    let lines = read(lines);
    assert_eq!(lines[0], Line::Gap { skipped: 4 });
    assert_eq!(lines.last(), Some(&Line::End { why: "over".into(), executions: 1, skipped: 4 }));
}

#[test]
fn the_settings_are_those_that_were_in_force_at_the_time() {
    let versions = || vec![ran("sha256:1", 10, "[settings]\nn = 1\n"), ran("sha256:1", 20, "[settings]\nn = 2\n")];
    for (time, expected) in [(5, None), (10, Some(r#"{"n":1}"#)), (19, Some(r#"{"n":1}"#)), (20, Some(r#"{"n":2}"#))] {
        let mut lines = lines_of(versions());
        add(&mut lines, &handled(time, "sha256:1", config(2)), 1);
        let settings = read(lines).into_iter().find_map(|line| match line {
            Line::Version(version) => Some(version.settings),
            _ => None,
        });
        assert_eq!(settings.as_deref(), expected, "at {time}");
    }
    // It came into force a second time since: there are no other settings that it could have had before.
    let mut lines = lines_of(vec![ran("sha256:1", 10, "")]);
    add(&mut lines, &handled(5, "sha256:1", config(2)), 1);
    assert!(read(lines).iter().any(|line| matches!(line, Line::Execution(_))));
}

#[test]
fn a_version_that_came_into_force_again_has_the_events_of_each_of_its_times() {
    let again = RanVersion { times_ms: vec![20, 40], ..ran("sha256:1", 0, "[settings]\nn = 2\n") };
    let versions = vec![ran("sha256:1", 10, "[settings]\nn = 1\n"), ran("sha256:1", 30, "[settings]\nn = 3\n"), again];
    let mut lines = lines_of(versions);
    [15, 25, 35, 45].into_iter().for_each(|time| add(&mut lines, &handled(time, "sha256:1", config(2)), 1));
    let (mut settings, mut instances) = (Vec::new(), Vec::new());
    for line in read(lines) {
        match line {
            Line::Version(version) => settings.push(version.settings),
            Line::Execution(execution) => instances.push(execution.instance),
            _ => {}
        }
    }
    assert_eq!(settings, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    assert_eq!(instances, [1, 2, 3, 2]);
}

#[test]
fn writes_of_the_state_and_timers_are_effects_too() {
    let mut lines = lines_of(vec![ran("sha256:1", 0, "")]);
    let timer = timer::Timer { name: "t".into(), schedule: timer::Schedule::Once, payload: Bytes::new(), due_ms: 9 };
    let write = switchbox_model::KvWrite { key: "k".into(), value: Some(Bytes::from("v")), revision: 3 };
    let effects = vec![Effect::TimerSet(Box::new(timer)), Effect::Kv(write)];
    add(&mut lines, &handled(1, "sha256:1", Outcome::Done { effects }), 1);
    let text = String::from_utf8(lines.take()).unwrap();
    assert!(text.contains(r#""effects":[{"timer-set":{"name":"t""#), "{text}");
    assert!(text.contains(r#"{"state":{"key":"k","value":"v"}}"#), "{text}");
}
