//! How a connection ends, and what follows from it: the will, the device's `disconnected` event, the session's fate.
//! [`Presence`] does it when it is dropped, so that it happens on every way out, a panic included.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    Shared,
    clients::{DueWill, Key, SessionCleanup},
    gateway::Gateway,
    hub::{Hub, Online},
    mailbox::{Close, Mailbox},
    session_key,
    web::{self, Closing, Failure, status},
    will,
};
use switchbox_auth::AuthContext;
use switchbox_core::registry::Device;
use switchbox_model::{
    broker::BrokerChange,
    limits::LimitName,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_codec::{
    fault::{Fault, reason},
    packet::Will,
};
use switchbox_mqtt_session::topics::Pending;
use switchbox_support::{clock, scheduling::CpuBudget};

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client said goodbye.
    Disconnected {
        with_will: bool,
    },
    /// The network.
    Lost(Cow<'static, str>),
    /// The client took longer than the limit of this name allows.
    Late {
        limit: LimitName,
        text: String,
    },
    /// The client broke the rules.
    Fault(Fault),
    Closed(Close),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        let broken = error.get_ref().and_then(|error| error.downcast_ref::<Failure>());
        if let Some(failure) = broken {
            return Self::Fault(Fault::protocol(failure.text));
        }
        Self::Lost(format!("connection lost: {error}").into())
    }
}

impl End {
    /// For the log and the `disconnected` event.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Disconnected { .. } => "disconnected by the client",
            Self::Lost(text) => text,
            Self::Late { text, .. } => text,
            Self::Fault(fault) => &fault.text,
            Self::Closed(Close::TakenOver) => "taken over by a new connection",
            Self::Closed(Close::Shutdown) => "server shutting down",
            Self::Closed(Close::RanOut) => "the token, key or certificate ran out",
            Self::Closed(Close::Asked(text) | Close::Revoked(text)) => text,
        }
    }

    /// The reason code of the DISCONNECT that we send; none where the client is gone.
    pub(super) fn reason(&self) -> Option<u8> {
        match self {
            Self::Disconnected { .. } | Self::Lost(_) | Self::Late { .. } => None,
            Self::Fault(fault) => Some(fault.reason),
            Self::Closed(Close::TakenOver) => Some(reason::TAKEN_OVER),
            Self::Closed(Close::Shutdown) => Some(reason::SHUTTING_DOWN),
            Self::Closed(Close::Asked(_)) => Some(reason::ADMINISTRATIVE),
            Self::Closed(Close::RanOut | Close::Revoked(_)) => Some(reason::NOT_AUTHORISED),
        }
    }

    /// For `/metrics` and the log; none where it was the client that ended it.
    pub(super) fn label(&self) -> Option<&'static str> {
        Some(match self {
            Self::Disconnected { .. } | Self::Lost(_) => return None,
            Self::Late { limit, .. } => limit.as_str(),
            Self::Fault(_) => "wrong packet",
            Self::Closed(Close::TakenOver) => "taken over",
            Self::Closed(Close::Shutdown) => "shutdown",
            Self::Closed(Close::RanOut) => "ran out",
            Self::Closed(Close::Asked(_)) => "asked",
            Self::Closed(Close::Revoked(_)) => "revoked",
        })
    }

    /// The same for WebSocket.
    pub(super) fn closing(&self) -> Closing<'_> {
        let status = match self {
            Self::Disconnected { .. } => status::NORMAL,
            Self::Lost(_) | Self::Closed(Close::Shutdown) => status::GOING_AWAY,
            Self::Fault(fault) => return web::closing(fault),
            Self::Late { .. } | Self::Closed(_) => status::POLICY,
        };
        Closing { status, text: self.text() }
    }

    /// When the whole host goes down, nobody is there to read wills: they are published at the next start. Who may not stay
    /// may not leave one behind.
    fn publishes_will(&self) -> bool {
        !matches!(self, Self::Disconnected { with_will: false } | Self::Closed(Close::Shutdown | Close::Revoked(_)))
    }
}

/// A client that is connected. Its end is its drop.
pub(super) struct Presence<H: Hub> {
    pub(super) shared: Arc<Shared<H>>,
    pub(super) key: Key,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) device: Option<Arc<Device>>,
    pub(super) auth_context: AuthContext,
    pub(super) online: Option<H::Online>,
    /// Where the device is a gateway.
    pub(super) gateway: Option<Box<Gateway<H>>>,
    pub(super) will: Option<Box<Will>>,
    /// 0: the session ends with the connection.
    pub(super) session_expiry: Duration,
    /// The client asked for a session that outlives the connection.
    pub(super) may_keep: bool,
    pub(super) share: Arc<CpuBudget>,
    pub(super) end: Option<End>,
}

impl<H: Hub> Presence<H> {
    /// A device's own event as its will stands before its `disconnected` event, where it is due at once.
    fn will_first(&mut self, end: &End) {
        let no_session = self.session_expiry.is_zero();
        let Self { shared, auth_context, mailbox, will, .. } = self;
        let is_first = |will: &mut Box<Will>| {
            end.publishes_will() && (no_session || will.delay.is_zero()) && will::is_event(auth_context, will)
        };
        if let Some(will) = will.take_if(is_first) {
            let record = mailbox.lock().record;
            let mut pending = Pending::default();
            pending.extend(record.map(|session| BrokerChange::Will { session, will: None }));
            // An event waits for no subscriber.
            let _ = will::publish(shared, auth_context, &mailbox.name, *will, pending);
        }
    }

    /// For the device's operator: what ended its connection, where that was an error of its own.
    fn note_failure(&self, end: &End) {
        let kind = match end {
            End::Fault(_) | End::Late { .. } => ErrorKind::InvalidArgument,
            End::Closed(Close::RanOut | Close::Revoked(_)) => ErrorKind::PermissionDenied,
            End::Disconnected { .. } | End::Lost(_) | End::Closed(_) => return,
        };
        if let Some(device) = &self.device {
            let message = format!("connection closed: {}", end.text());
            device.failed(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
    }

    fn due_will(&mut self, end: &End) -> Option<(Duration, DueWill)> {
        let will = self.will.take().filter(|_| end.publishes_will())?;
        let delay = will.delay;
        Some((delay, will::due(self.shared.clone(), self.auth_context.clone(), self.mailbox.name.clone(), will)))
    }
}

impl<H: Hub> Drop for Presence<H> {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or(End::Lost("connection lost".into()));
        self.leave_attached(&end);
        self.note_failure(&end);
        self.will_first(&end);
        if let Some(online) = self.online.take() {
            online.disconnect(end.text());
        }
        let will_later = self.will.is_some() && matches!(end, End::Closed(Close::Shutdown));
        let can_return = session_key::can_return(&self.shared.hub, &self.key);
        let expiry = if can_return { self.session_expiry } else { Duration::ZERO };
        let legacy = SessionCleanup { expiry, will: self.due_will(&end), will_later };
        self.shared.clients.release(&self.key, &self.mailbox, legacy);
    }
}
