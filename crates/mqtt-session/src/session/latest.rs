//! What the hub delivers and of which only the newest is wanted, such as configs.

use std::cmp::Ordering;

use super::{Body, Item, Session, Weigh};

impl<H: Clone + Weigh> Session<H> {
    /// Puts it into the queue while the in-flight window has room; else it waits beside it, in place of what it replaces. What is
    /// in flight or in the queue already is not taken a second time.
    pub fn offer_latest(&mut self, item: Item<H>) {
        if self.has_version(&item) {
            return;
        }
        let ahead = self.in_flight.len() + self.queue.len();
        let replaces = |older: &Item<H>| match (&item.body, &older.body) {
            (Body::Hub(newer), Body::Hub(older)) => newer.replaces(older),
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

    /// The same version of the same document is in flight or in the queue.
    fn has_version(&self, item: &Item<H>) -> bool {
        let compare = |other: &Item<H>| match (&item.body, &other.body) {
            (Body::Hub(item), Body::Hub(other)) => item.compare_version(other),
            _ => None,
        };
        let in_flight = self.in_flight.iter().rev().filter_map(|entry| entry.item.as_ref());
        // Newest first: before a version that is older, there are only versions that are older still.
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
            session.offer_latest(hub(version));
        }
        assert_eq!(written(&mut session), ["p1=v1", "p2=v2"]);
        for version in [2, 3, 3, 2, 4] {
            session.offer_latest(hub(version));
        }
        session.disconnect();
        session.connect(3);
        session.offer_latest(hub(4));
        session.offer_latest(hub(2));
        assert_eq!(written(&mut session), ["d1=v1", "d2=v2", "p3=v4"]);
        (1..=3).for_each(|id| drop(session.puback(id)));
        session.offer_latest(hub(4));
        assert_eq!(written(&mut session), ["p4=v4"], "once it is acknowledged it may come again");
    }
}
