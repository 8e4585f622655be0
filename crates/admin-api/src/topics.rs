//! Ordinary topics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_with::skip_serializing_none;

use super::scalars::{Base64, Time};

/// A message on an ordinary topic.
#[skip_serializing_none]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicMessage {
    // Bounded by `topics::check_name`: a topic has 1,024 bytes.
    pub topic: String,
    // Bounded by `PayloadLimits::message`.
    pub binary_data: Base64,
    /// 0, 1 or 2.
    pub qos: u8,
    pub retain: bool,
    /// When it was published, if known. Output only.
    pub time: Option<Time>,
}
