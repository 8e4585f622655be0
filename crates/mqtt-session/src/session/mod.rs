//! One client's MQTT state: the queue of messages to it, the messages in flight, and the QoS 2 messages that it sent. No sockets, no
//! clocks, no packets: the connection asks [`Session::next`] what to send and reports each packet of the client by a call.
//!
//! `D` is a delivery to a device. It is sent like a message, but it is not queued for an offline client, because the outbox keeps it. Only
//! deliveries that were sent already are retransmitted, as MQTT demands.

mod expiry;
mod in_flight;
mod inbound;
mod item;
mod latest;
#[cfg(test)]
mod model_tests;
mod released;
mod restore;
mod suspended;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

pub use self::item::{
    Body, ClientProgress, Deliverable, DeliveryStage, Expected, Item, Journaled, Matched, OfferResult, OutgoingPacket,
    PublishReceipt, SharedMessage, StoredItem,
};
use self::{
    in_flight::{InFlight, Released, SendState, Suspended},
    item::Qos2State,
};
use switchbox_model::QueuePosition;
use switchbox_model::{Message, QoS, broker::MessageNum, limits};
use switchbox_mqtt_codec::packet::{Ack, AckKind};

/// The state of one client's session.
#[derive(Debug)]
pub struct Session<D> {
    /// How many messages may be in flight: the client's receive maximum, at most [`limits::IN_FLIGHT`].
    window: u16,
    /// Items that were not sent yet, in their order.
    queue: VecDeque<Item<D>>,
    queue_bytes: usize,
    /// No item of the queue expires before this time.
    expires_from: Option<Instant>,
    /// Deliveries of which only the newest is sent, waiting for room in the window: one of each document.
    latest: VecDeque<Item<D>>,
    /// Messages that were sent and are not acknowledged, in the order of sending.
    in_flight: VecDeque<InFlight<D>>,
    /// How many of the in-flight entries, from the front, were sent on this connection.
    resent: usize,
    /// Deliveries of devices that their gateway has not attached again.
    suspended: Suspended<D>,
    /// The packet identifiers of obsolete messages that the client has not acknowledged.
    released: Released,
    /// The client's receive maximum: how many messages may wait for its acknowledgement.
    receive_maximum: u16,
    /// The packet identifier that was used last.
    last_id: u16,
    /// The QoS 2 messages from the client, by their packet identifiers.
    received: HashMap<u16, Qos2State>,
    /// The host's acknowledgements in the order of the client's packets, each with the position up to which the journal must be committed
    /// before it is sent. One that is not committed yet delays those after it.
    acks: VecDeque<(QueuePosition, Ack)>,
    /// How many of them end an exchange, and so make room in the client's receive maximum.
    closing_acks: usize,
    /// The journal is committed up to this position.
    committed: QueuePosition,
    /// QoS 2 messages of an earlier connection that were not committed when it ended, with their positions.
    uncommitted: VecDeque<(QueuePosition, u16)>,
    /// Packet identifiers of journaled messages, from their reservation until the client has acknowledged them.
    ids: HashSet<u16>,
    /// How many of those are queued for the journal and have a reserved place in the queue, and their bytes.
    reserved: usize,
    reserved_bytes: usize,
    /// Acknowledgements of the client that have to be journaled.
    progress: ClientProgress,
}

impl<D: Clone + Deliverable> Default for Session<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Clone + Deliverable> Session<D> {
    #[must_use]
    pub fn new() -> Self {
        Self {
            window: limits::IN_FLIGHT,
            queue: VecDeque::new(),
            queue_bytes: 0,
            expires_from: None,
            latest: VecDeque::new(),
            in_flight: VecDeque::new(),
            resent: 0,
            suspended: Suspended::default(),
            released: Released::default(),
            receive_maximum: u16::MAX,
            last_id: 0,
            received: HashMap::new(),
            acks: VecDeque::new(),
            closing_acks: 0,
            committed: QueuePosition::default(),
            uncommitted: VecDeque::new(),
            ids: HashSet::new(),
            reserved: 0,
            reserved_bytes: 0,
            progress: ClientProgress::default(),
        }
    }

