//! Registries: groups of devices.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::{
    credentials::RegistryCredential,
    enums::{HttpState, LogLevel, MqttState},
    scalars::Time,
};

/// A registry. Settings for Google's own service (Pub/Sub topics) are stored and shown, without effect.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DeviceRegistry {
    // Bounded by `fields::ID`.
    pub id: Option<String>,
    /// Its full name. Output only.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
    /// Output only.
    pub create_time: Option<Time>,
    pub mqtt_config: Option<MqttConfig>,
    pub http_config: Option<HttpConfig>,
    pub log_level: Option<LogLevel>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by `fields::AUTHORITIES`.
    pub credentials: Vec<RegistryCredential>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by `fields::EVENT_TOPICS`.
    pub event_notification_configs: Vec<EventNotificationConfig>,
    pub state_notification_config: Option<StateNotificationConfig>,
    /// Warnings for the caller. Output only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    // Bounded by the body: it is thrown away.
    pub warnings: Vec<String>,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MqttConfig {
    pub mqtt_enabled_state: Option<MqttState>,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpConfig {
    pub http_enabled_state: Option<HttpState>,
}

/// A topic of Google's Pub/Sub; stored and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EventNotificationConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    // Bounded by `fields::SUBFOLDER`.
    pub subfolder_matches: String,
    // Bounded by `fields::EVENT_TOPIC`.
    pub pubsub_topic_name: String,
}

/// A topic of Google's Pub/Sub; stored and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StateNotificationConfig {
    // Bounded by `fields::EVENT_TOPIC`.
    pub pubsub_topic_name: String,
}

/// The devices to delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PruneDevicesRequest {
    /// Those that enrolled by themselves and were never used. Must be true.
    pub never_used: bool,
    /// Lists them without deleting them.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PruneDevicesResponse {
    pub pruned: usize,
    /// The first thousand of them.
    pub device_ids: Vec<String>,
}
