//! Every key there is, with its names in the file and in the environment, and its default.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Data,
    MqttListen,
    MqttTlsListen,
    MqttWsListen,
    MqttWssListen,
    MqttMaxConnections,
    MqttMaxConnectionsPerAddress,
    MqttMaxConnectsPerSecond,
    MqttMaxMessageBytes,
    MqttConnectDeadlineSeconds,
    MqttPacketDeadlineSeconds,
    TlsCert,
    TlsKey,
    TlsClientCa,
    InsecureListener,
    AdminListen,
    AdminTlsListen,
    AdminAuth,
    AdminCorsOrigins,
    PluginsFolder,
    PluginsGrant,
    DevicesEnroll,
    DevicesQueuedCommands,
    DevicesMaxTelemetryBytes,
    DevicesMaxStateBytes,
    MethodsAllowedHosts,
    JournalKeepBytes,
    JournalKeepExecutionsBytes,
    JournalQueueBytes,
    DiskReserveBytes,
    DiskWarnFreeBytes,
}

/// In the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key::Data,
    Key::MqttListen,
    Key::MqttTlsListen,
    Key::MqttWsListen,
    Key::MqttWssListen,
    Key::MqttMaxConnections,
    Key::MqttMaxConnectionsPerAddress,
    Key::MqttMaxConnectsPerSecond,
    Key::MqttMaxMessageBytes,
    Key::MqttConnectDeadlineSeconds,
    Key::MqttPacketDeadlineSeconds,
    Key::TlsCert,
    Key::TlsKey,
    Key::TlsClientCa,
    Key::InsecureListener,
    Key::AdminListen,
    Key::AdminTlsListen,
    Key::AdminAuth,
    Key::AdminCorsOrigins,
    Key::PluginsFolder,
    Key::PluginsGrant,
    Key::DevicesEnroll,
    Key::DevicesQueuedCommands,
    Key::DevicesMaxTelemetryBytes,
    Key::DevicesMaxStateBytes,
    Key::MethodsAllowedHosts,
    Key::JournalKeepBytes,
    Key::JournalKeepExecutionsBytes,
    Key::JournalQueueBytes,
    Key::DiskReserveBytes,
    Key::DiskWarnFreeBytes,
];

impl Key {
    /// In the settings file: a table's name and the key in it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::MqttListen => "mqtt.listen",
            Self::MqttTlsListen => "mqtt.tls-listen",
            Self::MqttWsListen => "mqtt.ws-listen",
            Self::MqttWssListen => "mqtt.wss-listen",
            Self::MqttMaxConnections => "mqtt.max-connections",
            Self::MqttMaxConnectionsPerAddress => "mqtt.max-connections-per-address",
            Self::MqttMaxConnectsPerSecond => "mqtt.max-connects-per-second",
            Self::MqttMaxMessageBytes => "mqtt.max-message-bytes",
            Self::MqttConnectDeadlineSeconds => "mqtt.connect-deadline-seconds",
            Self::MqttPacketDeadlineSeconds => "mqtt.packet-deadline-seconds",
            Self::TlsCert => "tls.cert",
            Self::TlsKey => "tls.key",
            Self::TlsClientCa => "tls.client-ca",
            Self::InsecureListener => "insecure-listener",
            Self::AdminListen => "admin.listen",
            Self::AdminTlsListen => "admin.tls-listen",
            Self::AdminAuth => "admin.auth",
            Self::AdminCorsOrigins => "admin.cors-origins",
            Self::PluginsFolder => "plugins.folder",
            Self::PluginsGrant => "plugins.grant",
            Self::DevicesEnroll => "devices.enroll",
            Self::DevicesQueuedCommands => "devices.queued-commands",
            Self::DevicesMaxTelemetryBytes => "devices.max-telemetry-bytes",
            Self::DevicesMaxStateBytes => "devices.max-state-bytes",
            Self::MethodsAllowedHosts => "methods.allowed-hosts",
            Self::JournalKeepBytes => "journal.keep-bytes",
            Self::JournalKeepExecutionsBytes => "journal.keep-executions-bytes",
            Self::JournalQueueBytes => "journal.queue-bytes",
            Self::DiskReserveBytes => "disk.reserve-bytes",
            Self::DiskWarnFreeBytes => "disk.warn-free-bytes",
        }
    }

    /// In the environment: `SWITCHBOX_MQTT_LISTEN` for `mqtt.listen`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SWITCHBOX_{}", self.name().to_uppercase().replace(['.', '-'], "_"))
    }

    /// Empty for what is off, for an empty list, and for those that depend on others: `plugins.folder` is `plugins` in the data folder, and
    /// `devices.enroll` is open only where no other machine can connect.
    pub(super) fn default(self) -> &'static str {
        match self {
            Self::Data => "switchbox-data",
            Self::MqttListen => "127.0.0.1:1883",
            Self::MqttMaxConnections => "20000",
            Self::AdminListen => "127.0.0.1:8080",
            Self::AdminAuth => "token",
            Self::MqttTlsListen | Self::MqttWsListen | Self::MqttWssListen => "",
            Self::AdminTlsListen | Self::AdminCorsOrigins => "",
            Self::TlsCert | Self::TlsKey | Self::TlsClientCa | Self::PluginsFolder | Self::DevicesEnroll => "",
            Self::MqttMaxConnectionsPerAddress => "1000",
            Self::MqttMaxConnectsPerSecond => "5000",
            Self::MqttMaxMessageBytes | Self::DevicesMaxTelemetryBytes => "262144",
            Self::DevicesMaxStateBytes => "65536",
            Self::MqttConnectDeadlineSeconds => "20",
            Self::MqttPacketDeadlineSeconds => "60",
            Self::InsecureListener => "false",
            Self::PluginsGrant => "asked",
            Self::DevicesQueuedCommands => "1000",
            Self::MethodsAllowedHosts => "",
            Self::JournalKeepBytes => "268435456",
            Self::JournalKeepExecutionsBytes => "67108864",
            Self::JournalQueueBytes => "67108864",
            Self::DiskReserveBytes => "33554432",
            Self::DiskWarnFreeBytes => "268435456",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(
            self,
            Self::MqttMaxConnections
                | Self::MqttMaxConnectionsPerAddress
                | Self::MqttMaxConnectsPerSecond
                | Self::MqttMaxMessageBytes
                | Self::MqttConnectDeadlineSeconds
                | Self::MqttPacketDeadlineSeconds
                | Self::DevicesMaxTelemetryBytes
                | Self::DevicesMaxStateBytes
                | Self::DevicesQueuedCommands
                | Self::JournalKeepBytes
                | Self::JournalKeepExecutionsBytes
                | Self::JournalQueueBytes
                | Self::DiskReserveBytes
                | Self::DiskWarnFreeBytes
        )
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        KEYS.iter().copied().find(|key| key.name() == name)
    }
}
