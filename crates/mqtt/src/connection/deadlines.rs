//! The deadlines of a connection: the keep-alive, the rest of a packet, reading what is sent, and the expiry of the client's credentials.

use std::time::{Duration, Instant};

use crate::{connection::Connection, end::ConnectionEnd};
use switchbox_model::limits;
use switchbox_mqtt_codec::fault::{Fault, reason};

impl Connection {
    /// How long the client may send nothing. `None` if without limit.
    fn keep_alive(&self) -> Option<Duration> {
        (self.keep_alive_ms > 0).then(|| Duration::from_millis(self.keep_alive_ms.into()))
    }

    /// When the next deadline has to be checked.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        let keep_alive = self.keep_alive().map(|limit| self.last_read + limit);
        let blocked = self.blocked_since.map(|since| since + self.presence.shared.options.write_deadline);
        let partial = self.partial_since.map(|since| since + self.presence.shared.options.packet_deadline);
        let attached = self.presence.gateway.as_ref().and_then(|gateway| gateway.expires_at());
        let others = self
            .expires_at
            .into_iter()
            .chain(attached)
            .chain(self.slow_state.as_ref().and_then(|slow| slow.window.deadline()));
        let next = keep_alive.into_iter().chain(blocked).chain(partial).chain(others).min();
        // Without a deadline the timer is set to a day.
        next.unwrap_or_else(|| now + Duration::from_secs(86_400)).max(now)
    }

    /// Returns an error if a deadline has passed that ends the connection. Does what is due at the others.
    pub(super) fn check_time(&mut self, now: Instant) -> Result<(), ConnectionEnd> {
        let options = &self.presence.shared.options;
        if self.blocked_since.is_some_and(|since| now >= since + options.write_deadline) {
            self.presence.shared.metrics.limit(limits::names::WRITE_DEADLINE);
            let text = format!("the client did not read what is sent to it for {} s", options.write_deadline.as_secs());
            return Err(ConnectionEnd::Late { limit: limits::names::WRITE_DEADLINE, text });
        }
        if self.partial_since.is_some_and(|since| now >= since + options.packet_deadline) && self.may_read() {
            self.presence.shared.metrics.limit(limits::names::PACKET_DEADLINE);
            let secs = options.packet_deadline.as_secs();
            let text = format!("the client did not send the rest of a packet in {secs} s (mqtt.packet-deadline)");
            return Err(ConnectionEnd::Late { limit: limits::names::PACKET_DEADLINE, text });
        }
        self.check_end(now)?;
        self.expire_attached(now);
        if self.slow_state.as_mut().is_some_and(|slow| slow.window.take_report(now)) {
            self.report_full_window();
        }
        let silent = self.keep_alive().is_some_and(|limit| now >= self.last_read + limit);
        if silent && !self.may_read() {
            // The host itself does not read from the client at the moment.
            self.last_read = now;
        } else if silent {
            return Err(Fault::new(reason::KEEP_ALIVE, "keep-alive time is over").into());
        }
        Ok(())
    }
}
