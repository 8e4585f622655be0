//! The packets that a client sends, whatever the version, checked. Plain types.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use zeroize::Zeroizing;

use switchbox_model::{MessageProperties, QoS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V311,
    V5,
}

#[derive(Debug)]
pub enum Packet {
    Publish(Publish),
    Ack { kind: AckKind, id: u16, reason: u8 },
    Subscribe(Box<Subscribe>),
    Unsubscribe { id: u16, filters: Vec<Box<str>> },
    Ping,
    Disconnect(Disconnect),
}

#[derive(Debug)]
pub struct Publish {
    pub qos: QoS,
    pub retain: bool,
    /// Empty with an alias alone.
    pub topic: Arc<str>,
    /// 0 for QoS 0.
    pub id: u16,
    pub alias: Option<u16>,
    pub expiry: Option<Duration>,
    pub payload: Bytes,
    pub properties: Option<Box<MessageProperties>>,
}

#[derive(Debug)]
pub struct Subscribe {
    pub id: u16,
    pub subscription: Option<u32>,
    pub filters: Vec<Filter>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Filter {
    pub filter: Box<str>,
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    /// 0 = send retained messages, 1 = only for a new subscription, 2 = never.
    pub retain_handling: u8,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Disconnect {
    pub with_will: bool,
    pub session_expiry_secs: Option<u32>,
}

pub struct Connect {
    pub version: Version,
    /// It is a broker: its subscriptions are no-local, and retained messages keep their retain flag.
    pub bridge: bool,
    pub client_id: Box<str>,
    pub clean: bool,
    pub keep_alive_secs: u16,
    pub user_name: Option<Box<str>>,
    pub password: Option<Zeroizing<Vec<u8>>>,
    /// How long the session outlives the connection; `u32::MAX` = for ever.
    pub session_expiry_secs: u32,
    pub receive_maximum: u16,
    /// Largest packet that the client takes, bytes.
    pub maximum_packet: usize,
    pub problem_info: bool,
    /// It asks where answers to it may go.
    pub response_info: bool,
    /// The number of topic aliases that the client accepts.
    pub topic_aliases: u16,
    pub will: Option<Box<Will>>,
}

impl fmt::Debug for Connect {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, client_id, clean, .. } = self;
        write!(f, "Connect {{ {version:?}, client_id: {client_id:?}, clean: {clean} .. }}")
    }
}

#[derive(Debug, Clone)]
pub struct Will {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    pub delay: Duration,
    pub expiry: Option<Duration>,
    pub properties: Option<Box<MessageProperties>>,
}

/// What is acknowledged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckKind {
    PubAck,
    PubRec,
    PubRel,
    PubComp,
}

/// One acknowledgement. `reason` is the MQTT 5 reason code, 0 = success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub kind: AckKind,
    pub id: u16,
    pub reason: u8,
    pub text: Option<&'static str>,
}

impl Ack {
    #[must_use]
    pub fn new(kind: AckKind, id: u16) -> Self {
        Self { kind, id, reason: 0, text: None }
    }

    /// The client may send one more for it (MQTT 5, section 4.9).
    #[must_use]
    pub fn is_closing(&self) -> bool {
        match self.kind {
            AckKind::PubAck | AckKind::PubComp => true,
            AckKind::PubRec => self.reason >= 0x80,
            AckKind::PubRel => false,
        }
    }
}
