//! Runs a plugin as the host does: describe, start, and events whose effects happen together or not at all. The plugin's failures
//! are returned; a mistake in the test itself panics at its line.
#![allow(clippy::panic, reason = "a test that asks for what cannot be is to fail at its own line")]

use serde::Serialize;
use serde_json::{Value, from_slice};

use crate::{
    Disposition, Entry, Event, EventData, Host, Level, Outcome, Plugin, Property, Response, Schedule, StateUpdate,
    Telemetry, TimerFired, TopicMessage,
    bindings::exports::switchbox::plugin::handler,
    component,
    testing::{FakeHost, SentCommand, SentMessage, patterns, staged::Staged, world::FakeDevice},
};
use switchbox_rules::{description::check_settings, names::RegistryName, text, trigger::Triggers};

/// One plugin on a fake host. The plugin has the grants that it asks for.
///
/// Devices are named as plugins name them: `lamp-1`, `registry/lamp-1` or the full name.
#[derive(Debug)]
pub struct Harness<P> {
    plugin: P,
    triggers: Triggers,
    pub(super) host: FakeHost,
    events: u64,
}

impl<P: Plugin> Harness<P> {
    /// Describes and starts the plugin with these settings (`json!({})` = the defaults), passed as JSON as the host does. A description
    /// or settings that the host would refuse are refused; the error is the one that an operator would see.
    pub fn new(settings: impl Serialize) -> Result<Self, String> {
        let settings = serde_json::to_string(&settings).map_err(|e| e.to_string())?;
        check_settings(settings.len()).map_err(|error| format!("settings: {error}"))?;
        let (triggers, granted) = patterns::check(&component::describe::<P>(super::PLUGIN, "0.0.0", &settings))?;
        let host = FakeHost::default();
        host.world().granted = granted;
        Ok(Self { plugin: component::start(&settings)?, triggers, host, events: 0 })
    }

    /// Adds a device, which is connected and subscribes to its commands and methods.
    #[track_caller]
    pub fn device(&mut self, device: &str) -> &mut Self {
        if let Err(error) = self.host.world().add_device(device) {
            panic!("{error}");
        }
        self
    }

    /// Adds a device that is not connected, or disconnects one.
    #[track_caller]
    pub fn offline_device(&mut self, device: &str) -> &mut Self {
        self.device(device).change(device, |device| device.about.connected = false)
    }

    /// Adds a device that is connected and does not subscribe to its commands and methods, or ends its subscriptions.
    #[track_caller]
    pub fn unsubscribed_device(&mut self, device: &str) -> &mut Self {
        self.device(device).change(device, |device| device.subscribes = false)
    }

    /// Lets the device answer a method.
    #[track_caller]
    pub fn answers(&mut self, device: &str, method: &str, answer: impl Fn(&[u8]) -> Response + 'static) -> &mut Self {
        self.change(device, |device| {
            device.methods.insert(method.into(), std::rc::Rc::new(answer));
        })
    }

    /// Gives the device an entry of metadata.
    #[track_caller]
    pub fn metadata(&mut self, device: &str, name: &str, value: &str) -> &mut Self {
        let entry = Property { name: name.into(), value: value.into() };
        self.change(device, |device| device.about.metadata.push(entry))
    }

    /// Sets the device's config, as an operator would.
    #[track_caller]
    pub fn desire(&mut self, device: &str, config: impl Serialize) -> &mut Self {
        let config = serde_json::to_vec(&config).unwrap_or_else(|e| panic!("no JSON can be made of it: {e}"));
        let now = self.host.world().now;
        self.change(device, |device| {
            device.set_config(now, &config);
        })
    }

    /// Sets the wall clock, milliseconds since 1970.
    pub fn at(&mut self, time_ms: u64) -> &mut Self {
        self.host.world().now = time_ms;
        self
    }

    /// The device sends data.
    #[track_caller]
    pub fn telemetry(&mut self, device: &str, payload: impl AsRef<[u8]>) -> Outcome {
        self.telemetry_in(device, "", payload)
    }

