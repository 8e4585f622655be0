//! The durable part of the clients' sessions and of ordinary topics, as it is stored in the journal.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use switchbox_rules::names::DeviceNum;

use super::message::{Message, MessageProperties, QoS};

/// A session, among all that there ever were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionNum(pub u64);

/// A message that was kept, among all that there ever were. Grows in the order of publishing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct MessageNum(pub u64);

/// What a session belongs to. The three forms of a device's client id are one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionKey {
    Device(DeviceNum),
    Client(Arc<str>),
}

/// Whose quota something takes that outlives its connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Owner {
    /// All clients together that are neither a device nor an account.
    #[default]
    Everyone,
    Device(DeviceNum),
    /// The account of this name.
    Service(Arc<str>),
    Plugins,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("clients without credentials"),
            Self::Device(num) => write!(f, "device {}", num.0),
            Self::Service(name) => write!(f, "account {name}"),
            Self::Plugins => f.write_str("plugins"),
        }
    }
}

/// A retained message as it was when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedDoc {
    pub message: StoredMessage,
    pub owner: Owner,
}

/// The stored form of a message. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMessage {
    pub topic: Arc<str>,
    pub payload: Bytes,
    pub qos: QoS,
    pub retain: bool,
    pub expiry: StoredExpiry,
    pub properties: Option<Box<MessageProperties>>,
}

/// When a stored message expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StoredExpiry {
    #[default]
    Never,
    /// At this time, but never more than `whole_ms` after the wall clock is read anew: a clock that goes back lengthens no life.
    At { at_ms: u64, whole_ms: u64 },
}

impl StoredExpiry {
    fn at_ms(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::At { at_ms, .. } => Some(at_ms),
        }
    }

    /// The wall clock says `now_ms`, after a start or after it went back: no message has more time left than its whole life.
    /// Returns `None` if nothing changes.
    #[must_use]
    pub fn clamped(self, now_ms: u64) -> Option<Self> {
        let Self::At { at_ms, whole_ms } = self else { return None };
        let latest_ms = now_ms.saturating_add(whole_ms);
        (at_ms > latest_ms).then_some(Self::At { at_ms: latest_ms, whole_ms })
    }
}

/// What both clocks show at one moment.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    pub instant: Instant,
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
}

impl StoredMessage {
    #[must_use]
    pub fn of(message: &Message, now: ClockReading) -> Self {
        let expiry = |at: Instant| {
            let left_ms = at.saturating_duration_since(now.instant).as_millis();
            let whole_ms = u64::try_from(left_ms).unwrap_or(u64::MAX);
            StoredExpiry::At { at_ms: now.ms.saturating_add(whole_ms), whole_ms }
        };
        Self {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: message.qos,
            retain: message.retain,
            expiry: message.expires.map_or(StoredExpiry::Never, expiry),
            properties: message.properties.clone(),
        }
    }

    #[must_use]
    pub fn is_expired(&self, time_ms: u64) -> bool {
        self.expiry.at_ms().is_some_and(|at| at <= time_ms)
    }

    #[must_use]
    pub fn restore(self, now: ClockReading) -> Message {
        let Self { topic, payload, qos, retain, expiry, properties } = self;
        let expires = expiry.clamped(now.ms).unwrap_or(expiry).at_ms();
        let expires = expires.map(|at| now.instant + Duration::from_millis(at.saturating_sub(now.ms)));
        Message { topic, payload, qos, retain, expires, properties }
    }
}

/// The session that a kept message goes to, its QoS and its packet identifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub session: SessionNum,
    /// Its packet identifier for this client. It is chosen before the message is stored, so that it is the same after a restart.
    pub id: u16,
    pub qos: QoS,
    pub retain: bool,
    /// Subscription identifiers.
    pub ids: Vec<u32>,
    /// The filter of the shared subscription that it comes by.
    pub shared: Option<Arc<str>>,
}

/// The kind of a session's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubscriptionKind {
    Topic,
    Config,
    Commands,
    Methods,
    Errors,
    Replies,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSubscription {
    pub kind: SubscriptionKind,
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub id: Option<u32>,
}

/// A will; its message's time begins to run when it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWill {
    pub message: StoredMessage,
    pub delay_secs: u32,
    pub expiry_secs: Option<u32>,
}

/// One change of a session, or of the retained messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BrokerChange {
    /// A session begins, with a connection. With an expiry of 0 it is journaled for its will alone.
    SessionOpened {
        session: SessionNum,
        key: SessionKey,
        expiry_secs: u32,
    },
    /// The session has a connection again. A delayed will is cancelled.
    Resumed {
        session: SessionNum,
        expiry_secs: u32,
    },
    /// The connection of the session ended. `sent` is the newest message that the client may have seen; `will` says whether the will is
    /// still to be published.
    Disconnected {
        session: SessionNum,
        time_ms: u64,
        expiry_secs: u32,
        sent: MessageNum,
        /// It is not certain that messages from this one on were sent. `None` if all up to `sent` were.
        in_doubt_from: Option<MessageNum>,
        will: bool,
    },
    Ended {
        session: SessionNum,
    },
    Will {
        session: SessionNum,
        will: Option<Box<StoredWill>>,
    },
    Subscribed {
        session: SessionNum,
        filter: Arc<str>,
        subscription: StoredSubscription,
    },
    Unsubscribed {
        session: SessionNum,
        filter: Arc<str>,
    },
    /// `retained`: it is its topic's retained message now, and takes this one's quota; with an empty payload the topic has none.
    Published {
        num: MessageNum,
        message: StoredMessage,
        retained: Option<Owner>,
        to: Vec<Recipient>,
    },
    /// The client has acknowledged these messages, or will never get them.
    MessagesFinished {
        session: SessionNum,
        nums: Vec<MessageNum>,
    },
    /// PUBREC came for a message of QoS 2 to the client: the next packet about it is PUBREL.
    PubRecReceived {
        session: SessionNum,
        num: MessageNum,
    },
    /// A QoS 2 message of the client came under this packet identifier.
    PublishReceived {
        session: SessionNum,
        id: u16,
    },
    /// PUBREL came for that packet identifier.
    PubRelReceived {
        session: SessionNum,
        id: u16,
    },
    /// The retained messages of these topics are gone where they had run out of time by then; one that came meanwhile is not.
    RetainedExpired {
        topics: Vec<Arc<str>>,
        time_ms: u64,
    },
}

#[cfg(test)]
mod tests;
