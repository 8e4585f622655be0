//! The fake host of native tests gives the same answers as a host with default settings: the same plugin runs on both, makes the
//! same calls for the same events, and gets the same answers, including error texts. What it is called for, and what it is refused
//! for, is the same as well.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use caller::{Asks, Call as GuestCall, Caller};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use switchbox_dry_run::{
    live::MethodAnswer,
    payload::Payload,
    world::{CaseWorld, DeviceOfCase, WorldLine},
};
use switchbox_model::{CommandStatus, DeviceName, Event, EventData, EventKind, PluginName, RegistryName, Seq, limits};
use switchbox_plugin::{self as sdk, Level, Response, serde_json, testing::Harness};
use switchbox_plugin_runtime::{
    Call, Component, EffectiveGrants, HostCalls as _, Instance, Limits, Options, Setup, Triggers, Verdict, WasmEngine,
};
use tokio::runtime::Runtime;

use super::guest_calls::{self, Happens, telemetry};

/// The time of every event, milliseconds since the Unix epoch.
const NOW_MS: u64 = 1_700_000_000_000;
/// Bytes of metadata of each heavy device. All together are more than one list may have.
const HEAVY_BYTES: usize = limits::LIST_BYTES / 16;

/// The answers of one event: the lines, and how it ended. Is `None` if the plugin is not called.
type Answers = Option<(Vec<String>, Result<(), String>)>;

/// The devices of both hosts, and so many heavy ones.
fn devices(heavy: usize) -> Vec<(String, DeviceOfCase)> {
    let about = |connected, subscribed| DeviceOfCase { connected, subscribed, ..DeviceOfCase::default() };
    let there = ["switch-1", "hall/switch-2", "lamp-1", "pump", "hall/lamp-1"].map(|name| (name, about(true, true)));
    let away = [("lamp-2", about(false, true)), ("lamp-3", about(true, false))];
    let named = |(name, about): (&str, DeviceOfCase)| (name.to_owned(), about);
    let heavy = (0..heavy).map(|n| {
        let metadata = BTreeMap::from([("note".to_owned(), "x".repeat(HEAVY_BYTES))]);
        (format!("heavy-{n:02}"), DeviceOfCase { metadata, ..DeviceOfCase::default() })
    });
    there.into_iter().chain(away).map(named).chain(heavy).collect()
}

const ANSWERING: [&str; 3] = ["lamp-1", "pump", "hall/lamp-1"];

/// The fake host of the SDK.
struct Fake(Harness<Caller>);

impl Fake {
    /// The error is the reason of the refusal.
    fn new(asks: &Asks, devices: &[(String, DeviceOfCase)]) -> Result<Self, String> {
        let mut fake = Harness::<Caller>::new(asks)?;
        fake.at(NOW_MS);
        for (name, about) in devices {
            match (about.connected, about.subscribed) {
                (true, true) => fake.device(name),
                (true, false) => fake.unsubscribed_device(name),
                (false, _) => fake.offline_device(name),
            };
            for (key, value) in &about.metadata {
                fake.metadata(name, key, value);
            }
        }
        for device in ANSWERING {
            fake.answers(device, "dim", |_| Response { status: 200, payload: b"dimmed".to_vec() });
        }
        Ok(Self(fake))
    }

    fn event(&mut self, happens: &Happens, payload: &[u8]) -> Answers {
        let (part, payload) = (happens.part.clone(), payload.to_vec());
        let properties = Vec::new();
        let data = match happens.kind {
            EventKind::Telemetry => sdk::EventData::Telemetry(sdk::Telemetry { subfolder: part, payload, properties }),
            EventKind::State => sdk::EventData::State(sdk::StateUpdate { version: 1, payload }),
            EventKind::Connected => sdk::EventData::Connected,
            EventKind::Disconnected => sdk::EventData::Disconnected("gone".into()),
            EventKind::CommandSettled => {
                let (id, status) = ("1.x.0".into(), sdk::CommandStatus::Expired);
                sdk::EventData::CommandSettled(sdk::CommandSettled { id, status })
            }
            EventKind::Timer => {
                sdk::EventData::Timer(sdk::TimerFired { name: "t".into(), payload, due: NOW_MS, late: false })
            }
            EventKind::Topic => sdk::EventData::Topic(sdk::TopicMessage { topic: part, payload, properties }),
        };
        if !self.0.sees(&happens.device, &data) {
            return None;
        }
        let before = self.0.logs().len();
        let ended = self.0.event(&happens.device, data).map_err(|disposition| disposition.to_string());
        let line = |(level, text)| match level {
            Level::Info => format!("info: {text}"),
            _ => format!("warn: {text}"),
        };
        Some((self.0.logs().into_iter().skip(before).map(line).collect(), ended))
    }
}

