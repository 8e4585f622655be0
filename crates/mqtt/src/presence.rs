//! A connected client, and what its connection's end causes: the will is published, the device's `disconnected` event is submitted, and the
//! session ends or is kept. The drop of [`Presence`] does this, so that it happens also when a panic ends the connection.

use std::{sync::Arc, time::Duration};

use super::{
    clients::{DueWill, Key, SessionCleanup},
    end::ConnectionEnd,
    gateway::Gateway,
    mailbox::{Close, Mailbox},
    server_context::ServerContext,
    session_key, will,
};
use crate::{cpu_budget::CpuBudget, dialect::Dialect};
use switchbox_auth::{AuthContext, provisioning::Registrant};
use switchbox_core::registry::Device;
use switchbox_delivery::{DownlinkKind, Online};
use switchbox_model::{
    broker::BrokerChange,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_codec::packet::Will;
use switchbox_mqtt_session::topics::PendingChanges;
use switchbox_support::clock;

/// A connected client. Dropping it ends the client's presence.
pub(super) struct Presence {
    pub(super) shared: Arc<ServerContext>,
    pub(super) key: Key,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) device: Option<Arc<Device>>,
    pub(super) dialect: Dialect,
    pub(super) auth_context: AuthContext,
    /// Set when the client is a device that is not registered yet.
    pub(super) registrant: Option<Box<Registrant>>,
    /// Set when the client is a device.
    pub(super) online: Option<Online>,
    /// Set when the device is a gateway.
    pub(super) gateway: Option<Box<Gateway>>,
    pub(super) will: Option<Box<Will>>,
    /// How long the session is kept after the connection. With 0 it ends with the connection.
    pub(super) session_expiry: Duration,
    /// The client asked for a session that outlives the connection.
    pub(super) may_keep: bool,
    pub(super) cpu_budget: Arc<CpuBudget>,
    /// How the connection has ended. `None` until then, and after a panic.
    pub(super) end: Option<ConnectionEnd>,
}

impl Presence {
    /// Subscribes the client to a downlink of its own device or of a device that it has attached.
    pub(super) fn subscribe_downlink(&self, online: &Online, kind: DownlinkKind) {
        if kind == DownlinkKind::Config && !self.dialect.rules().sends_config {
            self.follow_config(online);
        } else {
            online.subscribe(kind);
        }
    }

    /// Sends later changes of the config to the client.
    pub(super) fn follow_config(&self, online: &Online) {
        *self.mailbox.known_config.lock() = online.follow_config();
    }

    /// Publishes a will that is an event of the device and due at once, so that it precedes the `disconnected` event.
    fn will_first(&mut self, end: &ConnectionEnd) {
        let ends_session = self.session_expiry.is_zero();
        let Self { shared, auth_context, mailbox, will, .. } = self;
        let is_due_event = |will: &mut Box<Will>| {
            end.publishes_will() && (ends_session || will.delay.is_zero()) && will::is_event(auth_context, will)
        };
        if let Some(will) = will.take_if(is_due_event) {
            let session_num = mailbox.lock().session_num;
            let mut pending = PendingChanges::default();
            pending.extend(session_num.map(|session| BrokerChange::Will { session, will: None }));
            // An event has no subscribers to wait for.
            let _ = will::publish(shared, auth_context, &mailbox.name, *will, pending);
        }
    }

    /// Records for the device's operator what ended the connection, if that was an error of the client.
    fn record_failure(&self, end: &ConnectionEnd) {
        let kind = match end {
            ConnectionEnd::Fault(_) | ConnectionEnd::Late { .. } => ErrorKind::InvalidArgument,
            ConnectionEnd::Closed(Close::Expired | Close::Revoked(_)) => ErrorKind::PermissionDenied,
            ConnectionEnd::Disconnected { .. } | ConnectionEnd::Lost(_) | ConnectionEnd::Closed(_) => return,
        };
        if let Some(device) = &self.device {
            let message = format!("connection closed: {}", end.text());
            device.record_error(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
    }

    /// The will with its delay, if this end of the connection publishes it.
    fn due_will(&mut self, end: &ConnectionEnd) -> Option<(Duration, DueWill)> {
        let will = self.will.take().filter(|_| end.publishes_will())?;
        let delay = will.delay;
        Some((delay, will::due(self.shared.clone(), self.auth_context.clone(), self.mailbox.name.clone(), will)))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or(ConnectionEnd::Lost("connection lost".into()));
        self.detach_all(&end);
        self.record_failure(&end);
        self.will_first(&end);
        if let Some(online) = self.online.take() {
            online.disconnect(end.text());
        }
        let keep_will_for_restart = self.will.is_some() && matches!(end, ConnectionEnd::Closed(Close::Shutdown));
        let can_return = session_key::can_return(&self.shared.host, &self.key);
        let expiry = if can_return { self.session_expiry } else { Duration::ZERO };
        let cleanup = SessionCleanup { expiry, will: self.due_will(&end), keep_will_for_restart };
        self.shared.clients.connection_ended(&self.key, &self.mailbox, cleanup);
    }
}
