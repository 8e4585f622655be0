//! What was sent and not acknowledged, and may not be sent again before somebody says so: it keeps its packet identifier
//! meanwhile, and has no place in the window.

use std::collections::VecDeque;

use super::{Body, InFlight, Item, Session, Weigh};
use switchbox_model::limits;

/// In the order in which it was sent.
#[derive(Debug)]
pub(super) struct Suspended<H>(VecDeque<InFlight<H>>);

impl<H> Default for Suspended<H> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<H> Suspended<H> {
    pub(super) fn has(&self, id: u16) -> bool {
        self.0.iter().any(|entry| entry.id == id)
    }
}

impl<H: Clone + Weigh> Session<H> {
    /// What is in flight under this packet identifier rests. Of too many the oldest is forgotten.
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

    /// What the hub delivered that rests, with the packet ids.
    #[must_use]
    pub fn hub_suspended(&self) -> Vec<(u16, H)> {
        let hub = |entry: &InFlight<H>| match &entry.item {
            Some(Item { body: Body::Hub(hub), .. }) => Some((entry.id, hub.clone())),
            _ => None,
        };
        self.suspended.0.iter().filter_map(hub).collect()
    }

    /// What rests under this packet identifier is sent again, or else forgotten.
    pub fn wake(&mut self, id: u16, send: bool) {
        let Some(at) = self.suspended.0.iter().position(|entry| entry.id == id) else { return };
        let entry = self.suspended.0.remove(at);
        if send {
            // Behind all that was written on this connection, so it counts as not yet written.
            self.in_flight.extend(entry);
        }
    }
}
