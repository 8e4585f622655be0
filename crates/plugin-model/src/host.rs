//! What host functions use of the rest of the host, as one trait: `dispatch` implements it over the registry, the store and the
//! connections.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use super::grants::Capability;
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName, Seq};

/// A future of a host call.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One device, as it is at the time of the call.
#[derive(Debug, Clone)]
pub struct DeviceView {
    pub num: DeviceNum,
    pub name: DeviceName,
    pub connected: bool,
    pub blocked: bool,
    pub gateway: bool,
    pub metadata: Arc<BTreeMap<String, String>>,
    /// 0 if there is none yet.
    pub config_version: u64,
    /// 0 if there is none yet.
    pub state_version: u64,
    /// Milliseconds since the Unix epoch.
    pub last_event_ms: Option<u64>,
    /// It is connected and subscribes to its commands.
    pub accepts_commands: bool,
    /// It is connected and subscribes to its methods, or has an endpoint for them.
    pub accepts_methods: bool,
}

/// The current config version.
#[derive(Debug, Clone)]
pub struct ConfigView {
    pub version: u64,
    /// Milliseconds since the Unix epoch.
    pub time_ms: u64,
    pub payload: Bytes,
    pub acknowledged_ms: Option<u64>,
}

/// A plugin's method call to a device.
#[derive(Debug, Clone)]
pub struct MethodCall {
    pub plugin: PluginName,
    /// The event that is being handled: the host makes no call before it is durable.
    pub seq: Seq,
    pub attempt: u32,
    /// Its place among the calls of the execution.
    pub index: u32,
    pub device: DeviceNum,
    pub method: String,
    pub payload: Bytes,
    /// How long to wait for the device's answer.
    pub timeout: Duration,
}

/// A device's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodResponse {
    /// 0 to 65535: the device's own. That of an endpoint is 100 to 599.
    pub status: u16,
    pub payload: Bytes,
}

/// Why the call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MethodError {
    #[error("{0}")]
    Offline(String),
    #[error("{0}")]
    TimedOut(String),
    /// The call itself is invalid.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Unavailable(String),
    /// The plugin has reached as many new devices and topics as it may within a minute.
    #[error("{0}")]
    NewTargets(String),
}

/// Called by host functions. All but `twin` and `call_method` run inside a guest's call: they must be quick and must not block.
pub trait HostCalls: Send + Sync + 'static {
    fn device(&self, name: &DeviceName) -> Option<DeviceView>;

    /// Only the number, because it is needed for every effect.
    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        self.device(name).map(|device| device.num)
    }

    /// Called when the grants are checked for a device or a topic. Repeated checks may be cached. Of the devices that a list leaves out
    /// it is called for the first few, and then once with their number instead of a name.
    fn grant_checked(&self, _capability: Capability, _target: &str, _granted: bool) {}

    /// Calls `take` with devices of the registry for whose id `matches` returns true, in order of their ids, after the id `after`, at
    /// most `limit` and only as long as `take` returns true. `pattern` is the glob that `matches` checks, beside the grants.
    fn list(
        &self,
        registry: &RegistryName,
        pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    );

    /// The current config; `None` if there never was one.
    fn config(&self, device: DeviceNum) -> Option<ConfigView>;

    /// The twin as JSON. The error says why the host cannot read it now.
    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>>;

    /// A key of the plugin's own state, with its revision.
    fn kv_get(&self, plugin: &PluginName, key: &str) -> Option<(Bytes, u64)>;

    /// Keys that begin with `prefix`, in order, after `after`, at most `limit`.
    fn kv_keys(&self, plugin: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String>;

    /// Bytes of the plugin's keys and values together.
    fn kv_bytes(&self, plugin: &PluginName) -> usize;

    /// How many more commands may wait for the device.
    fn command_room(&self, device: DeviceNum) -> usize;

    /// The number of the plugin's timers.
    fn timers(&self, plugin: &PluginName) -> usize;

    fn has_timer(&self, plugin: &PluginName, name: &str) -> bool;

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>>;
}
