//! Changes by published messages that have to be durable before they are delivered and acknowledged. They are journaled in one entry, and
//! delivered when it is durable.

use std::sync::Arc;

use super::{Numbers, Subscriber};
use switchbox_model::{
    Message,
    broker::{BrokerChange, ClockReading, MessageNum, Owner, Recipient, StoredMessage},
};

/// Bytes that a change takes up in the journal's queue beside its message, roughly.
const OVERHEAD: usize = 96;

/// A reserved place in a subscriber's queue. Given back on drop if the message was not delivered.
struct ReservedPlace {
    subscriber: Arc<dyn Subscriber>,
    num: MessageNum,
    message: Arc<Message>,
    /// Is `None` after the message was delivered.
    recipient: Option<Recipient>,
}

impl ReservedPlace {
    /// Delivers the message, as it is durable.
    fn fill(mut self) {
        if let Some(recipient) = self.recipient.take() {
            self.subscriber.journaled(self.num, &self.message, recipient);
        }
    }
}

impl Drop for ReservedPlace {
    fn drop(&mut self) {
        if let Some(recipient) = &self.recipient {
            self.subscriber.not_journaled(&self.message, recipient);
        }
    }
}

/// Places in the queues of subscribers for messages that are not durable yet. Given back on drop, not on the journal's writer: that takes locks
/// of subscribers.
pub struct ReservedPlaces(Vec<ReservedPlace>);

impl ReservedPlaces {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Delivers the messages, as they are durable.
    pub fn fill(self) {
        self.0.into_iter().for_each(ReservedPlace::fill);
    }

    /// Drops the places without giving them back, because the journal accepts no more entries and the host stops. Takes no lock of a subscriber.
    pub fn abandon(mut self) {
        self.0.iter_mut().for_each(|place| place.recipient = None);
    }
}

/// Changes that become one entry of the journal, and the deliveries that follow when it is durable.
#[derive(Default)]
pub struct PendingChanges {
    changes: Vec<BrokerChange>,
    places: Vec<ReservedPlace>,
    /// What the changes take up in the journal's queue, roughly.
    bytes: usize,
}

impl PendingChanges {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes that they take up in the journal's queue, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, change: BrokerChange) {
        self.bytes += OVERHEAD;
        self.changes.push(change);
    }

    pub fn extend(&mut self, changes: impl IntoIterator<Item = BrokerChange>) {
        changes.into_iter().for_each(|change| self.push(change));
    }

    /// Adds a message for one session whose place is reserved already, such as a retained message.
    pub fn deliver(
        &mut self,
        numbers: &Numbers,
        subscriber: Arc<dyn Subscriber>,
        message: &Arc<Message>,
        recipient: Recipient,
        now: ClockReading,
    ) {
        self.message(message, now).journal_for(numbers, subscriber, recipient);
    }

    /// A published message that is not among the changes yet.
    pub(super) fn message<'a>(&'a mut self, message: &'a Arc<Message>, now: ClockReading) -> PendingMessage<'a> {
        PendingMessage { pending: self, message, now, index: None }
    }

    /// The changes, and the places that are filled when they are durable.
    #[must_use]
    pub fn into_parts(self) -> (Vec<BrokerChange>, ReservedPlaces) {
        (self.changes, ReservedPlaces(self.places))
    }
}

/// A published message. It is added to the pending changes once, when the first recipient needs it durable.
pub(super) struct PendingMessage<'a> {
    pending: &'a mut PendingChanges,
    pub(super) message: &'a Arc<Message>,
    /// When the message is published.
    now: ClockReading,
    /// The index of its change. `None` if it was not added yet.
    index: Option<usize>,
}

impl PendingMessage<'_> {
    /// Journals the message as its topic's retained message, which counts against this owner's quota.
    pub(super) fn retain(&mut self, numbers: &Numbers, owner: &Owner) {
        if let Some(BrokerChange::Published { retained, .. }) = self.change(numbers) {
            *retained = Some(owner.clone());
        }
    }

    /// Journals the message for a recipient, whose place in the subscriber's queue is reserved.
    pub(super) fn journal_for(&mut self, numbers: &Numbers, subscriber: Arc<dyn Subscriber>, recipient: Recipient) {
        self.pending.bytes += OVERHEAD;
        let message = self.message.clone();
        if let Some(BrokerChange::Published { num, to, .. }) = self.change(numbers) {
            let num = *num;
            to.push(recipient.clone());
            self.pending.places.push(ReservedPlace { subscriber, num, message, recipient: Some(recipient) });
        }
    }

    /// The change that journals the message; added if it is not there yet.
    fn change(&mut self, numbers: &Numbers) -> Option<&mut BrokerChange> {
        if self.index.is_none() {
            self.index = Some(self.pending.changes.len());
            self.pending.bytes += OVERHEAD + self.message.size();
            self.pending.changes.push(BrokerChange::Published {
                num: numbers.next_message(),
                message: StoredMessage::of(self.message, self.now),
                retained: None,
                to: Vec::new(),
            });
        }
        self.index.and_then(|index| self.pending.changes.get_mut(index))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::topics::{Delivered, Delivery};
    use switchbox_model::{QoS, broker::SessionNum};

    /// Counts the places that it gets back.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Subscriber for Counting {
        fn id(&self) -> u64 {
            1
        }

        fn deliver(&self, _: &Arc<Message>, _: Delivery) -> Delivered {
            Delivered::Dropped
        }

        fn journaled(&self, _: MessageNum, _: &Arc<Message>, _: Recipient) {}

        fn not_journaled(&self, _: &Message, _: &Recipient) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn is_connected(&self) -> bool {
            false
        }

        fn wait_allowance(&self) -> Duration {
            Duration::ZERO
        }

        fn record_wait(&self, _: Instant, _: Instant) {}

        fn wait_for_room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn places_are_given_back_but_not_after_the_journal_has_failed() {
        let counting = Arc::new(Counting::default());
        let places = || {
            let (session, qos) = (SessionNum(1), QoS::AtLeastOnce);
            let recipient = Some(Recipient { session, id: 1, qos, retain: false, ids: Vec::new(), shared: None });
            let (subscriber, message) = (counting.clone(), Arc::new(Message::new("a", "x")));
            ReservedPlaces(vec![ReservedPlace { subscriber, num: MessageNum(1), message, recipient }])
        };
        drop(places());
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        // The journal's writer does it, and may take no lock of a session.
        places().abandon();
        places().fill();
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    }
}
