//! What a recording writes: the lines of executions in their order, made by a worker or by the writer, until its file is full.

use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, Effect, Event, EventData, RegistryName, Seq, limits::RECORDING_SECRET_BYTES,
};
use switchbox_plugin_runtime::{Execution, KvChange, Limits, Verdict};

use super::*;
use crate::{
    call::HostCall,
    event::EventLine,
    instance_lines::{InstanceLines, line},
    mask::Masks,
    recording::Reader,
};

fn event(seq: u64, payload: &str) -> Event {
    let data =
        EventData::Telemetry { subfolder: String::new(), payload: payload.to_owned().into(), properties: vec![] };
    Event { seq: Seq(seq), time_ms: 1_767_268_800_000, device: Some(DeviceNum(7)), durable: true, data }
}

fn execution(payload: &str) -> Execution {
    let config = Effect::Config { device: DeviceNum(9), payload: payload.to_owned().into(), expected: None };
    let kv = KvChange { key: "last".into(), value: Some(payload.to_owned().into()), expected: Some(3) };
    Execution {
        effects: vec![config],
        kv: vec![kv],
        logs: vec!["info: \"seen\"".into()],
        guest_time: Duration::from_micros(41),
        ..Execution::of(Verdict::Done)
    }
}

fn calls() -> RecordedCalls {
    let calls = vec![HostCall::Has { device: "lamp-1".into(), answer: true }];
    RecordedCalls { calls, ..RecordedCalls::default() }
}

fn device() -> DeviceName {
    DeviceName { registry: RegistryName::default_registry(), id: DeviceId::new("switch-1").unwrap() }
}

fn begin(folder: &Path, max_bytes: u64) -> Arc<Recording> {
    begin_or_continue(folder, max_bytes, false)
}

fn begin_or_continue(folder: &Path, max_bytes: u64, continues: bool) -> Arc<Recording> {
    let options = Options {
        plugin: PluginName::new("wake").unwrap(),
        file: folder.join("wake.jsonl"),
        continues,
        time: None,
        max_bytes,
        mask: Vec::new(),
        metrics: Metrics::default(),
    };
    Recording::begin(options, &Tasks::new(Metrics::default())).unwrap()
}

/// Records an event with this payload for each of these.
fn record(recording: &Arc<Recording>, payloads: &[String]) {
    let mut lines = InstanceLines::new(recording.clone(), 1);
    for (seq, payload) in (1..).zip(payloads) {
        let (event, execution, device) = (event(seq, payload), execution(payload), device());
        assert!(lines.push(&event, (Some(&device), 1), &mut calls(), &execution));
    }
    assert!(lines.flush());
}

/// Waits until the recording has ended. Returns its file.
fn ended(recording: &Recording) -> String {
    while recording.status().ended.is_none() {
        std::thread::yield_now();
    }
    fs::read_to_string(recording.file()).unwrap()
}

/// The lines as the format describes them.
fn expected(payloads: &[String]) -> Vec<String> {
    let masks = Masks::new(&[]).unwrap();
    let lines = (1..).zip(payloads).map(|(seq, payload)| {
        let event = EventLine::of(&event(seq, payload), Some(&device()), 1);
        let mut line = line(1, event, &mut calls(), Vec::new(), &execution(payload));
        line.masked = masks.execution(&mut line);
        serde_json::to_string(&Line::Execution(Box::new(line))).unwrap()
    });
    lines.collect()
}

#[test]
fn a_line_is_the_same_whether_a_worker_or_the_writer_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), u64::MAX);
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(20_000));
    let secret = r#"{"password":"correct-horse","pin":1234}"#.to_owned();
    let short = "{\"n\":\"\u{e4}\\n\"}".to_owned();
    let payloads = [short.clone(), long, short.clone(), secret, "not \u{1} JSON".into(), short];
    record(&recording, &payloads);
    recording.stop();
    let text = ended(&recording);
    let lines: Vec<_> = text.lines().filter(|line| line.contains("\"execution\"")).collect();
    assert_eq!(lines, expected(&payloads));
    assert!(text.contains("(masked 1)") && !text.contains("correct-horse"));
    let golden = r#"{"kind":"execution","instance":1,"event":{"number":5,"timeMs":1767268800000,"device":"switch-1","attempt":1,"data":{"telemetry":{"payload":"not \u0001 JSON"}}},"calls":[{"call":"registry.has","device":"lamp-1","answer":true}],"effects":[{"config":{"device":"#;
    assert!(lines[4].starts_with(golden), "{}", lines[4]);
    assert_eq!(recording.status().executions, 6);
}

