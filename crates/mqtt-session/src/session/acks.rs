//! Our acknowledgements to a client, in the order of what it sent, although some must wait until the journal has them.
//! No IO.

use std::collections::VecDeque;

use switchbox_mqtt_codec::packet::Ack;

/// Names a batch that becomes ready later.
pub type BatchId = u64;

#[derive(Debug)]
struct Batch {
    /// 0 = ready.
    id: BatchId,
    acks: VecDeque<Ack>,
}

/// The queue. A batch that is not ready holds up what came after it.
#[derive(Debug, Default)]
pub(super) struct Acks {
    batches: VecDeque<Batch>,
    last_id: BatchId,
    count: usize,
    /// Those whose sending makes room in the client's quota for QoS 1 and 2.
    closing: usize,
}

impl Acks {
    pub(super) fn push(&mut self, ack: Ack) {
        self.count += 1;
        self.closing += usize::from(ack.is_closing());
        match self.batches.back_mut() {
            Some(batch) if batch.id == 0 => batch.acks.push_back(ack),
            _ => self.batches.push_back(Batch { id: 0, acks: VecDeque::from([ack]) }),
        }
    }

    pub(super) fn push_later(&mut self, acks: Vec<Ack>) -> BatchId {
        self.last_id += 1;
        self.count += acks.len();
        self.closing += acks.iter().filter(|ack| ack.is_closing()).count();
        self.batches.push_back(Batch { id: self.last_id, acks: acks.into() });
        self.last_id
    }

    /// False when the batch is not there (any more): it was of an earlier connection.
    pub(super) fn ready(&mut self, id: BatchId) -> bool {
        let batch = self.batches.iter_mut().find(|batch| batch.id == id);
        batch.map(|batch| batch.id = 0).is_some()
    }

    pub(super) fn pop(&mut self) -> Option<Ack> {
        loop {
            let batch = self.batches.front_mut()?;
            if batch.id != 0 {
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

    /// Acknowledgements that wait, ready or not.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Of these, those that end an exchange.
    pub(super) fn closing(&self) -> usize {
        self.closing
    }

    /// Forgets all; later batches still get ids that were never used.
    pub(super) fn clear(&mut self) {
        self.batches = VecDeque::new();
        self.count = 0;
        self.closing = 0;
    }
}

#[cfg(test)]
mod tests {
    use switchbox_mqtt_codec::packet::AckKind;

    use super::*;

    fn ack(id: u16) -> Ack {
        Ack::new(AckKind::PubAck, id)
    }

    fn ids(acks: &mut Acks) -> Vec<u16> {
        std::iter::from_fn(|| acks.pop()).map(|ack| ack.id).collect()
    }

    #[test]
    fn the_order_is_that_of_the_publishes_whatever_is_ready_first() {
        let mut acks = Acks::default();
        acks.push(ack(1));
        let first = acks.push_later(vec![ack(2), ack(3)]);
        acks.push(ack(4));
        let second = acks.push_later(vec![ack(5)]);
        assert_eq!(ids(&mut acks), [1]);
        assert!(acks.ready(second));
        assert!(ids(&mut acks).is_empty());
        assert!(acks.ready(first));
        assert_eq!(ids(&mut acks), [2, 3, 4, 5]);
        assert_eq!(acks.len(), 0);
    }

    #[test]
    fn a_batch_of_an_earlier_connection_is_not_taken_for_a_later_one() {
        let mut acks = Acks::default();
        let old = acks.push_later(vec![ack(1)]);
        acks.clear();
        let new = acks.push_later(vec![ack(2)]);
        assert!(!acks.ready(old));
        assert!(ids(&mut acks).is_empty());
        assert!(acks.ready(new));
        assert_eq!(ids(&mut acks), [2]);
    }
}
