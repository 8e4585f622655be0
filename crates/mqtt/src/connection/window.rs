//! Watches the in-flight window of a client. If the window stays full, its configs and commands wait: the log, a counter and the device's
//! last error say so. Also reports deliveries as sent.

use std::time::{Duration, Instant};

use crate::{
    connection::Connection, device_delivery::DeliveryReports, end::ConnectionEnd, mailbox::Close, presence::Presence,
};
use switchbox_model::{
    limits::names,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_session::topics::WaitBudget;
use switchbox_support::clock;

/// Reads of a connection that is taken over at most.
const LAST_READS: usize = 4;
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

impl Connection {
    /// Processes the packets that the client sent before it connected again, above all a DISCONNECT, which cancels its will. The new
    /// connection waits meanwhile, so only packets that have arrived are read.
    pub(crate) async fn taken_over(&mut self) -> ConnectionEnd {
        for _ in 0..LAST_READS {
            match self.read() {
                Ok(packets) if !packets.is_empty() => match self.process(packets).await {
                    Ok(()) => {}
                    Err(end @ ConnectionEnd::Disconnected { .. }) => return end,
                    Err(_) => break,
                },
                _ => break,
            }
        }
        ConnectionEnd::Closed(Close::TakenOver)
    }

    /// Reports encoded deliveries as sent, because they may have reached the client.
    pub(crate) fn record_sent(&mut self) {
        if let Some(slow) = &mut self.slow {
            let sent = std::mem::take(&mut slow.sent);
            self.acknowledged(sent);
        }
    }

    pub(crate) fn report_full_window(&self) {
        let Presence { mailbox, device, shared, .. } = &self.presence;
        shared.metrics.limit(names::IN_FLIGHT_WINDOW);
        let text = "the client acknowledges nothing: as many messages as it may have await its PUBACK, and what is for it waits";
        tracing::warn!(client = %mailbox.name, limit = %names::IN_FLIGHT_WINDOW, "{text}");
        if let Some(device) = device {
            let (kind, message) = (ErrorKind::InvalidArgument, text.to_owned());
            device.failed(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
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
