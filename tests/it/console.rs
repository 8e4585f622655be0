//! The console in a real Chromium: each page with its main action, ten thousand devices, a flood of events, a restart, and what must
//! not be: a token that leaves, text that becomes markup, a write with a token that may only read.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;
use switchbox_core::registry::Registration;
use switchbox_files::FileName;
use switchbox_model::{DeviceId, DeviceName, RegistryName};
use switchbox_tests::{
    Device, HOSTILE, HostFolder, Process, events, is_available, limited_scripted_plugin, runs, scripted_plugin, until,
    workspace,
};

/// How many devices there are beside those that do something.
const DEVICES: usize = 10_000;
/// What becomes markup or code where text is not kept text.
const MARKUP: &str = "<img src=x onerror=window.pwned=2>";
/// The same without a blank, for a plugin that logs its input.
const LOGGED: &str = "<img/src=x/onerror=window.pwned=5>";
const AWAKE: &str = r#"{"state":"awake"}"#;
const ASLEEP: &str = r#"{"state":"asleep"}"#;
const REGISTRY: &str = "/v1/projects/local/locations/local/registries/default";
const CHROMIUM: &str = "/usr/bin/chromium";
/// Events of one burst.
const BURST: usize = 1_000;
/// What the browser does, by the names in tests/console/parts.cjs.
const PARTS: [&str; 21] = [
    "login",
    "overview",
    "devices",
    "device",
    "files",
    "live",
    "why",
    "plugins",
    "letters",
    "topics",
    "access",
    "graph",
    "whyNot",
    "approvals",
    "candidates",
    "hostile",
    "everyPage",
    "keyboard",
    "flood",
    "restart",
    "readOnly",
];

/// Devices as an operator would have registered them, before the host is started as a process.
fn register(host_folder: &HostFolder) {
    let host = host_folder.start_in_process();
    let registry = host.handles.registry.clone();
    host.wait_for(async {
        // All at once, so that they share commits.
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..DEVICES {
            let id = DeviceId::new(&format!("fleet-{n:05}")).unwrap();
            let name = DeviceName { registry: RegistryName::default_registry(), id };
            let registry = registry.clone();
            tasks.spawn(async move { registry.create(name, Registration::default()).await.map(drop) });
        }
        for made in tasks.join_all().await {
            made.unwrap();
        }
    });
    upload(&host.handles.files, &registry);
    host.stop();
}

/// A device has uploaded a file.
fn upload(files: &switchbox_files::Handle, registry: &switchbox_core::registry::Handle) {
    let device = DeviceName { registry: RegistryName::default_registry(), id: DeviceId::new("fleet-00007").unwrap() };
    let num = registry.find(&device).unwrap().num;
    let name = FileName::new("logs/<img src=x onerror=window.pwned=6>").unwrap();
    let upload = files.begin(&device, num, name).unwrap();
    let mut writing = files.start_writing(&upload).unwrap();
    writing.write(b"it was too hot").unwrap();
    writing.place(true).unwrap();
    assert!(files.end(&upload.id, num).unwrap());
}

/// A plugin for each thing that the pages show of plugins.
fn install(host_folder: &HostFolder) {
    host_folder.plugin("wake.toml", "component = \"builtin:switch-wakes-device\"\n");
    host_folder.plugin("heat.toml", "component = \"builtin:thermostat\"\n");
    let slow = "source = \"slow-1\"\ntarget = \"lamp-3\"\n[limits]\nrate-per-target = \"20/s\"\nburst-per-target = 1\n";
    host_folder.plugin("slow.toml", format!("component = \"builtin:switch-wakes-device\"\n[settings]\n{slow}"));
    let both = r#"{ config = { device = "lamp-2" } }, { config = { device = "lamp-3" } }"#;
    limited_scripted_plugin(host_folder, "fleet", ("telemetry", "many-1"), "max-targets-per-event = 1", both);
    let call = r#"{ method = { device = "lamp-1", name = "dim" } }"#;
    scripted_plugin(host_folder, "caller", ("telemetry", "calls-1"), call);
    host_folder.plugin("hostile.toml", "[[trigger]]\nevent = \"telemetry\"\ndevice = \"villain-1\"\n");
    host_folder.plugin("hostile.wasm", std::fs::read(HOSTILE).unwrap());
}

