//! Implements what plugins use of the devices' connections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{handle::Handle, link::DownlinkKind, methods::CallError};
use switchbox_core::registry::Device;
use switchbox_dispatch::Connections;
use switchbox_model::DeviceNum;
use switchbox_plugin_runtime::{MethodError, MethodResponse, host::BoxFuture};

impl Connections for Handle {
    fn connected(&self, device: DeviceNum) -> bool {
        self.is_connected(device)
    }

    fn accepts_commands(&self, device: DeviceNum) -> bool {
        self.is_subscribed(device, DownlinkKind::Commands)
    }

    fn accepts_methods(&self, device: DeviceNum) -> bool {
        self.is_subscribed(device, DownlinkKind::Methods)
    }

    fn command_room(&self, device: DeviceNum) -> usize {
        Self::command_room(self, device)
    }

    fn call(
        &self,
        device: Arc<Device>,
        method: String,
        payload: Bytes,
        timeout: Duration,
    ) -> BoxFuture<Result<MethodResponse, MethodError>> {
        let delivery = self.clone();
        Box::pin(async move {
            match delivery.call(&device, &method, payload, timeout).await {
                Ok(response) => Ok(MethodResponse { status: response.status, payload: response.payload }),
                Err(error) => Err(method_error(&error)),
            }
        })
    }

    fn room_to_publish(&self) -> BoxFuture<bool> {
        let queue = self.inner.outgoing.clone();
        Box::pin(async move { queue.room().await })
    }
}

fn method_error(error: &CallError) -> MethodError {
    let text = error.to_string();
    match error {
        CallError::Offline(_) | CallError::NotSubscribed(_) | CallError::Unreachable(_) => MethodError::Offline(text),
        CallError::TimedOut(..) => MethodError::TimedOut(text),
        CallError::Invalid(_) | CallError::TooMuch(_) => MethodError::Invalid(text),
        CallError::Busy(..) | CallError::NotAllowed(_) | CallError::Broken(_) => MethodError::Unavailable(text),
    }
}
