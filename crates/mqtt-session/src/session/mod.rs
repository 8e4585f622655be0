//! One client's MQTT state: what waits to be sent, what waits for its acknowledgement, which QoS 2 messages it sent.
//! No sockets, no clocks, no packets: the connection asks [`Session::next`] what to write and tells what came.
//!
//! `D` is what is delivered to a device. It travels like a message but is not kept while the client is away: the outbox does
//! that. Only what was sent already is sent again, as MQTT asks.

mod acks;
mod expiry;
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
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    time::Instant,
};

pub use self::item::{
    Body, ClientProgress, Deliverable, Expected, Item, Journaled, OfferResult, OutgoingPacket, PublishReceipt, Reached,
    SharedMessage, StoredItem,
};
use self::{acks::Acks, item::Qos2State, released::Released, suspended::Suspended};
use switchbox_model::{Message, QoS, broker::MessageNum, limits};
use switchbox_mqtt_codec::packet::{Ack, AckKind};
use switchbox_store::QueuePosition;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SendState {
    Published,
    /// The client has it (PUBREC came); PUBREL was sent.
    Released,
}

#[derive(Debug)]
struct InFlight<D> {
    id: u16,
    state: SendState,
    /// An earlier process sent it, or had no time to.
    in_doubt: bool,
    item: Option<Item<D>>,
    journaled: Option<MessageNum>,
}

