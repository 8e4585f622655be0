//! What was sent and not acknowledged, and may not be sent again before somebody says so: it keeps its packet identifier
//! meanwhile, and has no place in the window.

use std::collections::VecDeque;

use super::{Body, Deliverable, InFlight, Item, Session};
use switchbox_model::limits;

/// In the order in which it was sent.
#[derive(Debug)]
pub(super) struct Suspended<D>(VecDeque<InFlight<D>>);

impl<D> Default for Suspended<D> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<D> Suspended<D> {
    pub(super) fn has(&self, id: u16) -> bool {
        self.0.iter().any(|entry| entry.id == id)
    }
}

impl<D: Clone + Deliverable> Session<D> {
    /// What is in flight under this packet identifier is suspended. Of too many the oldest is forgotten.
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

    /// The deliveries to devices that are suspended, with the packet ids.
    #[must_use]
    pub fn deliveries_suspended(&self) -> Vec<(u16, D)> {
        let delivery = |entry: &InFlight<D>| match &entry.item {
            Some(Item { body: Body::Device(delivery), .. }) => Some((entry.id, delivery.clone())),
            _ => None,
        };
        self.suspended.0.iter().filter_map(delivery).collect()
    }

    /// What is suspended under this packet identifier is sent again, or else forgotten.
    pub fn resume_suspended(&mut self, id: u16, send: bool) {
        let Some(at) = self.suspended.0.iter().position(|entry| entry.id == id) else { return };
        let entry = self.suspended.0.remove(at);
        if send {
            // Behind all that was written on this connection, so it counts as not yet written.
            self.in_flight.extend(entry);
        }
    }
}
