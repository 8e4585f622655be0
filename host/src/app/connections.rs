//! Gives the plugins what they use of the devices' connections: dispatch and delivery do not know each other.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use switchbox_core::registry::Device;
use switchbox_delivery::{CallError, DownlinkKind, Handle};
use switchbox_dispatch::Connections;
use switchbox_model::DeviceNum;
use switchbox_plugin_runtime::{MethodError, MethodResponse, host::BoxFuture};

/// The connections as delivery has them.
pub(super) struct DeviceConnections(pub(super) Handle);

impl Connections for DeviceConnections {
    fn connected(&self, device: DeviceNum) -> bool {
        self.0.is_connected(device)
    }

    fn accepts_commands(&self, device: DeviceNum) -> bool {
        self.0.is_subscribed(device, DownlinkKind::Commands)
    }

    fn accepts_methods(&self, device: DeviceNum) -> bool {
        self.0.is_subscribed(device, DownlinkKind::Methods)
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        self.0.command_room(device)
    }

    fn call(
        &self,
        device: Arc<Device>,
        method: String,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let delivery = self.0.clone();
        Box::pin(async move {
            match delivery.call(&device, &method, payload, timeout).await {
                Ok(response) => Ok(MethodResponse { status: response.status, payload: response.payload }),
                Err(error) => Err(method_error(&error)),
            }
        })
    }

    fn room_to_publish(&self) -> BoxFuture<bool> {
        let delivery = self.0.clone();
        Box::pin(async move { delivery.room_to_publish().await })
    }
}

fn method_error(error: &CallError) -> MethodError {
    let text = error.to_string();
    match error {
        CallError::Offline(_) | CallError::NotSubscribed(_) | CallError::Unreachable(_) => MethodError::Offline(text),
        CallError::TimedOut(..) => MethodError::TimedOut(text),
        CallError::Invalid(_) | CallError::TooMuch(_) => MethodError::Invalid(text),
        CallError::Busy(..)
        | CallError::NotAllowed(_)
        | CallError::Broken(_)
        | CallError::Refused(_)
        | CallError::Status(..) => MethodError::Unavailable(text),
    }
}
