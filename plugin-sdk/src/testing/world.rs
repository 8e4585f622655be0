//! The state of the fake host: devices, and what the plugin did to them.

use std::{collections::BTreeMap, fmt, rc::Rc};

use switchbox_rules::{
    calls::{self, Refusal, Subscription},
    limits,
    names::{DeviceName, RegistryName},
    output::OutputLines,
    twin::KeptVersion,
};

use super::{
    patterns::{self, SharedGrants},
    sent::{SentCommand, SentMessage},
    staged::Staged,
};
use crate::{
    Device, Entry, Error, Level, Response, Result, Schedule, bindings::exports::switchbox::plugin::handler::Capability,
};

/// How a device answers a method.
pub(super) type Answer = Rc<dyn Fn(&[u8]) -> Response>;

#[derive(Clone)]
pub(super) struct FakeDevice {
    pub(super) about: Device,
    /// Every config of the device, version 1 first, with the time of each.
    pub(super) configs: Vec<(u64, Vec<u8>)>,
    /// Every state that it reported, version 1 first, with the time of each.
    pub(super) states: Vec<(u64, Vec<u8>)>,
    /// Whether it subscribes to its commands and methods while it is connected.
    pub(super) subscribes: bool,
    pub(super) commands: Vec<SentCommand>,
    pub(super) methods: BTreeMap<String, Answer>,
}

impl FakeDevice {
    fn new(name: &DeviceName) -> Self {
        let about = Device {
            id: name.id.to_string(),
            name: name.to_string(),
            connected: true,
            blocked: false,
            gateway: false,
            metadata: Vec::new(),
            config_version: 0,
            state_version: 0,
            last_event: None,
        };
        let (configs, states, commands) = (Vec::new(), Vec::new(), Vec::new());
        Self { about, configs, states, subscribes: true, commands, methods: BTreeMap::new() }
    }

    /// The current document; empty if there is none.
    pub(super) fn config(&self) -> &[u8] {
        self.configs.last().map_or(&[][..], |(_, payload)| payload)
    }

    /// Creates a new version, unless the current one has the same bytes, as in the host.
    pub(super) fn set_config(&mut self, time: u64, payload: &[u8]) {
        if self.configs.last().is_none_or(|(_, in_force)| in_force != payload) {
            self.configs.push((time, payload.into()));
            self.about.config_version += 1;
        }
    }

    /// Whether a call, or a command that does not wait, reaches it. The error is the host's.
    pub(super) fn reachable(&self, to: Subscription) -> Result<()> {
        let connected = self.about.connected;
        calls::reachable(&self.about.id, connected, connected && self.subscribes, to).map_err(Error::Offline)
    }

    /// How many more commands may wait for it. A device that is connected has acknowledged the earlier ones.
    pub(super) fn command_room(&self) -> usize {
        let waiting = if self.about.connected { 0 } else { self.commands.len() };
        limits::QUEUED_COMMANDS.saturating_sub(waiting)
    }
}

impl fmt::Debug for FakeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDevice").field("about", &self.about).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) now: u64,
    /// The registry of the current event.
    pub(super) home: RegistryName,
    pub(super) granted: SharedGrants,
    pub(super) devices: BTreeMap<DeviceName, FakeDevice>,
    pub(super) state: BTreeMap<String, Entry>,
    pub(super) timers: BTreeMap<String, (Schedule, Vec<u8>)>,
    pub(super) messages: Vec<SentMessage>,
    pub(super) logs: Vec<(Level, String)>,
    /// The lines of the current event.
    pub(super) output: OutputLines<Level>,
    /// The effects of the current event.
    pub(super) staged: Staged,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: 0,
            home: RegistryName::default_registry(),
            granted: SharedGrants::default(),
            devices: BTreeMap::new(),
            state: BTreeMap::new(),
            timers: BTreeMap::new(),
            messages: Vec::new(),
            logs: Vec::new(),
            output: OutputLines::default(),
            staged: Staged::default(),
        }
    }
}

/// The versions that the host keeps, newest first.
pub(super) fn kept(versions: &[(u64, Vec<u8>)]) -> Vec<KeptVersion<'_>> {
    let numbered = (1..).zip(versions);
    let kept = numbered.map(|(number, (time_ms, payload))| KeptVersion {
        number,
        time_ms: *time_ms,
        payload,
        acknowledged_ms: None,
    });
    let mut newest: Vec<_> = kept.skip(versions.len().saturating_sub(limits::VERSIONS_KEPT)).collect();
    newest.reverse();
    newest
}

impl World {
    /// The lines of the event go to those that the test sees.
    pub(super) fn keep_output(&mut self) {
        let (lines, _) = self.output.take();
        self.logs.extend(lines);
    }

    /// The full name, from one of the three forms.
    pub(super) fn name(&self, device: &str) -> Result<DeviceName> {
        DeviceName::parse(device, &self.home).map_err(|problem| Error::Invalid(problem.to_string()))
    }

    /// The name of a device, if the plugin has this grant for it.
    pub(super) fn granted(&self, capability: Capability, device: &str) -> Result<DeviceName> {
        let name = self.name(device)?;
        patterns::device_granted(&self.granted, capability, &name, &self.home)?;
        Ok(name)
    }

    pub(super) fn device(&self, name: &DeviceName) -> Result<&FakeDevice> {
        self.devices.get(name).ok_or_else(|| Error::NotFound(calls::no_device(name)))
    }

    pub(super) fn add_device(&mut self, device: &str) -> Result<()> {
        let name = self.name(device)?;
        self.devices.entry(name.clone()).or_insert_with(|| FakeDevice::new(&name));
        Ok(())
    }
}

/// Compares the expected with the current version, for configs and for keys.
pub(super) fn expect_version(expected: Option<u64>, in_force: u64) -> Result<()> {
    match expected {
        Some(expected) if expected != in_force => Err(Error::Conflict(in_force)),
        _ => Ok(()),
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text, _) => Self::Invalid(text),
            Refusal::Denied(text) => Self::Denied(text),
            Refusal::Limit(text, _) => Self::Limit(text),
        }
    }
}
