//! The reasons for which a connection ends, as the log, `/metrics` and the client get them.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use super::{
    mailbox::Close,
    web::{self, Closing, Failure, status},
};
use switchbox_auth as auth;
use switchbox_model::limits::LimitName;
use switchbox_mqtt_codec::fault::{Fault, reason};
use switchbox_support::clock;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum ConnectionEnd {
    /// The client sent DISCONNECT.
    Disconnected {
        with_will: bool,
    },
    /// The network connection was lost.
    Lost(Cow<'static, str>),
    /// The client took longer than the limit of this name allows.
    Late {
        limit: LimitName,
        text: String,
    },
    /// The client violated the protocol.
    Fault(Fault),
    Closed(Close),
}

impl From<Fault> for ConnectionEnd {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for ConnectionEnd {
    fn from(error: std::io::Error) -> Self {
        let broken = error.get_ref().and_then(|error| error.downcast_ref::<Failure>());
        if let Some(failure) = broken {
            return Self::Fault(Fault::protocol(failure.text));
        }
        Self::Lost(format!("connection lost: {error}").into())
    }
}

impl ConnectionEnd {
    /// For the log and the `disconnected` event.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Disconnected { .. } => "disconnected by the client",
            Self::Lost(text) => text,
            Self::Late { text, .. } => text,
            Self::Fault(fault) => &fault.text,
            Self::Closed(Close::TakenOver) => "taken over by a new connection",
            Self::Closed(Close::Shutdown) => "server shutting down",
            Self::Closed(Close::Expired) => "the token, key or certificate expired",
            Self::Closed(Close::Administrative(text) | Close::Revoked(text)) => text,
        }
    }

    /// The reason code of the host's DISCONNECT. `None` if the client has closed or its connection is lost.
    pub(super) fn reason(&self) -> Option<u8> {
        match self {
            Self::Disconnected { .. } | Self::Lost(_) | Self::Late { .. } => None,
            Self::Fault(fault) => Some(fault.reason),
            Self::Closed(Close::TakenOver) => Some(reason::TAKEN_OVER),
            Self::Closed(Close::Shutdown) => Some(reason::SHUTTING_DOWN),
            Self::Closed(Close::Administrative(_)) => Some(reason::ADMINISTRATIVE),
            Self::Closed(Close::Expired | Close::Revoked(_)) => Some(reason::NOT_AUTHORISED),
        }
    }

    /// The label for `/metrics` and the log. `None` if the client ended the connection.
    pub(super) fn label(&self) -> Option<&'static str> {
        Some(match self {
            Self::Disconnected { .. } | Self::Lost(_) => return None,
            Self::Late { limit, .. } => limit.as_str(),
            Self::Fault(_) => "wrong packet",
            Self::Closed(Close::TakenOver) => "taken over",
            Self::Closed(Close::Shutdown) => "shutdown",
            Self::Closed(Close::Expired) => "expired",
            Self::Closed(Close::Administrative(_)) => "administrative",
            Self::Closed(Close::Revoked(_)) => "revoked",
        })
    }

    /// The status and text of the WebSocket close frame.
    pub(super) fn closing(&self) -> Closing<'_> {
        let status = match self {
            Self::Disconnected { .. } => status::NORMAL,
            Self::Lost(_) | Self::Closed(Close::Shutdown) => status::GOING_AWAY,
            Self::Fault(fault) => return web::closing(fault),
            Self::Late { .. } | Self::Closed(_) => status::POLICY,
        };
        Closing { status, text: self.text() }
    }

    /// Whether the will is published after this end. When the host stops, wills are kept for the next start, because subscribers are
    /// disconnected too. The will of a revoked client is dropped.
    pub(super) fn publishes_will(&self) -> bool {
        !matches!(self, Self::Disconnected { with_will: false } | Self::Closed(Close::Shutdown | Close::Revoked(_)))
    }
}

/// When the token, key or certificate that a client was admitted by expires.
pub(super) fn expires_at(auth::AccessExpiry(end_ms): auth::AccessExpiry) -> Option<Instant> {
    let left_ms = end_ms?.saturating_sub(clock::now_ms());
    Instant::now().checked_add(Duration::from_millis(left_ms))
}
