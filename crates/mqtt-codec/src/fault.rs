//! Why a packet ends its connection.

use std::borrow::Cow;

use switchbox_rules::topic;

/// Reason codes of MQTT 5 (section 2.4) that we send.
pub mod reason {
    pub const UNSPECIFIED: u8 = 0x80;
    pub const MALFORMED: u8 = 0x81;
    pub const PROTOCOL: u8 = 0x82;
    pub const UNSUPPORTED_VERSION: u8 = 0x84;
    pub const CLIENT_ID: u8 = 0x85;
    pub const NOT_AUTHORISED: u8 = 0x87;
    pub const UNAVAILABLE: u8 = 0x88;
    pub const SHUTTING_DOWN: u8 = 0x8b;
    pub const AUTH_METHOD: u8 = 0x8c;
    pub const KEEP_ALIVE: u8 = 0x8d;
    pub const TAKEN_OVER: u8 = 0x8e;
    pub const FILTER_INVALID: u8 = 0x8f;
    pub const TOPIC_INVALID: u8 = 0x90;
    pub const RECEIVE_MAXIMUM: u8 = 0x93;
    pub const TOPIC_ALIAS: u8 = 0x94;
    pub const TOO_LARGE: u8 = 0x95;
    pub const QUOTA: u8 = 0x97;
    pub const ADMINISTRATIVE: u8 = 0x98;
    pub const QOS_NOT_SUPPORTED: u8 = 0x9b;
    pub const NO_SHARED: u8 = 0x9e;
}

/// Why a packet ends its connection: the reason code of MQTT 5 and words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub reason: u8,
    pub text: Cow<'static, str>,
}

impl Fault {
    pub fn malformed(text: &'static str) -> Self {
        Self { reason: reason::MALFORMED, text: text.into() }
    }

    pub fn protocol(text: &'static str) -> Self {
        Self { reason: reason::PROTOCOL, text: text.into() }
    }

    pub fn new(reason: u8, text: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, text: text.into() }
    }
}

impl From<topic::TopicError> for Fault {
    fn from(error: topic::TopicError) -> Self {
        Self { reason: reason::TOPIC_INVALID, text: error.to_string().into() }
    }
}
