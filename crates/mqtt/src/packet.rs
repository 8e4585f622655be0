//! The packets that a client sends, whatever the version, checked. Plain types.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::web::{Closing, status};
use switchbox_model::{MessageProperties, QoS};
use switchbox_mqtt_session::{session::AckKind, topics};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V311,
    V5,
}

/// Reason codes of MQTT 5 (section 2.4) that we send.
pub(super) mod reason {
    pub(crate) const UNSPECIFIED: u8 = 0x80;
    pub(crate) const MALFORMED: u8 = 0x81;
    pub(crate) const PROTOCOL: u8 = 0x82;
    pub(crate) const UNSUPPORTED_VERSION: u8 = 0x84;
    pub(crate) const CLIENT_ID: u8 = 0x85;
    pub(crate) const NOT_AUTHORISED: u8 = 0x87;
    pub(crate) const UNAVAILABLE: u8 = 0x88;
    pub(crate) const SHUTTING_DOWN: u8 = 0x8b;
    pub(crate) const AUTH_METHOD: u8 = 0x8c;
    pub(crate) const KEEP_ALIVE: u8 = 0x8d;
    pub(crate) const TAKEN_OVER: u8 = 0x8e;
    pub(crate) const FILTER_INVALID: u8 = 0x8f;
    pub(crate) const TOPIC_INVALID: u8 = 0x90;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x93;
    pub(crate) const TOPIC_ALIAS: u8 = 0x94;
    pub(crate) const TOO_LARGE: u8 = 0x95;
    pub(crate) const QUOTA: u8 = 0x97;
    pub(crate) const ADMINISTRATIVE: u8 = 0x98;
    pub(crate) const NO_SHARED: u8 = 0x9e;
}

/// Why a packet ends its connection: the reason code of MQTT 5 and words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) reason: u8,
    pub(super) text: Cow<'static, str>,
}

impl Fault {
    pub(super) fn malformed(text: &'static str) -> Self {
        Self { reason: reason::MALFORMED, text: text.into() }
    }

    pub(super) fn protocol(text: &'static str) -> Self {
        Self { reason: reason::PROTOCOL, text: text.into() }
    }

    pub(super) fn new(reason: u8, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, text: text.into() }
    }

    /// The same for WebSocket.
    pub(super) fn closing(&self) -> Closing<'_> {
        let status = match self.reason {
            reason::MALFORMED | reason::PROTOCOL => status::PROTOCOL,
            reason::TOO_LARGE => status::TOO_BIG,
            _ => status::POLICY,
        };
        Closing { status, text: &self.text }
    }
}

impl From<topics::TopicError> for Fault {
    fn from(error: topics::TopicError) -> Self {
        Self { reason: reason::TOPIC_INVALID, text: error.to_string().into() }
    }
}

#[derive(Debug)]
pub(super) enum Packet {
    Publish(Publish),
    Ack { kind: AckKind, id: u16, reason: u8 },
    Subscribe(Box<Subscribe>),
    Unsubscribe { id: u16, filters: Vec<Box<str>> },
    Ping,
    Disconnect(Disconnect),
}

#[derive(Debug)]
pub(super) struct Publish {
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// Empty with an alias alone.
    pub(super) topic: Arc<str>,
    /// 0 for QoS 0.
    pub(super) id: u16,
    pub(super) alias: Option<u16>,
    pub(super) expiry: Option<Duration>,
    pub(super) payload: Bytes,
    pub(super) properties: Option<Box<MessageProperties>>,
}

#[derive(Debug)]
pub(super) struct Subscribe {
    pub(super) id: u16,
    pub(super) subscription: Option<u32>,
    pub(super) filters: Vec<Filter>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) filter: Box<str>,
    pub(super) qos: QoS,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    /// 0 = send retained messages, 1 = only for a new subscription, 2 = never.
    pub(super) retain_handling: u8,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disconnect {
    pub(super) with_will: bool,
    pub(super) session_expiry_secs: Option<u32>,
}

pub(super) struct Connect {
    pub(super) version: Version,
    /// It is another broker: its subscriptions are no-local, and what they bring is retained as published.
    pub(super) bridge: bool,
    pub(super) client_id: Box<str>,
    pub(super) clean: bool,
    pub(super) keep_alive_secs: u16,
    pub(super) user_name: Option<Box<str>>,
    pub(super) password: Option<Zeroizing<Vec<u8>>>,
    /// How long the session outlives the connection; `u32::MAX` = for ever.
    pub(super) session_expiry_secs: u32,
    pub(super) receive_maximum: u16,
    /// Largest packet that the client takes, bytes.
    pub(super) maximum_packet: usize,
    pub(super) problem_info: bool,
    /// It asks where answers to it may go.
    pub(super) response_info: bool,
    /// Topic aliases that the client lets us set.
    pub(super) topic_aliases: u16,
    pub(super) will: Option<Box<Will>>,
}

impl fmt::Debug for Connect {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, client_id, clean, .. } = self;
        write!(f, "Connect {{ {version:?}, client_id: {client_id:?}, clean: {clean} .. }}")
    }
}

#[derive(Debug, Clone)]
pub(super) struct Will {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) delay: Duration,
    pub(super) expiry: Option<Duration>,
    pub(super) properties: Option<Box<MessageProperties>>,
}
