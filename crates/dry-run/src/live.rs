//! A world that reads from the live host: reads are real, and methods are never called. A method call gets the answer that was
//! given for it, or the error that the device is offline.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{names, own_state::OwnState, payload::Payload};
use serde::{Deserialize, Serialize};
use switchbox_model::{DeviceName, DeviceNum, PluginName, RegistryName};
use switchbox_plugin_runtime::{
    Capability, ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};

/// The answer to a method call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MethodAnswer {
    pub device: String,
    pub method: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub payload: Payload,
}

fn ok() -> u16 {
    200
}

/// A grant that was checked, and the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrantCheck {
    pub capability: Capability,
    /// The device or the topic that the plugin named.
    pub target: String,
    pub granted: bool,
}

/// A world that reads from the live host.
pub struct LiveWorld {
    host: Arc<dyn HostCalls>,
    answers: Vec<MethodAnswer>,
    /// Keys and values that are read instead of the live ones.
    own: Option<OwnState>,
    grants: Mutex<BTreeSet<GrantCheck>>,
    /// Names of devices that were looked up, by their numbers.
    names: Mutex<Vec<(DeviceNum, DeviceName)>>,
}

impl LiveWorld {
    #[must_use]
    pub fn new(host: Arc<dyn HostCalls>, answers: Vec<MethodAnswer>) -> Self {
        Self { host, answers, own: None, grants: Mutex::default(), names: Mutex::default() }
    }

    /// The plugin's own state is this one.
    #[must_use]
    pub fn with_state(self, own: Option<OwnState>) -> Self {
        Self { own, ..self }
    }

    /// The grants that were checked, each once.
    #[must_use]
    pub fn grants(&self) -> Vec<GrantCheck> {
        self.grants.lock().iter().cloned().collect()
    }

    fn answers_for(&self, name: &DeviceName) -> impl Iterator<Item = &MethodAnswer> {
        let is_for = |answer: &&MethodAnswer| names::parse(&answer.device).is_ok_and(|device| device == *name);
        self.answers.iter().filter(is_for)
    }
}

impl HostCalls for LiveWorld {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        let mut view = self.host.device(name)?;
        view.accepts_methods = view.accepts_methods || self.answers_for(name).next().is_some();
        self.names.lock().push((view.num, name.clone()));
        Some(view)
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        self.host.resolve(name)
    }

    fn grant_checked(&self, capability: Capability, target: &str, granted: bool) {
        self.grants.lock().insert(GrantCheck { capability, target: target.to_owned(), granted });
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
        self.host.list(registry, pattern, after, limit, matches, take);
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        self.host.config(device)
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        self.host.twin(device)
    }

    fn kv_get(&self, plugin: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        match &self.own {
            Some(own) => own.get(key),
            None => self.host.kv_get(plugin, key),
        }
    }

    fn kv_keys(&self, plugin: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        match &self.own {
            Some(own) => own.keys(prefix, after, limit),
            None => self.host.kv_keys(plugin, prefix, after, limit),
        }
    }

    fn kv_bytes(&self, plugin: &PluginName) -> usize {
        self.own.as_ref().map_or_else(|| self.host.kv_bytes(plugin), OwnState::bytes)
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        self.host.command_room(device)
    }

    fn timers(&self, plugin: &PluginName) -> usize {
        self.host.timers(plugin)
    }

    fn has_timer(&self, plugin: &PluginName, name: &str) -> bool {
        self.host.has_timer(plugin, name)
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        // The sandbox looks a device up before it calls one of its methods.
        let name = self.names.lock().iter().find(|(num, _)| *num == call.device).map(|(_, name)| name.clone());
        let answer = name.as_ref().and_then(|name| self.answers_for(name).find(|answer| answer.method == call.method));
        let answer = match answer {
            Some(answer) => Ok(MethodResponse { status: answer.status, payload: answer.payload.0.clone() }),
            None => Err(MethodError::Offline(format!(
                "a dry run calls no device; no answer is given for the method {}",
                call.method
            ))),
        };
        Box::pin(std::future::ready(answer))
    }
}
