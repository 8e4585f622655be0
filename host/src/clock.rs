//! The only place that reads the wall clock. Never used for measuring time that passed: `Instant` does that.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 for a clock before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The wall clock, read once: gives the wall time of moments soon after, for who has those anyway.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    at: Instant,
    ms: u64,
}

impl Anchor {
    #[must_use]
    pub fn now() -> Self {
        Self { at: Instant::now(), ms: now_ms() }
    }

    /// When it was read.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn ms(&self, moment: Instant) -> u64 {
        let later = moment.saturating_duration_since(self.at);
        self.ms.saturating_add(u64::try_from(later.as_millis()).unwrap_or(u64::MAX))
    }
}

/// RFC 3339 in UTC with milliseconds, as the API writes times.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))
        .map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn the_wall_time_of_a_later_moment_is_known_without_asking_again() {
        let anchor = super::Anchor { ms: 1_000, ..super::Anchor::now() };
        for (micros, ms) in [(0, 1_000), (999, 1_000), (1_000, 1_001), (60_000_000, 61_000)] {
            assert_eq!(anchor.ms(anchor.at() + Duration::from_micros(micros)), ms);
        }
    }

    #[test]
    fn times_are_written_in_utc_with_milliseconds() {
        assert_eq!(super::rfc3339(1_792_404_123_114), "2026-10-19T10:02:03.114Z");
        assert_eq!(super::rfc3339(0), "1970-01-01T00:00:00.000Z");
    }
}
