//! The limits for the sizes of payloads that devices and clients publish. The sizes are settings. Each has the names under which the log
//! and `/metrics` report it, so that their reader knows which setting to change.

use super::limits::{self, LimitName, names};

/// The sizes in force, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimits {
    pub telemetry_bytes: usize,
    pub state_bytes: usize,
    /// On ordinary topics.
    pub message_bytes: usize,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadLimit {
    pub bytes: usize,
    /// The limit's name.
    pub limit: LimitName,
    /// The setting that changes the limit. It is empty if the limit is fixed.
    pub setting: &'static str,
    /// For the client.
    pub text: &'static str,
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self {
            telemetry_bytes: limits::TELEMETRY_BYTES,
            state_bytes: limits::STATE_BYTES,
            message_bytes: limits::TELEMETRY_BYTES,
        }
    }
}

impl PayloadLimits {
    #[must_use]
    pub fn telemetry(&self) -> PayloadLimit {
        PayloadLimit {
            bytes: self.telemetry_bytes,
            limit: names::TELEMETRY_BYTES,
            setting: "devices.max-telemetry-bytes",
            text: "the telemetry is larger than devices.max-telemetry-bytes",
        }
    }

    #[must_use]
    pub fn state(&self) -> PayloadLimit {
        PayloadLimit {
            bytes: self.state_bytes,
            limit: names::STATE_BYTES,
            setting: "devices.max-state-bytes",
            text: "the state is larger than devices.max-state-bytes",
        }
    }

    #[must_use]
    pub fn message(&self) -> PayloadLimit {
        PayloadLimit {
            bytes: self.message_bytes,
            limit: names::MESSAGE_BYTES,
            setting: "mqtt.max-message-bytes",
            text: "the payload is larger than mqtt.max-message-bytes",
        }
    }

    /// Of the answer to a method call, which is fixed: the caller relies on it.
    #[must_use]
    pub fn answer(&self) -> PayloadLimit {
        PayloadLimit {
            bytes: limits::METHOD_BYTES,
            limit: names::METHOD_BYTES,
            setting: "",
            text: "the answer is larger than 256 KiB",
        }
    }

    /// The largest of them.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.telemetry_bytes.max(self.state_bytes).max(self.message_bytes)
    }

    /// The largest packet of a connected client, bytes: the largest payload with its topic and properties.
    #[must_use]
    pub fn packet_bytes(&self) -> usize {
        self.largest_bytes().max(limits::METHOD_BYTES) + limits::PACKET_OVERHEAD_BYTES
    }
}
