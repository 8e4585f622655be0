//! What a message says beside its payload.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name that the application chose, with its value: a user property of MQTT 5.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Property {
    // Bounded by `fields::COMMAND_PROPERTY`.
    pub name: String,
    // Bounded by `fields::COMMAND_PROPERTY`.
    pub value: String,
}
