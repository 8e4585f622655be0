//! Releases obsolete messages that the client has not acknowledged, such as method calls that it has answered. They take no place in the
//! window, and their packet identifiers are not used again before their acknowledgement comes.

use std::time::Instant;

use super::{
    Session,
    in_flight::{InFlight, SendState},
    item::{Body, Deliverable},
};

impl<D: Clone + Deliverable> Session<D> {
    /// Releases the deliveries in flight that are obsolete.
    pub fn release_deliveries(&mut self, is_over: impl Fn(&D) -> bool) {
        let is_obsolete = |entry: &InFlight<D>| {
            let item = entry.item.as_ref().filter(|_| entry.state == SendState::Published);
            item.is_some_and(|item| matches!(&item.body, Body::Device(delivery) if is_over(delivery)))
        };
        while let Some(at) = self.in_flight.iter().position(is_obsolete) {
            if at < self.resent {
                self.resent -= 1;
            }
            if let Some(entry) = self.in_flight.remove(at) {
                self.released.add(entry.id);
            }
        }
    }

    /// Returns true if the window has a free place. Obsolete messages count against the client's receive maximum, but not against the
    /// host's own window.
    pub(super) fn has_window(&mut self, now: Instant) -> bool {
        if self.in_flight.len() >= usize::from(self.window) {
            self.release_deliveries(|delivery| delivery.obsolete_at().is_some_and(|at| at <= now));
        }
        self.in_flight.len() < usize::from(self.window)
            && self.in_flight.len() + self.released.len() < usize::from(self.receive_maximum)
    }

    /// The packet identifier of the oldest message in flight, if others wait because the window is full.
    #[must_use]
    pub fn blocking_packet_id(&self) -> Option<u16> {
        let has_waiting = !self.latest.is_empty() || self.queue.front().is_some();
        let is_full = self.in_flight.len() >= usize::from(self.window)
            || self.in_flight.len() + self.released.len() >= usize::from(self.receive_maximum);
        let oldest = self.in_flight.front().map(|entry| entry.id).or_else(|| self.released.oldest());
        oldest.filter(|_| has_waiting && is_full)
    }
}

#[cfg(test)]
mod tests {
    use switchbox_model::limits;

    use switchbox_mqtt_codec::packet::AckKind;

    use super::super::{Expected, tests::*};

    #[test]
    fn what_is_over_frees_its_place_and_keeps_its_packet_identifier() {
        let mut session = S::new();
        session.connect(u16::MAX);
        let window = u64::from(limits::IN_FLIGHT);
        for call in 1..=window {
            session.offer(delivery(call));
        }
        session.offer(delivery(200));
        assert_eq!(written(&mut session).len() as u64, window);
        assert_eq!(session.blocking_packet_id(), Some(1));
        session.release_deliveries(|call| *call <= 2);
        session.last_id = 0;
        assert_eq!(
            written(&mut session),
            ["p33=v200"],
            "neither what is over nor what is in flight gives up its identifier"
        );
        assert_eq!((session.blocking_packet_id(), session.expects(AckKind::PubAck, 1)), (None, Expected::Yes));
        assert!(session.puback(1).is_none() && session.puback(2).is_none());
        session.last_id = 0;
        session.offer(delivery(300));
        assert_eq!(written(&mut session), ["p1=v300"]);
        // Messages that are obsolete free their places, also for a client with a small receive maximum.
        let mut session = S::new();
        session.connect(2);
        for call in [900, 901, 1] {
            session.offer(delivery(call));
        }
        assert_eq!(written(&mut session), ["p1=v900", "p2=v901"]);
        assert!(session.puback(1).is_none());
        assert_eq!(written(&mut session), ["p3=v1"]);
    }
}
