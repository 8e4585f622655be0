//! What the fake host holds: devices, and what the plugin did to them. Plain data that can be put back.

use std::{collections::BTreeMap, fmt, rc::Rc};

use crate::{
    Device, Entry, Error, Level, Response, Result, Schedule,
    bindings::exports::switchbox::plugin::handler::Capability,
    testing::patterns::{self, SharedGrants},
};

/// The registry that a fresh host has.
pub(super) const HOME: &str = "projects/local/locations/local/registries/default";

/// A command that the plugin sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentCommand {
    pub id: String,
    pub subfolder: String,
    pub payload: Vec<u8>,
    pub properties: Vec<(String, String)>,
    pub ttl_ms: u64,
}

/// A message that the plugin published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
}

/// How a device answers a method.
pub(super) type Answer = Rc<dyn Fn(&[u8]) -> Response>;

#[derive(Clone)]
pub(super) struct FakeDevice {
    pub(super) about: Device,
    /// Every config it ever got, version 1 first, with the time of each.
    pub(super) configs: Vec<(u64, Vec<u8>)>,
    /// What it last reported, as it came.
    pub(super) reported: Vec<u8>,
    pub(super) commands: Vec<SentCommand>,
    pub(super) methods: BTreeMap<String, Answer>,
}

impl FakeDevice {
    /// A new version, unless the one in force has the same bytes: as the host does it.
    pub(super) fn set_config(&mut self, time: u64, payload: &[u8]) {
        if self.configs.last().is_none_or(|(_, in_force)| in_force != payload) {
            self.configs.push((time, payload.into()));
            self.about.config_version += 1;
        }
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
    /// The registry of the event under way.
    pub(super) registry: String,
    pub(super) granted: SharedGrants,
    /// By full resource name.
    pub(super) devices: BTreeMap<String, FakeDevice>,
    pub(super) state: BTreeMap<String, Entry>,
    pub(super) timers: BTreeMap<String, (Schedule, Vec<u8>)>,
    pub(super) messages: Vec<SentMessage>,
    pub(super) logs: Vec<(Level, String)>,
    pub(super) commands_sent: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: 0,
            registry: HOME.into(),
            granted: SharedGrants::new(&[]),
            devices: BTreeMap::new(),
            state: BTreeMap::new(),
            timers: BTreeMap::new(),
            messages: Vec::new(),
            logs: Vec::new(),
            commands_sent: 0,
        }
    }
}

impl World {
    /// The full resource name of one of the three forms.
    pub(super) fn full_name(&self, device: &str) -> Result<String> {
        match device.split('/').collect::<Vec<_>>().as_slice() {
            [id] if !id.is_empty() => Ok(format!("{}/devices/{id}", self.registry)),
            [registry, id] if !registry.is_empty() && !id.is_empty() => {
                let place = self.registry.rsplit_once('/').map_or("", |(place, _)| place);
                Ok(format!("{place}/{registry}/devices/{id}"))
            }
            ["projects", _, "locations", _, "registries", _, "devices", _] => Ok(device.into()),
            _ => Err(Error::Invalid(format!("{device:?} is no device name"))),
        }
    }

    /// The device, where the plugin may do this to it.
    pub(super) fn device(&mut self, device: &str, capability: Capability) -> Result<&mut FakeDevice> {
        let name = self.full_name(device)?;
        patterns::device_granted(&self.granted, capability, &name, &self.registry)?;
        self.devices.get_mut(&name).ok_or_else(|| Error::NotFound(format!("device {device}")))
    }

    pub(super) fn add_device(&mut self, device: &str) -> Result<&mut FakeDevice> {
        let name = self.full_name(device)?;
        let about = Device {
            id: name.rsplit('/').next().unwrap_or_default().into(),
            name: name.clone(),
            connected: true,
            blocked: false,
            gateway: false,
            metadata: Vec::new(),
            config_version: 0,
            state_version: 0,
            last_event: None,
        };
        Ok(self.devices.entry(name).or_insert_with(|| FakeDevice {
            about,
            configs: Vec::new(),
            reported: Vec::new(),
            commands: Vec::new(),
            methods: BTreeMap::new(),
        }))
    }
}

/// Compare-and-set, for configs and for keys.
pub(super) fn expect_version(expected: Option<u64>, in_force: u64) -> Result<()> {
    match expected {
        Some(expected) if expected != in_force => Err(Error::Conflict(in_force)),
        _ => Ok(()),
    }
}
