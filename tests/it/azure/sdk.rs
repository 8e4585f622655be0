//! The public SDKs of Azure IoT Hub, with only the connection string and the trusted certificate changed.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use switchbox_tests::{
    Admin, CLOSED, Device, HostFolder, Process, Session, is_available, registered, runs, token, until, workspace,
};

/// A host on the ports that the SDKs use, which cannot be configured.
pub(super) struct Hub {
    pub(super) host: Process,
    pub(super) host_folder: HostFolder,
    pub(super) name: String,
    pub(super) authority: String,
    /// What it was started with.
    flags: Vec<String>,
}

/// An address of this machine whose ports are free, other than these. Returns `None` if this process may not take port 443.
fn free_address(others: &[&str]) -> Option<String> {
    let free =
        |address: &String| [8883, 443, 5671].iter().all(|port| TcpListener::bind((address.as_str(), *port)).is_ok());
    // Several tests search at the same time, so each thread begins at another address.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::thread::current().id());
    let mut addresses = (0..50).map(|n| format!("127.76.{}.{}", random % 250, 1 + (random / 250 + n) % 250));
    let found = addresses.find(|address| !others.contains(&address.as_str()) && free(address));
    is_available("the right to take port 443", found.is_some()).then_some(found).flatten()
}

impl Hub {
    /// Devices over MQTT, and over WebSocket.
    pub(super) fn start() -> Option<Self> {
        Self::with(|name| ["--wss".into(), format!("{name}:443")].into())
    }

    /// Devices over MQTT and HTTPS, programs over HTTPS and AMQP.
    pub(super) fn over_https(more: &[&str]) -> Option<Self> {
        Self::with(|name| {
            let https = ["--azure-https".into(), format!("{name}:443")];
            let amqps = ["--azure-amqps".into(), format!("{name}:5671")];
            https.into_iter().chain(amqps).chain(more.iter().map(|word| (*word).to_owned())).collect()
        })
    }

    /// Devices over every protocol. MQTT over WebSocket is at the second address, because it has the same port as HTTPS.
    pub(super) fn over_each_protocol() -> Option<(Self, String)> {
        let web = free_address(&[])?;
        let hub = Self::of(&[&web], |name| {
            let https = ["--azure-https".into(), format!("{name}:443"), "--wss".into(), format!("{web}:443")];
            https.into_iter().chain(["--azure-amqps".into(), format!("{name}:5671")]).collect()
        })?;
        Some((hub, web))
    }

    fn with(more: impl Fn(&str) -> Vec<String>) -> Option<Self> {
        Self::of(&[], more)
    }

    /// `others`: addresses that the host has besides its own.
    fn of(others: &[&str], more: impl Fn(&str) -> Vec<String>) -> Option<Self> {
        let name = free_address(others)?;
        let host_folder = HostFolder::new();
        host_folder.plugin("relay.toml", "component = \"builtin:hop-relay\"\n[limits]\ndeadline = \"30s\"\n");
        let certs = host_folder.root().join("certs").display().to_string();
        let made: Vec<&str> =
            ["cert", "server", &name].iter().chain(others).chain(&["--folder", &certs]).copied().collect();
        assert!(Process::run(&host_folder, made.iter().map(AsRef::as_ref)).wait().success(), "no certificate");
        let (cert, key) = (format!("{certs}/server.pem"), format!("{certs}/server.key.pem"));
        let (mqtts, hubs, more) = (format!("{name}:8883"), format!("{name}=default"), more(&name));
        let tls = ["--tls-cert", &cert, "--tls-key", &key, "--mqtt-tls", &mqtts, "--azure-hubs", &hubs];
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        let flags: Vec<_> = [&tls[..], &more, CLOSED].concat().into_iter().map(str::to_owned).collect();
        let host = start(&host_folder, &flags);
        let _ = host.cli(&host_folder, &["device", "create", "sink-1"]);
        Some(Self { host, name, authority: format!("{certs}/ca.pem"), host_folder, flags })
    }

    /// Killed, and started again.
    pub(super) fn killed(self) -> Self {
        let Self { host, host_folder, name, authority, flags } = self;
        host.kill();
        let host = start(&host_folder, &flags);
        Self { host, host_folder, name, authority, flags }
    }

