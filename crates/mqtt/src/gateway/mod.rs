//! The devices that a connection speaks for as a gateway. Each is connected to the hub as if it had a connection of its own.

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

/// One device that is attached.
pub(crate) struct Attachment {
    pub(crate) device: Arc<Device>,
    pub(crate) online: Online,
    link: Arc<AttachedLink>,
    auth_context: AuthContext,
    expires_at: Option<Instant>,
}

/// What a connection has because its client is a gateway.
#[derive(Default)]
pub(crate) struct Gateway {
    attached: HashMap<DeviceId, Attachment>,
    /// When the first of their tokens runs out.
    expires_at: Option<Instant>,
}

/// Why something that a gateway asked for was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorType,
    /// As the gateway wrote it.
    pub(crate) device: String,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: ErrorType, device: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, device: device.into(), text: text.into() }
    }
}

impl Gateway {
    pub(crate) fn of(device: Option<&Arc<Device>>) -> Option<Box<Self>> {
        device.is_some_and(|device| device.spec().gateway.is_some()).then(Box::default)
    }

    /// None: not attached, or somebody else has it by now.
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
