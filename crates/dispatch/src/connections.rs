//! The connections, as plugins need them: dispatch knows no MQTT.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use switchbox_core::registry::Device;
use switchbox_model::DeviceNum;
use switchbox_plugin_runtime::{MethodError, MethodResponse, host::BoxFuture};

/// The connections, as plugins need them.
pub trait Connections: Send + Sync {
    fn connected(&self, device: DeviceNum) -> bool;
    fn accepts_commands(&self, device: DeviceNum) -> bool;
    fn accepts_methods(&self, device: DeviceNum) -> bool;
    /// How many more commands may wait for the device.
    fn command_room(&self, device: DeviceNum) -> usize;
    /// Calls a method of the device and waits for its answer.
    fn call(
        &self,
        device: Arc<Device>,
        method: String,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<MethodResponse, MethodError>>;
    /// Waits until messages that plugins published before are given to their subscribers, but for so many. False when
    /// it had to wait.
    fn room_to_publish(&self) -> BoxFuture<bool>;
}
