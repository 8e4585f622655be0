//! The device of a connection: connected from its first valid token to the end of the connection.

use std::sync::Arc;

use parking_lot::Mutex;

use super::mailbox::{Closing, Mailbox};
use crate::context::Context;
use switchbox_auth::{AccessExpiry, AuthContext};
use switchbox_core::registry::Device;
use switchbox_delivery::Online;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct DeviceConnection(Arc<Inner>);

struct Inner {
    device: Arc<Device>,
    mailbox: Arc<Mailbox>,
    /// Is `None` after the end of the connection.
    online: Mutex<Option<Online>>,
    /// Of the newest token. Is `None` for a moment at the beginning.
    auth_context: Mutex<Option<AuthContext>>,
}

impl DeviceConnection {
    /// The device is connected, and its earlier connection is closed.
    pub(crate) fn begin(context: &Context, device: Arc<Device>, closing: Arc<Closing>) -> Self {
        let mailbox = Arc::new(Mailbox::new(closing, context.handles.metrics.clone()));
        let online = context.handles.delivery.connect(&device, mailbox.clone());
        let online = Mutex::new(Some(online));
        Self(Arc::new(Inner { device, mailbox, online, auth_context: Mutex::default() }))
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.0.device
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.0.mailbox
    }

    /// Calls the function while the device is connected. Returns `None` after the end of the connection.
    pub(super) fn online<T>(&self, call: impl FnOnce(&Online) -> T) -> Option<T> {
        self.0.online.lock().as_ref().map(call)
    }

    /// The device was authenticated, again or for the first time.
    pub(crate) fn admitted(&self, auth_context: AuthContext) {
        *self.0.auth_context.lock() = Some(auth_context);
    }

    /// Checks that the device may stay connected. Returns until when; the error says why not.
    pub(crate) fn still_holds(&self, context: &Context) -> Result<AccessExpiry, String> {
        let auth_context = self.0.auth_context.lock().clone();
        auth_context.map_or(Ok(AccessExpiry::default()), |auth_context| context.handles.auth.still_holds(&auth_context))
    }

    pub(crate) fn end(&self, reason: &str) {
        self.0.mailbox.close();
        let online = self.0.online.lock().take();
        if let Some(online) = online {
            online.disconnect(reason);
        }
    }
}
