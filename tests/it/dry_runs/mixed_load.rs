//! A mixed load: many devices and all that plugins can do, recorded over a restart of the host. What was recorded of each plugin replays
//! without a difference. `SWITCHBOX_MIXED_LOAD` says for how long, in seconds, at a moderate rate and with a restart every ten minutes; with
//! an optimised program (`SWITCHBOX_PROGRAM`) that is a measurement.

use std::{
    collections::BTreeSet,
    env, fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rumqttc::QoS;
use serde_json::{Value, json};
use switchbox_tests::{
    COUNTER, Device, HOSTILE, HostFolder, Process, Random, Session, deputy, limited_scripted_plugin, scripted_plugin,
    until,
};

use super::{record, replay};

const DRIVERS: u64 = 4;
/// Devices of each kind of each driver.
const DEVICES: u64 = 3;
/// Actions of each driver in each part of the short load.
const ACTIONS: u64 = 250;
/// Between two actions of a driver in the long load.
const PAUSE: Duration = Duration::from_millis(20);
/// The length of a part of the long load.
const PART: Duration = Duration::from_secs(600);

/// No guest meets a limit of time, however busy the machine is: when it did is not in the recording.
const LIMITS: &str = "[limits]\ndeadline = \"30s\"\nhost-call-time = \"60s\"\n";

const BUILTINS: [(&str, &str); 5] = [
    ("switch-wakes-device", ""),
    ("hop-relay", "source = \"hop-*\"\n"),
    ("motion-alert", "quiet_s = 1\n"),
    ("thermostat", ""),
    ("garage-door", ""),
];

/// What the hostile guest is told: each has the same result whenever it is told.
const ATTACKS: [&str; 24] = [
    "time",
    "time",
    "time",
    "kv",
    "print 300",
    "log 300",
    "effects 70",
    "huge 70000",
    "read lamp-1",
    "list lamp-*",
    "config-get lamp-1",
    "twin",
    "set lamp-9",
    "set-expected 3",
    "command lamp-1",
    "command-ttl 60000",
    "method lamp-1",
    "timer",
    "publish alerts/x",
    "publish other/x",
    "outside /etc/passwd",
    "network x",
    "echo",
    "reject",
];
/// Those that take long lines of a recording, and those after which the event is tried again, five times.
const RARE: [&str; 7] = ["kv-flood", "host-calls 1100", "retry", "panic", "trap", "allocate", "recurse"];

const KINDS: [&str; 8] = ["switch", "hop", "motion", "source", "sender", "sensor", "rogue", "phone"];

/// How much.
struct Load {
    /// For how long it runs. Is `None` for the short load.
    seconds: Option<u64>,
}

impl Load {
    fn from_environment() -> Self {
        let seconds = env::var("SWITCHBOX_MIXED_LOAD").ok();
        Self { seconds: seconds.map(|text| text.parse().expect("SWITCHBOX_MIXED_LOAD: seconds")) }
    }

    /// With a restart between two of them.
    fn parts(&self) -> u64 {
        self.seconds.map_or(2, |seconds| (seconds / PART.as_secs()).max(2))
    }

    /// Whether a driver continues after so many actions. Pauses between two actions of the long load.
    fn continues(&self, begun: Instant, actions: u64) -> bool {
        let Some(seconds) = self.seconds else { return actions < ACTIONS };
        // Sleeps so that the long load has a moderate rate.
        thread::sleep(PAUSE);
        begun.elapsed() < Duration::from_secs(seconds) / u32::try_from(self.parts()).unwrap()
    }
}

/// Installs the plugins, and returns their names.
fn install(host_folder: &HostFolder) -> Vec<&'static str> {
    for (name, settings) in BUILTINS {
        host_folder
            .plugin(&format!("{name}.toml"), format!("component = \"builtin:{name}\"\n{LIMITS}[settings]\n{settings}"));
    }
    for (name, component, device) in [("counter", COUNTER, "source-*"), ("hostile", HOSTILE, "rogue-*")] {
        let trigger = format!("[[trigger]]\nevent = \"telemetry\"\ndevice = \"{device}\"\n");
        host_folder.plugin(&format!("{name}.toml"), format!("{trigger}{LIMITS}"));
        host_folder.plugin(&format!("{name}.wasm"), fs::read(component).unwrap());
    }
    deputy(host_folder, "deputy");
    let command = r#"{command = {device = "camera-1", ttl-ms = 60000, properties = [["tone", "high"]]}}"#;
    scripted_plugin(host_folder, "sender", ("telemetry", "sender-*"), command);
    let report = r#"{report-settled = {device = "lamp-2"}}"#;
    scripted_plugin(host_folder, "settled", ("command-settled", "camera-*"), report);
    limited_scripted_plugin(host_folder, "presence", ("connected", "*"), "", "{config = {}}");
    let installed = ["counter", "hostile", "deputy", "sender", "settled", "presence"];
    BUILTINS.into_iter().map(|(name, _)| name).chain(installed).collect()
}