    /// The device sends data in a sub-folder.
    #[track_caller]
    pub fn telemetry_in(&mut self, device: &str, subfolder: &str, payload: impl AsRef<[u8]>) -> Outcome {
        self.event(device, telemetry(subfolder, payload.as_ref()))
    }

    /// The device reports a state.
    #[track_caller]
    pub fn state_update(&mut self, device: &str, payload: impl AsRef<[u8]>) -> Outcome {
        let (payload, now) = (payload.as_ref(), self.host.world().now);
        self.device(device).change(device, |device| {
            device.about.state_version += 1;
            device.states.push((now, payload.into()));
        });
        let version = self.look(device, |device| device.about.state_version);
        self.event(device, EventData::State(StateUpdate { version, payload: payload.into() }))
    }

    /// The device connects.
    #[track_caller]
    pub fn connect(&mut self, device: &str) -> Outcome {
        self.device(device).change(device, |device| device.about.connected = true);
        self.event(device, EventData::Connected)
    }

    /// The device disconnects.
    #[track_caller]
    pub fn disconnect(&mut self, device: &str, reason: &str) -> Outcome {
        self.offline_device(device);
        self.event(device, EventData::Disconnected(reason.into()))
    }

    /// Fires the timer that a new or changed plugin with timers gets from the host.
    #[track_caller]
    pub fn start(&mut self) -> Outcome {
        let due = self.host.world().now;
        let timer = TimerFired { name: crate::plugin::START.into(), payload: Vec::new(), due, late: false };
        self.event("", EventData::Timer(timer))
    }

    /// A timer that the plugin has set fires now.
    #[track_caller]
    pub fn fire(&mut self, timer: &str) -> Outcome {
        let due = self.host.world().now;
        let set = self.host.world().timers.get(timer).cloned();
        let Some((schedule, payload)) = set else { panic!("the plugin has set no timer {timer:?}") };
        if matches!(schedule, Schedule::After(_) | Schedule::At(_)) {
            self.host.world().timers.remove(timer);
        }
        self.event("", EventData::Timer(TimerFired { name: timer.into(), payload, due, late: false }))
    }

    /// A message on an ordinary topic.
    #[track_caller]
    pub fn message(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> Outcome {
        let payload = payload.as_ref().into();
        self.event("", EventData::Topic(TopicMessage { topic: topic.into(), payload, properties: Vec::new() }))
    }

    /// Any event, from this device (empty = from none). Panics if a host would not call the plugin: no trigger of it matches, and it is
    /// no timer that the plugin has set.
    #[track_caller]
    pub fn event(&mut self, device: &str, data: EventData) -> Outcome {
        self.events += 1;
        let event = self.stamp(device, data);
        if !self.is_called(&event.device, &event.data) {
            panic!(
                "no trigger of the plugin fits this {:?} event of {device:?}: a host would not call it",
                event.kind()
            );
        }
        let home = RegistryName::new(&event.registry).unwrap_or_else(|error| panic!("{error}"));
        let home = std::mem::replace(&mut self.host.world().home, home);
        self.host.world().staged = Staged::of_event(event.id);
        let result = component::on_event(Some(&mut self.plugin), &event, &Host::fake(self.host.clone()));
        let mut world = self.host.world();
        world.home = home;
        world.keep_output();
        match result {
            Ok(()) => {
                world.commit();
                Ok(())
            }
            Err(disposition) => {
                world.staged = Staged::default();
                Err(match disposition {
                    handler::Disposition::Retry(text) => Disposition::Retry(text::cut(text)),
                    handler::Disposition::Reject(text) => Disposition::Reject(text::cut(text)),
                })
            }
        }
    }

    /// Whether a trigger matches telemetry of this device.
    #[must_use]
    pub fn sees_telemetry(&self, device: &str, subfolder: &str) -> bool {
        self.sees(device, &telemetry(subfolder, b""))
    }

    /// Whether a host would call the plugin for this event of this device (empty = of none). For a timer: if the plugin has set it.
    #[track_caller]
    #[must_use]
    pub fn sees(&self, device: &str, data: &EventData) -> bool {
        self.is_called(&self.stamp(device, data.clone()).device, data)
    }

    /// A plugin gets the timers that it set, whatever its triggers are. `$start` comes to those with a trigger on timers.
    fn is_called(&self, device_id: &str, data: &EventData) -> bool {
        match data {
            EventData::Timer(timer) if timer.name != crate::plugin::START => true,
            data => self.triggers.match_event(patterns::trigger_input(device_id, data)),
        }
    }

    /// Every config that the plugin gave the device as JSON, the oldest first.
    #[track_caller]
    #[must_use]
    pub fn configs(&self, device: &str) -> Vec<Value> {
        self.raw_configs(device)
            .iter()
            .map(|payload| from_slice(payload).unwrap_or_else(|e| panic!("a config of {device} is not JSON: {e}")))
            .collect()
    }

    /// As [`configs`](Self::configs), but as bytes.
    #[track_caller]
    #[must_use]
    pub fn raw_configs(&self, device: &str) -> Vec<Vec<u8>> {
        self.look(device, |device| device.configs.iter().map(|(_, payload)| payload.clone()).collect())
    }

    /// Every command that the plugin sent to the device.
    #[track_caller]
    #[must_use]
    pub fn commands(&self, device: &str) -> Vec<SentCommand> {
        self.look(device, |device| device.commands.clone())
    }

    /// Every message that the plugin published.
    #[must_use]
    pub fn messages(&self) -> Vec<SentMessage> {
        self.host.world().messages.clone()
    }

    /// The value that the plugin keeps under this key.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.host.world().state.get(key).map(|entry| entry.value.clone())
    }