/// A host of a case, with the same devices.
struct Real {
    world: Arc<CaseWorld>,
    instance: Instance,
    triggers: Triggers,
    events: u64,
}

impl Real {
    /// The error is the reason of the refusal.
    async fn new(component: &Component, asks: &Asks, devices: &[(String, DeviceOfCase)]) -> Result<Self, String> {
        let settings = serde_json::to_string(asks).unwrap();
        let described = component.describe(&settings, &Limits::default()).await.map_err(|error| error.to_string())?;
        let answer = |device: &str| MethodAnswer {
            device: device.into(),
            method: "dim".into(),
            status: 200,
            payload: Payload(Bytes::from_static(b"dimmed")),
        };
        let methods = ANSWERING.map(answer).to_vec();
        let devices = devices.iter().cloned().collect();
        let world = Arc::new(CaseWorld::new(WorldLine { devices, methods, ..WorldLine::default() }).unwrap());
        let setup = Setup {
            name: PluginName::new("plugin-under-test").unwrap(),
            settings,
            // A fake host measures no time.
            limits: Limits { deadline: Duration::from_secs(60), ..Limits::default() },
            grants: EffectiveGrants::new(&described.grants, None).unwrap(),
        };
        let instance = component.start_at(Arc::new(setup), world.clone(), NOW_MS).await.unwrap();
        Ok(Self { world, instance, triggers: Triggers::new(&described.triggers).unwrap(), events: 0 })
    }

    async fn event(&mut self, happens: &Happens, payload: &[u8]) -> Answers {
        let payload = Bytes::copy_from_slice(payload);
        let (part, properties) = (happens.part.clone(), Vec::new());
        let data = match happens.kind {
            EventKind::Telemetry => EventData::Telemetry { subfolder: part, payload, properties },
            EventKind::State => EventData::State { version: 1, payload },
            EventKind::Connected => EventData::Connected,
            EventKind::Disconnected => EventData::Disconnected { reason: "gone".into() },
            EventKind::CommandSettled => {
                EventData::CommandSettled { id: "1.x.0".into(), status: CommandStatus::Expired }
            }
            EventKind::Timer => {
                let plugin = "plugin-under-test".into();
                EventData::Timer { plugin, name: "t".into(), payload, due_ms: NOW_MS, late: false }
            }
            EventKind::Topic => EventData::Topic { topic: part, payload, properties },
        };
        let home = RegistryName::default_registry();
        let of_device = !happens.device.is_empty();
        let device = of_device.then(|| DeviceName::parse(&happens.device, &home).unwrap());
        let id = device.as_ref().map_or("", |device| device.id.as_str());
        // As `dispatch` decides it for a plugin's own timer.
        if happens.kind != EventKind::Timer && !self.triggers.match_event(data.trigger_input(id)) {
            return None;
        }
        self.events += 1;
        let num = device.as_ref().map(|device| self.world.device(device).unwrap().num);
        let event = Event { seq: Seq(self.events), time_ms: NOW_MS, device: num, durable: true, data };
        let execution = self.instance.handle(Call { event: &event, device: device.as_ref(), attempt: 1 }).await;
        self.world.apply(&execution);
        let ended = match execution.verdict {
            Verdict::Done => Ok(()),
            Verdict::Retry(text) => Err(format!("retry: {text}")),
            Verdict::Reject(text) => Err(format!("reject: {text}")),
            other => panic!("{other:?}"),
        };
        Some((execution.logs, ended))
    }
}

/// Both hosts, of one component.
struct Both {
    runtime: Runtime,
    component: Component,
    devices: Vec<(String, DeviceOfCase)>,
}

impl Both {
    fn new(heavy: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let component = runtime.block_on(async {
            let bytes = std::fs::read(env!("GUEST_CALLER")).unwrap();
            Component::load(&WasmEngine::new(Options::default()).unwrap(), bytes.into()).await.unwrap()
        });
        Self { runtime, component, devices: devices(heavy) }
    }

