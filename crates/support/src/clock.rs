//! The only place that reads the wall clock, and the monotonic clock that a test can advance.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use switchbox_rules::time::rfc3339;

/// Milliseconds since the Unix epoch; 0 for a clock before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    now_ms.saturating_add_signed(shift::ms())
}

/// Microseconds since the Unix epoch; 0 for a clock before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_us = now.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    now_us.saturating_add_signed(shift::ms().saturating_mul(1_000))
}

/// Now on the clock of tokio's timers: a test that pauses it and moves it ahead moves this as well.
#[must_use]
pub fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock of a test: `SWITCHBOX_TEST_CLOCK` names a file that holds by how many milliseconds it is wrong. Builds for
/// use have none.
#[cfg(debug_assertions)]
mod shift {
    use std::{ffi::OsString, sync::LazyLock};

    static FILE: LazyLock<Option<OsString>> = LazyLock::new(|| std::env::var_os("SWITCHBOX_TEST_CLOCK"));

    pub(super) fn ms() -> i64 {
        let shift = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        shift.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

#[cfg(not(debug_assertions))]
mod shift {
    pub(super) const fn ms() -> i64 {
        0
    }
}

/// A step of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Back(Duration),
    Ahead(Duration),
}

/// Finds steps of the wall clock by the monotonic one. A machine that slept looks like a step ahead.
#[derive(Debug)]
pub struct Watch {
    last: Anchor,
}

impl Watch {
    /// Smaller differences between the two clocks do not count as steps.
    const TOLERANCE_MS: u64 = 500;

    #[must_use]
    pub fn new(now: Anchor) -> Self {
        Self { last: now }
    }

    /// The step since the last look.
    pub fn check(&mut self, now: Anchor) -> Option<Step> {
        let expected = self.last.ms(now.at);
        self.last = now;
        let (back, ahead) = (expected.saturating_sub(now.ms), now.ms.saturating_sub(expected));
        if back > Self::TOLERANCE_MS {
            Some(Step::Back(Duration::from_millis(back)))
        } else if ahead > Self::TOLERANCE_MS {
            Some(Step::Ahead(Duration::from_millis(ahead)))
        } else {
            None
        }
    }
}

/// A reading of the wall clock that converts later instants into wall time, for callers that have read the monotonic clock already.
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

/// The time in a text as [`rfc3339`] writes it, or with another offset or precision. Milliseconds since the Unix epoch; a time before it
/// is 0. Returns `None` if the text is not a time.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let time = text.parse::<jiff::Timestamp>().ok()?;
    Some(u64::try_from(time.as_millisecond()).unwrap_or(0))
}

/// A time as HTTP's headers write it, to the second.
#[must_use]
pub fn http_date(ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX)).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Duration, Step, Watch};

    #[test]
    fn the_wall_time_of_a_later_moment_is_known_without_asking_again() {
        let anchor = super::Anchor { ms: 1_000, ..super::Anchor::now() };
        for (micros, ms) in [(0, 1_000), (999, 1_000), (1_000, 1_001), (60_000_000, 61_000)] {
            assert_eq!(anchor.ms(anchor.at() + Duration::from_micros(micros)), ms);
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_reported_once_with_its_size() {
        let start = super::Anchor { ms: 1_000_000, ..super::Anchor::now() };
        let at = |secs: u64, ms: u64| super::Anchor { at: start.at + Duration::from_secs(secs), ms };
        let mut watch = Watch::new(start);
        for (now, expected) in [
            (at(1, 1_001_000), None),
            (at(2, 1_002_400), None),
            (at(3, 87_403_400), Some(Step::Ahead(Duration::from_secs(86_400)))),
            (at(6, 87_406_400), None),
            (at(7, 1_007_400), Some(Step::Back(Duration::from_secs(86_400)))),
            (at(8, 1_008_400), None),
            (at(9, 0), Some(Step::Back(Duration::from_millis(1_009_400)))),
        ] {
            assert_eq!(watch.check(now), expected, "{now:?}");
        }
    }
}
