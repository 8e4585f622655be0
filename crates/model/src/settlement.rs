//! What devices, and subscribers of topics, did with what was delivered to them, as it is stored in the journal.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceNum;

use super::registry::{DeviceError, GatewayAccess};

/// The outcome of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settlement {
    ConfigAcknowledged {
        device: DeviceNum,
        version: u64,
        time_ms: u64,
    },
    /// A plugin's message was given to its subscribers; `id` is the effect's key.
    Published {
        id: String,
    },
    /// The command was handed to the device's connection. `num` is its number among those of its device.
    CommandSent {
        device: DeviceNum,
        num: u64,
        time_ms: u64,
    },
    /// When the device last sent PINGREQ or another packet without an event; recorded only when its connection ends.
    LastSeen {
        device: DeviceNum,
        heartbeat_ms: Option<u64>,
        config_sent_ms: Option<u64>,
    },
    /// The device's last error, which is recorded when its connection ends.
    Failed {
        device: DeviceNum,
        error: DeviceError,
    },
    /// The host was killed while the device was connected: it may have been sent any of its commands up to this number,
    /// whether that was noted or not.
    CommandsInDoubt {
        device: DeviceNum,
        upto: u64,
    },
    /// The time when a gateway last spoke for the device. It is recorded when the device is attached and when it is detached.
    GatewayAccessed {
        device: DeviceNum,
        access: GatewayAccess,
    },
}
