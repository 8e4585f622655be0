//! The answer of a component's `describe`.

use super::{grants::GrantRequest, migration::Schemas, schema::Field, trigger::Trigger};

/// The answer of a component's `describe`.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One sentence for operators.
    pub summary: String,
    pub triggers: Vec<Trigger>,
    pub grants: Vec<GrantRequest>,
    /// JSON.
    pub default_settings: String,
    /// What the settings may be; empty if the component does not say.
    pub schema: Vec<Field>,
    /// The schemas of its state.
    pub state: Schemas,
}
