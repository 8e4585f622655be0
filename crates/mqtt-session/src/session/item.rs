//! The items of a session, and the packets that it gives out. Plain types.

use std::{cmp::Ordering, sync::Arc, time::Instant};

use switchbox_model::{Message, QoS, broker::MessageNum};
use switchbox_mqtt_codec::packet::Ack;

/// What an item carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<D> {
    Message {
        message: Arc<Message>,
        /// The RETAIN flag that it is sent with.
        retain: bool,
        /// `None` if the subscription has no identifier and is not shared, as most: items are moved and cloned, and are small without it.
        matched: Option<Arc<Matched>>,
    },
    /// A delivery to a device.
    Device(D),
}

/// The subscription that matched a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// Subscription identifiers.
    pub ids: Vec<u32>,
    /// The filter of the shared subscription.
    pub shared: Option<Arc<str>>,
}

impl<D> Body<D> {
    /// A message without RETAIN, by a subscription without an identifier that is not shared.
    #[must_use]
    pub fn message(message: Arc<Message>) -> Self {
        Self::Message { message, retain: false, matched: None }
    }

    /// A message that a subscription matched, with the subscription's identifiers, and its filter if it is shared.
    #[must_use]
    pub fn matched(message: Arc<Message>, retain: bool, ids: Vec<u32>, shared: Option<Arc<str>>) -> Self {
        let is_plain = ids.is_empty() && shared.is_none();
        let matched = (!is_plain).then(|| Arc::new(Matched { ids, shared }));
        Self::Message { message, retain, matched }
    }
}

/// A message on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<D> {
    pub qos: QoS,
    pub body: Body<D>,
    /// The item's number in the journal and its packet identifier, if it is journaled.
    pub journaled: Option<Journaled>,
}

/// What the journal has of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journaled {
    pub num: MessageNum,
    pub id: u16,
}

/// The client's acknowledgements that have to be journaled.
#[derive(Debug, Default)]
pub struct ClientProgress {
    /// The client has acknowledged these, or will never get them.
    pub finished: Vec<MessageNum>,
    /// PUBREC came for these (QoS 2). PUBREL is sent when that is durable.
    pub pubrec_received: Vec<Journaled>,
}

impl ClientProgress {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.pubrec_received.is_empty()
    }
}

/// An item of a session that was loaded from the documents.
#[derive(Debug)]
pub struct StoredItem<D> {
    pub item: Item<D>,
    pub stage: DeliveryStage,
}

/// How far the delivery of an item had got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStage {
    Queued,
    /// The message may have been sent, because the host was killed while the client was connected.
    InDoubt,
    Sent,
    /// PUBREC came for it (QoS 2). PUBREL is sent next.
    PubRecReceived,
}

/// The state of a QoS 2 message from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qos2State {
    /// PUBLISH came.
    Arrived,
    /// The message is queued for the journal.
    Submitted,
    /// PUBREC was queued for it.
    Acknowledged,
}

/// What a session has to know of a delivery to a device.
pub trait Deliverable {
    /// About how much memory it holds, bytes.
    fn size(&self) -> usize;
    /// Returns true if only the newest of several waiting ones is sent, and this one replaces the older one.
    fn replaces(&self, older: &Self) -> bool;
    /// How the delivery's version compares with that of the other one, if both are versions of the same document; otherwise `None`. A version that is
    /// queued or in flight is not queued again.
    fn compare_version(&self, other: &Self) -> Option<Ordering>;
    /// When the delivery becomes obsolete: from then on it frees its place in the in-flight window even if it was sent. `None` if it keeps its place
    /// until it is acknowledged.
    fn obsolete_at(&self) -> Option<Instant> {
        None
    }
    /// When the item expires, after which it is not sent. `None` if it never does.
    fn expires_at(&self) -> Option<Instant> {
        None
    }
}

impl<D: Deliverable> Item<D> {
    /// About how much memory it holds, bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.body {
            Body::Message { message, .. } => message.size(),
            Body::Device(delivery) => delivery.size(),
        }
    }

    pub(super) fn is_delivery(&self) -> bool {
        matches!(self.body, Body::Device(_))
    }

    /// The message for another member of the group, if it came by a shared subscription.
    pub(super) fn shared(self) -> Option<SharedMessage> {
        let num = self.journaled.map(|journaled| journaled.num);
        match self.body {
            Body::Message { message, matched: Some(matched), .. } => {
                Some(SharedMessage { num, filter: matched.shared.clone()?, message })
            }
            _ => None,
        }
    }

    pub(super) fn expires_at(&self) -> Option<Instant> {
        match &self.body {
            Body::Message { message, .. } => message.expires,
            Body::Device(delivery) => delivery.expires_at(),
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }
}

/// A message of a shared subscription that may be delivered to another member of the group.
#[derive(Debug, Clone)]
pub struct SharedMessage {
    /// The item's number in the journal, if it is journaled.
    pub num: Option<MessageNum>,
    pub filter: Arc<str>,
    pub message: Arc<Message>,
}

/// The result of queueing an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferResult {
    Taken,
    /// The queue is full.
    Full,
}

/// The next packet to send. The session keeps the item of QoS 1 or 2 for a retransmission. Both share the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingPacket<D> {
    Ack(Ack),
    /// `id` is 0 for QoS 0, which is sent without an identifier.
    Publish {
        id: u16,
        dup: bool,
        item: Item<D>,
    },
}

/// Whether an acknowledgement of the client was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Yes,
    /// The exchange of this packet identifier waits for another kind of acknowledgement.
    OtherKind,
    Nothing,
}

/// Whether a QoS 2 message from the client is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishReceipt {
    New,
    /// The message came before and was acknowledged: PUBREC is sent again.
    Again,
    /// The message came before and is not durable yet: PUBREC follows when it is.
    Waiting,
}