    /// Of a new device with symmetric keys.
    pub(super) fn connection_string(&self, id: &str) -> String {
        let _ = self.host.cli(&self.host_folder, &["device", "create", id, "--sas"]);
        self.printed(id)
    }

    /// Registers a device with a certificate: the files with it and with its key.
    pub(super) fn with_certificate(&self, id: &str) -> (String, String) {
        let (certificate, key) = self.certificate(id);
        let _ = self.host.cli(&self.host_folder, &["device", "create", id, "--public-key", &certificate]);
        (certificate, key)
    }

    fn certificate(&self, id: &str) -> (String, String) {
        let folder = self.host_folder.root().join("certs").display().to_string();
        let _ = self.host.cli(&self.host_folder, &["cert", "device", id, "--folder", &folder]);
        (format!("{folder}/{id}.pem"), format!("{folder}/{id}.key.pem"))
    }

    /// Of a policy.
    pub(super) fn policy(&self, policy: &str) -> String {
        let command_line = ["hub", "connection-string", "--policy", policy, "--host-name", &self.name];
        self.host.cli(&self.host_folder, &command_line).trim().to_owned()
    }

    /// A certificate's addresses are no names, so the hub's is given.
    pub(super) fn printed(&self, id: &str) -> String {
        self.host.cli(&self.host_folder, &["hub", "connection-string", "--device", id, "--host-name", &self.name])
    }
}

fn start(host_folder: &HostFolder, flags: &[String]) -> Process {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    host_folder.start_with(&flags)
}

/// A program of ours on an SDK.
pub(super) struct Program {
    child: Child,
    printed_lines: Arc<Mutex<Vec<Value>>>,
}

