//! A host that notes what one instance asks and what it is answered, and passes both on. It is in the way only while the plugin
//! is recorded.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    call::{ConfigLine, DeviceLine, HostCall, MethodLine, StateLine, millis},
    names,
    payload::Payload,
};
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName};
use switchbox_plugin_runtime::{
    Capability, ConfigView, DeviceView, Host, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};

/// Bytes of answers of one execution that are noted, roughly. An execution with more is left out of the recording.
const CALLS_BYTES: usize = 4 * 1024 * 1024;

/// See the module.
pub struct Recorder {
    host: Arc<dyn Host>,
    noted: Arc<Mutex<Noted>>,
}

#[derive(Default)]
struct Noted {
    calls: Vec<HostCall>,
    bytes: usize,
    names: HashMap<DeviceNum, DeviceName>,
}

/// What an instance asked in one execution.
#[derive(Debug, Default)]
pub struct Asked {
    pub calls: Vec<HostCall>,
    /// The devices that were looked up.
    pub names: HashMap<DeviceNum, DeviceName>,
    /// Not all calls are there.
    pub too_large: bool,
}

impl Recorder {
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host, noted: Arc::default() }
    }

    /// What was asked since the last time.
    #[must_use]
    pub fn take(&self) -> Asked {
        let Noted { calls, bytes, names } = std::mem::take(&mut *self.noted.lock());
        Asked { calls, names, too_large: bytes > CALLS_BYTES }
    }

    fn note(&self, bytes: usize, call: impl FnOnce() -> HostCall) {
        self.noted.lock().add(bytes, call);
    }

    fn named(&self, num: DeviceNum, name: &DeviceName) {
        self.noted.lock().names.entry(num).or_insert_with(|| name.clone());
    }

    fn name(&self, num: DeviceNum) -> String {
        self.noted.lock().name(num)
    }
}

impl Noted {
    fn add(&mut self, bytes: usize, call: impl FnOnce() -> HostCall) {
        const CALL_BYTES: usize = 128;
        self.bytes = self.bytes.saturating_add(bytes + CALL_BYTES);
        if self.bytes <= CALLS_BYTES {
            self.calls.push(call());
        }
    }

    fn name(&self, num: DeviceNum) -> String {
        self.names.get(&num).map_or_else(|| format!("#{}", num.num_id()), names::short)
    }
}

fn weight(view: &DeviceView) -> usize {
    view.metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

impl Host for Recorder {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let found = self.host.device(name);
        if let Some(view) = &found {
            self.named(view.num, name);
        }
        self.note(found.as_ref().map_or(0, weight), || HostCall::Device {
            device: names::short(name),
            answer: found.as_ref().map(DeviceLine::of),
        });
        found
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        let found = self.host.resolve(name);
        if let Some(num) = found {
            self.named(num, name);
        }
        self.note(0, || HostCall::Has { device: names::short(name), answer: found.is_some() });
        found
    }

    fn grant_asked(&self, capability: Capability, target: &str, granted: bool) {
        self.host.grant_asked(capability, target, granted);
    }

    fn list(
        &self,
        registry: &RegistryName,
        pattern: &str,
        after: Option<&str>,
        limit: usize,
        wanted: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let (mut answer, mut bytes) = (Vec::new(), 0);
        self.host.list(registry, pattern, after, limit, wanted, &mut |view| {
            bytes += weight(&view);
            if bytes <= CALLS_BYTES {
                answer.push(DeviceLine::of(&view));
            }
            take(view)
        });
        self.note(bytes, || HostCall::List {
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
        self.note(found.as_ref().map_or(0, |config| config.payload.len()), || HostCall::Config {
            device: name,
            answer: found.as_ref().map(ConfigLine::of),
        });
        found
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let (asked, name, noted) = (self.host.twin(device), self.name(device), Arc::clone(&self.noted));
        Box::pin(async move {
            let answer = asked.await;
            let bytes = answer.as_ref().map_or(0, String::len);
            noted.lock().add(bytes, || HostCall::Twin {
                device: name,
                answer: answer.clone().map(|document| Payload(document.into())),
            });
            answer
        })
    }

    fn kv_get(&self, plugin: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        let found = self.host.kv_get(plugin, key);
        let answer = |(value, revision): &(Bytes, u64)| StateLine { value: value.into(), revision: *revision };
        self.note(found.as_ref().map_or(0, |(value, _)| value.len()), || HostCall::StateGet {
            key: key.to_owned(),
            answer: found.as_ref().map(answer),
        });
        found
    }

    fn kv_keys(&self, plugin: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let found = self.host.kv_keys(plugin, prefix, after, limit);
        self.note(found.iter().map(String::len).sum(), || HostCall::StateKeys {
            prefix: prefix.to_owned(),
            after: after.map(str::to_owned),
            limit,
            answer: found.clone(),
        });
        found
    }

    fn kv_bytes(&self, plugin: &PluginName) -> usize {
        let answer = self.host.kv_bytes(plugin);
        self.note(0, || HostCall::StateBytes { answer });
        answer
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        let answer = self.host.command_room(device);
        let device = self.name(device);
        self.note(0, || HostCall::CommandRoom { device, answer });
        answer
    }

    fn timers(&self, plugin: &PluginName) -> usize {
        let answer = self.host.timers(plugin);
        self.note(0, || HostCall::TimerCount { answer });
        answer
    }

    fn has_timer(&self, plugin: &PluginName, name: &str) -> bool {
        let answer = self.host.has_timer(plugin, name);
        self.note(0, || HostCall::TimerHas { name: name.to_owned(), answer });
        answer
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let noted = Arc::clone(&self.noted);
        let (device, method, payload) = (self.name(call.device), call.method.clone(), call.payload.clone());
        let timeout_ms = millis(call.timeout);
        let asked = self.host.call_method(call);
        let payload = Payload(payload);
        let call = HostCall::Method { device, method, payload, timeout_ms, answer: MethodLine::NoAnswer };
        let mut unanswered = Unanswered { noted, call: Some(call) };
        Box::pin(async move {
            let answer = asked.await;
            unanswered.note(MethodLine::of(&answer));
            answer
        })
    }
}

/// A method call that was made, and is noted also when nobody waits for its answer any more.
struct Unanswered {
    noted: Arc<Mutex<Noted>>,
    call: Option<HostCall>,
}

impl Unanswered {
    fn note(&mut self, given: MethodLine) {
        let Some(mut call) = self.call.take() else { return };
        let mut bytes = 0;
        if let HostCall::Method { payload, answer, .. } = &mut call {
            bytes =
                payload.0.len() + if let MethodLine::Answered { payload, .. } = &given { payload.0.len() } else { 0 };
            *answer = given;
        }
        self.noted.lock().add(bytes, || call);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.note(MethodLine::NoAnswer);
    }
}