/// One client's state.
#[derive(Debug)]
pub struct Session<D> {
    window: u16,
    queue: VecDeque<Item<D>>,
    queue_bytes: usize,
    /// Nothing in the queue runs out of time before this.
    expires_from: Option<Instant>,
    /// The newest of what is coalesced, waiting for room in the window: one of each that do not replace each other.
    latest: VecDeque<Item<D>>,
    in_flight: VecDeque<InFlight<D>>,
    /// In-flight entries before this one were written on this connection.
    resent: usize,
    suspended: Suspended<D>,
    released: Released,
    /// The client's own: how many messages may wait for its acknowledgement.
    receive_maximum: u16,
    last_id: u16,
    /// QoS 2 ids from the client.
    received: HashMap<u16, Qos2State>,
    acks: Acks,
    /// QoS 2 messages of an earlier connection that the journal did not have when it ended, by their positions.
    uncommitted: VecDeque<(QueuePosition, u16)>,
    /// Packet identifiers of what is written down, from before it is until the client has it.
    ids: HashSet<u16>,
    /// Of those, what is on its way to the journal and has its place in the queue: how many, and their bytes.
    reserved: usize,
    reserved_bytes: usize,
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
            acks: Acks::default(),
            uncommitted: VecDeque::new(),
            ids: HashSet::new(),
            reserved: 0,
            reserved_bytes: 0,
            progress: ClientProgress::default(),
        }
    }

    /// The newest of what is written down that the client may have seen.
    #[must_use]
    pub fn newest_sent(&self) -> MessageNum {
        self.in_flight.iter().filter_map(|entry| entry.journaled).max().unwrap_or_default()
    }

    /// What happened to what is written down since the last call.
    pub fn take_progress(&mut self) -> ClientProgress {
        std::mem::take(&mut self.progress)
    }

    /// Of these, what the client has or will never get.
    pub fn take_finished(&mut self) -> Vec<MessageNum> {
        std::mem::take(&mut self.progress.finished)
    }

    /// A connection begins, with the client's receive maximum. What was in flight is sent again first.
    pub fn connect(&mut self, receive_maximum: u16) {
        self.window = receive_maximum.clamp(1, limits::IN_FLIGHT);
        self.receive_maximum = receive_maximum.max(1);
        self.released.clear();
        self.resent = 0;
        self.clear_acks();
    }

    /// The connection ended: what cannot outlive it goes.
    pub fn disconnect(&mut self) {
        self.clear_acks();
        // What was not accepted the client sends again.
        self.received.retain(|_, state| *state != Qos2State::Arrived);
        self.latest = VecDeque::new();
        self.queue.retain(|item| item.qos != QoS::AtMostOnce && !item.is_delivery());
        self.queue.shrink_to_fit();
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
    }

    /// The session is over: gives what came by shared subscriptions and another client may have. What may have reached
    /// this one with QoS 2 is not among it, as MQTT asks.
    pub fn end(&mut self) -> Vec<SharedMessage> {
        self.suspended = Suspended::default();
        let sent = std::mem::take(&mut self.in_flight).into_iter().filter_map(|entry| entry.item);
        let sent = sent.filter(|item| item.qos == QoS::AtLeastOnce);
        self.queue_bytes = 0;
        sent.chain(std::mem::take(&mut self.queue)).filter_map(Item::shared).collect()
    }

    /// Whether so much more fits into the queue. Where it does not, [`Self::purge`] may help.
    #[must_use]
    pub fn has_room(&self, size: usize) -> bool {
        self.queue.len() + self.reserved < limits::SESSION_QUEUE
            && self.queue_bytes + self.reserved_bytes + size <= limits::SESSION_QUEUE_BYTES
    }

    /// There is no room for any message, and none comes by what runs out of time.
    #[must_use]
    pub fn is_full_for_good(&self) -> bool {
        self.queue.len() + self.reserved >= limits::SESSION_QUEUE && self.expires_from.is_none()
    }

    /// Half of the queue is free, by number and by bytes.
    #[must_use]
    pub fn is_half_empty(&self) -> bool {
        self.queue.len() + self.reserved <= limits::SESSION_QUEUE / 2
            && self.queue_bytes + self.reserved_bytes <= limits::SESSION_QUEUE_BYTES / 2
    }

    /// Keeps a place in the queue for what must be written down first; gives its packet identifier. None: it is full.
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

    /// Nothing comes for a reserved place.
    pub fn unreserve(&mut self, id: u16, message: &Message) {
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(message.size());
        self.ids.remove(&id);
    }

    /// Puts what is written down into its place.
    pub fn offer_journaled(&mut self, item: Item<D>) {
        self.reserved = self.reserved.saturating_sub(1);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(item.size());
        self.enqueue(item);
    }

    /// Puts it into the queue, whose room for it was counted before.
    pub fn offer_counted(&mut self, item: Item<D>) {
        self.enqueue(item);
    }

    /// Puts it into the queue.
    pub fn offer(&mut self, item: Item<D>) -> OfferResult {
        if !self.has_room(item.size()) {
            return OfferResult::Full;
        }
        self.enqueue(item);
        OfferResult::Taken
    }

    /// What to write next; None until something comes or is acknowledged.
    pub fn next(&mut self, now: Instant) -> Option<OutgoingPacket<'_, D>> {
        if let Some(ack) = self.acks.pop() {
            return Some(OutgoingPacket::Ack(ack));
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
                return Some(OutgoingPacket::Publish { id: 0, dup: false, item: Cow::Owned(item) });
            }
            let id = item.journaled.map_or_else(|| self.free_id(), |journaled| journaled.id);
            let journaled = item.journaled.map(|journaled| journaled.num);
            self.in_flight.push_back(InFlight {
                id,
                state: SendState::Published,
                in_doubt: false,
                item: Some(item),
                journaled,
            });
            self.resent = self.in_flight.len();
            let item = self.in_flight.back()?.item.as_ref()?;
            return Some(OutgoingPacket::Publish { id, dup: false, item: Cow::Borrowed(item) });
        }
    }

    /// What an earlier connection sent, in its order, as far as the window of this one goes.
    fn resend(&mut self) -> Option<OutgoingPacket<'_, D>> {
        let entry = self.in_flight.get_mut(self.resent)?;
        self.resent += 1;
        entry.in_doubt = false;
        Some(match &entry.item {
            Some(item) if entry.state == SendState::Published => {
                OutgoingPacket::Publish { id: entry.id, dup: true, item: Cow::Borrowed(item) }
            }
            _ => OutgoingPacket::Ack(Ack::new(AckKind::PubRel, entry.id)),
        })
    }

    /// The next item that may be sent now. QoS 0 does not overtake what waits for the window.
    fn take_next(&mut self, now: Instant) -> Option<Item<D>> {
        if self.queue.is_empty() && self.latest.is_empty() {
            return None;
        }
        let room = self.has_window(now);
        match self.queue.front() {
            Some(item) if room || item.qos == QoS::AtMostOnce => {
                let item = self.queue.pop_front()?;
                self.queue_bytes -= item.size();
                if self.queue.is_empty() && self.queue.capacity() > 64 {
                    self.queue = VecDeque::new();
                }
                Some(item)
            }
            None if room => self.latest.pop_front(),
            _ => None,
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            let id = self.last_id;
            let taken = self.ids.contains(&id) || self.suspended.has(id) || self.released.has(id);
            if !taken && self.in_flight.iter().all(|entry| entry.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn finish_journaled(&mut self, journaled: Option<Journaled>) {
        if let Some(Journaled { num, id }) = journaled {
            self.ids.remove(&id);
            self.progress.finished.push(num);
        }
    }

    fn settle(&mut self, id: u16, state: SendState) -> Option<InFlight<D>> {
        let at = self.in_flight.iter().position(|entry| entry.id == id && entry.state == state)?;
        if at < self.resent {
            self.resent -= 1;
        }
        let entry = self.in_flight.remove(at)?;
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        self.finish_journaled(entry.journaled.map(|num| Journaled { num, id }));
        Some(entry)
    }

    /// PUBACK. Gives what was acknowledged; None when nothing of QoS 1 waits under this id.
    pub fn puback(&mut self, id: u16) -> Option<Item<D>> {
        if self.released.forget(id) {
            return None;
        }
        let waits = |entry: &InFlight<D>| entry.item.as_ref().is_some_and(|item| item.qos == QoS::AtLeastOnce);
        self.in_flight.iter().find(|entry| entry.id == id).filter(|entry| waits(entry))?;
        self.settle(id, SendState::Published)?.item
    }

    /// PUBREC: answers with PUBREL, or ends the exchange when the client refused. Gives what it has (or refused) now.
    pub fn pubrec(&mut self, id: u16, refused: bool) -> Option<Item<D>> {
        if refused {
            return self.settle(id, SendState::Published)?.item;
        }
        let entry = self.in_flight.iter_mut().find(|entry| entry.id == id);
        let Some(entry) = entry else {
            // 0x92: packet identifier not found.
            self.acks.push(Ack { reason: 0x92, ..Ack::new(AckKind::PubRel, id) });
            return None;
        };
        if entry.item.as_ref().is_some_and(|item| item.qos != QoS::ExactlyOnce) {
            return None;
        }
        let again = entry.state == SendState::Released;
        entry.state = SendState::Released;
        let item = entry.item.take();
        match entry.journaled {
            // Until that is durable, the client might get it a second time after a crash.
            Some(num) if !again => self.progress.pubrec_received.push(Journaled { num, id }),
            _ => self.acks.push(Ack::new(AckKind::PubRel, id)),
        }
        item
    }

    /// PUBCOMP. False when nothing waits for it.
    pub fn pubcomp(&mut self, id: u16) -> bool {
        self.settle(id, SendState::Released).is_some()
    }

    /// The deliveries to devices that the client has not acknowledged, with the packet ids.
    #[must_use]
    pub fn deliveries_in_flight(&self) -> Vec<(u16, D)> {
        let delivery = |entry: &InFlight<D>| match &entry.item {
            Some(Item { body: Body::Device(delivery), .. }) => Some((entry.id, delivery.clone())),
            _ => None,
        };
        self.in_flight.iter().filter_map(delivery).collect()
    }

    /// Gives up on something that [`Self::next`] gave, such as one that is too large for the client.
    pub fn forget(&mut self, id: u16) -> Option<Item<D>> {
        self.settle(id, SendState::Published)?.item
    }

    /// Removes the deliveries to devices that match and were not sent yet.
    pub fn withdraw(&mut self, wanted: impl Fn(&D) -> bool) {
        let keeps = |item: &Item<D>| !matches!(&item.body, Body::Device(delivery) if wanted(delivery));
        self.queue.retain(keeps);
        self.latest.retain(keeps);
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
    }

    /// What an acknowledgement by the client finds.
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

    /// Forgets the messages for which this does not hold, sent or not. Gives what came by shared subscriptions, was not sent
    /// yet, and another client may have.
    pub fn revoke(&mut self, may: impl Fn(&Message) -> bool) -> Vec<SharedMessage> {
        let denied = |item: &Item<D>| matches!(&item.body, Body::Message { message, .. } if !may(message));
        let sent = self.in_flight.iter().filter(|entry| entry.item.as_ref().is_some_and(denied));
        for id in sent.map(|entry| entry.id).collect::<Vec<_>>() {
            self.forget(id);
        }
        let (finished, queue): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(denied);
        self.queue = queue;
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
        finished.iter().for_each(|item| self.finish_journaled(item.journaled));
        finished.into_iter().filter_map(Item::shared).collect()
    }

    /// About how much memory the queue holds, and what has a place in it, bytes.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue_bytes + self.reserved_bytes
    }

    /// Messages that wait in the queue, and places in it that are reserved.
    #[must_use]
    pub fn slots_used(&self) -> usize {
        self.queue.len() + self.reserved
    }

    /// Messages that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}