    /// The newest journaled message that was sent.
    #[must_use]
    pub fn newest_sent(&self) -> MessageNum {
        self.in_flight.iter().filter_map(|entry| entry.journaled).max().unwrap_or_default()
    }

    /// The acknowledgements since the last call that have to be journaled.
    pub fn take_progress(&mut self) -> ClientProgress {
        std::mem::take(&mut self.progress)
    }

    /// The journaled messages, since the last call, that the client has acknowledged or will never get.
    pub fn take_finished(&mut self) -> Vec<MessageNum> {
        std::mem::take(&mut self.progress.finished)
    }

    /// A connection begins, with the client's receive maximum. The messages in flight are retransmitted first.
    pub fn connect(&mut self, receive_maximum: u16) {
        self.window = receive_maximum.clamp(1, limits::IN_FLIGHT);
        self.receive_maximum = receive_maximum.max(1);
        self.released.clear();
        self.resent = 0;
        self.clear_acks();
    }

    /// The connection ended: removes what does not outlive it.
    pub fn disconnect(&mut self) {
        self.clear_acks();
        // The client sends messages again that were not accepted yet.
        self.received.retain(|_, state| *state != Qos2State::Arrived);
        self.latest = VecDeque::new();
        self.queue.retain(|item| item.qos != QoS::AtMostOnce && !item.is_delivery());
        self.queue.shrink_to_fit();
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
    }

    /// The session ended. Returns the messages of shared subscriptions that other members may get. QoS 2 messages that may have reached
    /// this client are not among them, as MQTT demands.
    pub fn end(&mut self) -> Vec<SharedMessage> {
        self.suspended = Suspended::default();
        let sent = std::mem::take(&mut self.in_flight).into_iter().filter_map(|entry| entry.item);
        let sent = sent.filter(|item| item.qos == QoS::AtLeastOnce);
        self.queue_bytes = 0;
        sent.chain(std::mem::take(&mut self.queue)).filter_map(Item::shared).collect()
    }

    /// Whether a message of this size fits into the queue. If not, [`Self::purge`] may make room.
    #[must_use]
    pub fn has_room(&self, size: usize) -> bool {
        self.queue.len() + self.reserved < limits::SESSION_QUEUE
            && self.queue_bytes + self.reserved_bytes + size <= limits::SESSION_QUEUE_BYTES
    }

    /// Returns true if the queue is full and none of its items can expire.
    #[must_use]
    pub fn is_full_for_good(&self) -> bool {
        self.queue.len() + self.reserved >= limits::SESSION_QUEUE && self.expires_from.is_none()
    }

    /// Returns true if half of the queue is free, by number and by bytes.
    #[must_use]
    pub fn is_half_empty(&self) -> bool {
        self.queue.len() + self.reserved <= limits::SESSION_QUEUE / 2
            && self.queue_bytes + self.reserved_bytes <= limits::SESSION_QUEUE_BYTES / 2
    }

    /// Reserves a place in the queue for a message that has to be journaled first. Returns its packet identifier, or `None` if the queue is
    /// full.
    pub fn reserve(&mut self, message: &Message) -> Option<u16> {
        let size = message.size();
        if !self.has_room(size) {
            return None;
        }
        self.reserved += 1;
        self.reserved_bytes += size;
        let id = self.free_id();
        self.ids.insert(id);
        Some(id)
    }

    /// Gives a reserved place back, as its message was not journaled.
    pub fn unreserve(&mut self, id: u16, message: &Message) {
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(message.size());
        self.ids.remove(&id);
    }

    /// Queues a journaled message in its reserved place.
    pub fn offer_journaled(&mut self, item: Item<D>) {
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(item.size());
        self.enqueue(item);
    }

    /// Queues an item if there is room.
    pub fn offer(&mut self, item: Item<D>) -> OfferResult {
        if !self.has_room(item.size()) {
            return OfferResult::Full;
        }
        self.enqueue(item);
        OfferResult::Taken
    }

