//! What a simulated device is: its kind, its settings, and the commands that it takes.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

/// What a device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DeviceKind {
    /// Starts with hops 0 and publishes every config that it receives
    Hop,
    /// Publishes awake and asleep alternately
    Switch,
    /// Follows its config, acknowledges commands, and answers every method call with 200 and the call's payload
    Lamp,
}

/// A command to a running device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceCommand {
    /// Publish this as telemetry.
    Publish(Bytes),
    /// Disconnect and end.
    Disconnect,
}

/// A simulated device.
#[derive(Debug)]
pub(crate) struct VirtualDevice {
    /// Also its client id: the device's id alone, in the default registry.
    pub(crate) id: String,
    pub(crate) kind: DeviceKind,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Maximum messages a second. `None` if there is no maximum: the next is sent when the last is answered.
    pub(crate) rate: Option<f64>,
    /// How often a switch publishes. `None` if it publishes only on command.
    pub(crate) every: Option<Duration>,
    /// `None` if the device gets no commands. Closing the channel is not a command.
    pub(crate) commands: Option<mpsc::Receiver<DeviceCommand>>,
}
