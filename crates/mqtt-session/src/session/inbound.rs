//! Messages from the client: the QoS 2 exchanges, and the host's acknowledgements, in the order of the client's packets. An acknowledgement
//! waits until what it acknowledges is in the journal.

use std::collections::{HashMap, VecDeque};

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

    /// Queues an acknowledgement that waits only for earlier ones. A PUBREC without an error makes its message count as acknowledged.
    pub fn ack(&mut self, ack: Ack) {
        if ack.kind == AckKind::PubRec
            && ack.reason < 0x80
            && let Some(state) = self.received.get_mut(&ack.id)
        {
            *state = Qos2State::Acknowledged;
        }
        self.closing_acks += usize::from(ack.is_closing());
        self.acks.push_back((QueuePosition::default(), ack));
    }

    /// Queues acknowledgements that are sent when the journal is committed up to this position, which must not be before that of an earlier
    /// call.
    pub fn ack_at(&mut self, position: QueuePosition, acks: Vec<Ack>) {
        let new_state = if position <= self.committed { Qos2State::Acknowledged } else { Qos2State::Submitted };
        self.acks.reserve(acks.len());
        for ack in acks {
            if ack.kind == AckKind::PubRec
                && let Some(state) = self.received.get_mut(&ack.id)
            {
                *state = new_state;
            }
            self.closing_acks += usize::from(ack.is_closing());
            self.acks.push_back((position, ack));
        }
    }

    /// The journal is committed up to this position. QoS 2 messages are acknowledged also if the connection that sent them has ended.
    pub fn commit(&mut self, position: QueuePosition) {
        let previous = self.committed;
        self.committed = position.max(previous);
        for (at, ack) in self.acks.iter().take_while(|(at, _)| *at <= position) {
            if *at > previous
                && ack.kind == AckKind::PubRec
                && let Some(state) = self.received.get_mut(&ack.id)
            {
                *state = Qos2State::Acknowledged;
            }
        }
        while let Some((_, id)) = self.uncommitted.pop_front_if(|(at, _)| *at <= position) {
            if self.received.contains_key(&id) {
                self.ack(Ack::new(AckKind::PubRec, id));
            }
        }
    }

    /// Drops the queued acknowledgements of a connection that has ended. Its QoS 2 messages that are not committed yet are remembered.
    pub(super) fn clear_acks(&mut self) {
        self.closing_acks = 0;
        let acks = std::mem::take(&mut self.acks).into_iter();
        let uncommitted = acks.filter(|(position, ack)| *position > self.committed && ack.kind == AckKind::PubRec);
        self.uncommitted.extend(uncommitted.map(|(position, ack)| (position, ack.id)));
    }

    /// The client's QoS 1 and 2 messages whose exchange has not ended.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.closing_acks + self.received.len()
    }

    /// Acknowledgements that wait to be written.
    #[must_use]
    pub fn acks_waiting(&self) -> usize {
        self.acks.len()
    }

    /// The next acknowledgement that may be sent. A connection that is ending sends nothing else: the rest waits for the next connection.
    pub fn next_ack(&mut self) -> Option<OutgoingPacket<D>> {
        let committed = self.committed;
        let (_, ack) = self.acks.pop_front_if(|(position, _)| *position <= committed)?;
        self.closing_acks -= usize::from(ack.is_closing());
        if self.acks.is_empty() {
            self.acks = VecDeque::new();
        }
        Some(OutgoingPacket::Ack(ack))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{S, written};
    use super::*;

    fn puback(id: u16) -> Ack {
        Ack::new(AckKind::PubAck, id)
    }

    #[test]
    fn the_order_is_that_of_the_publishes_and_what_is_ready_waits_behind_what_is_not() {
        let mut session = S::new();
        session.ack(puback(1));
        session.ack_at(QueuePosition(7), vec![puback(2), puback(3)]);
        session.ack(puback(4));
        session.ack_at(QueuePosition(9), vec![puback(5)]);
        assert_eq!(written(&mut session), ["ack1"]);
        session.commit(QueuePosition(6));
        assert!(written(&mut session).is_empty());
        session.commit(QueuePosition(8));
        assert_eq!(written(&mut session), ["ack2", "ack3", "ack4"]);
        assert_eq!((session.acks_waiting(), session.unacknowledged()), (1, 1));
        session.commit(QueuePosition(9));
        assert_eq!(written(&mut session), ["ack5"]);
        assert_eq!((session.acks_waiting(), session.unacknowledged()), (0, 0));
        assert_eq!(session.acks.capacity(), 0, "an idle session holds no memory for acknowledgements");
    }

    #[test]
    fn what_the_journal_does_not_have_when_the_connection_ends_is_known_by_its_position() {
        let mut session = S::new();
        let received = |id| Ack::new(AckKind::PubRec, id);
        for id in [1, 3] {
            session.receive(id);
        }
        session.ack_at(QueuePosition(1), vec![received(1)]);
        session.ack_at(QueuePosition(2), vec![puback(2), received(3)]);
        session.commit(QueuePosition(1));
        let state = |session: &S, id: u16| session.received.get(&id).copied();
        assert_eq!(state(&session, 1), Some(Qos2State::Acknowledged));
        assert_eq!(state(&session, 3), Some(Qos2State::Submitted));
        session.disconnect();
        assert_eq!(session.uncommitted, [(QueuePosition(2), 3)]);
        assert!(written(&mut session).is_empty());
        session.commit(QueuePosition(2));
        assert_eq!(written(&mut session), ["rec3"]);
    }
}
