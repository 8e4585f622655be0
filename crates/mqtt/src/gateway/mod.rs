//! The devices that a connection has attached as a gateway. To the rest of the host each is connected like a device with a connection of
//! its own.

mod attach;
pub(crate) mod attached_device;
mod publish;
pub(crate) mod routes;
mod subscriptions;

use std::{collections::HashMap, sync::Arc, time::Instant};

use self::attached_device::AttachedLink;
use crate::dialect::gateway_errors::ErrorType;
use switchbox_auth::AuthContext;
use switchbox_core::registry::Device;
use switchbox_delivery::Online;
use switchbox_model::DeviceId;

/// An attached device.
pub(crate) struct Attachment {
    pub(crate) device: Arc<Device>,
    pub(crate) online: Online,
    link: Arc<AttachedLink>,
    auth_context: AuthContext,
    /// When the device's token or key expires. `None`: never.
    expires_at: Option<Instant>,
}

/// The state of a connection whose client is a gateway.
#[derive(Default)]
pub(crate) struct Gateway {
    attached: HashMap<DeviceId, Attachment>,
    /// The earliest expiry of the attachments. `None`: never.
    expires_at: Option<Instant>,
}

/// Why a request of a gateway failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorType,
    /// The device's id as the gateway wrote it; empty if the failure is of no device.
    pub(crate) device: String,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: ErrorType, device: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, device: device.into(), text: text.into() }
    }
}

impl Gateway {
    /// `None` if the device is not a gateway.
    pub(crate) fn of(device: Option<&Arc<Device>>) -> Option<Box<Self>> {
        device.is_some_and(|device| device.spec().gateway.is_some()).then(Box::default)
    }

    /// Returns `None` if the device is not attached, or another connection has it by now.
    pub(crate) fn get(&self, id: &DeviceId) -> Option<&Attachment> {
        self.attached.get(id).filter(|attachment| attachment.link.ended_reason().is_none())
    }

    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    fn update_expiry(&mut self) {
        self.expires_at = self.attached.values().filter_map(|attachment| attachment.expires_at).min();
    }
}

impl Attachment {
    fn end(self, why: &str) {
        self.link.end(why);
        self.online.disconnect(why);
    }
}
