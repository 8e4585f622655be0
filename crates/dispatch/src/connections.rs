//! What plugins use of the devices' connections, as a trait: this crate does not depend on MQTT or delivery.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use switchbox_core::registry::Device;
use switchbox_model::DeviceNum;
use switchbox_plugin_runtime::{MethodError, MethodResponse, host::BoxFuture};

/// What plugins use of the devices' connections.
pub trait Connections: Send + Sync {
    /// Whether the device is connected, by itself or over a gateway.
    fn connected(&self, device: DeviceNum) -> bool;
    /// Whether the device has subscribed to commands, over the connection that it has now.
    fn accepts_commands(&self, device: DeviceNum) -> bool;
    /// Whether the device has subscribed to method calls, over the connection that it has now.
    fn accepts_methods(&self, device: DeviceNum) -> bool;
    /// How many more commands may be queued for the device.
    fn command_room(&self, device: DeviceNum) -> usize;
    /// Calls a method of the device and waits for its answer.
    fn call(
        &self,
        device: Arc<Device>,
        method: String,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<MethodResponse, MethodError>>;
    /// Waits until the queue of messages that plugins published has room. Returns false if it had to wait.
    fn room_to_publish(&self) -> BoxFuture<bool>;
}