    /// The next packet to send. `None` if nothing can be sent until something is queued or acknowledged.
    pub fn next(&mut self, now: Instant) -> Option<OutgoingPacket<D>> {
        if let Some(ack) = self.next_ack() {
            return Some(ack);
        }
        self.drop_expired_in_doubt(now);
        if self.resent < self.in_flight.len().min(self.window.into()) {
            return self.resend();
        }
        loop {
            let item = self.take_next(now)?;
            if item.is_expired(now) {
                self.finish_journaled(item.journaled);
                continue;
            }
            if item.qos == QoS::AtMostOnce {
                return Some(OutgoingPacket::Publish { id: 0, dup: false, item });
            }
            let id = item.journaled.map_or_else(|| self.free_id(), |journaled| journaled.id);
            let journaled = item.journaled.map(|journaled| journaled.num);
            self.in_flight.push_back(InFlight {
                id,
                state: SendState::Published,
                in_doubt: false,
                item: Some(item.clone()),
                journaled,
            });
            self.resent = self.in_flight.len();
            return Some(OutgoingPacket::Publish { id, dup: false, item });
        }
    }

    /// Retransmits the next entry that an earlier connection sent, in the order of sending.
    fn resend(&mut self) -> Option<OutgoingPacket<D>> {
        let entry = self.in_flight.get_mut(self.resent)?;
        self.resent += 1;
        entry.in_doubt = false;
        Some(match &entry.item {
            Some(item) if entry.state == SendState::Published => {
                OutgoingPacket::Publish { id: entry.id, dup: true, item: item.clone() }
            }
            _ => OutgoingPacket::Ack(Ack::new(AckKind::PubRel, entry.id)),
        })
    }

    /// The next item that may be sent now. QoS 0 does not overtake items that wait for the window.
    fn take_next(&mut self, now: Instant) -> Option<Item<D>> {
        if self.queue.is_empty() && self.latest.is_empty() {
            return None;
        }
        let has_window = self.has_window(now);
        match self.queue.front() {
            Some(item) if has_window || item.qos == QoS::AtMostOnce => {
                let item = self.queue.pop_front()?;
                self.queue_bytes -= item.size();
                if self.queue.is_empty() && self.queue.capacity() > 64 {
                    self.queue = VecDeque::new();
                }
                Some(item)
            }
            None if has_window => self.latest.pop_front(),
            _ => None,
        }
    }

