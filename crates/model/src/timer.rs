//! Timers of plugins, as they are in the journal and in the documents.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The name of the timer that the host sets by itself when a plugin is new or changed. Plugins' own never begin with `$`.
pub const START: &str = "$start";

/// When a timer comes again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Schedule {
    /// Never.
    Once,
    Every {
        period_ms: u64,
    },
    /// Five fields, and the IANA name of the time zone in which they are meant.
    Cron {
        expression: String,
        time_zone: String,
    },
    /// Never; it stays in the table, and its payload is the version of the plugin for which it fired.
    Start,
    /// Never; it was due this long after it was set.
    After {
        delay_ms: u64,
    },
}

/// One timer of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Unique for its plugin.
    pub name: String,
    pub schedule: Schedule,
    /// Given back with each of its events.
    pub payload: Bytes,
    /// When it fires next, milliseconds since the Unix epoch.
    pub due_ms: u64,
}
