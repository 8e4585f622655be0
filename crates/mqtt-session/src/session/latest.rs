//! Deliveries to a device of which only the newest is sent, such as configs.

use std::cmp::Ordering;

use super::{Body, Deliverable, Item, Session};

impl<D: Clone + Deliverable> Session<D> {
    /// Queues the item if the in-flight window has room. Otherwise the item waits beside the queue and replaces an older one that waits
    /// there. A version that is queued or in flight already is not queued again.
    pub fn offer_latest(&mut self, item: Item<D>) {
        if self.has_version(&item) {
            return;
        }
        let ahead = self.in_flight.len() + self.queue.len();
        let replaces = |older: &Item<D>| match (&item.body, &older.body) {
            (Body::Device(newer), Body::Device(older)) => newer.replaces(older),
            _ => false,
        };
        if let Some(older) = self.latest.iter_mut().find(|older| replaces(older)) {
            *older = item;
        } else if !self.latest.is_empty() || ahead >= usize::from(self.window) {
            self.latest.push_back(item);
        } else {
            self.enqueue(item);
        }
    }

    /// Returns true if this version of the document is the newest one that is queued or in flight.
    fn has_version(&self, item: &Item<D>) -> bool {
        let compare = |other: &Item<D>| match (&item.body, &other.body) {
            (Body::Device(item), Body::Device(other)) => item.compare_version(other),
            _ => None,
        };
        let in_flight = self.in_flight.iter().rev().filter_map(|entry| entry.item.as_ref());
        // From the newest to the oldest, up to the first version that is not newer than this one.
        let newest = self.queue.iter().rev().chain(in_flight).filter_map(compare).find(|order| order.is_ge());
        newest == Some(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    #[test]
    fn what_is_in_flight_or_waits_is_not_taken_a_second_time_as_the_newest() {
        let mut session = S::new();
        session.connect(2);
        for version in [1, 1, 2, 2] {
            session.offer_latest(delivery(version));
        }
        assert_eq!(written(&mut session), ["p1=v1", "p2=v2"]);
        for version in [2, 3, 3, 2, 4] {
            session.offer_latest(delivery(version));
        }
        session.disconnect();
        session.connect(3);
        session.offer_latest(delivery(4));
        session.offer_latest(delivery(2));
        assert_eq!(written(&mut session), ["d1=v1", "d2=v2", "p3=v4"]);
        (1..=3).for_each(|id| drop(session.puback(id)));
        session.offer_latest(delivery(4));
        assert_eq!(written(&mut session), ["p4=v4"], "once it is acknowledged it may come again");
    }
}