/// A device that is connected. On a busy machine the client may give up after five seconds, and tries again.
fn connected(host: &Process, id: &str) -> Device {
    until("a connection", || Device::try_connect(host.mqtt(), Session::new(id)))
}

/// A driver's devices.
struct Driver<'a> {
    host: &'a Process,
    number: u64,
    random: Random,
    devices: Vec<Device>,
    thermostat: Option<Device>,
}

impl<'a> Driver<'a> {
    fn new(host: &'a Process, number: u64, part: u64) -> Self {
        let ids = KINDS.iter().flat_map(|kind| (0..DEVICES).map(move |n| format!("{kind}-{number}-{n}")));
        let devices = ids.map(|id| connected(host, &id)).collect();
        let thermostat = (number == 0).then(|| connected(host, "thermostat-1"));
        Self { host, number, random: Random(number * 1_000 + part), devices, thermostat }
    }

    fn run(mut self, load: &Load) {
        let (begun, mut actions) = (Instant::now(), 0);
        while load.continues(begun, actions) {
            self.act(actions);
            actions += 1;
        }
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.random.below(texts.len() as u64) as usize]
    }

    fn act(&mut self, action: u64) {
        let at = self.random.below(self.devices.len() as u64) as usize;
        let kind = KINDS[at / DEVICES as usize];
        if self.random.below(40) == 0 {
            let id = self.devices[at].id.clone();
            self.devices[at] = connected(self.host, &id);
        }
        if let Some(thermostat) = &mut self.thermostat {
            let temperature = 19.0 + self.random.below(20) as f64 / 10.0;
            thermostat.publish("/devices/thermostat-1/state", json!({"temperature": temperature}).to_string());
        }
        match kind {
            "phone" => {
                let door = self.of(&["door-1", "door-1", "door-9"]);
                let request = json!({"action": self.of(&["open", "close", "jump"]), "id": action}).to_string();
                self.devices[at].publish(&format!("garage/{door}/request"), request);
            }
            "sensor" if self.random.below(3) == 0 => {
                let topic = format!("/devices/{}/state", self.devices[at].id);
                self.devices[at].publish(&topic, json!({"n": action}).to_string());
            }
            _ => {
                let payload = self.payload(kind, action);
                self.devices[at].event(payload);
            }
        }
    }

    fn payload(&mut self, kind: &str, action: u64) -> String {
        match kind {
            "switch" => match self.of(&["awake", "asleep", "broken", ""]) {
                "" => "not JSON".to_owned(),
                state => json!({"state": state, "password": format!("correct-horse-{action}")}).to_string(),
            },
            "hop" => {
                let (driver, n) = (self.random.below(DRIVERS + 1), self.random.below(DEVICES));
                json!({"deviceId": format!("hop-{driver}-{n}"), "registryId": "default", "hops": action}).to_string()
            }
            "motion" => {
                self.of(&[r#"{"motion":true}"#, r#"{"motion":true}"#, r#"{"motion":false}"#, r#"{"motion":3}"#]).into()
            }
            "sensor" => self.instruction(action).to_string(),
            // A failure stops its device for seconds.
            "rogue" if self.random.below(50) == 0 => self.of(&RARE).into(),
            "rogue" => self.of(&ATTACKS).into(),
            _ => format!("{} {action}", self.number),
        }
    }

    fn instruction(&mut self, action: u64) -> Value {
        let timer = self.of(&["a", "b", "c"]);
        match self.random.below(7) {
            0 => json!([{"patch": {"device": "lamp-2", "patch": {"on": action}}}, {"twin": {"device": "lamp-2"}}]),
            1 => json!([{"patch": {"device": "lamp-2", "patch": {"on": action}, "expected": action}}]),
            2 => json!([{"after": {"timer": timer, "ms": 200}}]),
            3 => json!([{"cron": {"timer": timer, "expression": "* * * * *", "time_zone": "Europe/Berlin"}}]),
            4 => json!([{"cancel": {"timer": timer}}]),
            5 => json!([{"say": {"n": action, "token": "correct-horse"}}]),
            _ => json!([{"twin": {"device": "lamp-1"}}]),
        }
    }
}

/// Answers the calls of methods until the load is over.
fn answer(door: &mut Device, over: &AtomicBool) {
    let mut answered = 0;
    while !over.load(Ordering::Relaxed) {
        let next = |seen: &switchbox_tests::Seen| seen.messages.get(answered).map(|message| message.topic.clone());
        if let Some(topic) = door.try_wait(Duration::from_millis(100), next) {
            answered += 1;
            if let Some((method, call)) = topic.split_once("/request/") {
                door.send(&format!("{method}/response/{call}/200"), QoS::AtMostOnce, r#"{"moves":true}"#);
            }
        }
    }
}

/// One part of the load: from one start of the host to the next.
fn drive(host: &Process, load: &Load, part: u64) {
    let tallies = (0..DRIVERS).flat_map(|driver| (0..DEVICES).map(move |n| format!("tally-source-{driver}-{n}")));
    let fixed = ["lamp-1", "lamp-2", "heater-1", "report"].map(str::to_owned).into_iter().chain(tallies);
    let _targets: Vec<_> = fixed.map(|id| connected(host, &id)).collect();
    let mut camera = connected(host, "camera-1");
    assert!(camera.subscribe("/devices/camera-1/commands/#"));
    let mut door = connected(host, "door-1");
    assert!(door.subscribe("/devices/door-1/methods/#"));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| answer(&mut door, &over));
        let drivers = (0..DRIVERS).map(|number| scope.spawn(move || Driver::new(host, number, part).run(load)));
        let ended: Vec<_> = drivers.collect::<Vec<_>>().into_iter().map(|driver| driver.join()).collect();
        over.store(true, Ordering::Relaxed);
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
}

/// What was seen in the recordings: kinds of events, calls, effects and outcomes.
#[derive(Default)]
struct Kinds(BTreeSet<String>);

impl Kinds {
    fn add(&mut self, line: &Value) {
        let named = |value: &Value| match value {
            Value::String(name) => Some(name.clone()),
            Value::Object(variant) => variant.keys().next().cloned(),
            _ => None,
        };
        let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
        self.0.extend(named(&line["event"]["data"]));
        self.0.extend(named(&line["outcome"]));
        self.0.extend(all(&line["effects"]).iter().filter_map(named));
        self.0.extend(all(&line["calls"]).iter().filter_map(|call| named(&call["call"])));
    }

    fn assert_all(&self) {
        let required_kinds = "telemetry state connected disconnected command-settled timer topic done retry reject failed config patch-desired \
                      command publish timer-set timer-cancel registry.get registry.has registry.list config.get twin.get state.get \
                      state.keys state.bytes command.room timer.count method.call";
        let missing: Vec<_> = required_kinds.split(' ').filter(|kind| !self.0.contains(*kind)).collect();
        assert!(missing.is_empty(), "not in any recording: {missing:?}; there are {:?}", self.0);
    }
}

#[test]
fn a_mixed_load_over_a_restart_replays_without_a_difference() {
    let host_folder = HostFolder::new();
    let plugins = install(&host_folder);
    let load = Load::from_environment();
    let mut host = host_folder.start();
    plugins.iter().for_each(|plugin| record(&host, plugin));
    for part in 0..load.parts() {
        if part > 0 {
            // A kill first, then by turns.
            if part % 2 == 1 {
                host.kill()
            } else {
                host.stop()
            }
            host = host_folder.start();
            for plugin in &plugins {
                host.admin().wait_plugin(plugin, "to be recorded again", |plugin| plugin["recording"].is_object());
            }
        }
        drive(&host, &load, part);
    }
    host.stop();
    let mut kinds = Kinds::default();
    for plugin in plugins {
        let file = host_folder.plugins().join(format!("{plugin}.jsonl"));
        // Beside its component, where the replay looks for it.
        fs::rename(host_folder.data().join(format!("recordings/{plugin}.jsonl")), &file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("correct-horse"), "{plugin}: secrets are masked");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|line| kinds.add(&line));
        let began = Instant::now();
        let (code, replayed) = replay(&file, &[]);
        assert_eq!((code, &replayed["different"]), (0, &json!(0)), "{plugin}: {replayed}");
        assert!(replayed["executions"].as_u64().unwrap() > 0, "{plugin}: {replayed}");
        let (executions, skipped) = (&replayed["executions"], &replayed["skipped"]);
        eprintln!("{plugin}: {executions} replayed in {:?}, {skipped} left out of the recording", began.elapsed());
    }
    kinds.assert_all();
}
