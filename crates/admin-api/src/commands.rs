//! Commands and method calls.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;
use switchbox_model::CommandStatus;

use super::{
    documents::Cause,
    property::Property,
    scalars::{Base64, Span, Time},
};

/// A command and its status.
#[skip_serializing_none]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    pub id: String,
    pub name: Option<String>,
    pub subfolder: String,
    pub binary_data: Base64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
    /// System properties, such as `content-type`; absent if there are none.
    pub system_properties: Option<BTreeMap<String, String>>,
    pub ttl: Span,
    #[schemars(schema_with = "statuses")]
    pub status: CommandStatus,
    /// The time of each status that it has had.
    pub times: BTreeMap<String, Time>,
    pub expire_time: Option<Time>,
    pub create_time: Time,
    pub update_time: Time,
    pub cause: Cause,
    /// In an explanation: the device of the command.
    pub device: Option<String>,
}

pub(super) fn statuses(_: &mut SchemaGenerator) -> Schema {
    let all = [
        CommandStatus::Queued,
        CommandStatus::Sent,
        CommandStatus::Acknowledged,
        CommandStatus::Expired,
        CommandStatus::Rejected,
        CommandStatus::Purged,
        CommandStatus::SentUnconfirmed,
    ];
    json_schema!({"type": "string", "enum": all})
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SendCommandToDeviceRequest {
    // Bounded by `fields::COMMAND`.
    pub binary_data: Base64,
    // Bounded by `fields::SUBFOLDER`.
    pub subfolder: String,
    /// Properties that the device gets beside the payload: in the topic or as user properties, as its protocol has it.
    // Bounded by `fields::COMMAND_PROPERTIES` and `fields::COMMAND_PROPERTY`.
    pub properties: Vec<Property>,
    /// System properties: `content-type`, `content-encoding`, `correlation-id`, `message-id`, `user-id`.
    // Bounded by `fields::COMMAND_PROPERTIES` and `fields::COMMAND_PROPERTY`.
    pub system_properties: BTreeMap<String, String>,
    /// Absent or `0s`: the command is delivered now or not at all.
    pub ttl: Option<Span>,
    /// Accepted and ignored: the path has it.
    // Bounded by the body: it is thrown away.
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SendCommandToDeviceResponse {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PurgeCommandsResponse {
    pub purged: usize,
}

#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvokeMethodRequest {
    // Bounded by `fields::METHOD_NAME`.
    pub method: String,
    #[serde(default)]
    // Bounded by `fields::METHOD`.
    pub payload: Base64,
    /// How long to wait for the device's answer.
    pub timeout: Option<Span>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct InvokeMethodResponse {
    pub id: String,
    /// The device's status, as in HTTP.
    pub status: u16,
    pub payload: Base64,
}
