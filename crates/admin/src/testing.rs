//! A host without MQTT and plugins for tests: the handles of `switchbox-testing` with the API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this module"
)]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{
    ApprovalError, DeleteError, DryRunError, HostHandles, Options, PluginFuture, Plugins, RecordingPieces,
    RedriveError, Service,
};
use switchbox_admin_api::{
    Approval, Base64, Builtin, CanaryPluginRequest, Int64, Listeners, Plugin, PluginCanary, PluginRecording,
    PluginShadow, PluginVersion, RecordPluginRequest, ShadowPluginRequest, TOKEN_FILE, Time, TryPluginRequest,
    TryPluginResponse, VersionRolledBack,
};
use switchbox_core::{explain, ingest, journal, registry::Device};
use switchbox_delivery as delivery;
use switchbox_delivery::{Link, Outbound};
use switchbox_model::{DeviceName, Event, EventData, PayloadLimits, PluginName, RegistryName};
use switchbox_plugin_model::{PluginSettings, Subject, digest};
use switchbox_settings::AdminAuth;
use switchbox_store::QueueShare;
use switchbox_testing::Host;

/// The components of the first two versions of the one plugin.
fn component(number: u64) -> Option<Vec<u8>> {
    let name = ["before", "now"].get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    Some([&b"\0asm\x0d\0\x01\0"[..], name.as_bytes()].concat())
}

/// Bytes in base64, as in the API.
pub fn base64(bytes: &[u8]) -> Value {
    serde_json::to_value(Base64(Bytes::copy_from_slice(bytes))).unwrap()
}

/// Commands that may wait for one device.
pub const QUEUED: usize = 50;

/// A fake set of plugins: one plugin, and the recorded redrives.
#[derive(Default)]
pub struct OnePlugin {
    pub redriven: Mutex<Vec<u64>>,
    /// Its files have a version that the guard has rolled back.
    pub failed: AtomicBool,
    /// The folder of recordings.
    pub recordings: PathBuf,
}

