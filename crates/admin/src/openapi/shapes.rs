//! The JSON objects of the API, field by field. What the code answers and takes is held to this table by the tests of the room.

/// What stands in a field.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// Base64, in both alphabets, padded or not.
    Bytes,
    /// 64 bits, as a text.
    Int64,
    Number,
    Flag,
    /// RFC 3339.
    Time,
    /// Seconds: `1.5s`.
    Span,
    /// One of these names, or of their numbers.
    Enum(&'static [&'static str]),
    /// Texts by texts.
    Texts,
    /// JSON of any shape.
    Any,
    One(&'static str),
    Many(&'static str),
    ManyTexts,
}

pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) fields: &'static [(&'static str, Kind)],
}

use Kind::{Any, Bytes, Enum, Flag, Int64, Many, ManyTexts, Number, One, Span, Text, Texts, Time};

const LOG_LEVELS: Kind = Enum(&["LOG_LEVEL_UNSPECIFIED", "NONE", "ERROR", "INFO", "DEBUG"]);
const STATUSES: Kind = Enum(&["queued", "sent", "acknowledged", "expired", "rejected", "purged", "sent-unconfirmed"]);

const fn shape(name: &'static str, fields: &'static [(&'static str, Kind)]) -> Shape {
    Shape { name, fields }
}

/// In order of their names within each group.
pub(super) const SHAPES: &[&[Shape]] = &[REGISTRIES, DEVICES, SENDING, BRIDGE, HISTORY, PLUGINS, SERVICES, HOST];

const REGISTRIES: &[Shape] = &[
    shape("BindDeviceToGatewayRequest", &[("gatewayId", Text), ("deviceId", Text), ("parent", Text)]),
    shape(
        "DeviceRegistry",
        &[
            ("id", Text),
            ("name", Text),
            ("createTime", Time),
            ("mqttConfig", One("MqttConfig")),
            ("httpConfig", One("HttpConfig")),
            ("logLevel", LOG_LEVELS),
            ("credentials", Many("RegistryCredential")),
            ("eventNotificationConfigs", Many("EventNotificationConfig")),
            ("stateNotificationConfig", One("StateNotificationConfig")),
            ("warnings", ManyTexts),
        ],
    ),
    shape("EventNotificationConfig", &[("subfolderMatches", Text), ("pubsubTopicName", Text)]),
    shape("HttpConfig", &[("httpEnabledState", Enum(&["HTTP_STATE_UNSPECIFIED", "HTTP_ENABLED", "HTTP_DISABLED"]))]),
    shape("ListDeviceRegistriesResponse", &[("deviceRegistries", Many("DeviceRegistry")), ("nextPageToken", Text)]),
    shape("MqttConfig", &[("mqttEnabledState", Enum(&["MQTT_STATE_UNSPECIFIED", "MQTT_ENABLED"]))]),
    shape(
        "PublicKeyCertificate",
        &[("format", Enum(&["X509_CERTIFICATE_PEM"])), ("certificate", Text), ("x509Details", Any)],
    ),
    shape("PruneDevicesRequest", &[("neverUsed", Flag), ("dryRun", Flag)]),
    shape("PruneDevicesResponse", &[("pruned", Number), ("deviceIds", ManyTexts)]),
    shape("RegistryCredential", &[("publicKeyCertificate", One("PublicKeyCertificate"))]),
    shape("StateNotificationConfig", &[("pubsubTopicName", Text)]),
    shape("UnbindDeviceFromGatewayRequest", &[("gatewayId", Text), ("deviceId", Text), ("parent", Text)]),
];

const HUB_KEYS: Kind = Enum(&["primary", "secondary"]);

const DEVICES: &[Shape] = &[
    shape(
        "Device",
        &[
            ("id", Text),
            ("name", Text),
            ("numId", Int64),
            ("createTime", Time),
            ("connected", Flag),
            ("blocked", Flag),
            ("credentials", Many("DeviceCredential")),
            ("hasPassword", Flag),
            ("symmetricKeys", One("SymmetricKeys")),
            ("hasSymmetricKeys", Flag),
            ("metadata", Texts),
            ("logLevel", LOG_LEVELS),
            ("gatewayConfig", One("GatewayConfig")),
            ("methodEndpoint", One("MethodEndpoint")),
            ("config", One("DeviceConfig")),
            ("state", One("DeviceState")),
            ("lastHeartbeatTime", Time),
            ("lastEventTime", Time),
            ("lastStateTime", Time),
            ("lastConfigAckTime", Time),
            ("lastConfigSendTime", Time),
            ("lastErrorTime", Time),
            ("lastErrorStatus", Any),
            ("warnings", ManyTexts),
        ],
    ),
    shape(
        "DeviceConfig",
        &[
            ("version", Int64),
            ("cloudUpdateTime", Time),
            ("deviceAckTime", Time),
            ("binaryData", Bytes),
            ("cause", Any),
            ("unchanged", Flag),
        ],
    ),
    shape("DeviceCredential", &[("publicKey", One("PublicKeyCredential")), ("expirationTime", Time)]),
    shape("Difference", &[("path", Text), ("desired", Any), ("reported", Any), ("since", Time), ("orBefore", Flag)]),
    shape("MethodEndpoint", &[("url", Text)]),
    shape("DeviceState", &[("version", Int64), ("updateTime", Time), ("binaryData", Bytes)]),
    shape(
        "GatewayConfig",
        &[
            ("gatewayType", Enum(&["GATEWAY_TYPE_UNSPECIFIED", "GATEWAY", "NON_GATEWAY"])),
            (
                "gatewayAuthMethod",
                Enum(&[
                    "GATEWAY_AUTH_METHOD_UNSPECIFIED",
                    "ASSOCIATION_ONLY",
                    "DEVICE_AUTH_TOKEN_ONLY",
                    "ASSOCIATION_AND_DEVICE_AUTH_TOKEN",
                ]),
            ),
            ("lastAccessedGatewayId", Text),
            ("lastAccessedGatewayTime", Time),
        ],
    ),
    shape("ListDeviceConfigVersionsResponse", &[("deviceConfigs", Many("DeviceConfig"))]),
    shape("ListDeviceStatesResponse", &[("deviceStates", Many("DeviceState"))]),
    shape("ListDevicesResponse", &[("devices", Many("Device")), ("nextPageToken", Text)]),
    shape(
        "PublicKeyCredential",
        &[("format", Enum(&["RSA_X509_PEM", "ES256_PEM", "RSA_PEM", "ES256_X509_PEM"])), ("key", Text)],
    ),
    shape(
        "HubConnectionStringRequest",
        &[("policy", Text), ("deviceId", Text), ("hostName", Text), ("key", HUB_KEYS), ("newKey", HUB_KEYS)],
    ),
    shape("HubConnectionStringResponse", &[("connectionString", Text)]),
    shape("SetPasswordRequest", &[("password", Text)]),
    shape("SymmetricKeys", &[("primaryKey", Text), ("secondaryKey", Text)]),
    shape(
        "Twin",
        &[
            ("desired", Any),
            ("desiredVersion", Int64),
            ("desiredTime", Time),
            ("desiredProblem", Text),
            ("acknowledgedVersion", Int64),
            ("acknowledgedTime", Time),
            ("reported", Any),
            ("reportedVersion", Int64),
            ("reportedTime", Time),
            ("reportedProblem", Text),
            ("differs", Many("Difference")),
            ("differsLeftOut", Number),
        ],
    ),
];

const SENDING: &[Shape] = &[
    shape(
        "Command",
        &[
            ("id", Text),
            ("name", Text),
            ("subfolder", Text),
            ("binaryData", Bytes),
            ("ttl", Span),
            ("status", STATUSES),
            ("times", Texts),
            ("expireTime", Time),
            ("createTime", Time),
            ("updateTime", Time),
            ("cause", Any),
        ],
    ),
    shape("InvokeMethodRequest", &[("method", Text), ("payload", Bytes), ("timeout", Span)]),
    shape("InvokeMethodResponse", &[("id", Text), ("status", Number), ("payload", Bytes)]),
    shape("ListCommandsResponse", &[("commands", Many("Command")), ("nextPageToken", Text)]),
    shape(
        "ModifyCloudToDeviceConfigRequest",
        &[("versionToUpdate", Int64), ("binaryData", Bytes), ("force", Flag), ("name", Text)],
    ),
    shape("PurgeCommandsResponse", &[("purged", Number)]),
    shape("SendCommandToDeviceRequest", &[("binaryData", Bytes), ("subfolder", Text), ("ttl", Span), ("name", Text)]),
    shape("SendCommandToDeviceResponse", &[("id", Text), ("name", Text)]),
];

const BRIDGE: &[Shape] = &[
    shape("DeviceStateData", &[("binaryData", Bytes)]),
    shape("PublishEventRequest", &[("binaryData", Bytes), ("subfolder", Text), ("subFolder", Text), ("name", Text)]),
    shape("SetStateRequest", &[("state", One("DeviceStateData")), ("name", Text)]),
];

const HISTORY: &[Shape] = &[
    shape(
        "DeadLetter",
        &[
            ("id", Text),
            ("plugin", Text),
            ("digest", Text),
            ("attempt", Number),
            ("time", Time),
            ("error", Text),
            ("logs", ManyTexts),
            ("event", One("Event")),
        ],
    ),
    shape(
        "Event",
        &[
            ("id", Text),
            ("time", Time),
            ("kind", Enum(&["telemetry", "state", "connected", "disconnected", "command-settled", "timer", "topic"])),
            ("durable", Flag),
            ("device", Text),
            ("deviceNumId", Int64),
            ("reason", Text),
            ("subfolder", Text),
            ("topic", Text),
            ("binaryData", Bytes),
            ("properties", Any),
            ("version", Int64),
            ("commandId", Text),
            ("status", STATUSES),
            ("plugin", Text),
            ("name", Text),
            ("dueTime", Time),
            ("late", Flag),
        ],
    ),
    shape(
        "Execution",
        &[
            ("event", Text),
            ("plugin", Text),
            ("digest", Text),
            ("attempt", Number),
            ("time", Time),
            ("tookUs", Number),
            ("logs", ManyTexts),
            ("outcome", Enum(&["done", "dead"])),
            ("effects", Any),
            ("error", Text),
        ],
    ),
    shape("Explanation", &[("id", Text), ("text", Text), ("chain", Any), ("branches", Any), ("cut", Flag)]),
    shape("ListDeadLettersResponse", &[("deadLetters", Many("DeadLetter")), ("nextPageToken", Text)]),
    shape("ListEventsResponse", &[("events", Many("Event")), ("nextPageToken", Text)]),
    shape("ListExecutionsResponse", &[("executions", Many("Execution")), ("nextPageToken", Text)]),
    shape("PurgeDeadLettersResponse", &[("purged", Number)]),
    shape("RedriveDeadLettersRequest", &[("plugin", Text)]),
    shape("RedriveDeadLettersResponse", &[("redriven", Number), ("left", Number)]),
];

const SERVICES: &[Shape] = &[
    shape("ListServiceAccountsResponse", &[("serviceAccounts", Many("ServiceAccount")), ("nextPageToken", Text)]),
    shape(
        "ServiceAccount",
        &[
            ("id", Text),
            ("disabled", Flag),
            ("credentials", Many("DeviceCredential")),
            ("publish", ManyTexts),
            ("subscribe", ManyTexts),
            ("createTime", Time),
            ("warnings", ManyTexts),
        ],
    ),
];

const PLUGINS: &[Shape] = &[
    shape("GrantRequest", &[("grants", Any)]),
    shape("GrantResponse", &[("name", Text), ("grants", Any)]),
    shape("ListPluginsResponse", &[("plugins", Many("Plugin"))]),
    shape(
        "Plugin",
        &[
            ("name", Text),
            ("state", Text),
            ("digest", Text),
            ("component", Text),
            ("version", Text),
            ("summary", Text),
            ("settings", Text),
            ("triggers", ManyTexts),
            ("grants", ManyTexts),
            ("grantsInForce", ManyTexts),
            ("counters", Any),
            ("timers", One("PluginTimers")),
            ("lastError", Text),
            ("takenBack", One("PluginTakenBack")),
            ("limitsHit", Any),
            ("warnings", ManyTexts),
        ],
    ),
    shape("PluginFile", &[("name", Text), ("file", Text), ("state", Text)]),
    shape("PluginPatch", &[("enabled", Flag), ("settings", Any)]),
    shape("PluginTakenBack", &[("digest", Text), ("error", Text), ("time", Time), ("until", Text)]),
    shape("PluginTimers", &[("count", Number), ("nextTime", Time)]),
];

const SCOPES: Kind = Enum(&["read", "operate", "admin"]);

const HOST: &[Shape] = &[
    shape(
        "AuditLine",
        &[
            ("time", Time),
            ("who", Text),
            ("address", Text),
            ("call", Text),
            ("object", Text),
            ("parameters", Any),
            ("status", Number),
        ],
    ),
    shape("CreateTokenRequest", &[("name", Text), ("scope", SCOPES)]),
    shape("ListAuditResponse", &[("lines", Many("AuditLine")), ("nextPageToken", Text)]),
    shape(
        "Listeners",
        &[
            ("mqtt", Text),
            ("mqtts", Text),
            ("ws", Text),
            ("wss", Text),
            ("tlsNames", ManyTexts),
            ("tlsAuthority", Text),
        ],
    ),
    shape("ListTokensResponse", &[("tokens", Many("Token"))]),
    shape("Token", &[("name", Text), ("scope", SCOPES), ("createTime", Time), ("token", Text)]),
];

/// The fields of an object of the document.
pub(crate) fn fields(shape: &str) -> Option<&'static [(&'static str, Kind)]> {
    SHAPES.iter().copied().flatten().find(|found| found.name == shape).map(|found| found.fields)
}
