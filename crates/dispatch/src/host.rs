//! The host functions of plugins, over the registry, the connections and the plugin's own state.

use std::{
    num::NonZeroU32,
    sync::{Arc, Weak},
};

use bytes::Bytes;

use super::{context::Context, runner::Runner, traces, version::Version};
use switchbox_core::{
    registry::{self, Device},
    twin,
};
use switchbox_model::{DeviceId, DeviceName, DeviceNum, PluginName, RegistryName, limits::VERSIONS_KEPT};
use switchbox_plugin_runtime::{
    ConfigView, DeviceView, HostCalls, MethodCall, MethodError, MethodResponse, host::BoxFuture,
};
use switchbox_telemetry as telemetry;

/// Each instance has one of its own, so that processors do not share one reference count.
pub(super) struct PluginHost {
    context: Weak<Context>,
    registry: registry::Handle,
    /// Is `None` while a new component is checked; it handles no events then.
    runner: Option<Weak<Runner>>,
    /// How many new targets the version may reach within a minute. Is `None` if it may reach any number.
    new_targets: Option<NonZeroU32>,
}

impl PluginHost {
    /// For an instance of the version that handles the runner's events.
    pub(super) fn of(runner: &Arc<Runner>, version: &Version) -> Arc<dyn HostCalls> {
        let new_targets = version.setup.limits.max_new_targets_per_minute;
        Self::shared(&runner.context, Some(Arc::downgrade(runner)), new_targets)
    }

    /// For an instance that is only started, to check that it starts.
    pub(super) fn for_start_check(context: &Arc<Context>) -> Arc<dyn HostCalls> {
        Self::shared(context, None, None)
    }

    fn shared(
        context: &Arc<Context>,
        runner: Option<Weak<Runner>>,
        new_targets: Option<NonZeroU32>,
    ) -> Arc<dyn HostCalls> {
        Arc::new(Self { context: Arc::downgrade(context), registry: context.registry.clone(), runner, new_targets })
    }

    fn view(&self, device: &Device) -> DeviceView {
        let context = self.context.upgrade();
        let connections = context.as_ref().and_then(|context| context.connections.get());
        let spec = device.spec();
        DeviceView {
            num: device.num,
            name: device.name.clone(),
            connected: connections.is_some_and(|connections| connections.connected(device.num)),
            blocked: spec.blocked,
            gateway: spec.gateway.is_some(),
            metadata: Arc::new(spec.metadata.clone()),
            config_version: device.config_version(),
            state_version: device.state().map_or(0, |state| state.version),
            last_event_ms: device.seen().event_ms,
            accepts_commands: connections.is_some_and(|connections| connections.accepts_commands(device.num)),
            accepts_methods: device.endpoint().is_some()
                || connections.is_some_and(|connections| connections.accepts_methods(device.num)),
        }
    }
}

impl HostCalls for PluginHost {
    fn device(&self, name: &DeviceName) -> Option<DeviceView> {
        self.registry.find(name).map(|device| self.view(&device))
    }

    fn resolve(&self, name: &DeviceName) -> Option<DeviceNum> {
        self.registry.resolve(name)
    }

    fn list(
        &self,
        registry: &RegistryName,
        _pattern: &str,
        after: Option<&str>,
        limit: usize,
        matches: &dyn Fn(&str) -> bool,
        take: &mut dyn FnMut(DeviceView) -> bool,
    ) {
        let after = after.and_then(|after| DeviceId::new(after).ok());
        let devices = self.registry.list(registry, after.as_ref(), limit, &|device| matches(device.name.id.as_str()));
        // Each view is made after the one before was taken, because one may have much metadata.
        let _ = devices.unwrap_or_default().iter().all(|device| take(self.view(device)));
    }

    fn config(&self, device: DeviceNum) -> Option<ConfigView> {
        let config = self.registry.get(device)?.config()?;
        Some(ConfigView {
            version: config.version,
            time_ms: config.time_ms,
            payload: config.payload.clone(),
            acknowledged_ms: config.acknowledged_ms,
        })
    }

    fn twin(&self, device: DeviceNum) -> BoxFuture<Result<String, String>> {
        let context = self.context.upgrade();
        Box::pin(async move {
            let context = context.ok_or("the host is stopping")?;
            let versions = context.store.configs_and_states(device, VERSIONS_KEPT).await;
            let (configs, states) = versions.map_err(|e| e.to_string())?;
            let device = context.registry.get(device).ok_or("the device was deleted")?;
            // A tolerance that cannot be parsed was stored before it was checked at the API.
            let tolerance = twin::tolerance(&device.spec().metadata).unwrap_or(twin::Tolerance::EXACT);
            Ok(twin::document(&configs, &states, tolerance).text())
        })
    }

    fn kv_get(&self, plugin: &PluginName, key: &str) -> Option<(Bytes, u64)> {
        self.context.upgrade()?.kv.find(plugin)?.data.lock().get(key)
    }

    fn kv_keys(&self, plugin: &PluginName, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let kv = self.context.upgrade().and_then(|context| context.kv.find(plugin));
        kv.map(|kv| kv.data.lock().keys(prefix, after, limit)).unwrap_or_default()
    }

    fn kv_bytes(&self, plugin: &PluginName) -> usize {
        let kv = self.context.upgrade().and_then(|context| context.kv.find(plugin));
        kv.map_or(0, |kv| kv.data.lock().bytes())
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        self.context.upgrade().and_then(|context| Some(context.connections.get()?.command_room(device))).unwrap_or(0)
    }

    fn timers(&self, plugin: &PluginName) -> usize {
        self.context.upgrade().map_or(0, |context| context.timers.count(plugin))
    }

    fn has_timer(&self, plugin: &PluginName, name: &str) -> bool {
        self.context.upgrade().is_some_and(|context| context.timers.has(plugin, name))
    }

    fn call_method(&self, call: MethodCall) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let context = self.context.upgrade();
        let runner = self.runner.as_ref().and_then(Weak::upgrade);
        let new_targets = self.new_targets;
        Box::pin(async move {
            let stopping = || MethodError::Unavailable("the host is stopping".into());
            let context = context.ok_or_else(stopping)?;
            let gone = || MethodError::Offline("the device was deleted".into());
            let device = context.registry.get(call.device).ok_or_else(gone)?;
            let connections = context.connections.get().ok_or_else(stopping)?.clone();
            if let (Some(runner), Some(most)) = (&runner, new_targets) {
                runner.reach_by_call(call.device, most).map_err(MethodError::NewTargets)?;
            }
            let _waiting_worker = runner.as_ref().map(|runner| runner.backlog.count_as_waiting());
            let stop = context.stopping.clone();
            // A device must not act on an event that a crash could still undo.
            context.store.wait_until_written(call.seq).await.map_err(|_| stopping())?;
            let (traced, name) = (traces::method_begins(&context.metrics, &call), device.name.clone());
            let called = async move {
                tokio::select! {
                    answer = connections.call(device, call.method, call.payload, call.timeout) => answer,
                    () = stop.cancelled() => Err(stopping()),
                }
            };
            let answer = telemetry::within(traced.as_ref().and_then(|(call, _)| call.context()), called).await;
            traces::method_ended(&context.metrics, traced, &name, &answer);
            answer
        })
    }
}