impl Plugins for OnePlugin {
    fn list(&self, _: Option<Subject>) -> PluginFuture<'_, Vec<Plugin>> {
        Box::pin(async {
            vec![Plugin {
                name: "relay".into(),
                state: "running".into(),
                component: "plugins/relay.wasm".into(),
                grants: vec!["config lamp-*".into()],
                limits: [("deadline".into(), "100ms".into())].into(),
                ..Plugin::default()
            }]
        })
    }

    fn builtins(&self) -> Vec<Builtin> {
        vec![Builtin { name: "hop-relay".into(), summary: "Sends a record on".into() }]
    }

    fn get(&self, name: &PluginName) -> PluginFuture<'_, Option<Plugin>> {
        let name = name.to_string();
        Box::pin(async move { self.list(None).await.into_iter().find(|view| view.name == name) })
    }

    fn versions(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginVersion>> {
        let version = |number: u64| PluginVersion {
            number,
            digest: component(number).map_or_else(|| "sha256:3".into(), |bytes| digest(&bytes)),
            component: "relay.wasm".into(),
            in_force: number == 2,
            rolled_back: (number == 3).then(VersionRolledBack::default),
            ..PluginVersion::default()
        };
        let newest = if self.failed.load(Ordering::Relaxed) { 3 } else { 2 };
        let versions = if name.as_str() == "relay" { (1..=newest).rev().map(version).collect() } else { Vec::new() };
        Box::pin(async { versions })
    }

    fn version_script(&self, _: &PluginName, _: u64) -> PluginFuture<'_, std::io::Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(None) })
    }

    fn version_component(&self, _: &PluginName, number: u64) -> PluginFuture<'_, std::io::Result<Option<Vec<u8>>>> {
        Box::pin(async move { Ok(component(number)) })
    }

    fn check_settings(&self, _: &PluginName, _: &PluginSettings) -> Result<(), String> {
        Ok(())
    }

    fn check_rollback(&self, _: &PluginName, _: &PluginVersion) -> Result<(), String> {
        Ok(())
    }

    fn delete_kept(&self, name: &PluginName) -> PluginFuture<'_, Result<(), DeleteError>> {
        let kept = name.as_str() == "gone";
        let text = format!("no state of a plugin {name} is kept");
        Box::pin(async move { if kept { Ok(()) } else { Err(DeleteError::NothingKept(text)) } })
    }

    fn redrive(&self, id: u64) -> PluginFuture<'_, Result<(), RedriveError>> {
        if id > 1 {
            return Box::pin(async move { Err(RedriveError::NotFound(id)) });
        }
        self.redriven.lock().push(id);
        Box::pin(async { Ok(()) })
    }

    fn try_event(
        &self,
        name: &PluginName,
        request: TryPluginRequest,
        from_journal: Option<(Event, Option<DeviceName>)>,
    ) -> PluginFuture<'_, Result<TryPluginResponse, DryRunError>> {
        let name = name.to_string();
        Box::pin(async move {
            if name != "relay" {
                return Err(DryRunError::Refused(format!("plugin {name} does not run")));
            }
            let logs = from_journal.map(|(event, device)| format!("event {} of {device:?}", event.seq));
            let (event, logs) = (request.event.unwrap_or_default(), logs.into_iter().collect());
            Ok(TryPluginResponse { name, event, outcome: "done".into(), logs, ..TryPluginResponse::default() })
        })
    }

    fn record(&self, _: &PluginName, request: RecordPluginRequest) -> Result<PluginRecording, DryRunError> {
        if request.seconds == Some(Int64(0)) {
            return Err(DryRunError::Invalid("a recording may not take 0 s".into()));
        }
        Ok(PluginRecording::default())
    }

    fn stop_recording(&self, name: &PluginName) -> Option<PluginRecording> {
        let ended = Some("stopped".to_owned());
        (name.as_str() == "relay").then(|| PluginRecording { ended, ..PluginRecording::default() })
    }

    fn shadow(
        &self,
        name: &PluginName,
        request: ShadowPluginRequest,
    ) -> PluginFuture<'_, Result<PluginShadow, DryRunError>> {
        let begun = match (name.as_str(), request.share) {
            ("relay", share) => Ok(PluginShadow { share: share.unwrap_or(1.0), ..PluginShadow::default() }),
            _ => Err(DryRunError::Refused(format!("plugin {name} is not running"))),
        };
        Box::pin(async { begun })
    }

    fn shadow_status(&self, name: &PluginName) -> Option<PluginShadow> {
        (name.as_str() == "relay").then(PluginShadow::default)
    }

    fn stop_shadow(&self, name: &PluginName) -> Option<PluginShadow> {
        self.shadow_status(name)
    }

    fn canary(
        &self,
        name: &PluginName,
        request: CanaryPluginRequest,
    ) -> PluginFuture<'_, Result<PluginCanary, DryRunError>> {
        let begun = match name.as_str() {
            "relay" => Ok(PluginCanary { share: request.share, devices: request.devices, ..PluginCanary::default() }),
            _ => Err(DryRunError::Refused(format!("plugin {name} is not running"))),
        };
        Box::pin(async { begun })
    }

    fn canaries(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginCanary>> {
        let ended = PluginCanary {
            digest: "sha256:0".into(),
            ended: Some("the guard ended it: 1 traps in 2 events".into()),
            ended_time: Some(Time(5_000)),
            ended_by_guard: true,
            ended_by_event: Some(Int64(2)),
            ..PluginCanary::default()
        };
        let canaries = if name.as_str() == "relay" { vec![ended] } else { Vec::new() };
        Box::pin(async { canaries })
    }

    fn abort_canary(&self, name: &PluginName) -> Option<PluginCanary> {
        (name.as_str() == "relay").then(PluginCanary::default)
    }

    fn canary_files(&self, name: &PluginName) -> Option<(Option<Bytes>, Option<String>)> {
        (name.as_str() == "relay").then(|| (None, Some("enabled = true\n".into())))
    }

    fn approvals(&self) -> Vec<Approval> {
        vec![Approval {
            id: "7.relay".into(),
            plugin: "relay".into(),
            event: Int64(7),
            targets: 12,
            effect_count: 12,
            ..Approval::default()
        }]
    }

    fn approve(&self, id: &str, _caller: &str) -> PluginFuture<'_, Result<(), ApprovalError>> {
        let done = if id == "7.relay" { Ok(()) } else { Err(ApprovalError::NotFound(format!("no effects {id}"))) };
        Box::pin(async { done })
    }

    fn reject(&self, id: &str, caller: &str, _reason: &str) -> PluginFuture<'_, Result<(), ApprovalError>> {
        self.approve(id, caller)
    }

    fn journal_recording(
        &self,
        name: &PluginName,
        since_ms: u64,
        mask: Vec<String>,
    ) -> PluginFuture<'_, Result<Box<dyn RecordingPieces>, DryRunError>> {
        let begun: Result<Box<dyn RecordingPieces>, _> = match name.as_str() {
            "relay" => Ok(Box::new(TwoPieces(vec![format!("{since_ms}\n"), format!("{mask:?}\n")]))),
            _ => Err(DryRunError::Refused(format!("no version of {name} is known that has run"))),
        };
        Box::pin(async { begun })
    }

    fn recording_file(&self, name: &PluginName) -> PathBuf {
        self.recordings.join(format!("{name}.jsonl"))
    }
}

