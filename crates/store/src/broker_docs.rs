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
    /// When its connection ended. Is `None` while it is connected.
    pub left_ms: Option<u64>,
    /// The newest message that the client had seen when it left.
    pub sent: MessageNum,
    /// From which on it may not have seen them either.
    pub in_doubt_from: Option<MessageNum>,
    pub will: Option<Box<StoredWill>>,
    pub subscriptions: Vec<(Arc<str>, StoredSubscription)>,
    /// In order.
    pub queue: Vec<QueuedDoc>,
    /// QoS 2 packet identifiers of the client.
    pub received: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedDoc {
    pub num: MessageNum,
    pub message: Arc<StoredMessage>,
    pub recipient: Recipient,
    /// The client has it; PUBREL is to be sent.
    pub held: bool,
}

/// All of it, as it is stored in `state.db`.
#[derive(Debug, Default)]
pub struct BrokerDocs {
    pub sessions: Vec<SessionDoc>,
    pub retained: Vec<RetainedDoc>,
    pub last_session: u64,
    pub last_message: u64,
}
