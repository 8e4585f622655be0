//! The world that a test case describes: devices, the plugin's state, timers, and answers of methods. The effects of an execution
//! change it, so that the next event of the case sees them.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{live::MethodAnswer, names, own_state::OwnState, payload::Payload};
use switchbox_core::twin;
use switchbox_model::{
    Cause, DeviceName, DeviceNum, Effect, InvalidName, PluginName, RegistryName, limits,
    timer::{Schedule, Timer},
};
use switchbox_plugin_runtime::{
    Capability, ConfigView, DeviceView, Execution, HostCalls, KvChange, MethodCall, MethodError, MethodResponse,
    Verdict, host::BoxFuture,
};
use switchbox_store::{ConfigVersion, StateVersion};

/// The description of a world in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WorldLine {
    pub devices: BTreeMap<String, DeviceOfCase>,
    /// The plugin's own state.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Payload>,
    /// The schema of that state. Is `None` if it is the component's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_schema: Option<u32>,
    /// Names of timers that are set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<String>,
    /// The answers of methods. A call without one fails as if the device were offline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodAnswer>,
}

/// A device of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeviceOfCase {
    pub connected: bool,
    /// Whether it subscribes to its commands and methods while it is connected.
    pub subscribed: bool,
    pub blocked: bool,
    pub gateway: bool,
    pub metadata: BTreeMap<String, String>,
    /// The config in force.
    pub config: Option<Payload>,
    /// The reported state.
    pub state: Option<Payload>,
}

impl Default for DeviceOfCase {
    fn default() -> Self {
        let metadata = BTreeMap::new();
        Self { connected: true, subscribed: true, blocked: false, gateway: false, metadata, config: None, state: None }
    }
}

/// The world of a test case.
#[derive(Default)]
pub struct CaseWorld {
    state: Mutex<WorldState>,
    methods: Vec<MethodAnswer>,
}

#[derive(Default)]
struct WorldState {
    /// Devices by number, starting at 1.
    devices: Vec<Device>,
    own: OwnState,
}

struct Device {
    name: DeviceName,
    about: DeviceOfCase,
    config: twin::Desired,
    /// Commands that wait for it. One that is connected acknowledges its commands at once.
    waiting: usize,
}

impl CaseWorld {
    /// The world before the first event.
    ///
    /// # Errors
    ///
    /// A device's name is not valid.
    pub fn new(line: WorldLine) -> Result<Self, InvalidName> {
        let WorldLine { devices, state: kv, timers, methods, .. } = line;
        let world = Self { methods, ..Self::default() };
        for (name, about) in devices {
            world.add(names::parse(&name)?, about);
        }
        let mut state = world.state.lock();
        let kv = kv.into_iter().map(|(key, value)| (key, (value.0, 1)));
        state.own = OwnState::new(kv, timers.into_iter().map(set));
        drop(state);
        Ok(world)
    }

    fn add(&self, name: DeviceName, about: DeviceOfCase) {
        let config = about.config.as_ref().map(|config| twin::Desired { version: 1, document: config.0.clone() });
        self.state.lock().devices.push(Device { name, about, config: config.unwrap_or_default(), waiting: 0 });
    }

    /// The name of a device.
    #[must_use]
    pub fn name(&self, num: DeviceNum) -> Option<DeviceName> {
        self.state.lock().device(num).map(|device| device.name.clone())
    }

    /// Applies the effects, the state and the timers of an execution.
    pub fn apply(&self, execution: &Execution) {
        if execution.verdict != Verdict::Done {
            return;
        }
        let mut state = self.state.lock();
        for effect in &execution.effects {
            state.apply(effect);
        }
        state.own.apply(execution);
    }

    /// Applies the writes of a migration.
    pub fn write_state(&self, changes: &[KvChange]) {
        self.state.lock().own.write(changes);
    }
}

/// A timer that a case declares as set, without a due time.
fn set(name: String) -> Timer {
    Timer { name, schedule: Schedule::Once, payload: Bytes::new(), due_ms: u64::MAX }
}

impl WorldState {
    fn device(&self, num: DeviceNum) -> Option<&Device> {
        self.devices.get(usize::try_from(num.0.checked_sub(1)?).ok()?)
    }

