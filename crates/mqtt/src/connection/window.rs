//! What becomes of what is sent to a client: that it was sent, that the client acknowledges it. Where its window stays full, the
//! log, a counter and the device's last error say so: its configs and commands wait.

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

/// How often a connection that is taken over is read from once more.
const LAST_READS: usize = 4;
/// How long a window may be full without an acknowledgement before that is told.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What only a connection has that is slow, or publishes to slow ones.
#[derive(Default)]
pub(crate) struct SlowState {
    /// What was encoded and the socket did not take yet.
    pub(crate) sent: DeliveryReports,
    pub(crate) window: WindowWatch,
    /// What it may wait for slow subscribers.
    pub(crate) wait_budget: WaitBudget,
}

#[derive(Debug, Default)]
pub(crate) struct WindowWatch(Option<Stuck>);

#[derive(Debug)]
struct Stuck {
    since: Instant,
    /// The packet identifier of the oldest message in the window.
    on: u16,
    told: bool,
}

impl WindowWatch {
    /// What the window is stuck on now. None: it is not full, or nothing waits.
    pub(crate) fn update(&mut self, on: Option<u16>, now: Instant) {
        match (&mut self.0, on) {
            (Some(stuck), Some(on)) if stuck.on == on => {}
            (stuck, on) => *stuck = on.map(|on| Stuck { since: now, on, told: false }),
        }
    }

    /// When that is to be told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref().filter(|stuck| !stuck.told).map(|stuck| stuck.since + STUCK_AFTER)
    }

    /// True once: it is to be told now.
    pub(crate) fn take_report(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        if let Some(stuck) = self.0.as_mut().filter(|_| due) {
            stuck.told = true;
        }
        due
    }
}

impl Connection {
    /// What the client sent before it came back on another connection counts, above all its DISCONNECT, which takes its will
    /// away. The new connection waits meanwhile, so no more is read than is there.
    pub(crate) async fn taken_over(&mut self) -> ConnectionEnd {
        for _ in 0..LAST_READS {
            match self.read() {
                Ok(packets) if !packets.is_empty() => match Box::pin(self.process(packets)).await {
                    Ok(()) => {}
                    Err(end @ ConnectionEnd::Disconnected { .. }) => return end,
                    Err(_) => break,
                },
                _ => break,
            }
        }
        ConnectionEnd::Closed(Close::TakenOver)
    }

    /// What was encoded may have reached the client.
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
    fn a_window_that_stays_full_is_told_of_once_and_one_that_moves_never() {
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
