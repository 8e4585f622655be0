//! The answer of a component's `describe`.

use super::{grants::Grant, trigger::Trigger};

/// The answer of a component's `describe`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One sentence for operators.
    pub summary: String,
    pub triggers: Vec<Trigger>,
    pub grants: Vec<Grant>,
    /// JSON.
    pub default_settings: String,
}
