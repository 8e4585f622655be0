//! What a component says of itself.

use super::{grants::Grant, trigger::Trigger};

/// What a component says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One sentence for people.
    pub summary: String,
    pub triggers: Vec<Trigger>,
    pub grants: Vec<Grant>,
    /// JSON.
    pub default_settings: String,
}