    /// Writes the plugin's state, as an earlier event would have.
    pub fn set_state(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let mut world = self.host.world();
        let revision = world.state.get(key).map_or(0, |entry| entry.revision) + 1;
        world.state.insert(key.into(), Entry { value: value.as_ref().into(), revision });
        drop(world);
        self
    }

    /// The timer that the plugin has set under this name.
    #[must_use]
    pub fn timer(&self, name: &str) -> Option<Schedule> {
        self.host.world().timers.get(name).map(|(schedule, _)| schedule.clone())
    }

    /// The lines that the plugin logged, including those of failed events. As on the host, what one event logs is bounded.
    #[must_use]
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.host.world().logs.clone()
    }

    /// The plugin itself.
    pub fn plugin(&mut self) -> &mut P {
        &mut self.plugin
    }

    #[track_caller]
    fn stamp(&self, device: &str, data: EventData) -> Event {
        let world = self.host.world();
        let (registry, device) = match device {
            "" => (world.home.to_string(), String::new()),
            device => {
                let name = world.name(device).unwrap_or_else(|error| panic!("{error}"));
                (name.registry.to_string(), name.id.to_string())
            }
        };
        Event { id: self.events, time: world.now, device, registry, attempt: 1, data }
    }

    #[track_caller]
    fn change(&mut self, device: &str, change: impl FnOnce(&mut FakeDevice)) -> &mut Self {
        let mut world = self.host.world();
        let name = world.name(device).unwrap_or_else(|error| panic!("{error}"));
        let Some(found) = world.devices.get_mut(&name) else { panic!("the test has no device {device}") };
        change(found);
        drop(world);
        self
    }

    #[track_caller]
    fn look<T>(&self, device: &str, look: impl FnOnce(&FakeDevice) -> T) -> T {
        let world = self.host.world();
        let name = world.name(device).unwrap_or_else(|error| panic!("{error}"));
        let Some(found) = world.devices.get(&name) else { panic!("the test has no device {device}") };
        look(found)
    }
}

fn telemetry(subfolder: &str, payload: &[u8]) -> EventData {
    EventData::Telemetry(Telemetry { subfolder: subfolder.into(), payload: payload.into(), properties: Vec::new() })
}
