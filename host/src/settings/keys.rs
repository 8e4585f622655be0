//! Every key there is, with its names in the file and in the environment, and its default.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Data,
    MqttListen,
    MqttMaxConnections,
    AdminListen,
    AdminAuth,
    PluginsFolder,
    PluginsGrant,
    DevicesEnroll,
    DevicesQueuedCommands,
    JournalKeepBytes,
    JournalQueueBytes,
}

/// In the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key::Data,
    Key::MqttListen,
    Key::MqttMaxConnections,
    Key::AdminListen,
    Key::AdminAuth,
    Key::PluginsFolder,
    Key::PluginsGrant,
    Key::DevicesEnroll,
    Key::DevicesQueuedCommands,
    Key::JournalKeepBytes,
    Key::JournalQueueBytes,
];

impl Key {
    /// In the settings file: a table's name and the key in it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::MqttListen => "mqtt.listen",
            Self::MqttMaxConnections => "mqtt.max-connections",
            Self::AdminListen => "admin.listen",
            Self::AdminAuth => "admin.auth",
            Self::PluginsFolder => "plugins.folder",
            Self::PluginsGrant => "plugins.grant",
            Self::DevicesEnroll => "devices.enroll",
            Self::DevicesQueuedCommands => "devices.queued-commands",
            Self::JournalKeepBytes => "journal.keep-bytes",
            Self::JournalQueueBytes => "journal.queue-bytes",
        }
    }

    /// In the environment: `SWITCHBOX_MQTT_LISTEN` for `mqtt.listen`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SWITCHBOX_{}", self.name().to_uppercase().replace(['.', '-'], "_"))
    }

    /// Empty for the one that depends on another: `plugins.folder` is `plugins` in the data folder.
    pub(super) fn default(self) -> &'static str {
        match self {
            Self::Data => "switchbox-data",
            Self::MqttListen => "127.0.0.1:1883",
            Self::MqttMaxConnections => "20000",
            Self::AdminListen => "127.0.0.1:8080",
            Self::AdminAuth => "token",
            Self::PluginsFolder => "",
            Self::PluginsGrant => "asked",
            Self::DevicesEnroll => "open",
            Self::DevicesQueuedCommands => "1000",
            Self::JournalKeepBytes => "268435456",
            Self::JournalQueueBytes => "67108864",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Self::MqttMaxConnections | Self::DevicesQueuedCommands | Self::JournalKeepBytes | Self::JournalQueueBytes
        )
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        KEYS.iter().copied().find(|key| key.name() == name)
    }
}