/// A host whose next start has the same addresses.
fn start(host_folder: &HostFolder, addresses: &[String; 2]) -> Process {
    let (data, plugins) = (host_folder.data(), host_folder.plugins());
    let [data, plugins] = [&data, &plugins].map(|path| path.to_str().unwrap());
    let [mqtt, admin] = addresses;
    let arguments = ["serve", "--data", data, "--plugins", plugins, "--mqtt", mqtt, "--admin", admin];
    let mut host = Process::run(host_folder, arguments.map(OsStr::new));
    host.wait_ready();
    host
}

/// Something happens that the pages show: a lamp that a switch wakes, and an event that the plugin rejects.
fn act(host: &Process) -> Devices {
    let [lamp, switch, noise, villain, slow, many, calling] =
        ["lamp-1", "switch-1", "noise", "villain-1", "slow-1", "many-1", "calls-1"].map(|id| host.device(id));
    let mut devices = Devices { lamp, switch, noise, villain, slow, many, calling, answered: 0, _hub: gateway(host) };
    devices.lamp.subscribe_config();
    assert!(devices.lamp.subscribe("/devices/lamp-1/commands/#"));
    assert!(devices.lamp.subscribe("/devices/lamp-1/methods/#"));
    devices.switch.event(MARKUP);
    devices.switch.event(AWAKE);
    devices.lamp.message_with("awake");
    devices.lamp.publish("/devices/lamp-1/state", AWAKE);
    devices
}

struct Devices {
    lamp: Device,
    switch: Device,
    noise: Device,
    villain: Device,
    slow: Device,
    /// Its events reach more targets than an event may.
    many: Device,
    /// For its events a method of the lamp is called.
    calling: Device,
    /// How many calls the lamp has answered.
    answered: usize,
    /// It speaks for behind-1.
    _hub: Device,
}

impl Devices {
    /// The lamp answers a method call.
    fn answer(&mut self) {
        let is_call = |topic: &str| topic.contains("/methods/dim/request/");
        let call = self.lamp.wait("a call", |seen| {
            seen.messages.iter().filter(|message| is_call(&message.topic)).nth(self.answered).cloned()
        });
        self.answered += 1;
        let rid = call.topic.rsplit('/').next().unwrap().to_owned();
        self.lamp.publish(&format!("/devices/lamp-1/methods/dim/response/{rid}/200"), "<i>dimmed</i>");
    }

    /// Sends faster than the plugin's rate.
    fn hurry(&mut self) {
        for _ in 0..3 {
            self.slow.event(AWAKE);
            self.slow.event(ASLEEP);
        }
    }
}

/// A gateway with a device attached.
fn gateway(host: &Process) -> Device {
    for device in [json!({"id": "hub-1", "gatewayConfig": {"gatewayType": "GATEWAY"}}), json!({"id": "behind-1"})] {
        drop(host.admin().post(&format!("{REGISTRY}/devices"), &device).ok());
    }
    let bound = json!({"gatewayId": "hub-1", "deviceId": "behind-1"});
    drop(host.admin().post(&format!("{REGISTRY}:bindDeviceToGateway"), &bound).ok());
    let mut hub = host.device("hub-1");
    hub.publish("/devices/behind-1/attach", "");
    hub
}

