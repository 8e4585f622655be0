//! Every setting there is: its names in the file, in the environment and on the command line, its default and what it means. The
//! flags of `switchbox serve` and docs/settings.md are made from this table.

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text, shown as this in the help.
    Text(&'static str),
    /// Texts: in the file an array, elsewhere separated by commas. Each is shown as this.
    List(&'static str),
    /// A whole number.
    Number,
    /// A number of bytes, which may be written with a unit.
    Size,
    /// A number from 0 to 1.
    Ratio,
    /// A time with its unit.
    Duration,
    /// `true` or `false`; as a flag without a value.
    Switch,
    /// An address with its port; empty where nothing listens.
    Address,
}

impl Kind {
    /// The placeholder of a value in the help. `None` for a flag without a value.
    #[must_use]
    pub const fn placeholder(self) -> Option<&'static str> {
        match self {
            Self::Text(shown) | Self::List(shown) => Some(shown),
            Self::Number => Some("N"),
            Self::Size => Some("BYTES"),
            Self::Ratio => Some("RATIO"),
            Self::Duration => Some("TIME"),
            Self::Switch => None,
            Self::Address => Some("ADDR"),
        }
    }

    /// What a value in the settings file must be.
    pub(super) const fn in_file(self) -> &'static str {
        match self {
            Self::Text(_) | Self::Address => "a text in quotes",
            Self::List(_) => "an array of texts, or a text in quotes with commas",
            Self::Number => "a whole number",
            Self::Size => "a whole number, or a text such as \"64MiB\"",
            Self::Ratio => "a number from 0 to 1",
            Self::Duration => "a text such as \"20s\"",
            Self::Switch => "true or false",
        }
    }
}

/// One setting, as the file, the environment, the command line and the documentation name it.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    pub key: Key,
    /// In the settings file: a table's name and the key in it.
    pub name: &'static str,
    /// On the command line, without the dashes.
    pub flag: &'static str,
    pub kind: Kind,
    /// Empty for what is off, for an empty list, and for what depends on other settings.
    pub default: &'static str,
    /// One line.
    pub description: &'static str,
}

/// Makes [`Key`] and [`ALL`] from one table.
macro_rules! settings {
    ($($key:ident: $name:literal, $flag:literal, $kind:expr, $default:literal, $description:literal;)*) => {
        /// One setting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $($key,)*
        }

        /// In the order in which they are shown.
        pub const ALL: &[Spec] = &[$(Key::$key.spec(),)*];

        impl Key {
            #[must_use]
            pub const fn spec(self) -> Spec {
                match self {
                    $(Self::$key => {
                        Spec { key: self, name: $name, flag: $flag, kind: $kind, default: $default, description: $description }
                    })*
                }
            }
        }
    };
}

use Kind::{Address, Duration, List, Number, Ratio, Size, Switch, Text};

