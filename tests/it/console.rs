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
use switchbox_model::{DeviceId, DeviceName, RegistryName};
use switchbox_tests::{Device, HOSTILE, HostFolder, Process, events, runs, there, workspace};

/// How many devices there are beside those that do something.
const DEVICES: usize = 10_000;
/// What becomes markup or code where text is not kept text.
const MARKUP: &str = "<img src=x onerror=window.pwned=2>";
/// The same without a blank, for a plugin that logs what it is told.
const LOGGED: &str = "<img/src=x/onerror=window.pwned=5>";
const AWAKE: &str = r#"{"state":"awake"}"#;
/// Events of one burst.
const BURST: usize = 1_000;

/// Devices as an operator would have registered them, before the host is started as a process.
fn register(host_folder: &HostFolder) {
    let host = host_folder.start_in_process();
    let registry = host.parts.registry.clone();
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
    host.stop();
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
    let [lamp, switch, noise, villain] = ["lamp-1", "switch-1", "noise", "villain-1"].map(|id| host.device(id));
    let mut devices = Devices { lamp, switch, noise, villain };
    devices.lamp.subscribe_config();
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
}

#[test]
fn every_page_works_in_a_browser_and_gives_nothing_away() {
    let folder = workspace().join(".ci/tools/node");
    let modules = ["axe-core", "playwright-core"].map(|module| folder.join("node_modules").join(module).is_dir());
    let chromium = Path::new("/usr/bin/chromium");
    let installed = chromium.exists() && modules == [true; 2] && runs(Command::new("node").arg("--version"));
    if !there("Chromium with playwright-core and axe-core", installed) {
        return;
    }
    let host_folder = HostFolder::new();
    register(&host_folder);
    host_folder.plugin("wake.toml", "component = \"builtin:switch-wakes-device\"\n");
    host_folder.plugin("heat.toml", "component = \"builtin:thermostat\"\n");
    host_folder.plugin("hostile.toml", "[[trigger]]\nevent = \"telemetry\"\ndevice = \"villain-1\"\n");
    host_folder.plugin("hostile.wasm", std::fs::read(HOSTILE).unwrap());
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let addresses = [free(), free()];
    let mut host = Some(start(&host_folder, &addresses));
    let mut devices = host.as_ref().map(act);
    let admin = host.as_ref().unwrap().admin();
    let _lamp =
        admin.post("/v1/projects/local/locations/local/registries/default/devices", &json!({"id": "lamp-2"})).ok();
    let read = admin.post("/v1/tokens", &json!({"name": "reader", "scope": "read"})).ok();
    let token = std::fs::read_to_string(host_folder.data().join("admin-token")).unwrap();

    let mut command = Command::new("node");
    command.arg(workspace().join("tests/console/run.cjs"));
    command.args([&format!("http://{}", addresses[1]), token.trim(), read["token"].as_str().unwrap()]);
    command.env("NODE_FOLDER", &folder).env("CHROMIUM", chromium);
    command.env("PROFILE_FOLDER", host_folder.root().join("chromium"));
    let mut browser = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut answers = browser.stdin.take().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(browser.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        let Some(asked) = line.strip_prefix("ask ") else {
            said.push(line);
            continue;
        };
        match asked {
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
        writeln!(answers, "done").unwrap();
    }
    assert!(browser.wait().unwrap().success(), "{said:#?}");
    let parts =
        ["login", "overview", "devices", "device", "live", "why", "plugins", "letters", "topics", "access", "graph"];
    for part in parts.iter().chain(&["hostile", "everyPage", "keyboard", "flood", "restart", "readOnly"]) {
        assert!(said.iter().any(|line| line.starts_with(&format!("ok {part} "))), "{part}: {said:#?}");
    }
}

fn flood(device: &mut Device) {
    for n in 0..BURST {
        let payload = format!("{{\"flood\": {n}, \"text\": \"{MARKUP}\"}}");
        device.send(&events("noise"), rumqttc::QoS::AtLeastOnce, payload).unwrap();
    }
}