    /// Returns the answers to the last event, which are the same on both, as are all before.
    fn run(&self, asks: &Asks, events: &[Happens]) -> Result<Answers, TestCaseError> {
        let faked = Fake::new(asks, &self.devices);
        let real = self.runtime.block_on(Real::new(&self.component, asks, &self.devices));
        let (mut fake, mut real) = match (faked, real) {
            (Ok(fake), Ok(real)) => (fake, real),
            (Err(faked), Err(real)) => {
                prop_assert!(real.ends_with(&faked), "refused with {:?} and {:?}", faked, real);
                return Ok(None);
            }
            (faked, real) => {
                return Err(TestCaseError::fail(format!("{:?} and {:?} for {asks:?}", faked.err(), real.err())));
            }
        };
        let mut last = None;
        for happens in events {
            let payload = serde_json::to_vec(&happens.calls).unwrap();
            let faked = fake.event(happens, &payload);
            last = self.runtime.block_on(real.event(happens, &payload));
            prop_assert_eq!(&faked, &last, "{:?} for {:?}", happens, asks);
        }
        Ok(last)
    }

    /// The last line of the answers to the last of these events, each telemetry with its calls.
    fn last_line(&self, events: &[Vec<GuestCall>]) -> String {
        let events: Vec<_> = events.iter().cloned().map(telemetry).collect();
        let answers = self.run(&reads_all(), &events).unwrap_or_else(|error| panic!("{error}"));
        answers.unwrap().0.pop().unwrap()
    }
}

/// The usual plugin, which may read all devices.
fn reads_all() -> Asks {
    let mut asks = Asks::default();
    asks.grants.push(("read".into(), "*".into()));
    asks
}

#[test]
fn the_fake_host_answers_as_a_host_does() {
    let both = Both::new(0);
    let config = Config { cases: 384, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::default()));
    let events = vec(prop_oneof![guest_calls::calls().prop_map(telemetry), guest_calls::happens()], 1..4);
    let checked = runner.run(&(guest_calls::asks(), events), |(asks, events)| both.run(&asks, &events).map(drop));
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// Limits that few random calls reach.
#[test]
fn the_fake_host_has_the_limits_of_a_host() {
    let both = Both::new(20);
    let repeat = |call, times| GuestCall::Repeat { call: Box::new(call), times };
    let command = GuestCall::Command {
        device: "lamp-2".into(),
        bytes: 1,
        subfolder: String::new(),
        ttl_ms: 60_000,
        properties: None,
    };
    let per_event = limits::EFFECTS_PER_EVENT;
    let filled = |most: usize| u32::try_from(most).unwrap().div_ceil(per_event);
    let timers = |n: u32| vec![GuestCall::Timers { from: n * per_event, count: per_event }];
    let state = |key: &str| GuestCall::SetState { key: key.into(), bytes: limits::KV_BYTES / 2, revision: None };
    for (limit, events) in [
        ("host-calls", vec![vec![repeat(GuestCall::State("a".into()), limits::HOST_CALLS + 1)]]),
        ("effects-per-event", vec![vec![repeat(GuestCall::CancelTimer("t".into()), per_event + 1)]]),
        ("timers", (0..filled(limits::TIMERS)).map(timers).collect()),
        ("queued-commands", vec![vec![repeat(command, per_event)]; filled(limits::QUEUED_COMMANDS) as usize]),
        ("list-bytes", vec![vec![GuestCall::Devices("heavy-*".into())]]),
        ("kv-bytes", vec![vec![state("a")], vec![state("b")]]),
        ("log-lines", vec![vec![GuestCall::Log { lines: 300, bytes: 1 }]]),
        ("output", vec![vec![GuestCall::Log { lines: 20, bytes: 4_000 }]]),
    ] {
        let last = both.last_line(&events);
        assert!(last.contains(&format!("the limit \"{limit}\"")), "{limit}: {last}");
    }
    // One of the timers that are set may be set again.
    let again = vec![GuestCall::Timers { from: 0, count: 1 }];
    let full = (0..filled(limits::TIMERS)).map(timers).chain([again]);
    assert_eq!(both.last_line(&full.collect::<Vec<_>>()), "info: ()");
}
