//! Messages from the client: the QoS 2 exchanges, and the acknowledgements of what it published, which wait for the journal.

use std::collections::HashMap;

use super::{Deliverable, OutgoingPacket, PublishReceipt, Session, item::Qos2State};
use switchbox_model::QueuePosition;
use switchbox_mqtt_codec::packet::{Ack, AckKind};

impl<D: Clone + Deliverable> Session<D> {
    /// A QoS 2 PUBLISH came with this packet identifier.
    pub fn receive(&mut self, id: u16) -> PublishReceipt {
        match self.received.get(&id) {
            None => {
                self.received.insert(id, Qos2State::Arrived);
                PublishReceipt::New
            }
            Some(Qos2State::Acknowledged) => PublishReceipt::Again,
            Some(_) => PublishReceipt::Waiting,
        }
    }

    /// Undoes [`Self::receive`], for a message that was refused or could not be queued.
    pub fn unreceive(&mut self, id: u16) {
        self.received.remove(&id);
    }

    /// PUBREL came. Returns the PUBCOMP that answers it.
    #[must_use]
    pub fn pubrel(&mut self, id: u16) -> Ack {
        let is_known = self.received.remove(&id).is_some();
        if self.received.is_empty() {
            self.received = HashMap::new();
        }
        let reason = if is_known { 0 } else { 0x92 };
        Ack { reason, ..Ack::new(AckKind::PubComp, id) }
    }

    /// Queues an acknowledgement that waits only for earlier ones.
    pub fn ack(&mut self, ack: Ack) {
        self.mark_received(&ack);
        self.acks.push(ack);
    }

    /// Queues acknowledgements that are sent when the journal is committed up to this position, which must not be before that of an earlier
    /// call.
    pub fn ack_at(&mut self, position: QueuePosition, acks: Vec<Ack>) {
        let state = if position <= self.acks.committed { Qos2State::Acknowledged } else { Qos2State::Submitted };
        for ack in acks.iter().filter(|ack| ack.kind == AckKind::PubRec) {
            self.received.entry(ack.id).and_modify(|current| *current = state);
        }
        self.acks.push_at(position, acks);
    }

    /// The journal is committed up to this position. QoS 2 messages are acknowledged also if the connection that sent them has ended.
    pub fn commit(&mut self, position: QueuePosition) {
        for id in self.acks.commit(position) {
            self.mark_received(&Ack::new(AckKind::PubRec, id));
        }
        while let Some((_, id)) = self.uncommitted.pop_front_if(|(at, _)| *at <= position) {
            let ack = Ack::new(AckKind::PubRec, id);
            self.mark_received(&ack);
            if self.received.contains_key(&id) {
                self.acks.push(ack);
            }
        }
    }

    /// Drops the queued acknowledgements of a connection that has ended. Its QoS 2 messages that are not committed yet are remembered.
    pub(super) fn clear_acks(&mut self) {
        let uncommitted = self.acks.clear();
        self.uncommitted.extend(uncommitted);
    }

    /// A PUBREC without an error is queued: its message counts as acknowledged.
    fn mark_received(&mut self, ack: &Ack) {
        if ack.kind == AckKind::PubRec
            && ack.reason < 0x80
            && let Some(state) = self.received.get_mut(&ack.id)
        {
            *state = Qos2State::Acknowledged;
        }
    }

    /// The client's QoS 1 and 2 messages whose exchange has not ended.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.acks.closing + self.received.len()
    }

    /// Acknowledgements that wait to be written.
    #[must_use]
    pub fn acks_waiting(&self) -> usize {
        self.acks.count
    }

    /// The next acknowledgement that may be sent. Used by a connection that is ending: everything else waits for the next connection.
    pub fn next_ack(&mut self) -> Option<OutgoingPacket<D>> {
        self.acks.pop().map(OutgoingPacket::Ack)
    }
}
