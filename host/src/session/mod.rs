//! One client's MQTT state: what waits to be sent, what waits for its acknowledgement, which QoS 2 messages it sent.
//! No sockets, no clocks, no packets: the connection asks [`Session::next`] what to write and tells what came.
//!
//! `H` is what the hub delivers. It travels like a message but is not kept while the client is away: the outbox does
//! that. Only what was sent already is sent again, as MQTT asks.

mod acks;
mod item;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use self::acks::Acks;
pub use self::{
    acks::{Ack, AckKind, BatchId},
    item::{Body, Frame, Item, Offer, Receipt, Weigh},
};
use crate::model::{Message, QoS, limits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Published,
    /// The client has it (PUBREC came); PUBREL was sent.
    Released,
}

#[derive(Debug)]
struct InFlight<H> {
    id: u16,
    state: Sent,
    item: Option<Item<H>>,
}

/// One client's state.
#[derive(Debug)]
pub struct Session<H> {
    window: u16,
    queue: VecDeque<Item<H>>,
    queue_bytes: usize,
    /// The newest of what is coalesced, waiting for room in the window.
    latest: Option<Item<H>>,
    in_flight: VecDeque<InFlight<H>>,
    /// In-flight entries before this one were written on this connection.
    resent: usize,
    last_id: u16,
    /// QoS 2 ids from the client; true = acknowledged with PUBREC.
    received: HashMap<u16, bool>,
    acks: Acks,
}

impl<H: Clone + Weigh> Default for Session<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: Clone + Weigh> Session<H> {
    #[must_use]
    pub fn new() -> Self {
        Self {
            window: limits::IN_FLIGHT,
            queue: VecDeque::new(),
            queue_bytes: 0,
            latest: None,
            in_flight: VecDeque::new(),
            resent: 0,
            last_id: 0,
            received: HashMap::new(),
            acks: Acks::default(),
        }
    }

    /// A connection begins, with the client's receive maximum. What was in flight is sent again first.
    pub fn connect(&mut self, receive_maximum: u16) {
        self.window = receive_maximum.clamp(1, limits::IN_FLIGHT);
        self.resent = 0;
        self.acks.clear();
    }

    /// The connection ended: what cannot outlive it goes.
    pub fn disconnect(&mut self) {
        self.acks.clear();
        self.latest = None;
        self.queue.retain(|item| item.qos != QoS::AtMostOnce && !item.is_hub());
        self.queue.shrink_to_fit();
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
    }

    /// The session is over: gives what came by shared subscriptions and another client may have. What may have reached
    /// this one with QoS 2 is not among it, as MQTT asks.
    pub fn end(&mut self) -> Vec<(Arc<str>, Arc<Message>)> {
        let sent = std::mem::take(&mut self.in_flight).into_iter().filter_map(|entry| entry.item);
        let sent = sent.filter(|item| item.qos == QoS::AtLeastOnce);
        self.queue_bytes = 0;
        sent.chain(std::mem::take(&mut self.queue)).filter_map(Item::shared).collect()
    }

    /// Puts it into the queue.
    pub fn offer(&mut self, item: Item<H>) -> Offer {
        let size = item.size();
        if self.queue.len() >= limits::SESSION_QUEUE || self.queue_bytes + size > limits::SESSION_QUEUE_BYTES {
            return Offer::Full;
        }
        self.queue_bytes += size;
        self.queue.push_back(item);
        Offer::Taken
    }

    /// Puts it into the queue while the in-flight window has room; else it waits alone, in place of what waited there.
    pub fn offer_latest(&mut self, item: Item<H>) {
        let ahead = self.in_flight.len() + self.queue.len();
        if self.latest.is_some() || ahead >= usize::from(self.window) {
            self.latest = Some(item);
        } else {
            self.queue_bytes += item.size();
            self.queue.push_back(item);
        }
    }

    /// What to write next; None until something comes or is acknowledged.
    pub fn next(&mut self, now: Instant) -> Option<Frame<H>> {
        if let Some(ack) = self.acks.pop() {
            return Some(Frame::Ack(ack));
        }
        if let Some(frame) = self.resend() {
            return Some(frame);
        }
        loop {
            let item = self.take_next()?;
            if item.is_expired(now) {
                continue;
            }
            if item.qos == QoS::AtMostOnce {
                return Some(Frame::Publish { id: 0, dup: false, item });
            }
            let id = self.free_id();
            self.in_flight.push_back(InFlight { id, state: Sent::Published, item: Some(item.clone()) });
            self.resent = self.in_flight.len();
            return Some(Frame::Publish { id, dup: false, item });
        }
    }

    /// What an earlier connection sent, in its order, as far as the window of this one goes.
    fn resend(&mut self) -> Option<Frame<H>> {
        if self.resent >= usize::from(self.window) {
            return None;
        }
        let entry = self.in_flight.get(self.resent)?;
        self.resent += 1;
        Some(match &entry.item {
            Some(item) if entry.state == Sent::Published => {
                Frame::Publish { id: entry.id, dup: true, item: item.clone() }
            }
            _ => Frame::Ack(Ack::new(AckKind::PubRel, entry.id)),
        })
    }

