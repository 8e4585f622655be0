//! State that only a slow connection needs: the watch of the client's in-flight window, the deliveries to report as sent, and a wait budget.
//! While the window is full, the client's configs and commands wait; [`WindowWatch`] says when to report that.

use std::time::{Duration, Instant};

use crate::device_delivery::DeliveryReports;
use switchbox_mqtt_session::topics::WaitBudget;

/// How long a window may be full without an acknowledgement before that is reported.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// State that only a slow connection needs, or one that publishes to slow subscribers.
#[derive(Default)]
pub(crate) struct SlowState {
    /// Reports for deliveries that are encoded but not written to the socket yet.
    pub(crate) sent: DeliveryReports,
    pub(crate) window: WindowWatch,
    /// The budget of this connection for waiting for slow subscribers.
    pub(crate) wait_budget: WaitBudget,
}

/// Watches for how long the in-flight window has been full. `None` inside: it is not full.
#[derive(Debug, Default)]
pub(crate) struct WindowWatch(Option<Stuck>);

/// A full window.
#[derive(Debug)]
struct Stuck {
    since: Instant,
    /// The packet identifier of the oldest message in the window.
    packet_id: u16,
    is_logged: bool,
}

impl WindowWatch {
    /// Records the packet identifier of the oldest message in the window. `None` if the window is not full or nothing waits.
    pub(crate) fn update(&mut self, packet_id: Option<u16>, now: Instant) {
        match (&mut self.0, packet_id) {
            (Some(stuck), Some(packet_id)) if stuck.packet_id == packet_id => {}
            (stuck, packet_id) => {
                *stuck = packet_id.map(|packet_id| Stuck { since: now, packet_id, is_logged: false });
            }
        }
    }

    /// When a full window has to be reported.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().filter(|stuck| !stuck.is_logged).map(|stuck| stuck.since + STUCK_AFTER)
    }

    /// Returns true once when a full window has to be reported.
    pub(crate) fn take_report(&mut self, now: Instant) -> bool {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        if let Some(stuck) = self.0.as_mut().filter(|_| is_due) {
            stuck.is_logged = true;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_stays_full_is_logged_once_and_one_that_moves_never() {
        let began = Instant::now();
        let mut window = WindowWatch::default();
        window.update(Some(1), began);
        assert_eq!(window.deadline(), Some(began + STUCK_AFTER));
        window.update(Some(2), began + STUCK_AFTER / 2);
        assert!(!window.take_report(began + STUCK_AFTER), "the first was acknowledged");
        window.update(Some(2), began + STUCK_AFTER);
        assert!(window.take_report(began + STUCK_AFTER * 2) && !window.take_report(began + STUCK_AFTER * 3));
        assert_eq!(window.deadline(), None);
        window.update(None, began + STUCK_AFTER * 3);
        window.update(Some(2), began + STUCK_AFTER * 3);
        assert!(window.take_report(began + STUCK_AFTER * 4), "once more, later");
    }
}
