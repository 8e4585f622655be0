//! What only a slow connection needs: the watch of the client's in-flight window, the deliveries to report as sent, and a wait budget. If
//! the window stays full, the client's configs and commands wait; this says when to report that.

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
    /// Its budget for waiting for slow subscribers.
    pub(crate) wait_budget: WaitBudget,
}

#[derive(Debug, Default)]
pub(crate) struct WindowWatch(Option<Stuck>);

#[derive(Debug)]
struct Stuck {
    since: Instant,
    /// The packet identifier of the oldest message in the window.
    on: u16,
    is_logged: bool,
}

impl WindowWatch {
    /// Records the oldest message in the window. `None` if the window is not full or nothing waits.
    pub(crate) fn update(&mut self, on: Option<u16>, now: Instant) {
        match (&mut self.0, on) {
            (Some(stuck), Some(on)) if stuck.on == on => {}
            (stuck, on) => *stuck = on.map(|on| Stuck { since: now, on, is_logged: false }),
        }
    }

    /// When a full window has to be reported.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().filter(|stuck| !stuck.is_logged).map(|stuck| stuck.since + STUCK_AFTER)
    }

    /// Returns true once when a full window has to be reported.
    pub(crate) fn take_report(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if let Some(stuck) = self.0.as_mut().filter(|_| due) {
            stuck.is_logged = true;
        }
        due
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
