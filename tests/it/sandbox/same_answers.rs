//! The fake host of native tests gives the same answers as a host with default settings: the same plugin runs on both, makes the
//! same generated calls, and gets the same answers, including error texts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use caller::{Call as Asked, Caller, When};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use switchbox_dry_run::{
    live::MethodAnswer,
    payload::Payload,
    world::{CaseWorld, DeviceOfCase, WorldLine},
};
use switchbox_model::{DeviceName, DeviceNum, Event, EventData, PluginName, RegistryName, Seq, limits};
use switchbox_plugin::{Response, serde_json, testing::Harness};
use switchbox_plugin_runtime::{
    Call, Component, EffectiveGrants, Instance, Limits, Options, Setup, Verdict, WasmEngine,
};
use tokio::runtime::Runtime;

/// The time of every event, milliseconds since the Unix epoch.
const NOW_MS: u64 = 1_700_000_000_000;

/// Small ones, and those around a bound.
fn size(most: usize) -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0_usize..40, 1 => select(vec![most, most + 1])]
}

fn long(most: usize) -> impl Strategy<Value = String> {
    select(vec![most, most + 1]).prop_map(|bytes| "k".repeat(bytes))
}

fn device() -> impl Strategy<Value = String> {
    let known = ["lamp-1", "lamp-2", "lamp-9", "pump", "default/lamp-1", "hall/lamp-1", "", "a//b", "-", "lamp-1/x/y"];
    let full = format!("{}/devices/lamp-2", RegistryName::default_registry());
    prop_oneof![
        6 => Just("lamp-1".to_owned()),
        6 => select(known.map(str::to_owned).to_vec()),
        1 => Just(full),
        1 => long(limits::DEVICE_NAME_BYTES),
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(["a", "b", "ab", "", "ä"].map(str::to_owned).to_vec()),
        1 => long(limits::KV_KEY_BYTES),
    ]
}

fn version() -> impl Strategy<Value = Option<u64>> {
    option::weighted(0.5, 0_u64..4)
}

