//! The description of a plugin: which events it handles and which grants it asks for.

use crate::bindings::exports::switchbox::plugin::handler::{self, Capability, EventKind, Grant, Trigger};

/// Built up in one expression:
///
/// ```
/// # use switchbox_plugin::Description;
/// Description::new("Blinks a lamp when a button is pressed.").on_telemetry("button-*").may_command("lamp-*");
/// ```
///
/// Patterns are globs on device ids; those of topics are MQTT topic filters. An operator may cut both down.
#[derive(Debug, Clone)]
pub struct Description {
    pub(crate) summary: String,
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) grants: Vec<Grant>,
}

impl Description {
    /// `summary`: one sentence that says what the plugin does.
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), triggers: Vec::new(), grants: Vec::new() }
    }

    /// Sees telemetry of these devices, in any sub-folder.
    #[must_use]
    pub fn on_telemetry(self, devices: impl Into<String>) -> Self {
        self.on(EventKind::Telemetry, devices, None)
    }

    /// Sees telemetry of these devices in these sub-folders (a glob too).
    #[must_use]
    pub fn on_telemetry_in(self, devices: impl Into<String>, subfolders: impl Into<String>) -> Self {
        self.on(EventKind::Telemetry, devices, Some(subfolders.into()))
    }

    /// Sees every new version of these devices' reported state.
    #[must_use]
    pub fn on_state(self, devices: impl Into<String>) -> Self {
        self.on(EventKind::State, devices, None)
    }

    /// Sees these devices connect.
    #[must_use]
    pub fn on_connected(self, devices: impl Into<String>) -> Self {
        self.on(EventKind::Connected, devices, None)
    }

    /// Sees these devices disconnect.
    #[must_use]
    pub fn on_disconnected(self, devices: impl Into<String>) -> Self {
        self.on(EventKind::Disconnected, devices, None)
    }

    /// Sees how the commands to these devices ended.
    #[must_use]
    pub fn on_command_settled(self, devices: impl Into<String>) -> Self {
        self.on(EventKind::CommandSettled, devices, None)
    }

    /// Sees its own timers fire.
    #[must_use]
    pub fn on_timer(self) -> Self {
        self.on(EventKind::Timer, "*", None)
    }

    /// Sees messages on ordinary topics (a topic filter, with `+` and `#`).
    #[must_use]
    pub fn on_topic(self, filter: impl Into<String>) -> Self {
        self.on(EventKind::Topic, filter, None)
    }

    /// Asks to set these devices' configs and desired twins.
    #[must_use]
    pub fn may_config(self, devices: impl Into<String>) -> Self {
        self.may(Capability::Config, devices)
    }

    /// Asks to send these devices commands.
    #[must_use]
    pub fn may_command(self, devices: impl Into<String>) -> Self {
        self.may(Capability::Command, devices)
    }

    /// Asks to call these devices' methods.
    #[must_use]
    pub fn may_call(self, devices: impl Into<String>) -> Self {
        self.may(Capability::Method, devices)
    }

    /// Asks for permission to read these devices.
    #[must_use]
    pub fn may_read(self, devices: impl Into<String>) -> Self {
        self.may(Capability::Read, devices)
    }

    /// Asks to publish on ordinary topics (a topic filter, with `+` and `#`).
    #[must_use]
    pub fn may_publish(self, filter: impl Into<String>) -> Self {
        self.may(Capability::Publish, filter)
    }

    fn on(mut self, event: EventKind, device: impl Into<String>, subfolder: Option<String>) -> Self {
        self.triggers.push(Trigger { event, device: device.into(), subfolder });
        self
    }

    fn may(mut self, capability: Capability, pattern: impl Into<String>) -> Self {
        self.grants.push(Grant { capability, pattern: pattern.into() });
        self
    }

    pub(crate) fn into_wit(self, name: &str, version: &str, default_settings: String) -> handler::Description {
        handler::Description {
            name: name.into(),
            version: version.into(),
            summary: self.summary,
            triggers: self.triggers,
            grants: self.grants,
            default_settings,
        }
    }
}
