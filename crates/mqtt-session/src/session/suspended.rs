//! In-flight deliveries of devices that their gateway has not attached again. They keep their packet identifiers, take no place in the
//! window, and are not retransmitted before they are resumed.

use super::{
    Session,
    in_flight::InFlight,
    item::{Body, Deliverable, Item},
};
use switchbox_model::limits;

impl<D: Clone + Deliverable> Session<D> {
    /// Suspends the delivery in flight under this packet identifier. If there are too many, the oldest is dropped.
    pub fn suspend(&mut self, id: u16) {
        let Some(at) = self.in_flight.iter().position(|entry| entry.id == id) else { return };
        if at < self.resent {
            self.resent -= 1;
        }
        self.suspended.0.extend(self.in_flight.remove(at));
        if self.suspended.0.len() > usize::from(limits::IN_FLIGHT) {
            self.suspended.0.pop_front();
        }
    }

    /// The suspended deliveries, with their packet identifiers.
    #[must_use]
    pub fn deliveries_suspended(&self) -> Vec<(u16, D)> {
        let delivery = |entry: &InFlight<D>| match &entry.item {
            Some(Item { body: Body::Device(delivery), .. }) => Some((entry.id, delivery.clone())),
            _ => None,
        };
        self.suspended.0.iter().filter_map(delivery).collect()
    }

    /// Ends the suspension of a delivery: it is retransmitted if `retransmit`, and dropped otherwise.
    pub fn resume_suspended(&mut self, id: u16, retransmit: bool) {
        let Some(at) = self.suspended.0.iter().position(|entry| entry.id == id) else { return };
        let entry = self.suspended.0.remove(at);
        if retransmit {
            // The entry is added after all entries that were sent on this connection, so it counts as not sent yet.
            self.in_flight.extend(entry);
        }
    }
}