#[test]
fn an_execution_that_waited_is_queued_before_its_worker_handles_the_next_event() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), u64::MAX);
    let mut lines = InstanceLines::new(recording.clone(), 1);
    for (seq, awaited) in [(1, Duration::ZERO), (2, Duration::from_secs(5)), (3, Duration::ZERO)] {
        let execution = Execution { awaited, ..execution("{}") };
        assert!(lines.push(&event(seq, "{}"), (None, 1), &mut calls(), &execution));
    }
    recording.stop();
    let text = ended(&recording);
    drop(lines);
    assert!(text.contains(r#""number":1,"#) && text.contains(r#""number":2,"#), "{text}");
    assert_eq!(recording.status().executions, 2);
}

#[test]
fn a_full_file_ends_with_the_first_line_that_exceeds_it() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), 4_096);
    let payloads = vec!["{}".to_owned(); 100];
    record(&recording, &payloads);
    let text = ended(&recording);
    let status = recording.status();
    let executions: Vec<_> = text.lines().filter(|line| line.contains("\"execution\"")).collect();
    assert_eq!(status.executions, executions.len() as u64);
    let before_end = text.lines().filter(|line| !line.contains("\"kind\":\"end\"")).map(|line| line.len() as u64 + 1);
    let before_end: Vec<_> = before_end.collect();
    assert!(before_end.iter().sum::<u64>() >= 4_096);
    assert!(before_end[..before_end.len() - 1].iter().sum::<u64>() < 4_096);
}

#[test]
fn what_finds_no_room_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), u64::MAX);
    let (event, mut lines) = (event(1, "{}"), InstanceLines::new(recording.clone(), 1));
    let mut too_large = RecordedCalls { too_large: true, ..calls() };
    assert!(!lines.push(&event, (None, 1), &mut too_large, &execution("{}")));
    let huge = execution(&"x".repeat(20 * 1024 * 1024));
    assert!(!lines.push(&event, (None, 1), &mut calls(), &huge));
    recording.stop();
    let text = ended(&recording);
    let mut reader = Reader::new(text.as_bytes()).unwrap();
    let mut gaps = 0;
    // One gap, or two if the writer came between.
    while let Some(Line::Gap { skipped }) = reader.next_line().unwrap() {
        gaps += skipped;
    }
    assert_eq!(gaps, 2);
    assert!(text.lines().last().unwrap().ends_with(r#""executions":0,"skipped":2}"#), "{text}");
}

#[test]
fn an_instance_with_a_gap_is_recorded_no_further_also_if_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), u64::MAX);
    assert!(recording.takes_next(false) && recording.may_have_room());
    assert!(!recording.takes_next(true));
    assert_eq!(recording.status().skipped, 1);
    recording.stop();
    assert!(ended(&recording).lines().last().unwrap().ends_with(r#""skipped":1}"#));
}

#[test]
fn secrets_of_settings_are_masked_in_executions_and_too_many_end_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let recording = begin(folder.path(), u64::MAX);
    let version = |settings: String| {
        move |version| VersionLine {
            version,
            digest: "sha256:0".into(),
            settings,
            asks: Vec::new(),
            granted: None,
            limits: Limits::default(),
            triggers: None,
            masked: false,
        }
    };
    assert_eq!(recording.start("one", version(r#"{"token":"sesame-open"}"#.into()), 5, calls()), 1);
    record(&recording, &["say sesame-open".into(), "nothing".into()]);
    let long = "x".repeat(RECORDING_SECRET_BYTES);
    let _ = recording.start("two", version(format!(r#"{{"token":"{long}"}}"#)), 6, calls());
    let text = ended(&recording);
    assert!(!text.contains("sesame-open") && !text.contains(&long), "{text}");
    assert!(text.contains("say (masked 1)") && text.contains("nothing"), "{text}");
    let (limit, status) = ("the limit \"recording_secret_bytes\" is reached", recording.status());
    assert_eq!((status.ended.as_deref(), status.executions), (Some(limit), 2));
}

#[test]
fn a_recording_that_continues_counts_the_executions_that_its_file_has_already() {
    let folder = tempfile::tempdir().unwrap();
    let before = begin(folder.path(), 1 << 20);
    record(&before, &["a".into(), "b".into()]);
    before.stop();
    ended(&before);
    let recording = begin_or_continue(folder.path(), 1 << 20, true);
    while recording.status().executions < 2 {
        std::thread::yield_now();
    }
    record(&recording, &["c".into()]);
    recording.stop();
    let text = ended(&recording);
    assert_eq!(recording.status().executions, 3);
    assert!(text.lines().last().unwrap().contains("\"executions\":3"), "{text}");
}