/// The number of an event for which a plugin tries to set a config without a grant.
fn deny(host_folder: &HostFolder, host: &Process, villain: &mut Device) -> String {
    let settings =
        "component = \"builtin:switch-wakes-device\"\n[settings]\nsource = \"villain-*\"\ntarget = \"lamp-2\"\n";
    host_folder.plugin("narrow.toml", format!("{settings}[grants]\nconfig = [\"lamp-9\"]\n"));
    host.admin().wait_plugin("narrow", "to run", |plugin| plugin["state"] == "running");
    villain.event(AWAKE);
    until("its dead letter", || {
        let dead_letters = host.admin().dead_letters();
        dead_letters.iter().find_map(|dead_letter| Some(dead_letter["event"]["id"].as_str()?.to_owned()))
    })
}

#[test]
fn every_page_works_in_a_browser_and_gives_nothing_away() {
    let folder = workspace().join(".ci/tools/node");
    let modules = ["axe-core", "playwright-core"].map(|name| folder.join("node_modules").join(name).is_dir());
    let installed = Path::new(CHROMIUM).exists() && modules == [true; 2] && runs(Command::new("node").arg("--version"));
    if !is_available("Chromium with playwright-core and axe-core", installed) {
        return;
    }
    let host_folder = HostFolder::new();
    register(&host_folder);
    install(&host_folder);
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let addresses = [free(), free()];
    let mut host = Some(start(&host_folder, &addresses));
    let mut devices = host.as_ref().map(act);
    let admin = host.as_ref().unwrap().admin();
    for id in ["lamp-2", "lamp-3"] {
        drop(admin.post(&format!("{REGISTRY}/devices"), &json!({ "id": id })).ok());
    }
    let read = admin.post("/v1/tokens", &json!({"name": "reader", "scope": "read"})).ok();
    let token = std::fs::read_to_string(host_folder.data().join("admin-token")).unwrap();

    let given = [&format!("http://{}", addresses[1]), token.trim(), read["token"].as_str().unwrap()];
    let mut browser =
        driver(&host_folder, &folder, given).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = browser.stdin.take().unwrap();
    let mut printed = Vec::new();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        let Some(question) = line.strip_prefix("ask ") else {
            printed.push(line);
            continue;
        };
        let mut answer = "done".to_owned();
        match question {
            "answer" => devices.as_mut().unwrap().answer(),
            "slow" => devices.as_mut().unwrap().hurry(),
            "deny" => answer = deny(&host_folder, host.as_ref().unwrap(), &mut devices.as_mut().unwrap().villain),
            "calling" => devices.as_mut().unwrap().calling.event("30"),
            "many" => (0..2).for_each(|_| devices.as_mut().unwrap().many.event(MARKUP)),
            "switch" => devices.as_mut().unwrap().switch.event(AWAKE),
            "villain" => devices.as_mut().unwrap().villain.event(format!("argue log.write {} {LOGGED}", LOGGED.len())),
            "flood" => flood(&mut devices.as_mut().unwrap().noise),
            "stop" => {
                drop(devices.take());
                host.take().unwrap().stop();
            }
            "start" => host = Some(start(&host_folder, &addresses)),
            other => panic!("asked for {other}"),
        }
        writeln!(answers, "{answer}").unwrap();
    }
    assert!(browser.wait().unwrap().success(), "{printed:#?}");
    for part in PARTS {
        assert!(printed.iter().any(|line| line.starts_with(&format!("ok {part} "))), "{part}: {printed:#?}");
    }
}

/// What drives the browser.
fn driver(host_folder: &HostFolder, folder: &Path, given: [&str; 3]) -> Command {
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/console/run.cjs")).args(given);
    command.env("NODE_FOLDER", folder).env("CHROMIUM", CHROMIUM);
    command.env("PROFILE_FOLDER", host_folder.root().join("chromium"));
    command
}

fn flood(device: &mut Device) {
    for n in 0..BURST {
        let payload = format!("{{\"flood\": {n}, \"text\": \"{MARKUP}\"}}");
        device.send(&events("noise"), rumqttc::QoS::AtLeastOnce, payload).unwrap();
    }
}
