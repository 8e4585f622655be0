//! What happened: events, executions, dead letters.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_with::skip_serializing_none;
use switchbox_model::{CommandStatus, EventKind};

use super::{
    commands::statuses,
    property::Property,
    scalars::{Base64, Int64, Time},
};

/// An event. Which of the later fields it has depends on its kind.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub id: Int64,
    pub time: Time,
    #[schemars(schema_with = "kinds")]
    pub kind: EventKind,
    pub durable: bool,
    /// Absent if the device was deleted.
    pub device: Option<String>,
    pub device_num_id: Option<Int64>,
    pub reason: Option<String>,
    pub subfolder: Option<String>,
    pub topic: Option<String>,
    pub binary_data: Option<Base64>,
    pub properties: Option<Vec<Property>>,
    /// System properties of the message, such as `content-type`; absent if there are none.
    pub system_properties: Option<BTreeMap<String, String>>,
    pub version: Option<Int64>,
    pub command_id: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "statuses")]
    pub status: Option<CommandStatus>,
    pub plugin: Option<String>,
    pub name: Option<String>,
    pub due_time: Option<Time>,
    pub late: Option<bool>,
}

fn kinds(_: &mut SchemaGenerator) -> Schema {
    let all = [
        EventKind::Telemetry,
        EventKind::State,
        EventKind::Connected,
        EventKind::Disconnected,
        EventKind::CommandSettled,
        EventKind::Timer,
        EventKind::Topic,
    ];
    json_schema!({"type": "string", "enum": all})
}

/// The execution of an event by a plugin.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    pub event: Int64,
    pub plugin: String,
    /// The component's digest.
    pub digest: String,
    /// Whether a canary handled the event. Absent: the version in force did.
    pub canary: Option<bool>,
    pub attempt: u32,
    /// The event's device; only in lists of executions, on request.
    pub device: Option<String>,
    pub time: Option<Time>,
    /// Guest time, microseconds.
    pub took_us: Option<u32>,
    /// The plugin's log lines.
    pub logs: Option<Vec<String>>,
    pub outcome: Option<Outcome>,
    pub effects: Option<Vec<Effect>>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    /// The event became a dead letter.
    Dead,
}

/// An effect of an execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    Config {
        device: String,
        binary_data: Base64,
    },
    Command {
        device: String,
        id: String,
        subfolder: String,
        binary_data: Base64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        properties: Vec<Property>,
        system_properties: Option<BTreeMap<String, String>>,
    },
    Publish {
        topic: String,
        qos: u8,
        retain: bool,
        binary_data: Base64,
    },
    Timer(Timer),
    /// A merge patch of the twin's desired document.
    Desired {
        device: String,
        patch: String,
    },
    /// A write to the plugin's own state.
    State {
        key: String,
        revision: Int64,
        deleted: bool,
    },
}

/// A timer that a plugin set, or cancelled.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Timer {
    pub name: String,
    pub due_time: Option<Time>,
    pub schedule: Option<Value>,
    pub every_ms: Option<u64>,
    pub cron: Option<Cron>,
    pub binary_data: Option<Base64>,
    pub cancelled: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cron {
    pub expression: String,
    /// IANA's name of the time zone.
    pub time_zone: String,
}

/// An event that a plugin could not handle.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    pub id: Int64,
    pub plugin: String,
    /// The component's digest.
    pub digest: String,
    /// Whether it was a canary. Absent: it was the version in force.
    pub canary: Option<bool>,
    pub attempt: u32,
    pub time: Time,
    pub error: String,
    /// The plugin's log lines.
    pub logs: Vec<String>,
    pub event: Event,
}

/// The dead letters to redrive.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RedriveDeadLettersRequest {
    /// Is absent if the dead letters of all plugins are redriven.
    // Bounded by `fields::ID`.
    pub plugin: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RedriveDeadLettersResponse {
    pub redriven: u64,
    /// Dead letters that stay because their plugins do not run.
    pub left: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PurgeDeadLettersResponse {
    pub purged: usize,
}

impl Event {
    /// An event without the fields that depend on its kind.
    #[must_use]
    pub fn new(id: Int64, time: Time, kind: EventKind, durable: bool) -> Self {
        Self {
            id,
            time,
            kind,
            durable,
            device: None,
            device_num_id: None,
            reason: None,
            subfolder: None,
            topic: None,
            binary_data: None,
            properties: None,
            system_properties: None,
            version: None,
            command_id: None,
            status: None,
            plugin: None,
            name: None,
            due_time: None,
            late: None,
        }
    }
}
