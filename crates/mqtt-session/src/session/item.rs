//! What a session holds and gives out. Plain types.

use std::{borrow::Cow, cmp::Ordering, sync::Arc, time::Instant};

use super::Ack;
use switchbox_model::{Message, QoS, broker::MessageNum};

/// What an item carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<D> {
    Message {
        message: Arc<Message>,
        retain: bool,
        /// Subscription identifiers.
        ids: Vec<u32>,
        /// The filter of the shared subscription that it came by.
        shared: Option<Arc<str>>,
    },
    Device(D),
}

/// One message on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<D> {
    pub qos: QoS,
    pub body: Body<D>,
    /// It is written down, and under which packet identifier.
    pub journaled: Option<Journaled>,
}

/// What stands in the journal of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journaled {
    pub num: MessageNum,
    pub id: u16,
}

/// What is to be written down of what the client did.
#[derive(Debug, Default)]
pub struct ClientProgress {
    /// It has these, or will never get them.
    pub finished: Vec<MessageNum>,
    /// It has these (QoS 2); PUBREL is to follow when that is durable.
    pub pubrec_received: Vec<Journaled>,
}

impl ClientProgress {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.finished.is_empty() && self.pubrec_received.is_empty()
    }
}

/// What an earlier process left of an item.
#[derive(Debug)]
pub struct StoredItem<D> {
    pub item: Item<D>,
    pub reached: Reached,
}

/// How far an item had got on its way to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    Queued,
    /// It may have been sent: the host was killed while the client was connected.
    InDoubt,
    Sent,
    /// The client has it (QoS 2); PUBREL is to be sent.
    PubRecReceived,
}

/// How far a QoS 2 message of the client's is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qos2State {
    /// It came.
    Arrived,
    /// It is on its way to the journal.
    Submitted,
    /// PUBREC says so.
    Acknowledged,
}

/// A delivery to a device, as far as a session must know it.
pub trait Deliverable {
    /// About how much memory it holds, bytes.
    fn size(&self) -> usize;
    /// Where only the newest of several that wait is sent: this one makes an older one needless.
    fn replaces(&self, older: &Self) -> bool;
    /// How its version compares with that of the other one, where both are versions of the same document; else `None`. Of equal
    /// ones one is enough, sent or not, until it is acknowledged.
    fn compare_version(&self, other: &Self) -> Option<Ordering>;
    /// From when on nobody waits for it, so that it needs no place in the window also where it was sent; none = it does until it is
    /// acknowledged.
    fn obsolete_at(&self) -> Option<Instant> {
        None
    }
    /// When it is not to be sent any more; none = never.
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

    /// Where it came by a shared subscription.
    pub(super) fn shared(self) -> Option<SharedMessage> {
        let num = self.journaled.map(|journaled| journaled.num);
        match self.body {
            Body::Message { message, shared: Some(filter), .. } => Some(SharedMessage { num, filter, message }),
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

/// A message that came by a shared subscription, and that another of its members may have instead.
#[derive(Debug, Clone)]
pub struct SharedMessage {
    /// Where it is written down.
    pub num: Option<MessageNum>,
    pub filter: Arc<str>,
    pub message: Arc<Message>,
}

/// What became of an item that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferResult {
    Taken,
    /// The queue is full.
    Full,
}

/// The next thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingPacket<'a, D: Clone> {
    Ack(Ack),
    /// `id` 0 for QoS 0, which nobody keeps.
    Publish {
        id: u16,
        dup: bool,
        item: Cow<'a, Item<D>>,
    },
}

/// What an acknowledgement by the client finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Yes,
    /// Something waits under this packet identifier, but not for an acknowledgement of this kind.
    OtherKind,
    Nothing,
}

/// A QoS 2 message from the client, by its state here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishReceipt {
    New,
    /// Seen already and acknowledged: say so again.
    Again,
    /// Seen already and not yet durable: its acknowledgement is on its way.
    Waiting,
}