/// Pieces of a recording, the last one first.
struct TwoPieces(Vec<String>);

impl RecordingPieces for TwoPieces {
    fn next(&mut self) -> PluginFuture<'_, Result<Option<Bytes>, String>> {
        let next = self.0.pop().map(Bytes::from);
        Box::pin(async { Ok(next) })
    }
}

/// A device's connection that passes on what it receives, and whether the device acknowledges commands.
pub struct Recorder(mpsc::SyncSender<Outbound>, bool);

impl Link for Recorder {
    fn queue(&self, item: Outbound) -> bool {
        self.0.try_send(item).is_ok()
    }

    fn wake(&self) {}

    fn confirms_commands(&self) -> bool {
        self.1
    }

    fn close(&self, _: &str) {}
}

pub struct TestHost {
    pub runtime: Runtime,
    pub handles: HostHandles,
    pub ingest: ingest::Handle,
    pub plugins: Arc<OnePlugin>,
    pub folder: PathBuf,
    pub ready: Arc<std::sync::atomic::AtomicBool>,
    pub base: String,
    pub token: Option<String>,
    shutdown: CancellationToken,
    _host: Host,
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHost {
    pub fn new() -> Self {
        Self::with(AdminAuth::Token)
    }

    pub fn with(auth: AdminAuth) -> Self {
        Self::with_all(auth, &[])
    }

    pub fn with_origins(origins: &[&str]) -> Self {
        Self::with_all(AdminAuth::Token, origins)
    }

    fn with_all(auth: AdminAuth, origins: &[&str]) -> Self {
        let runtime = Runtime::new().unwrap();
        let host_options = switchbox_testing::Options { queued_commands: QUEUED, ..Default::default() };
        let host = runtime.block_on(Host::start(host_options));
        let recordings = host.folder().join("data/recordings");
        let plugins = Arc::new(OnePlugin { recordings, ..OnePlugin::default() });
        let quota = switchbox_files::Quota { device_bytes: 1 << 20, total_bytes: 1 << 20 };
        let files = switchbox_files::Options { data: host.folder().join("data"), quota };
        let handles = HostHandles {
            auth: host.auth.clone(),
            files: switchbox_files::Handle::open(&files).unwrap(),
            ingest: host.ingest.clone(),
            topics: host.topics.clone(),
            counters: host.metrics.clone(),
            tasks: host.tasks.clone(),
            listeners: Listeners::default(),
            explain: explain::Handle::new(host.store.clone(), host.registry.clone()),
            registry: host.registry.clone(),
            outbox: host.outbox.clone(),
            delivery: host.delivery.clone(),
            journal: journal::Handle::new(host.store.clone()),
            store: host.store.clone(),
            plugins: plugins.clone(),
            authors: Arc::default(),
            metrics: Arc::new(|_| "# EOF\n".into()),
        };
        let folder = host.folder().join("data/plugins");
        let data = host.folder().join("data");
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            connections: 1_000,
            listen,
            tls: None,
            auth,
            data: data.clone(),
            plugins: folder.clone(),
            cors_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            payloads: PayloadLimits::default(),
            hubs: "hall.example=hall".parse().unwrap(),
        };
        let service = runtime.block_on(Service::bind(options, handles.clone())).unwrap();
        let base = format!("http://{}", service.local_addr());
        let token = std::fs::read_to_string(data.join(TOKEN_FILE)).ok().map(|token| token.trim().to_owned());
        let (shutdown, ready, ingest) = (CancellationToken::new(), service.readiness(), host.ingest.clone());
        runtime.spawn(service.run(shutdown.clone()));
        Self { runtime, handles, ingest, plugins, folder, ready, base, token, shutdown, _host: host }
    }

