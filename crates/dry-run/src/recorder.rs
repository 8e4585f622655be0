//! A host that forwards the calls of one instance to another host, and records them with their answers. Used only while the plugin is
//! recorded, tried or tested.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    call::{ConfigLine, DeviceLine, HostCall, MethodLine, StateLine, millis},
    names,
    payload::Payload,
};
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName};
use switchbox_plugin_runtime::{
    Called, Capability, ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};

/// Bytes of recorded answers of one execution, roughly. An execution with more is left out of the recording.
const CALLS_BYTES: usize = 4 * 1024 * 1024;

/// Records the calls of one instance.
pub struct Recorder {
    host: Arc<dyn HostCalls>,
    log: Arc<Mutex<CallLog>>,
    /// The calls of this execution are not wanted.
    off: AtomicBool,
}

/// The names of devices by their numbers. An execution looks few up, so they are searched one by one. Names are kept as they are in files:
/// a copy of a [`DeviceName`] changes the reference count of its registry, which all processors share.
#[derive(Debug, Clone, Default)]
pub struct DeviceNames(Vec<(DeviceNum, Arc<str>)>);

impl DeviceNames {
    #[must_use]
    pub fn get(&self, num: DeviceNum) -> Option<DeviceName> {
        names::parse(self.known(num)?).ok()
    }

    /// The name as it is in files; the number of a device that is not known.
    pub(crate) fn short(&self, num: DeviceNum) -> Arc<str> {
        self.known(num).map_or_else(|| format!("#{}", num.num_id()).into(), Arc::clone)
    }

    fn known(&self, num: DeviceNum) -> Option<&Arc<str>> {
        self.0.iter().find(|(known, _)| *known == num).map(|(_, name)| name)
    }

    fn add(&mut self, num: DeviceNum, name: &Arc<str>) {
        if self.known(num).is_none() {
            self.0.push((num, Arc::clone(name)));
        }
    }

    /// Adds those that are not known.
    pub fn extend(&mut self, more: Self) {
        more.0.iter().for_each(|(num, name)| self.add(*num, name));
    }
}

#[derive(Default)]
struct CallLog {
    calls: Vec<HostCall>,
    bytes: usize,
    names: DeviceNames,
}

/// The host calls of one execution, with their answers.
#[derive(Debug, Clone, Default)]
pub struct RecordedCalls {
    pub calls: Vec<HostCall>,
    /// The devices that were looked up.
    pub names: DeviceNames,
    /// Bytes of the calls, roughly.
    pub bytes: usize,
    /// The answers had more than [`CALLS_BYTES`], so some calls are missing.
    pub too_large: bool,
    /// The methods that the execution called, for a shadow. Is `None` if they are not known.
    pub methods: Option<Vec<Called>>,
}

impl Recorder {
    #[must_use]
    pub fn new(host: Arc<dyn HostCalls>) -> Self {
        Self { host, log: Arc::default(), off: AtomicBool::new(false) }
    }

    /// Whether the calls are recorded from now on; an execution without a place in its recording needs none.
    pub fn set_recording(&self, recording: bool) {
        self.off.store(!recording, Ordering::Relaxed);
    }

    fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    /// Returns the calls that were recorded since the last `take`.
    #[must_use]
    pub fn take(&self) -> RecordedCalls {
        self.take_into(RecordedCalls::default())
    }

    /// The same. The next calls are recorded in the memory of earlier ones, which nobody needs any more.
    #[must_use]
    pub fn take_into(&self, mut earlier: RecordedCalls) -> RecordedCalls {
        earlier.calls.clear();
        earlier.names.0.clear();
        let empty = CallLog { calls: earlier.calls, bytes: 0, names: earlier.names };
        let CallLog { calls, bytes, names } = std::mem::replace(&mut *self.log.lock(), empty);
        RecordedCalls { calls, names, bytes, too_large: bytes > CALLS_BYTES, methods: None }
    }

    fn record(&self, bytes: usize, call: impl FnOnce() -> HostCall) {
        if !self.is_off() {
            self.log.lock().add(bytes, call);
        }
    }

    fn name(&self, num: DeviceNum) -> Arc<str> {
        self.log.lock().names.short(num)
    }
}

impl CallLog {
    fn add(&mut self, bytes: usize, call: impl FnOnce() -> HostCall) {
        const CALL_BYTES: usize = 128;
        self.bytes = self.bytes.saturating_add(bytes + CALL_BYTES);
        if self.bytes <= CALLS_BYTES {
            self.calls.push(call());
        }
    }
}

