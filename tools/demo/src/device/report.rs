//! What happens at a simulated device or client, for the printer and for the judgement of the demo.

use std::time::Duration;

use bytes::Bytes;

/// Something that happened at a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceReport {
    pub(crate) device: String,
    pub(crate) what: DeviceEvent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceEvent {
    Connected,
    Subscribed {
        topic: String,
    },
    /// The host refuses the subscription.
    Refused {
        topic: String,
    },
    Sent {
        topic: String,
        payload: Bytes,
    },
    Received {
        topic: String,
        payload: Bytes,
    },
    /// The rate allows the next message only after this time.
    Paused {
        wait: Duration,
    },
    /// No answer for so long: the device starts again.
    Silence {
        waited: Duration,
    },
    /// Not sent, because too much waits already.
    Dropped {
        topic: String,
    },
    /// The connection is gone or was not made; the device tries again after this time.
    Offline {
        reason: String,
        retry: Duration,
    },
    /// It was told to leave and has left.
    Left,
}
