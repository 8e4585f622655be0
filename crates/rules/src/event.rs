//! The kinds of events, and what triggers look at in an event.

use serde::{Deserialize, Serialize};

/// The kind of an event, as triggers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    Telemetry,
    State,
    Connected,
    Disconnected,
    CommandSettled,
    Timer,
    Topic,
}

/// The sub-folder of the telemetry that the host itself makes when a device has uploaded a file. No device can publish there, and only
/// a trigger that names it matches it.
pub const FILE_UPLOADED: &str = "$file-uploaded";

/// What triggers look at in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TriggerInput<'a> {
    pub kind: EventKind,
    /// The id of the event's device; empty if it has none.
    pub device: &'a str,
    /// Empty for everything but telemetry.
    pub subfolder: &'a str,
    /// Empty for everything but messages.
    pub topic: &'a str,
}
