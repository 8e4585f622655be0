//! The broker's documents, as they are loaded at start: sessions that outlive their connections, what waits for them, retained
//! messages.

use std::sync::Arc;

use switchbox_model::broker::{
    MessageNum, Recipient, RetainedDoc, SessionKey, SessionNum, StoredMessage, StoredSubscription, StoredWill,
};

/// A session as it was when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDoc {
    pub num: SessionNum,
    pub key: SessionKey,
    pub expiry_secs: u32,
    /// When the client's connection ended. `None` while it is connected.
    pub left_ms: Option<u64>,
    /// The newest message that the client had seen when it left.
    pub sent: MessageNum,
    /// The messages from this one up to `sent` may not have reached the client. `None` if they certainly have.
    pub in_doubt_from: Option<MessageNum>,
    pub will: Option<Box<StoredWill>>,
    pub subscriptions: Vec<(Arc<str>, StoredSubscription)>,
    /// The messages that wait for the client, in the order of their numbers.
    pub queue: Vec<QueuedDoc>,
    /// Packet identifiers of QoS 2 messages from the client that are not released yet.
    pub received: Vec<u16>,
}

/// A message that waits for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedDoc {
    pub num: MessageNum,
    pub message: Arc<StoredMessage>,
    pub recipient: Recipient,
    /// The client has answered it with PUBREC: it has the message, and PUBREL is to be sent.
    pub held: bool,
}

/// All documents of the broker, as they are stored in `state.db`.
#[derive(Debug, Default)]
pub struct BrokerDocs {
    pub sessions: Vec<SessionDoc>,
    pub retained: Vec<RetainedDoc>,
    /// The highest number that a session ever had.
    pub last_session: u64,
    /// The highest number that a message ever had.
    pub last_message: u64,
}
