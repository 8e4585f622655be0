//! The host as the component sees it: each call is one import. The linker drops the imports that a plugin does not use,
//! so a component asks only for what it calls.

use crate::{
    Property, Result,
    bindings::switchbox::plugin::{command, config, log, method, registry, state, timer, topic, twin},
};

/// Calls the imports. Every method has a twin in `testing::FakeHost`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backend;

impl Backend {
    pub(crate) fn registry_get(&self, device: &str) -> Result<registry::Device> {
        Ok(registry::get(device)?)
    }

    pub(crate) fn registry_list(
        &self,
        pattern: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<registry::Device>> {
        Ok(registry::list(pattern, after, limit)?)
    }

    pub(crate) fn config_get(&self, device: &str) -> Result<Option<config::Version>> {
        Ok(config::get(device)?)
    }

    pub(crate) fn config_set(&self, device: &str, payload: &[u8], expected: Option<u64>) -> Result<()> {
        Ok(config::set(device, payload, expected)?)
    }

    pub(crate) fn command_send(&self, device: &str, payload: &[u8], options: &command::Options) -> Result<String> {
        Ok(command::send(device, payload, options)?)
    }

    pub(crate) fn command_send_with(
        &self,
        device: &str,
        payload: &[u8],
        options: &command::Options,
        properties: &[Property],
    ) -> Result<String> {
        Ok(command::send_with(device, payload, options, properties)?)
    }

    pub(crate) fn method_call(
        &self,
        device: &str,
        name: &str,
        payload: &[u8],
        timeout_ms: u32,
    ) -> Result<method::Response> {
        Ok(method::call(device, name, payload, timeout_ms)?)
    }

    pub(crate) fn twin_get(&self, device: &str) -> Result<String> {
        Ok(twin::get(device)?)
    }

    pub(crate) fn twin_patch(&self, device: &str, patch: &str, expected: Option<u64>) -> Result<()> {
        Ok(twin::patch_desired(device, patch, expected)?)
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<state::Entry>> {
        Ok(state::get(key)?)
    }

    pub(crate) fn state_set(&self, key: &str, value: &[u8], expected: Option<u64>) -> Result<()> {
        Ok(state::set(key, value, expected)?)
    }

    pub(crate) fn state_delete(&self, key: &str) -> Result<()> {
        Ok(state::delete(key)?)
    }

    pub(crate) fn state_keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>> {
        Ok(state::keys(prefix, after, limit)?)
    }

    pub(crate) fn timer_set(&self, name: &str, schedule: &timer::Schedule, payload: &[u8]) -> Result<()> {
        Ok(timer::set(name, schedule, payload)?)
    }

    pub(crate) fn timer_cancel(&self, name: &str) -> Result<()> {
        Ok(timer::cancel(name)?)
    }

    pub(crate) fn topic_publish(&self, topic: &str, payload: &[u8], options: topic::Options) -> Result<()> {
        Ok(topic::publish(topic, payload, options)?)
    }

    pub(crate) fn log(&self, level: log::Level, message: &str) {
        log::write(level, message);
    }
}