settings! {
    Data: "data", "data", Text("DIR"), "switchbox-data",
        "The data folder";
    InsecureListener: "insecure-listener", "insecure-listener", Switch, "false",
        "true: listen without TLS on addresses that other machines can reach; everyone on the network path must be trusted";
    MqttListen: "mqtt.listen", "mqtt", Address, "127.0.0.1:1883",
        "Address for MQTT; port 0 = a free one";
    MqttTlsListen: "mqtt.tls-listen", "mqtt-tls", Address, "",
        "Address for MQTT with TLS; needs tls.cert and tls.key";
    MqttWsListen: "mqtt.ws-listen", "ws", Address, "",
        "Address for MQTT over WebSocket";
    MqttWssListen: "mqtt.wss-listen", "wss", Address, "",
        "Address for MQTT over WebSocket with TLS";
    MqttMaxConnections: "mqtt.max-connections", "max-connections", Number, "20000",
        "MQTT connections at a time";
    MqttMaxConnectionsPerAddress: "mqtt.max-connections-per-address", "max-connections-per-address", Number, "1000",
        "MQTT connections at a time from one address other than this machine";
    MqttMaxConnectsPerSecond: "mqtt.max-connects-per-second", "max-connects-per-second", Number, "5000",
        "New MQTT connections in a second; twice as many at once";
    MqttMaxMessageBytes: "mqtt.max-message-bytes", "max-message-bytes", Size, "262144",
        "Largest message on an ordinary topic; at most 1 MiB";
    MqttConnectDeadline: "mqtt.connect-deadline", "connect-deadline", Duration, "20s",
        "Time for TLS, WebSocket and CONNECT together; 1s to 10m";
    MqttPacketDeadline: "mqtt.packet-deadline", "packet-deadline", Duration, "60s",
        "Time for the rest of a packet that has begun; 1s to 10m";
    MqttSysInterval: "mqtt.sys-interval", "sys-interval", Duration, "10s",
        "Time between two statistics under $SYS/ while an account subscribes to them; 1s to 10m, 0s = none";
    TlsCert: "tls.cert", "tls-cert", Text("FILE"), "",
        "The host's certificate and intermediate certificates (PEM); reloaded when it changes";
    TlsKey: "tls.key", "tls-key", Text("FILE"), "",
        "The private key of the certificate (PEM)";
    TlsClientCa: "tls.client-ca", "tls-client-ca", Text("FILE"), "",
        "An authority (PEM) that admits devices of the default registry with certificates that it issued";
    AdminListen: "admin.listen", "admin", Address, "127.0.0.1:8080",
        "Address of the admin API; port 0 = a free one";
    AdminTlsListen: "admin.tls-listen", "admin-tls", Address, "",
        "Address of the admin API with TLS; needs tls.cert and tls.key";
    AdminAuth: "admin.auth", "admin-auth", Text("HOW"), "token",
        "token or none: what the admin API requires of callers";
    AdminCorsOrigins: "admin.cors-origins", "admin-cors-origins", List("ORIGIN,…"), "",
        "Origins of web pages that may call the admin API, separated by commas";
    PluginsFolder: "plugins.folder", "plugins", Text("DIR"), "",
        "The watched folder of plugins; empty: `plugins` in the data folder";
    PluginsGrant: "plugins.grant", "grant", Text("WHAT"), "asked",
        "asked or consent: what a plugin without [grants] in its settings gets";
    PluginsJsToolchain: "plugins.js-toolchain", "js-toolchain", Text("PROGRAM"), "",
        "componentize-qjs, with its folder: makes plugins of rules in JavaScript (NAME.js) in the plugin folder; empty: they are refused";
    DevicesEnroll: "devices.enroll", "enroll", Text("HOW"), "",
        "open or closed: whether unknown devices are registered when they connect; empty: open if every listener is on a loopback address";
    DevicesQueuedCommands: "devices.queued-commands", "queued-commands", Number, "1000",
        "Commands that may wait for one device";
    DevicesCommandDeliveries: "devices.command-deliveries", "command-deliveries", Number, "10",
        "How often a device may abandon a command that it fetched, until it is rejected; 1 to 100";
    DevicesMaxTelemetryBytes: "devices.max-telemetry-bytes", "max-telemetry-bytes", Size, "262144",
        "Largest telemetry of a device; at most 1 MiB";
    DevicesMaxStateBytes: "devices.max-state-bytes", "max-state-bytes", Size, "65536",
        "Largest state of a device; at most 1 MiB";
    AzureHubs: "azure.hubs", "azure-hubs", List("HOST=REGISTRY,…"), "",
        "Host names of registries for clients of Azure IoT Hub, separated by commas; any other name means the default registry";
    AzureHttpsListen: "azure.https-listen", "azure-https", Address, "",
        "Address for programs with service SDKs of Azure IoT Hub and for its devices over HTTPS, which call port 443; needs tls.cert and tls.key";
    AzureAmqpsListen: "azure.amqps-listen", "azure-amqps", Address, "",
        "Address of devices and of the event endpoint over AMQP 1.0, which SDKs of Azure call at port 5671; needs tls.cert and tls.key";
    AzureAmqpListen: "azure.amqp-listen", "azure-amqp", Address, "",
        "The same without TLS, which SDKs call at port 5672 with UseDevelopmentEmulator=true";
    AzureMaxHttpsConnections: "azure.max-https-connections", "azure-max-https-connections", Number, "1000",
        "Connections at a time to the address for service SDKs and devices over HTTPS";
    AzureMaxAmqpConnections: "azure.max-amqp-connections", "azure-max-amqp-connections", Number, "1000",
        "Devices and programs at a time over AMQP 1.0; each takes about 0.25 MiB of memory";
    AzurePartitions: "azure.partitions", "azure-partitions", Number, "4",
        "Partitions of the event endpoint; another number moves devices to other partitions; 1 to 32";
    FilesDeviceBytes: "files.device-bytes", "files-device-bytes", Size, "268435456",
        "Bytes that the uploaded files of one device may have together";
    FilesTotalBytes: "files.total-bytes", "files-total-bytes", Size, "1073741824",
        "Bytes that the uploaded files of all devices may have together; the disk needs room for them";
    MethodsAllowedHosts: "methods.allowed-hosts", "allowed-hosts", List("HOST,…"), "",
        "Hosts that method calls may go to over HTTP, separated by commas: names, *.names, addresses, ranges, each with or without :port";
    JournalKeepBytes: "journal.keep-bytes", "journal-keep-bytes", Size, "268435456",
        "Bytes of the journal that are kept for history, beyond what is still needed";
    JournalKeepExecutionsBytes: "journal.keep-executions-bytes", "journal-keep-executions-bytes", Size, "67108864",
        "Bytes of executions with results that are kept longer than the journal";
    JournalQueueBytes: "journal.queue-bytes", "journal-queue-bytes", Size, "67108864",
        "Bytes of events that may wait for the journal; beyond it publishers wait";
    TracingOtlpEndpoint: "tracing.otlp-endpoint", "otlp-endpoint", Text("URL"), "",
        "Collector of OpenTelemetry traces by OTLP over HTTP, such as http://127.0.0.1:4318; empty: no traces";
    TracingSampleRatio: "tracing.sample-ratio", "trace-sample-ratio", Ratio, "0.01",
        "Fraction of traces that begin here that is sampled, 0 to 1; for other traces, the program that began them decides";
    TracingHeadersFile: "tracing.headers-file", "otlp-headers-file", Text("FILE"), "",
        "A file with headers for the collector, one `Name: value` a line; needs https, or a loopback address";
    DiskReserveBytes: "disk.reserve-bytes", "disk-reserve-bytes", Size, "33554432",
        "Bytes that are reserved on the disk, so that the host can start and trim the journal if it is full; 0 = none";
    DiskWarnFreeBytes: "disk.warn-free-bytes", "disk-warn-free-bytes", Size, "268435456",
        "With less free space the journal keeps less and a warning is logged";
}

impl Key {
    /// In the settings file: a table's name and the key in it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// In the environment: `SWITCHBOX_MQTT_LISTEN` for `mqtt.listen`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("SWITCHBOX_{}", self.name().to_uppercase().replace(['.', '-'], "_"))
    }

    pub(super) const fn kind(self) -> Kind {
        self.spec().kind
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        ALL.iter().find(|spec| spec.name == name).map(|spec| spec.key)
    }
}