impl Program {
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let (printed_lines, lines) =
            (Arc::<Mutex<Vec<Value>>>::default(), BufReader::new(child.stdout.take().unwrap()).lines());
        let all = printed_lines.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                all.lock().unwrap().push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Self { child, printed_lines }
    }

    /// The first line of this kind for which it holds.
    pub(super) fn wait_for_line(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let find =
            || self.printed_lines.lock().unwrap().iter().find(|line| line["what"] == what && holds(line)).cloned();
        switchbox_tests::until_within(switchbox_tests::LIMIT, find)
            .unwrap_or_else(|| panic!("no such {what} in {:?}", self.printed_lines.lock().unwrap()))
    }

    /// All lines of this kind.
    pub(super) fn all(&self, what: &str) -> Vec<Value> {
        self.printed_lines.lock().unwrap().iter().filter(|line| line["what"] == what).cloned().collect()
    }

    pub(super) fn count(&self, holds: impl Fn(&Value) -> bool) -> usize {
        self.printed_lines.lock().unwrap().iter().filter(|line| holds(line)).count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn python(hub: &Hub, how: &str, transport: &str, identity: &[&str]) -> Option<Program> {
    let python = workspace().join(".ci/tools/azure/bin/python");
    if !is_available("azure-iot-device for Python", runs(Command::new(&python).args(["-c", "import azure.iot.device"])))
    {
        return None;
    }
    let mut command = Command::new(python);
    command.arg(workspace().join("tests/clients/azure_device.py"));
    Some(Program::start(command.args([how, transport, &hub.authority]).args(identity)))
}

pub(super) fn node(hub: &Hub, transport: &str, identity: &[&str]) -> Option<Program> {
    let folder: PathBuf = workspace().join(".ci/tools/node");
    if !is_available("azure-iot-device for Node", folder.join("node_modules/azure-iot-device-amqp").exists()) {
        return None;
    }
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/clients/azure_device.cjs")).env("NODE_CLIENTS", folder);
    Some(Program::start(command.args([transport, &hub.authority]).args(identity)))
}

fn call(hub: &Hub, method: &str, payload: &str) -> Value {
    let body = json!({"method": method, "payload": STANDARD.encode(payload), "timeout": "20s"});
    let answer = hub.host.admin().post(&Admin::device_path("azure-1", ":invokeMethod"), &body).ok();
    assert_eq!(answer["status"], 201);
    serde_json::from_slice(&STANDARD.decode(answer["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// The newest telemetry of the device, as the API shows it.
pub(super) fn telemetry(admin: &Admin) -> Value {
    let shown = admin.get("/v1/events?kind=telemetry&pageSize=100").ok();
    let mut events = shown["events"].as_array().unwrap_or_else(|| panic!("{shown}")).iter();
    events.find(|event| event["device"].as_str().is_some_and(|name| name.ends_with("azure-1"))).unwrap().clone()
}

/// All that a device does, with the program on an SDK as `azure-1`.
pub(super) fn everything(hub: &Hub, program: &Program) {
    let twin = program.wait_for_line("twin", |_| true)["twin"].clone();
    assert_eq!((&twin["reported"]["on"], &twin["reported"]["level"]), (&json!(true), &json!(3)), "{twin}");
    assert!(twin["reported"].get("old").is_none() && twin["reported"]["$version"] == 2, "{twin}");
    program.wait_for_line("ready", |_| true);
    let admin = hub.host.admin();

    // What its telemetry says of itself is kept; and it moved a device of the other dialect.
    let event = telemetry(&admin);
    let of_message = json!({"message-id": "m-1", "correlation-id": "c/1", "content-type": "application/json",
                            "content-encoding": "utf-8"});
    assert_eq!(event["systemProperties"], of_message, "{event}");
    assert_eq!(event["properties"], json!([{"name": "sev erity", "value": "a&b=c/é"}]), "{event}");
    let moved = STANDARD.encode(r#"{"deviceId":"sink-1","hops":2}"#);
    until("the config of sink-1", || {
        let sink = admin.get(&Admin::device_path("sink-1", "")).ok();
        (sink["config"]["binaryData"] == moved).then_some(())
    });

    let body = json!({"binaryData": STANDARD.encode("open"), "ttl": "60s", "subfolder": "door"});
    let sent = admin.post(&Admin::device_path("azure-1", ":sendCommandToDevice"), &body).ok();
    let received = program.wait_for_line("c2d", |_| true);
    assert_eq!((&received["data"], &received["id"]), (&json!("open"), &sent["id"]));
    assert_eq!(received["properties"]["subfolder"], "door");
    let command = Admin::device_path("azure-1", &format!("/commands/{}", sent["id"].as_str().unwrap()));
    until("the acknowledgement", || (admin.get(&command).ok()["status"] == "acknowledged").then_some(()));

    assert_eq!(call(hub, "dim", r#"{"to":5}"#), json!({"got": {"to": 5}}));
    let called = program.wait_for_line("method", |line| line["name"] == "dim");
    assert_eq!(called["payload"], json!({"to": 5}));

    let body = json!({"method": "dim", "payload": STANDARD.encode("not json")});
    let refused = admin.post(&Admin::device_path("azure-1", ":invokeMethod"), &body);
    assert!(refused.status == 400 && refused.body.to_string().contains("must be JSON"), "{refused:?}");

    let patch = |patch: Value| drop(admin.patch(&Admin::device_path("azure-1", "/twin"), &patch).ok());
    patch(json!({"colour": "red", "deep": {"a": 1, "b": 2}}));
    program.wait_for_line("desired", |line| {
        line["patch"] == json!({"colour": "red", "deep": {"a": 1, "b": 2}, "$version": 1})
    });
    patch(json!({"colour": null, "deep": {"a": 3}}));
    program.wait_for_line("desired", |line| line["patch"] == json!({"colour": null, "deep": {"a": 3}, "$version": 2}));

    // A device of the other dialect changes it through the same plugin.
    let key = registered(&hub.host, &hub.host_folder, "switch-1");
    let mut switch = Device::connect(hub.host.mqtt(), Session::with_secret("switch-1", &token(&key)));
    switch.event(r#"{"deviceId":"azure-1","hops":7}"#);
    program.wait_for_line("desired", |line| line["patch"]["hops"] == 8 && line["patch"]["deep"].is_null());

    assert_eq!(call(hub, "end", ""), json!({"got": null}));
    program.wait_for_line("ended", |_| true);
}

fn with_python(how: &str, transport: &str) {
    let Some(hub) = Hub::start() else { return };
    let identity = hub.connection_string("azure-1");
    let Some(program) = python(&hub, how, transport, &[&identity]) else { return };
    everything(&hub, &program);
    hub.host.stop();
}

#[test]
fn python_does_all_that_a_device_does() {
    with_python("sync", "mqtt");
}

#[test]
fn python_does_it_with_asyncio_over_websocket() {
    with_python("aio", "ws");
}

#[test]
fn node_does_all_that_a_device_does_over_mqtt_and_websocket() {
    for transport in ["mqtt", "ws"] {
        let Some(hub) = Hub::start() else { return };
        let identity = hub.connection_string("azure-1");
        let Some(program) = node(&hub, transport, &[&identity]) else { return };
        everything(&hub, &program);
        hub.host.stop();
    }
}

#[test]
fn python_shows_a_certificate() {
    let Some(hub) = Hub::start() else { return };
    let (certificate, key) = hub.with_certificate("azure-1");
    assert_eq!(hub.printed("azure-1"), format!("HostName={};DeviceId=azure-1;x509=true", hub.name));
    let Some(program) = python(&hub, "aio", "mqtt", &[&hub.name, "azure-1", &certificate, &key]) else { return };
    everything(&hub, &program);
    hub.host.stop();
}

#[test]
fn python_shows_a_certificate_of_which_the_host_knows_the_fingerprint() {
    let Some(hub) = Hub::start() else { return };
    let (certificate, key) = hub.certificate("azure-1");
    let command_line = ["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha1"];
    let output = Command::new("openssl").args(command_line).output().unwrap();
    let fingerprint = String::from_utf8(output.stdout).unwrap();
    let fingerprint = fingerprint.trim().split_once('=').expect("sha1 Fingerprint=AB:CD…").1.to_owned();
    let credential = format!("fingerprint={fingerprint}");
    let _ = hub.host.cli(&hub.host_folder, &["device", "create", "azure-1", "--public-key", &credential]);
    let listed = hub.host.cli(&hub.host_folder, &["device", "credential", "list", "azure-1"]);
    assert!(listed.contains(&format!("sha1:{}", fingerprint.replace(':', "").to_lowercase())), "{listed}");
    let Some(program) = python(&hub, "sync", "mqtt", &[&hub.name, "azure-1", &certificate, &key]) else { return };
    program.wait_for_line("ready", |_| true);
    assert_eq!(call(&hub, "end", "1"), json!({"got": 1}));
    program.wait_for_line("ended", |_| true);
    hub.host.stop();
}

#[test]
fn python_renews_its_token_and_stays_connected() {
    let Some(hub) = Hub::start() else { return };
    let identity = hub.connection_string("azure-1");
    // The SDK makes a new token two minutes before the one before runs out: five seconds from now.
    let Some(program) = python(&hub, "sync", "mqtt", &[&identity, "125"]) else { return };
    program.wait_for_line("ready", |_| true);
    until("another connection with another token", || {
        (program.count(|line| line["what"] == "connection" && line["connected"] == true) >= 2).then_some(())
    });
    assert_eq!(call(&hub, "end", "1"), json!({"got": 1}));
    program.wait_for_line("ended", |_| true);
    hub.host.stop();
}

#[test]
fn a_plugins_command_reaches_python_with_its_properties() {
    let Some(hub) = Hub::start() else { return };
    let properties = r#"[["$content-type", "text/plain"], ["$correlation-id", "c-7"], ["room", "hall & é"]]"#;
    let action = format!("{{ command = {{ device = \"azure-1\", ttl-ms = 60000, properties = {properties} }} }}");
    switchbox_tests::scripted_plugin(&hub.host_folder, "sender", ("telemetry", "switch-*"), &action);
    hub.host.admin().wait_plugin("sender", "to run", |plugin| plugin["state"] == "running");
    let identity = hub.connection_string("azure-1");
    let Some(program) = python(&hub, "sync", "mqtt", &[&identity]) else { return };
    program.wait_for_line("ready", |_| true);
    let key = registered(&hub.host, &hub.host_folder, "switch-1");
    let mut switch = Device::connect(hub.host.mqtt(), Session::with_secret("switch-1", &token(&key)));
    switch.event("ring");
    let received = program.wait_for_line("c2d", |line| line["data"] == "ring");
    assert_eq!(received["properties"]["room"], "hall & é", "{received}");
    assert_eq!(
        (&received["contentType"], &received["correlationId"]),
        (&json!("text/plain"), &json!("c-7")),
        "{received}"
    );
    hub.host.stop();
}
