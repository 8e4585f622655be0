//! Events of a simulated device or client, for the printer and for the verdict of the demo.

use std::time::Duration;

use bytes::Bytes;

/// An event of a device.
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
    /// The host refused the subscription.
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
    /// There was no answer for this time: the device starts again.
    Silence {
        waited: Duration,
    },
    /// Not sent, because too many messages wait.
    Dropped {
        topic: String,
    },
    /// The connection ended or was not made; the device tries again after this time.
    Offline {
        reason: String,
        retry: Duration,
    },
    /// It has disconnected on command.
    Left,
}
