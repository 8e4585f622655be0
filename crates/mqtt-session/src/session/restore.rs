//! Makes a session from stored items. Does not read the store.

use std::time::Instant;

use super::{Deliverable, DeliveryStage, InFlight, Item, Journaled, SendState, Session, StoredItem, item::Qos2State};
use switchbox_model::broker::MessageNum;

impl<D: Clone + Deliverable> Session<D> {
    /// Restores the items in their order, and the client's QoS 2 packet identifiers. Expired items are dropped unless it is certain that
    /// they were sent.
    #[must_use]
    pub fn restore(items: Vec<StoredItem<D>>, received: Vec<u16>, now: Instant) -> Self {
        let mut session = Self::new();
        session.received = received.into_iter().map(|id| (id, Qos2State::Acknowledged)).collect();
        for StoredItem { item, stage } in items {
            if let Some(journaled) = item.journaled {
                // The identifier is not used for the next message even if this one is dropped, because the client may have seen it.
                session.last_id = journaled.id;
                session.ids.insert(journaled.id);
            }
            match (stage, item.journaled) {
                (DeliveryStage::Queued | DeliveryStage::InDoubt, journaled) if item.is_expired(now) => {
                    session.finish_journaled(journaled)
                }
                (DeliveryStage::InDoubt | DeliveryStage::Sent | DeliveryStage::PubRecReceived, Some(journaled)) => {
                    session.restore_in_flight(item, journaled, stage)
                }
                _ => session.enqueue(item),
            }
        }
        session
    }

    fn restore_in_flight(&mut self, item: Item<D>, Journaled { num, id }: Journaled, stage: DeliveryStage) {
        let is_released = stage == DeliveryStage::PubRecReceived;
        let state = if is_released { SendState::Released } else { SendState::Published };
        let (item, in_doubt) = ((!is_released).then_some(item), stage == DeliveryStage::InDoubt);
        self.in_flight.push_back(InFlight { id, state, in_doubt, item, journaled: Some(num) });
    }

    /// The first message in doubt that was not retransmitted yet.
    #[must_use]
    pub fn in_doubt_from(&self) -> Option<MessageNum> {
        self.in_flight.iter().find(|entry| entry.in_doubt)?.journaled
    }

    /// Drops expired messages in doubt before they are retransmitted.
    pub(super) fn drop_expired_in_doubt(&mut self, now: Instant) {
        let is_over =
            |entry: &InFlight<D>| entry.in_doubt && entry.item.as_ref().is_some_and(|item| item.is_expired(now));
        while self.in_flight.get(self.resent).is_some_and(is_over) {
            if let Some(InFlight { id, journaled, .. }) = self.in_flight.remove(self.resent) {
                self.finish_journaled(journaled.map(|num| Journaled { num, id }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{super::tests::*, *};
    use crate::session::{Body, PublishReceipt};
    use switchbox_model::{Message, QoS};

    fn stored_item(num: u64, qos: QoS, stage: DeliveryStage, expires: Option<Instant>) -> StoredItem<u64> {
        let message = Arc::new(Message { expires, ..Message::new("t", "x") });
        let body = Body::message(message);
        let journaled = Some(Journaled { num: MessageNum(num), id: u16::try_from(num).unwrap() + 10 });
        StoredItem { item: Item { qos, body, journaled }, stage }
    }

    fn finished(session: &mut S) -> Vec<u64> {
        session.take_finished().into_iter().map(|num| num.0).collect()
    }

    #[test]
    fn what_an_earlier_process_left_is_taken_up_in_order() {
        let mut session = S::restore(
            vec![
                stored_item(1, QoS::AtLeastOnce, DeliveryStage::Sent, None),
                stored_item(2, QoS::ExactlyOnce, DeliveryStage::PubRecReceived, None),
                stored_item(3, QoS::ExactlyOnce, DeliveryStage::InDoubt, None),
                stored_item(4, QoS::AtLeastOnce, DeliveryStage::Queued, None),
            ],
            vec![7],
            Instant::now(),
        );
        session.connect(10);
        session.offer(item(QoS::AtLeastOnce, "new"));
        assert_eq!(written(&mut session), ["d11", "rel12", "d13", "p14", "p15"]);
        assert_eq!(session.receive(7), PublishReceipt::Again);
        assert!(session.pubcomp(12));
        assert_eq!(session.take_progress().finished, [MessageNum(2)]);
    }

    #[test]
    fn what_expired_comes_again_only_where_it_was_sent_for_sure() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        let all = [DeliveryStage::Sent, DeliveryStage::PubRecReceived, DeliveryStage::InDoubt, DeliveryStage::Queued];
        let every = |from: u64, expires| {
            (from..).zip(all).map(move |(num, stage)| stored_item(num, QoS::ExactlyOnce, stage, Some(expires)))
        };
        // Over at the start; over when the client comes back.
        let mut session = S::restore(every(1, now).chain(every(5, soon)).collect(), vec![], now);
        assert_eq!(finished(&mut session), [3, 4]);
        session.connect(10);
        let mut written = Vec::new();
        while let Some(frame) = session.next(soon) {
            written.push(in_short(&frame));
        }
        assert_eq!(written, ["d11", "rel12", "d15", "rel16"]);
        assert_eq!(finished(&mut session), [7, 8]);
        // The client may know the identifiers of the others.
        session.offer(item(QoS::ExactlyOnce, "x"));
        assert_eq!(self::written(&mut session), ["p19"]);
    }

    #[test]
    fn what_was_in_doubt_and_is_sent_is_in_doubt_no_more() {
        let soon = Instant::now() + Duration::from_secs(1);
        let mut session = S::restore(
            vec![stored_item(1, QoS::AtLeastOnce, DeliveryStage::InDoubt, Some(soon))],
            vec![],
            Instant::now(),
        );
        assert_eq!(session.in_doubt_from(), Some(MessageNum(1)));
        for now in [Instant::now(), soon] {
            session.connect(10);
            assert_eq!(session.next(now).map(|frame| in_short(&frame)).as_deref(), Some("d11"));
            session.disconnect();
            assert_eq!(session.in_doubt_from(), None);
        }
    }
}