fn text(choices: &[&str]) -> impl Strategy<Value = String> + use<> {
    select(choices.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
}

fn when() -> impl Strategy<Value = When> {
    let late = select(vec![0, 99, 100, 5_000, u64::MAX]);
    prop_oneof![
        late.clone().prop_map(When::After),
        late.clone().prop_map(When::At),
        late.prop_map(When::Every),
        (text(&["30 2 * * *", "* * * *", "0 0 30 2 *", ""]), text(&["Europe/Berlin", "UTC", "Nowhere"]))
            .prop_map(|(expression, zone)| When::Cron(expression, zone)),
    ]
}

fn properties() -> impl Strategy<Value = Vec<(String, String)>> {
    let pairs = vec((text(&["tone", "$content-type", "", "a\0"]), text(&["high", "\0", ""])), 0..3);
    prop_oneof![
        4 => pairs,
        1 => Just(vec![("n".to_owned(), "v".to_owned()); limits::COMMAND_PROPERTIES + 1]),
        1 => Just(vec![("n".to_owned(), "v".repeat(limits::COMMAND_PROPERTY_BYTES))]),
    ]
}

fn reading() -> impl Strategy<Value = Asked> {
    prop_oneof![
        device().prop_map(Asked::Device),
        prop_oneof![text(&["*", "lamp-*", "[", "pump", "**"]), long(limits::PATTERN_BYTES)].prop_map(Asked::Devices),
        device().prop_map(Asked::Config),
        device().prop_map(Asked::Twin),
        key().prop_map(Asked::State),
        (key(), option::of(key()), select(vec![0, 1, 2, 1_000, 1_001]))
            .prop_map(|(prefix, after, limit)| Asked::Keys { prefix, after, limit }),
    ]
}

fn to_devices() -> impl Strategy<Value = Asked> {
    let patches = text(&[r#"{"on":true}"#, r#"{"on":null}"#, "{}", "[]", "3", r#"{"deep":{"a":[1,2.50]}}"#]);
    prop_oneof![
        (device(), size(limits::CONFIG_BYTES), version()).prop_map(|(device, bytes, expected)| Asked::SetConfig {
            device,
            bytes,
            expected
        }),
        (device(), patches, version()).prop_map(|(device, patch, expected)| Asked::Patch { device, patch, expected }),
        (
            device(),
            size(limits::COMMAND_BYTES),
            prop_oneof![text(&["", "bell", "a/b", "/a", "a//b", "a/#"]), long(limits::SUBFOLDER_BYTES)],
            select(vec![0, 1, limits::COMMAND_TTL_MAX_MS, limits::COMMAND_TTL_MAX_MS + 1]),
            option::of(properties()),
        )
            .prop_map(|(device, bytes, subfolder, ttl_ms, properties)| Asked::Command {
                device,
                bytes,
                subfolder,
                ttl_ms,
                properties
            }),
        (
            prop_oneof![3 => Just("lamp-1".to_owned()), 1 => text(&["lamp-2", "lamp-9", "pump", ""])],
            prop_oneof![3 => Just("dim".to_owned()), 1 => text(&["", "a/b"]), 1 => long(limits::METHOD_NAME_BYTES)],
            size(limits::METHOD_BYTES),
            select(vec![1, 300_000, 300_001, u64::MAX]),
        )
            // Only one method of one device has an answer.
            .prop_filter("a method without an answer", |(device, name, ..)| device != "lamp-1"
                || name != &"k".repeat(128))
            .prop_map(|(device, name, bytes, timeout_ms)| Asked::Method { device, name, bytes, timeout_ms }),
    ]
}

fn to_itself() -> impl Strategy<Value = Asked> {
    let name = || prop_oneof![4 => text(&["t", "u", "", "$start"]), 1 => long(limits::TIMER_NAME_BYTES)];
    let topic = prop_oneof![
        text(&["alerts/a", "other", "", "alerts/#", "$SYS/x", "/devices/lamp-1/config", "alerts/\0"]),
        long(limits::TOPIC_BYTES),
    ];
    prop_oneof![
        (key(), size(limits::KV_BYTES / 2), version()).prop_map(|(key, bytes, revision)| Asked::SetState {
            key,
            bytes,
            revision
        }),
        key().prop_map(Asked::DeleteState),
        (name(), when(), size(limits::TIMER_PAYLOAD_BYTES)).prop_map(|(name, when, bytes)| Asked::SetTimer {
            name,
            when,
            bytes
        }),
        name().prop_map(Asked::CancelTimer),
        (topic, size(limits::TELEMETRY_BYTES), 0_u8..4).prop_map(|(topic, bytes, qos)| Asked::Publish {
            topic,
            bytes,
            qos
        }),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Asked>> {
    let one = prop_oneof![reading(), to_devices(), to_itself()];
    let many = (prop_oneof![reading(), to_devices(), to_itself()], select(vec![65_usize, 100]));
    prop_oneof![
        6 => vec(one, 1..12),
        // More effects than one event may have.
        1 => many.prop_map(|(call, times)| vec![call; times]),
    ]
}

/// The fake host: its answers to one event.
fn fake() -> Harness<Caller> {
    let mut fake = Harness::<Caller>::new(serde_json::json!({})).unwrap();
    fake.at(NOW_MS).device("switch-1").device("lamp-1").device("pump").device("hall/lamp-1").offline_device("lamp-2");
    fake.answers("lamp-1", "dim", |_| Response { status: 200, payload: b"dimmed".to_vec() });
    fake
}

/// A host of a case, with the same devices.
struct Real {
    world: Arc<CaseWorld>,
    instance: Instance,
    device: DeviceName,
    events: u64,
}

impl Real {
    async fn new(component: &Component) -> Self {
        let about = |connected| DeviceOfCase { connected, ..DeviceOfCase::default() };
        let devices = [("switch-1", true), ("lamp-1", true), ("pump", true), ("hall/lamp-1", true), ("lamp-2", false)];
        let devices = devices.into_iter().map(|(name, connected)| (name.to_owned(), about(connected))).collect();
        let answer = MethodAnswer {
            device: "lamp-1".into(),
            method: "dim".into(),
            status: 200,
            payload: Payload(Bytes::from_static(b"dimmed")),
        };
        let world = CaseWorld::new(WorldLine { devices, methods: vec![answer], ..WorldLine::default() }).unwrap();
        let world = Arc::new(world);
        let asked = component.describe("{}", &Limits::default()).await.unwrap().grants;
        let setup = Setup {
            name: PluginName::new("plugin-under-test").unwrap(),
            settings: "{}".into(),
            // A fake host measures no time.
            limits: Limits { deadline: Duration::from_secs(60), ..Limits::default() },
            grants: EffectiveGrants::new(&asked, None).unwrap(),
        };
        let instance = component.start_at(Arc::new(setup), world.clone(), NOW_MS).await.unwrap();
        let device = DeviceName::parse("switch-1", &RegistryName::default_registry()).unwrap();
        Self { world, instance, device, events: 0 }
    }

    async fn event(&mut self, payload: Vec<u8>) -> Vec<String> {
        self.events += 1;
        let data = EventData::Telemetry { subfolder: String::new(), payload: payload.into(), properties: Vec::new() };
        let seq = Seq(self.events);
        let event = Event { seq, time_ms: NOW_MS, device: Some(DeviceNum(1)), durable: true, data };
        let call = Call { event: &event, device: Some(&self.device), attempt: 1 };
        let execution = self.instance.handle(call).await;
        assert_eq!(execution.verdict, Verdict::Done);
        self.world.apply(&execution);
        execution.logs.iter().map(|line| line.trim_start_matches("info: ").to_owned()).collect()
    }
}

#[test]
fn the_fake_host_answers_as_a_host_does() {
    let runtime = Runtime::new().unwrap();
    let component = runtime.block_on(async {
        let bytes = std::fs::read(env!("GUEST_CALLER")).unwrap();
        Component::load(&WasmEngine::new(Options::default()).unwrap(), bytes.into()).await.unwrap()
    });
    let mut runner = TestRunner::new(Config { cases: 256, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&vec(calls(), 1..4), |events| {
        let mut fake = fake();
        let mut real = runtime.block_on(Real::new(&component));
        for calls in events {
            let payload = serde_json::to_vec(&calls).unwrap();
            let before = fake.logs().len();
            fake.telemetry("switch-1", &payload).unwrap();
            let faked: Vec<_> = fake.logs().into_iter().skip(before).map(|(_, text)| text).collect();
            let answered = runtime.block_on(real.event(payload));
            for ((call, faked), answered) in calls.iter().zip(&faked).zip(&answered) {
                prop_assert_eq!(faked, answered, "{:?}", call);
            }
            prop_assert_eq!(faked.len(), answered.len());
        }
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}
