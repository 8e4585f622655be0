//! When a simulated device may send, and when it may reconnect. Pure: the caller gives the time.

use std::time::{Duration, Instant};

/// Limits a device to a number of messages a second.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Instant,
}

impl Pace {
    /// `rate`: messages a second; `None` or 0: unlimited.
    pub(super) fn new(rate: Option<f64>, now: Instant) -> Self {
        let gap = rate.filter(|rate| *rate > 0.0).and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok());
        Self { gap: gap.unwrap_or_default(), next: now }
    }

    /// When the next message may be sent: `now`, or later if the rate would be exceeded.
    pub(super) fn ready(&self, now: Instant) -> Instant {
        self.next.max(now)
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.next = self.ready(now) + self.gap;
    }
}

/// Exponential back-off with jitter, so that many devices do not reconnect at the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// The wait after one more failure; `jitter` from 0 to 1 spreads it over the upper half.
    pub(super) fn failed(&mut self, jitter: f64) -> Duration {
        let full = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pace_spaces_messages_and_forgives_idle_time() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(4.0), start);
        assert_eq!(pace.ready(start), start);
        pace.sent(start);
        assert_eq!(pace.ready(start) - start, SECOND / 4);
        pace.sent(start + SECOND / 4);
        assert_eq!(pace.ready(start + SECOND / 4) - start, SECOND / 2);
        let later = start + 9 * SECOND;
        assert_eq!(pace.ready(later), later, "it may go at once, but not in a burst");
        pace.sent(later);
        assert_eq!(pace.ready(later) - later, SECOND / 4);
    }

    #[test]
    fn without_a_rate_everything_goes_at_once() {
        let now = Instant::now();
        for rate in [None, Some(0.0), Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
            let mut pace = Pace::new(rate, now);
            pace.sent(now);
            assert_eq!(pace.ready(now), now, "{rate:?}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new(SECOND, 5 * SECOND);
        let waits: Vec<_> = (0..5).map(|_| backoff.failed(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.failed(0.0), 5 * SECOND / 2, "jitter takes away at most half");
        backoff.reset();
        assert_eq!(backoff.failed(1.0), SECOND);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.failed(1.0), 5 * SECOND);
    }
}