fn weight(view: &DeviceView) -> usize {
    view.metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl HostCalls for Recorder {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let found = self.host.device(name);
        if let Some(view) = found.as_ref().filter(|_| !self.is_off()) {
            self.log.lock().names.add(view.num, &names::short(name));
        }
        self.record(found.as_ref().map_or(0, weight), || HostCall::Device {
            device: names::short(name),
            answer: found.as_ref().map(DeviceLine::of),
        });
        found
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        let found = self.host.resolve(name);
        if !self.is_off() {
            let device = names::short(name);
            let mut log = self.log.lock();
            if let Some(num) = found {
                log.names.add(num, &device);
            }
            log.add(0, || HostCall::Has { device, answer: found.is_some() });
        }
        found
    }

    fn grant_checked(&self, capability: Capability, target: &str, granted: bool) {
        self.host.grant_checked(capability, target, granted);
    }

    fn list(
        &self,
        registry: &RegistryName,
        pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let (mut answer, mut bytes) = (Vec::new(), 0);
        self.host.list(registry, pattern, after, limit, matches, &mut |view| {
            bytes += weight(&view);
            if bytes <= CALLS_BYTES {
                answer.push(DeviceLine::of(&view));
            }
            take(view)
        });
        self.record(bytes, || HostCall::List {
            registry: registry.to_string(),
            pattern: pattern.to_owned(),
            after: after.map(str::to_owned),
            limit,
            answer,
        });
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        let found = self.host.config(device);
        let name = self.name(device);
        self.record(found.as_ref().map_or(0, |config| config.payload.len()), || HostCall::Config {
            device: name,
            answer: found.as_ref().map(ConfigLine::of),
        });
        found
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let (pending_answer, name, log) = (self.host.twin(device), self.name(device), Arc::clone(&self.log));
        Box::pin(async move {
            let answer = pending_answer.await;
            let bytes = answer.as_ref().map_or(0, String::len);
            log.lock().add(bytes, || HostCall::Twin {
                device: name,
                answer: answer.clone().map(|document| Payload(document.into())),
            });
            answer
        })
    }

    fn kv_get(&self, plugin: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        let found = self.host.kv_get(plugin, key);
        let answer = |(value, revision): &(Bytes, u64)| StateLine { value: value.into(), revision: *revision };
        self.record(found.as_ref().map_or(0, |(value, _)| value.len()), || HostCall::StateGet {
            key: key.to_owned(),
            answer: found.as_ref().map(answer),
        });
        found
    }

    fn kv_keys(&self, plugin: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let found = self.host.kv_keys(plugin, prefix, after, limit);
        self.record(found.iter().map(String::len).sum(), || HostCall::StateKeys {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit,
            answer: found.clone(),
        });
        found
    }

    fn kv_bytes(&self, plugin: &PluginName) -> usize {
        let answer = self.host.kv_bytes(plugin);
        self.record(0, || HostCall::StateBytes { answer });
        answer
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        let answer = self.host.command_room(device);
        let device = self.name(device);
        self.record(0, || HostCall::CommandRoom { device, answer });
        answer
    }

    fn timers(&self, plugin: &PluginName) -> usize {
        let answer = self.host.timers(plugin);
        self.record(0, || HostCall::TimerCount { answer });
        answer
    }

    fn has_timer(&self, plugin: &PluginName, name: &str) -> bool {
        let answer = self.host.has_timer(plugin, name);
        self.record(0, || HostCall::TimerHas { name: name.to_owned(), answer });
        answer
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let log = Arc::clone(&self.log);
        let (device, method, payload) = (self.name(call.device), call.method.clone(), call.payload.clone());
        let timeout_ms = millis(call.timeout);
        let pending_answer = self.host.call_method(call);
        let payload = Payload(payload);
        let call = HostCall::Method { device, method, payload, timeout_ms, answer: MethodLine::NoAnswer };
        let mut unanswered = Unanswered { log, call: Some(call) };
        Box::pin(async move {
            let answer = pending_answer.await;
            unanswered.record(MethodLine::of(&answer));
            answer
        })
    }
}

/// A method call in progress. If its future is dropped before the answer, it is recorded as unanswered.
struct Unanswered {
    log: Arc<Mutex<CallLog>>,
    call: Option<HostCall>,
}

impl Unanswered {
    fn record(&mut self, given: MethodLine) {
        let Some(mut call) = self.call.take() else { return };
        let mut bytes = 0;
        if let HostCall::Method { payload, answer, .. } = &mut call {
            bytes =
                payload.0.len() + if let MethodLine::Answered { payload, .. } = &given { payload.0.len() } else { 0 };
            *answer = given;
        }
        self.log.lock().add(bytes, || call);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.record(MethodLine::NoAnswer);
    }
}