    /// Status and JSON (null when the answer is none).
    pub fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> (u16, Value) {
        let mut answer = self.answer(method, path, headers, body);
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    pub fn answer(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> ureq::http::Response<ureq::Body> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let answer = match body {
            Some(body) => agent.run(request.body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        answer.unwrap()
    }

    pub fn bytes(&self, method: &str, path: &str, kind: &str, body: Option<&[u8]>) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.token.as_deref().unwrap_or_default());
        self.raw(method, path, &[("authorization", &bearer), ("content-type", kind)], body)
    }

    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.bytes(method, path, "application/json", body.map(ToString::to_string).as_deref().map(str::as_bytes))
    }

    /// Makes a call that must succeed.
    pub fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        assert_eq!(crate::openapi::conformance::problem(method, path, &answer), None);
        answer
    }

    /// Makes a call that must fail. Returns the status code, Google's code word, and the text.
    pub fn refused(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String, String) {
        let (status, answer) = self.call(method, path, body);
        assert_ne!(status, 200, "{method} {path} was taken: {answer}");
        assert_eq!(answer["error"]["code"], status);
        assert_eq!(crate::openapi::conformance::problem_of_refusal(&answer), None);
        let text = |field: &str| answer["error"][field].as_str().unwrap().to_owned();
        (status, text("status"), text("message"))
    }

    pub fn device(&self, id: &str) -> Arc<Device> {
        let name = DeviceName::parse(id, &RegistryName::default_registry()).unwrap();
        self.handles.registry.find(&name).unwrap()
    }

    /// Connects a device, without subscribing it to anything.
    pub fn connect(&self, id: &str) -> (delivery::Online, mpsc::Receiver<Outbound>) {
        self.connect_as(id, true)
    }

    /// Connects a device that acknowledges commands if `confirms`.
    pub fn connect_as(&self, id: &str, confirms: bool) -> (delivery::Online, mpsc::Receiver<Outbound>) {
        let (sender, received) = mpsc::sync_channel(16);
        let _inside = self.runtime.enter();
        (self.handles.delivery.connect(&self.device(id), Arc::new(Recorder(sender, confirms))), received)
    }

    /// Journals telemetry of a device and waits until it is durable.
    pub fn telemetry(&self, id: &str, payload: &'static str) {
        let payload = Bytes::from_static(payload.as_bytes());
        self.event(id, EventData::Telemetry { subfolder: String::new(), payload, properties: vec![] });
    }

    /// Reports a state of the device.
    pub fn state(&self, id: &str, payload: &'static str) {
        self.event(id, EventData::State { version: 0, payload: Bytes::from_static(payload.as_bytes()) });
    }

    /// Reports a new state of the device.
    pub fn report(&self, id: &str, state: &str) {
        self.event(id, EventData::State { version: 0, payload: Bytes::copy_from_slice(state.as_bytes()) });
    }

    fn event(&self, id: &str, data: EventData) {
        let (done, durable) = mpsc::sync_channel(1);
        let room = self.runtime.block_on(self.ingest.reserve(1024, QueueShare::Whole)).unwrap();
        let event = ingest::NewEvent::new(true, data);
        self.ingest.submit(&self.device(id), vec![event], room, Box::new(move |result| done.send(result).unwrap()));
        durable.recv().unwrap().unwrap();
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
