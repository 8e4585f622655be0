//! The host, as a plugin calls it. One method for each call; what is sent as JSON takes anything that serde can write.
//! Never does anything itself: it calls the imports, or in native tests the fake.

use std::time::Duration;

use serde::Serialize;

use crate::{
    Property, Result,
    backend::Backend,
    json::{to_json, to_json_text},
    state::State,
    twin::Twin,
    values::{CommandOptions, ConfigVersion, Device, Level, PublishOptions, Response, Schedule},
};

/// Devices asked for in one call while [`Host::devices`] goes through them.
const PAGE: u32 = 100;

/// The host, in a handler. A device is `lamp-1` (in the registry of the event's device), `registry/lamp-1`, or the full
/// resource name.
#[derive(Debug, Clone, Default)]
pub struct Host {
    backend: Backend,
}

impl Host {
    #[doc(hidden)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn fake(backend: Backend) -> Self {
        Self { backend }
    }

    /// A device's data in the host. Needs the grant `read`.
    pub fn device(&self, device: &str) -> Result<Device> {
        self.backend.registry_get(device)
    }

    /// The devices of the event's registry whose id matches the glob, in order of their ids. Needs the grant `read`.
    pub fn devices<'a>(&'a self, pattern: &'a str) -> Devices<'a> {
        Devices { backend: &self.backend, pattern, page: Vec::new().into_iter(), after: None, done: false }
    }

    /// The newest config, if there is one. Needs the grant `read`.
    pub fn config(&self, device: &str) -> Result<Option<ConfigVersion>> {
        self.backend.config_get(device)
    }

    /// Gives the device a new config, unless the current one has the same bytes. Needs the grant `config`.
    pub fn set_config(&self, device: &str, payload: impl AsRef<[u8]>) -> Result<()> {
        self.backend.config_set(device, payload.as_ref(), None)
    }

    /// As [`set_config`](Self::set_config), as JSON.
    pub fn set_config_json(&self, device: &str, document: &impl Serialize) -> Result<()> {
        self.backend.config_set(device, &to_json(document)?, None)
    }

    /// Gives the device a new config if version `expected` is in force (0 = none yet), otherwise returns [`Error::Conflict`].
    pub fn set_config_if(&self, device: &str, expected: u64, payload: impl AsRef<[u8]>) -> Result<()> {
        self.backend.config_set(device, payload.as_ref(), Some(expected))
    }

    /// Sends a command, only if the device is connected now. Returns the command's id. Needs the grant `command`.
    pub fn send_command(&self, device: &str, payload: impl AsRef<[u8]>) -> Result<String> {
        self.send_command_with(device, payload, &CommandOptions { subfolder: String::new(), ttl_ms: 0 })
    }

    /// Sends a command with a sub-folder, or one that may wait for its device.
    pub fn send_command_with(
        &self,
        device: &str,
        payload: impl AsRef<[u8]>,
        options: &CommandOptions,
    ) -> Result<String> {
        self.backend.command_send(device, payload.as_ref(), options)
    }

    /// As [`send_command_with`](Self::send_command_with), with what the device gets beside the payload: user properties over MQTT 5,
    /// the properties of a cloud-to-device message for a client of Azure IoT Hub. A name that begins with `$` is what the command says
    /// of itself, such as `$content-type`.
    pub fn send_command_with_properties(
        &self,
        device: &str,
        payload: impl AsRef<[u8]>,
        options: &CommandOptions,
        properties: &[(&str, &str)],
    ) -> Result<String> {
        let property = |(name, value): &(&str, &str)| Property { name: (*name).into(), value: (*value).into() };
        let properties: Vec<_> = properties.iter().map(property).collect();
        self.backend.command_send_with(device, payload.as_ref(), options, &properties)
    }

    /// Calls a method of the device and waits for its answer, at most 300 s. The call happens at once, whatever the outcome of the
    /// event. Needs the grant `method`.
    pub fn call_method(
        &self,
        device: &str,
        name: &str,
        payload: impl AsRef<[u8]>,
        timeout: Duration,
    ) -> Result<Response> {
        // 0 would mean the host's default.
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        self.backend.method_call(device, name, payload.as_ref(), timeout_ms)
    }

    /// Desired and reported together, and where they differ, as they are committed. Needs the grant `read`.
    ///
    /// ```
    /// # use switchbox_plugin::Host;
    /// # fn example(host: &Host) -> switchbox_plugin::Result<()> {
    /// for difference in host.twin("lamp-1")?.differs {
    ///     host.info(format!("{} is not {} since {}", difference.path, difference.desired, difference.since));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn twin(&self, device: &str) -> Result<Twin> {
        Twin::read(&self.backend.twin_get(device)?)
    }

    /// Changes desired by a JSON merge patch (RFC 7396): what the patch names is set, what it names as null is removed,
    /// everything else stays unchanged, byte for byte. The patch is applied when the event's effects commit, so two patches never
    /// lose
    /// one another. A patch that changes nothing makes no version and sends nothing.
    /// Returns [`Error::Invalid`] if the current config is not a JSON object. Needs the grant `config`.
    ///
    /// ```
    /// # use switchbox_plugin::{Host, serde_json::json};
    /// # fn example(host: &Host) -> switchbox_plugin::Result<()> {
    /// host.patch_desired("lamp-1", &json!({"level": 40, "colour": null}))
    /// # }
    /// ```
    pub fn patch_desired(&self, device: &str, patch: &impl Serialize) -> Result<()> {
        self.backend.twin_patch(device, &to_json_text(patch)?, None)
    }

    /// As [`patch_desired`](Self::patch_desired), if version `expected` is in force.
    pub fn patch_desired_if(&self, device: &str, expected: u64, patch: &impl Serialize) -> Result<()> {
        self.backend.twin_patch(device, &to_json_text(patch)?, Some(expected))
    }

    /// The plugin's own durable keys and values.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        State::new(&self.backend)
    }

    /// Sets a timer, which comes back as an event of this plugin alone ([`Plugin::on_timer`](crate::Plugin::on_timer)); replaces
    /// one of the same name. It is set when the event's effects commit, survives restarts of the host, and fires once for the times
    /// that it missed, marked late. [`Schedule::after`] and similar functions make the schedule.
    pub fn set_timer(&self, name: &str, schedule: &Schedule, payload: impl AsRef<[u8]>) -> Result<()> {
        self.backend.timer_set(name, schedule, payload.as_ref())
    }

    /// Cancels a timer. Does nothing if there is no such timer.
    pub fn cancel_timer(&self, name: &str) -> Result<()> {
        self.backend.timer_cancel(name)
    }

    /// Publishes on an ordinary topic, QoS 1, not retained. Needs the grant `publish`.
    pub fn publish(&self, topic: &str, payload: impl AsRef<[u8]>) -> Result<()> {
        self.publish_with(topic, payload, PublishOptions { qos: 1, retain: false })
    }

    /// Publishes on an ordinary topic.
    pub fn publish_with(&self, topic: &str, payload: impl AsRef<[u8]>, options: PublishOptions) -> Result<()> {
        self.backend.topic_publish(topic, payload.as_ref(), options)
    }

    /// A line for the host's log and for the event's record.
    pub fn log(&self, level: Level, message: impl AsRef<str>) {
        self.backend.log(level, message.as_ref());
    }

    pub fn debug(&self, message: impl AsRef<str>) {
        self.log(Level::Debug, message);
    }

    pub fn info(&self, message: impl AsRef<str>) {
        self.log(Level::Info, message);
    }

    pub fn warn(&self, message: impl AsRef<str>) {
        self.log(Level::Warn, message);
    }

    pub fn error(&self, message: impl AsRef<str>) {
        self.log(Level::Error, message);
    }
}

/// The devices that match, fetched a page at a time. Ends after the first error.
#[derive(Debug)]
pub struct Devices<'a> {
    backend: &'a Backend,
    pattern: &'a str,
    page: std::vec::IntoIter<Device>,
    after: Option<String>,
    done: bool,
}

impl Iterator for Devices<'_> {
    type Item = Result<Device>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0 && !self.done {
            match self.backend.registry_list(self.pattern, self.after.as_deref(), PAGE) {
                Ok(page) => {
                    self.done = page.len() < PAGE as usize;
                    self.page = page.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        let device = self.page.next()?;
        self.after = Some(device.id.clone());
        Some(Ok(device))
    }
}
