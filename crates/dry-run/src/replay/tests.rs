//! Recordings of this and of every earlier version are read, and replayed with built-in plugins.

use std::io::Cursor;

use bytes::Bytes;

use super::*;
use crate::{
    event::{Data, EventLine},
    offline,
    payload::Payload,
    recorder::Recorder,
    recording::{FORMAT, TriggersLine},
    replay_result::MissingComponent,
    replay_version::RecordedComponents,
    world::{CaseWorld, WorldLine},
};
use switchbox_plugin_runtime::{Component, EffectiveGrants, Setup};

/// Written by format 1. Every later version has to read it; never change it.
const FORMAT_1: &str = include_str!("../../../../tests/recordings/1.jsonl");

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn builtin(name: &str) -> Component {
    offline::load(Bytes::from_static(switchbox_builtins::find(name).unwrap())).await.unwrap()
}

async fn replayed(text: &str, component: &str, settings: Option<&str>) -> Replayed {
    let settings = settings.map(|text| PluginSettings::parse(text).unwrap());
    replay_with(text, Components::One(builtin(component).await), settings).await.unwrap()
}

async fn replay_with(text: &str, components: Components, settings: Option<PluginSettings>) -> Result<Replayed, Error> {
    replay(Cursor::new(text.to_owned()), ReplayRequest { components, settings, not_compared: 0 }).await
}

/// Each line of a file, read, written and read again.
fn lines(text: &str) -> Vec<Line> {
    let mut reader = Reader::new(Cursor::new(text.to_owned())).unwrap();
    std::iter::from_fn(|| reader.next_line().unwrap()).collect()
}

#[test]
fn the_first_format_is_read_and_replayed() {
    for line in lines(FORMAT_1) {
        assert_ne!(line, Line::Other);
        let written = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&written).unwrap(), line);
    }
    let result = run(replayed(FORMAT_1, "garage-door", None));
    assert_eq!((result.executions, result.different, result.skipped), (4, 0, 2), "{result:#?}");
}

#[test]
fn what_a_later_version_adds_is_left_out_and_a_later_format_is_refused() {
    let mut text = FORMAT_1.replace("\"outcome\"", "\"weather\":{\"rain\":true},\"outcome\"");
    text.push_str("{\"kind\":\"weather\",\"rain\":true}\n");
    assert_eq!(run(replayed(&text, "garage-door", None)).different, 0);
    let later = format!("\"format\":{}", FORMAT + 1);
    let later = FORMAT_1.replace("\"format\":1", &later);
    let error = Reader::new(Cursor::new(later)).err().unwrap().to_string();
    assert!(error.contains("use a newer one"), "{error}");
    assert!(matches!(Reader::new(Cursor::new("{}\n")), Err(ReadError::NoRecording)));
    let error = Reader::new(Cursor::new("{\"kind\":\"recording\"}\n")).err().unwrap().to_string();
    assert!(error.starts_with("line 1 is not a line of a recording: missing field `format`"), "{error}");
}

#[test]
fn a_file_that_ends_within_a_line_is_read_up_to_there() {
    for cut in [1, 10, 40] {
        let text = FORMAT_1.get(..FORMAT_1.len() - cut).unwrap();
        let mut reader = Reader::new(Cursor::new(text)).unwrap();
        while reader.next_line().unwrap().is_some() {}
        assert!(reader.cut_off);
    }
}

#[test]
fn other_effects_and_calls_that_are_not_in_the_recording_are_named() {
    // The door gives another answer.
    let text = FORMAT_1.replacen("\\\"door\\\":\\\"open\\\"}\"", "\\\"door\\\":\\\"shut\\\"}\"", 1);
    assert_ne!(text, FORMAT_1);
    let result = run(replayed(&text, "garage-door", None));
    assert_eq!(result.different, 1);
    assert!(
        result.differences[0].differs[0].starts_with("effect 1: was publish garage/door-1/response"),
        "{result:#?}"
    );
    // The recording does not have the method call.
    let text: String = FORMAT_1.replace("\"method\":\"open\"", "\"method\":\"close\"");
    let result = run(replayed(&text, "garage-door", None));
    let differs = &result.differences[0].differs[0];
    assert!(differs.starts_with("differs at call ") && differs.ends_with("not in the recording"), "{differs}");
    assert!(differs.contains("method.call door-1 open"), "{differs}");
}

