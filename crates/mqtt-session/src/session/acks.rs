//! The host's acknowledgements to a client, in the order of the client's packets. An acknowledgement waits until what it acknowledges is in
//! the journal. No IO.

use std::collections::VecDeque;

use switchbox_model::QueuePosition;
use switchbox_mqtt_codec::packet::{Ack, AckKind};

/// Acknowledgements that wait for the same position.
#[derive(Debug)]
struct AckBatch {
    /// The acknowledgements may be sent when the journal is committed up to this position.
    position: QueuePosition,
    acks: VecDeque<Ack>,
}

/// The queue of acknowledgements. A batch that is not committed yet delays those after it, so that the order is kept.
#[derive(Debug, Default)]
pub(super) struct Acks {
    batches: VecDeque<AckBatch>,
    /// The journal is committed up to this position.
    pub(super) committed: QueuePosition,
    /// Acknowledgements in the queue, those that may be sent already included.
    pub(super) count: usize,
    /// How many of them end an exchange, and so make room in the client's receive maximum.
    pub(super) closing: usize,
}

impl Acks {
    /// Queues an acknowledgement that waits only for earlier ones.
    pub(super) fn push(&mut self, ack: Ack) {
        self.count += 1;
        self.closing += usize::from(ack.is_closing());
        match self.batches.back_mut() {
            Some(batch) if batch.position <= self.committed => batch.acks.push_back(ack),
            _ => self.batches.push_back(AckBatch { position: QueuePosition::default(), acks: VecDeque::from([ack]) }),
        }
    }

    /// Queues acknowledgements that wait until the journal is committed up to `position`, which must not be before that of an earlier batch.
    pub(super) fn push_at(&mut self, position: QueuePosition, acks: Vec<Ack>) {
        self.count += acks.len();
        self.closing += acks.iter().filter(|ack| ack.is_closing()).count();
        self.batches.push_back(AckBatch { position, acks: acks.into() });
    }

    /// The journal is committed up to this position. Returns the packet identifiers of the client's QoS 2 messages that it has now.
    pub(super) fn commit(&mut self, position: QueuePosition) -> Vec<u16> {
        let previous = self.committed;
        self.committed = position.max(previous);
        let newly_committed =
            self.batches.iter().filter(|batch| batch.position > previous && batch.position <= position);
        newly_committed.flat_map(received).collect()
    }

    /// The next acknowledgement that may be sent.
    pub(super) fn pop(&mut self) -> Option<Ack> {
        loop {
            let batch = self.batches.front_mut()?;
            if batch.position > self.committed {
                return None;
            }
            if let Some(ack) = batch.acks.pop_front() {
                self.count -= 1;
                self.closing -= usize::from(ack.is_closing());
                return Some(ack);
            }
            self.batches.pop_front();
            if self.batches.is_empty() {
                self.batches = VecDeque::new();
            }
        }
    }

    /// Empties the queue. Returns the client's QoS 2 messages that are not committed yet, with their positions.
    pub(super) fn clear(&mut self) -> Vec<(QueuePosition, u16)> {
        self.count = 0;
        self.closing = 0;
        let batches = std::mem::take(&mut self.batches);
        let waiting = batches.iter().filter(|batch| batch.position > self.committed);
        waiting.flat_map(|batch| received(batch).map(|id| (batch.position, id))).collect()
    }
}

/// The client's QoS 2 messages that are acknowledged in the batch.
fn received(batch: &AckBatch) -> impl Iterator<Item = u16> {
    batch.acks.iter().filter(|ack| ack.kind == AckKind::PubRec).map(|ack| ack.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(id: u16) -> Ack {
        Ack::new(AckKind::PubAck, id)
    }

    fn ids(acks: &mut Acks) -> Vec<u16> {
        std::iter::from_fn(|| acks.pop()).map(|ack| ack.id).collect()
    }

    #[test]
    fn the_order_is_that_of_the_publishes_and_what_is_ready_waits_behind_what_is_not() {
        let mut acks = Acks::default();
        acks.push(ack(1));
        acks.push_at(QueuePosition(7), vec![ack(2), ack(3)]);
        acks.push(ack(4));
        acks.push_at(QueuePosition(9), vec![ack(5)]);
        assert_eq!(ids(&mut acks), [1]);
        acks.commit(QueuePosition(6));
        assert!(ids(&mut acks).is_empty());
        acks.commit(QueuePosition(8));
        assert_eq!(ids(&mut acks), [2, 3, 4]);
        acks.commit(QueuePosition(9));
        assert_eq!(ids(&mut acks), [5]);
        assert_eq!(acks.count, 0);
    }

    #[test]
    fn what_the_journal_does_not_have_when_all_is_forgotten_is_known_by_its_position() {
        let mut acks = Acks::default();
        let received = |id| Ack::new(AckKind::PubRec, id);
        acks.push_at(QueuePosition(1), vec![received(1)]);
        acks.push_at(QueuePosition(2), vec![ack(2), received(3)]);
        assert_eq!(acks.commit(QueuePosition(1)), [1]);
        assert_eq!(acks.clear(), [(QueuePosition(2), 3)]);
        assert!(acks.commit(QueuePosition(2)).is_empty() && ids(&mut acks).is_empty());
    }
}