    fn device_mut(&mut self, num: DeviceNum) -> Option<&mut Device> {
        self.devices.get_mut(usize::try_from(num.0.checked_sub(1)?).ok()?)
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Config { device, payload, .. } => {
                if let Some(device) = self.device_mut(*device) {
                    device.config.set(payload);
                }
            }
            Effect::PatchDesired { device, patch, .. } => {
                if let Some(device) = self.device_mut(*device) {
                    // The sandbox has already refused patches that cannot be applied.
                    let _ = device.config.patch(patch);
                }
            }
            Effect::Command { device, .. } => {
                if let Some(device) = self.device_mut(*device).filter(|device| !device.about.connected) {
                    device.waiting += 1;
                }
            }
            _ => {}
        }
    }
}

impl Device {
    fn view(&self, at: usize) -> DeviceView {
        let about = &self.about;
        DeviceView {
            num: DeviceNum(at as u64 + 1),
            name: self.name.clone(),
            connected: about.connected,
            blocked: about.blocked,
            gateway: about.gateway,
            metadata: Arc::new(about.metadata.clone()),
            config_version: self.config.version,
            state_version: u64::from(about.state.is_some()),
            last_event_ms: None,
            accepts_commands: about.connected && about.subscribed,
            accepts_methods: about.connected && about.subscribed,
        }
    }

    fn twin(&self) -> Result<String, String> {
        let config = (self.config.version > 0).then(|| ConfigVersion {
            device: DeviceNum(0),
            version: self.config.version,
            time_ms: 0,
            payload: self.config.document.clone(),
            acknowledged_ms: None,
            cause: Cause::Api { caller: "the case".into() },
        });
        let state = self.about.state.as_ref().map(|state| StateVersion {
            device: DeviceNum(0),
            version: 1,
            time_ms: 0,
            payload: state.0.clone(),
        });
        let tolerance = twin::tolerance(&self.about.metadata).map_err(|error| error.to_string())?;
        let (configs, states): (Vec<_>, Vec<_>) = (config.into_iter().collect(), state.into_iter().collect());
        Ok(twin::document(&configs, &states, tolerance).text())
    }
}

impl HostCalls for CaseWorld {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let state = self.state.lock();
        let mut devices = state.devices.iter().enumerate();
        devices.find(|(_, device)| device.name == *name).map(|(at, device)| device.view(at))
    }

    fn grant_checked(&self, _: Capability, _: &str, _: bool) {}

    fn list(
        &self,
        registry: &RegistryName,
        _: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let state = self.state.lock();
        let mut found: Vec<_> = state.devices.iter().enumerate().map(|(at, device)| device.view(at)).collect();
        found.retain(|device| device.name.registry == *registry && matches(device.name.id.as_str()));
        found.retain(|device| after.is_none_or(|after| device.name.id.as_str() > after));
        found.sort_by(|one, other| one.name.cmp(&other.name));
        drop(state);
        let _ = found.into_iter().take(limit).all(take);
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        let state = self.state.lock();
        let config = &state.device(device)?.config;
        let payload = config.document.clone();
        (config.version > 0).then_some(ConfigView {
            version: config.version,
            time_ms: 0,
            payload,
            acknowledged_ms: None,
        })
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let state = self.state.lock();
        let twin = state.device(device).map_or_else(|| Err("there is no such device".into()), Device::twin);
        Box::pin(std::future::ready(twin))
    }

    fn kv_get(&self, _: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        self.state.lock().own.get(key)
    }

    fn kv_keys(&self, _: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.state.lock().own.keys(prefix, after, limit)
    }

    fn kv_bytes(&self, _: &PluginName) -> usize {
        self.state.lock().own.bytes()
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        let state = self.state.lock();
        let waiting = state.device(device).map_or(0, |device| device.waiting);
        limits::QUEUED_COMMANDS.saturating_sub(waiting)
    }

    fn timers(&self, _: &PluginName) -> usize {
        self.state.lock().own.timers()
    }

    fn has_timer(&self, _: &PluginName, name: &str) -> bool {
        self.state.lock().own.has_timer(name)
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let name = self.name(call.device);
        let is_it = |answer: &&MethodAnswer| {
            answer.method == call.method && names::parse(&answer.device).is_ok_and(|device| Some(device) == name)
        };
        let answer = match self.methods.iter().find(is_it) {
            Some(answer) => Ok(MethodResponse { status: answer.status, payload: answer.payload.0.clone() }),
            None => Err(MethodError::Offline(format!("the case has no answer for the method {}", call.method))),
        };
        Box::pin(std::future::ready(answer))
    }
}