/// Records a component with events in the world of a test, and replays the recording.
#[test]
fn what_is_recorded_is_replayed_to_the_byte() {
    let (text, again) = run(async {
        let component = builtin("motion-alert").await;
        let world = Arc::new(CaseWorld::new(WorldLine::default()).unwrap());
        let recorder = Arc::new(Recorder::new(world.clone()));
        let described = component.describe("{}", &Default::default()).await.unwrap();
        let setup = Setup {
            name: PluginName::new("motion").unwrap(),
            settings: "{}".into(),
            limits: Default::default(),
            grants: EffectiveGrants::new(&described.grants, None).unwrap(),
        };
        let mut instance = component.start_at(Arc::new(setup), recorder.clone(), 5).await.unwrap();
        let mut text = vec![
            Line::Recording {
                format: 1,
                plugin: "motion".into(),
                host: String::new(),
                begin_ms: 0,
                mask: vec![],
                from_journal: false,
            },
            Line::Version(VersionLine {
                version: 1,
                digest: component.digest().into(),
                settings: "{}".into(),
                asks: described.grants,
                granted: None,
                limits: Default::default(),
                triggers: Some(TriggersLine::Component),
                masked: false,
            }),
            Line::Start(StartLine { instance: 1, version: 1, time_ms: 5, calls: recorder.take().calls }),
        ];
        for n in 1..=20_u64 {
            let payload = Payload(format!(r#"{{"motion":{}}}"#, n % 3 != 0).into());
            let data = Data::Telemetry { subfolder: String::new(), payload, properties: vec![] };
            let event = EventLine { number: n, time_ms: n * 1_000, device: "motion-1".into(), data, attempt: 1 };
            let given = event.for_sandbox(&PluginName::new("motion").unwrap()).unwrap();
            let call = Call { event: &given.event, device: given.device.as_ref(), attempt: 1 };
            let execution = instance.handle(call).await;
            let recorded = recorder.take();
            let effects = effects_of(&execution, &|num| recorded.names.get(num));
            world.apply(&execution);
            let outcome = OutcomeLine::of(&execution.verdict);
            let (calls, logs) = (recorded.calls, execution.logs);
            let line = ExecutionLine { instance: 1, event, calls, effects, outcome, logs, guest_us: 1, masked: false };
            text.push(Line::Execution(Box::new(line)));
        }
        let text: String = text.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        let again = replayed(&text, "motion-alert", None).await;
        (text, again)
    });
    assert_eq!((again.executions, again.different), (20, 0), "{again:#?}\n{text}");
    assert!(text.contains("\"state\"") && text.contains("timer-set"), "{text}");
}

#[test]
fn more_instances_than_are_held_at_once_are_replayed() {
    let line = |kind: &str| FORMAT_1.lines().find(|line| line.contains(kind)).unwrap().to_owned();
    let mut text = [line("\"kind\":\"recording\""), line("\"kind\":\"version\"")].join("\n") + "\n";
    let of = |line: String, n: usize| line.replace("\"instance\":1", &format!("\"instance\":{n}")) + "\n";
    for n in 1..=MAX_INSTANCES * 3 {
        text.push_str(&of(line("\"kind\":\"start\""), n));
        text.push_str(&of(line("\"kind\":\"execution\""), n));
        // An early instance continues.
        text.push_str(&of(line("\"kind\":\"execution\""), 1));
    }
    let result = run(replayed(&text, "garage-door", None));
    assert_eq!(
        (result.executions, result.different, result.restarted),
        (MAX_INSTANCES as u64 * 6, 0, 0),
        "{:?}",
        result.differences.first()
    );
}

#[test]
fn an_instance_that_lost_its_memory_is_marked() {
    let line = |kind: &str| FORMAT_1.lines().find(|line| line.contains(kind)).unwrap().to_owned() + "\n";
    let mut text = line("\"kind\":\"recording\"") + &line("\"kind\":\"version\"");
    let of = |line: String, n: usize| line.replace("\"instance\":1", &format!("\"instance\":{n}"));
    for n in 1..=MAX_INSTANCES + 1 {
        text.push_str(&of(line("\"kind\":\"start\""), n));
        text.push_str(&of(line("\"kind\":\"execution\""), n));
    }
    let last = line("\"kind\":\"execution\"");
    let other = last.replacen("\\\"door\\\":\\\"open\\\"}\"", "\\\"door\\\":\\\"shut\\\"}\"", 1);
    assert_ne!(last, other);
    let result = run(replayed(&(text + &last + &other), "garage-door", None));
    assert_eq!((result.different, result.restarted), (1, 1), "{result:#?}");
    assert!(result.differences[0].restarted, "{result:#?}");
}

#[test]
fn an_event_that_the_triggers_do_not_match_is_a_difference_and_is_not_given_to_the_plugin() {
    let other = "[[trigger]]\nevent = \"topic\"\ndevice = \"other/#\"\n";
    let result = run(replayed(FORMAT_1, "garage-door", Some(other)));
    assert_eq!((result.executions, result.different, result.not_triggered), (4, 4, 4), "{result:#?}");
    assert_eq!(result.differences[0].differs, ["its triggers do not match"]);
    let same = "[[trigger]]\nevent = \"topic\"\ndevice = \"garage/+/request\"\n";
    assert_eq!(run(replayed(FORMAT_1, "garage-door", Some(same))).different, 0);
    // The component has other triggers with these settings.
    let result = run(replayed(FORMAT_1, "garage-door", Some("[settings]\ntopic = \"gates\"\n")));
    assert_eq!(result.not_triggered, 4, "{result:#?}");

    // Triggers of the recorded settings hold for another component. The recorded component got the events.
    let set = r#","triggers":{"settings":[{"event":"topic","device":"other/#"}]},"limits":"#;
    let text = FORMAT_1.replacen(",\"limits\":", set, 1);
    assert_eq!(run(replayed(&text, "garage-door", None)).not_triggered, 4);
    let digest = switchbox_plugin_runtime::digest(switchbox_builtins::find("garage-door").unwrap());
    let result = run(replayed(&text.replace("sha256:0000", &digest), "garage-door", None));
    assert_eq!((result.different, result.not_triggered), (0, 0), "{result:#?}");
}

#[test]
fn each_version_is_replayed_with_its_own_component_and_those_that_are_missing_are_named() {
    let line = |kind: &str| FORMAT_1.lines().find(|line| line.contains(kind)).unwrap().to_owned() + "\n";
    let second = line("\"kind\":\"version\"").replace("\"version\":1", "\"version\":2").replace(":0000", ":1111");
    let start = line("\"kind\":\"start\"").replace("\"instance\":1,\"version\":1", "\"instance\":2,\"version\":2");
    let execution = line("\"kind\":\"execution\"").replace("\"instance\":1", "\"instance\":2");
    let text = FORMAT_1.to_owned() + &second + &start + &execution + &execution;
    let found = |second: Option<&'static str>| {
        let find = move |plugin: &str, digest: &str| {
            assert_eq!(plugin, "garage-door");
            let name = if digest == "sha256:0000" { Some("garage-door") } else { second };
            name.map(|name| Bytes::from_static(switchbox_builtins::find(name).unwrap()))
        };
        run(async {
            replay_with(&text, Components::Recorded(RecordedComponents::new(find).unwrap()), None).await.unwrap()
        })
    };
    let result = found(Some("garage-door"));
    assert!(result.is_equal() && result.executions == 6, "{result:#?}");
    let result = found(Some("switch-wakes-device"));
    assert_eq!((result.executions, result.different), (6, 2), "the other component acts: {result:#?}");
    let result = found(None);
    assert_eq!((result.executions, result.different, result.not_replayed), (4, 0, 2), "{result:#?}");
    assert_eq!(result.missing, [MissingComponent { digest: "sha256:1111".into(), executions: 2 }]);
    assert!(!result.is_equal());
}

#[test]
fn settings_that_a_host_would_refuse_are_refused() {
    let refused = |settings: &str| {
        let settings = PluginSettings::parse(settings).unwrap();
        let result =
            run(async { replay_with(FORMAT_1, Components::One(builtin("thermostat").await), Some(settings)).await });
        result.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let error = refused("[settings]\ntemperature = 500.0\n");
    assert!(error.contains("temperature is 500.0, and must be at most 100"), "{error}");
    assert_eq!(refused("[settings]\ntemperature = 20.0\n"), "");
}