    /// The next item that may be sent now. QoS 0 does not overtake what waits for the window.
    fn take_next(&mut self) -> Option<Item<H>> {
        let room = self.in_flight.len() < usize::from(self.window);
        match self.queue.front() {
            Some(item) if room || item.qos == QoS::AtMostOnce => {
                let item = self.queue.pop_front()?;
                self.queue_bytes -= item.size();
                if self.queue.is_empty() && self.queue.capacity() > 64 {
                    self.queue = VecDeque::new();
                }
                Some(item)
            }
            None if room => self.latest.take(),
            _ => None,
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|entry| entry.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    fn settle(&mut self, id: u16, state: Sent) -> Option<InFlight<H>> {
        let at = self.in_flight.iter().position(|entry| entry.id == id && entry.state == state)?;
        if at < self.resent {
            self.resent -= 1;
        }
        let entry = self.in_flight.remove(at);
        if self.in_flight.is_empty() {
            self.in_flight = VecDeque::new();
        }
        entry
    }

    /// PUBACK. Gives what was acknowledged; None when nothing of QoS 1 waits under this id.
    pub fn puback(&mut self, id: u16) -> Option<Item<H>> {
        let waits = |entry: &InFlight<H>| entry.item.as_ref().is_some_and(|item| item.qos == QoS::AtLeastOnce);
        self.in_flight.iter().find(|entry| entry.id == id).filter(|entry| waits(entry))?;
        self.settle(id, Sent::Published)?.item
    }

    /// PUBREC: answers with PUBREL, or ends the exchange when the client refused. Gives what it has (or refused) now.
    pub fn pubrec(&mut self, id: u16, refused: bool) -> Option<Item<H>> {
        if refused {
            return self.settle(id, Sent::Published)?.item;
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
        entry.state = Sent::Released;
        let item = entry.item.take();
        self.acks.push(Ack::new(AckKind::PubRel, id));
        item
    }

    /// PUBCOMP. False when nothing waits for it.
    pub fn pubcomp(&mut self, id: u16) -> bool {
        self.settle(id, Sent::Released).is_some()
    }

    /// What the hub delivered and the client has not acknowledged, with the packet ids.
    #[must_use]
    pub fn hub_in_flight(&self) -> Vec<(u16, H)> {
        let hub = |entry: &InFlight<H>| match &entry.item {
            Some(Item { body: Body::Hub(hub), .. }) => Some((entry.id, hub.clone())),
            _ => None,
        };
        self.in_flight.iter().filter_map(hub).collect()
    }

    /// Gives up on something that [`Self::next`] gave, such as one that is too large for the client.
    pub fn forget(&mut self, id: u16) {
        self.settle(id, Sent::Published);
    }

    /// A QoS 2 PUBLISH came under this id.
    pub fn receive(&mut self, id: u16) -> Receipt {
        match self.received.get(&id) {
            None => {
                self.received.insert(id, false);
                Receipt::New
            }
            Some(true) => Receipt::Again,
            Some(false) => Receipt::Waiting,
        }
    }

    /// Takes back [`Self::receive`]: it was refused or could not be kept.
    pub fn unreceive(&mut self, id: u16) {
        self.received.remove(&id);
    }

    /// PUBREL: answers with PUBCOMP.
    pub fn release(&mut self, id: u16) {
        let known = self.received.remove(&id).is_some();
        if self.received.is_empty() {
            self.received = HashMap::new();
        }
        let reason = if known { 0 } else { 0x92 };
        self.acks.push(Ack { reason, ..Ack::new(AckKind::PubComp, id) });
    }

    /// Acknowledges now (after what waits already).
    pub fn ack(&mut self, ack: Ack) {
        self.mark_received(&ack);
        self.acks.push(ack);
    }

    /// Acknowledges when [`Self::acks_ready`] is called with the batch.
    pub fn ack_later(&mut self, acks: Vec<Ack>) -> BatchId {
        self.acks.push_later(acks)
    }

    /// The batch is durable. `received`: its QoS 2 ids. They are acknowledged even where the connection that brought
    /// them is gone.
    pub fn acks_ready(&mut self, batch: BatchId, received: &[u16]) {
        let here = self.acks.ready(batch);
        for id in received {
            let ack = Ack::new(AckKind::PubRec, *id);
            self.mark_received(&ack);
            if !here && self.received.contains_key(id) {
                self.acks.push(ack);
            }
        }
    }

    fn mark_received(&mut self, ack: &Ack) {
        if ack.kind == AckKind::PubRec
            && ack.reason < 0x80
            && let Some(acknowledged) = self.received.get_mut(&ack.id)
        {
            *acknowledged = true;
        }
    }

    /// QoS 1 and 2 messages of the client that are not yet acknowledged to the end.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.acks.closing() + self.received.len()
    }

    /// Acknowledgements that wait to be written.
    #[must_use]
    pub fn acks_waiting(&self) -> usize {
        self.acks.len()
    }

    /// Nothing of the client waits for the journal.
    #[must_use]
    pub fn all_durable(&self) -> bool {
        self.acks.all_ready()
    }

    /// Messages that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}