    /// A packet identifier that is not in use.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = self.last_id;
            let is_taken = self.ids.contains(&id) || self.suspended.has(id) || self.released.has(id);
            if !is_taken && self.in_flight.iter().all(|entry| entry.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// The client will not get this message any more, or has it: its packet identifier is free, and [`Session::take_progress`] reports it.
    fn finish_journaled(&mut self, journaled: Option<Journaled>) {
        if let Some(Journaled { num, id }) = journaled {
            self.ids.remove(&id);
            self.progress.finished.push(num);
        }
    }

    /// Ends the exchange of a message in flight in this state: removes it, and frees its place in the window.
    fn end_exchange(&mut self, id: u16, state: SendState) -> Option<InFlight<D>> {
        let index = self.in_flight.iter().position(|entry| entry.id == id && entry.state == state)?;
        if index < self.resent {
            self.resent -= 1;
        }
        let entry = self.in_flight.remove(index)?;
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        self.finish_journaled(entry.journaled.map(|num| Journaled { num, id }));
        Some(entry)
    }

    /// PUBACK came. Returns the item that it acknowledges; `None` if no QoS 1 message with this identifier is in flight.
    pub fn puback(&mut self, id: u16) -> Option<Item<D>> {
        if self.released.forget(id) {
            return None;
        }
        let is_qos_1 = |entry: &InFlight<D>| entry.item.as_ref().is_some_and(|item| item.qos == QoS::AtLeastOnce);
        self.in_flight.iter().find(|entry| entry.id == id).filter(|entry| is_qos_1(entry))?;
        self.end_exchange(id, SendState::Published)?.item
    }

    /// PUBREC came. Answers with PUBREL, or ends the exchange if the client refused the message. Returns the item.
    pub fn pubrec(&mut self, id: u16, refused: bool) -> Option<Item<D>> {
        if refused {
            return self.end_exchange(id, SendState::Published)?.item;
        }
        let entry = self.in_flight.iter_mut().find(|entry| entry.id == id);
        let Some(entry) = entry else {
            // 0x92: packet identifier not found.
            self.ack(Ack { reason: 0x92, ..Ack::new(AckKind::PubRel, id) });
            return None;
        };
        if entry.item.as_ref().is_some_and(|item| item.qos != QoS::ExactlyOnce) {
            return None;
        }
        let is_repeated = entry.state == SendState::Released;
        entry.state = SendState::Released;
        let item = entry.item.take();
        let journaled = entry.journaled;
        match journaled {
            // PUBREL waits until this is durable: otherwise the client could get the message a second time after a crash.
            Some(num) if !is_repeated => self.progress.pubrec_received.push(Journaled { num, id }),
            _ => self.ack(Ack::new(AckKind::PubRel, id)),
        }
        item
    }

    /// PUBCOMP came. Returns false if none was expected.
    pub fn pubcomp(&mut self, id: u16) -> bool {
        self.end_exchange(id, SendState::Released).is_some()
    }

    /// The deliveries to devices in flight, with their packet identifiers.
    #[must_use]
    pub fn deliveries_in_flight(&self) -> Vec<(u16, D)> {
        let delivery = |entry: &InFlight<D>| match &entry.item {
            Some(Item { body: Body::Device(delivery), .. }) => Some((entry.id, delivery.clone())),
            _ => None,
        };
        self.in_flight.iter().filter_map(delivery).collect()
    }

    /// Removes a message from the in-flight ones, such as one that is larger than the client accepts.
    pub fn forget(&mut self, id: u16) -> Option<Item<D>> {
        self.end_exchange(id, SendState::Published)?.item
    }

    /// Removes the deliveries to devices that match and were not sent yet.
    pub fn withdraw(&mut self, is_obsolete: impl Fn(&D) -> bool) {
        let is_kept = |item: &Item<D>| !matches!(&item.body, Body::Device(delivery) if is_obsolete(delivery));
        self.queue.retain(is_kept);
        self.latest.retain(is_kept);
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
    }

    /// Whether an acknowledgement of this kind is expected for this packet identifier.
    #[must_use]
    pub fn expects(&self, kind: AckKind, id: u16) -> Expected {
        let entry = match kind {
            AckKind::PubRel if self.received.contains_key(&id) => return Expected::Yes,
            AckKind::PubRel => return Expected::Nothing,
            AckKind::PubAck if self.released.has(id) => return Expected::Yes,
            _ => self.in_flight.iter().find(|entry| entry.id == id),
        };
        let Some(entry) = entry else { return Expected::Nothing };
        let kinds: &[AckKind] = match (entry.state, entry.item.as_ref().map(|item| item.qos)) {
            (SendState::Published, Some(QoS::AtLeastOnce)) => &[AckKind::PubAck],
            (SendState::Published, _) => &[AckKind::PubRec],
            (SendState::Released, _) => &[AckKind::PubRec, AckKind::PubComp],
        };
        if kinds.contains(&kind) { Expected::Yes } else { Expected::OtherKind }
    }

    /// Removes the messages that the client may not get any more, sent or not: those for which `is_allowed` is false. Returns the unsent
    /// messages of shared subscriptions, which other members may get.
    pub fn revoke(&mut self, is_allowed: impl Fn(&Message) -> bool) -> Vec<SharedMessage> {
        let is_denied = |item: &Item<D>| matches!(&item.body, Body::Message { message, .. } if !is_allowed(message));
        let sent = self.in_flight.iter().filter(|entry| entry.item.as_ref().is_some_and(is_denied));
        for id in sent.map(|entry| entry.id).collect::<Vec<_>>() {
            self.forget(id);
        }
        let (finished, queue): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(is_denied);
        self.queue = queue;
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
        finished.iter().for_each(|item| self.finish_journaled(item.journaled));
        finished.into_iter().filter_map(Item::shared).collect()
    }

    /// Bytes of the queued messages and of the reserved places.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue_bytes + self.reserved_bytes
    }

    /// Queued messages and reserved places together.
    #[must_use]
    pub fn slots_used(&self) -> usize {
        self.queue.len() + self.reserved
    }

    /// Queued messages.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}
