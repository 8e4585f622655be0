//! Limits the log lines of one kind. Only the first few of a minute are written, so that a client that repeats itself does not fill the
//! log. A few later ones are written with their count, so that a lasting fault stays visible. Pure: the caller gives the time.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

const TIME: Duration = Duration::from_secs(60);
/// Keys that are counted separately within a minute, or another window.
const KEPT: usize = 1_000;

#[derive(Debug)]
pub struct LogLimit {
    /// Lines in a window: a minute, unless a caller says another.
    max: u32,
    window: Duration,
    since: Instant,
    count: u64,
    /// Lines of the minute before that were not written.
    left_out: u64,
}

/// The text that is added to a line, so that the log says how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuppressionNote {
    Nothing,
    /// The last line of this minute, without its count.
    Last,
    /// The number of the line in this minute.
    Count(u64),
    /// The first line after this many that were left out.
    LeftOut(u64),
}

impl fmt::Display for SuppressionNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Last => f.write_str(" (no more of these for a minute, but how many there are)"),
            Self::Count(count) => write!(f, " ({count} of these in this minute)"),
            Self::LeftOut(count) => write!(f, " ({count} of these were left out before)"),
        }
    }
}

impl LogLimit {
    #[must_use]
    pub fn new(max: u32, now: Instant) -> Self {
        Self::within(max, TIME, now)
    }

    fn within(max: u32, window: Duration, now: Instant) -> Self {
        Self { max, window, since: now, count: 0, left_out: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.window
    }

    /// Counts one more line. Returns the text to add to it, or `None` if it is not to be written. Past the first few lines of a minute,
    /// the lines whose number is a power of ten, from 100 on, are written, each with its number.
    pub fn allow(&mut self, now: Instant) -> Option<SuppressionNote> {
        let most = u64::from(self.max);
        if self.is_over(now) {
            let left_out = self.count.saturating_sub(most);
            *self = Self { left_out, ..Self::within(self.max, self.window, now) };
        }
        self.count = self.count.saturating_add(1);
        let left_out = std::mem::take(&mut self.left_out);
        match self.count {
            _ if left_out > 0 => Some(SuppressionNote::LeftOut(left_out)),
            count if count < most => Some(SuppressionNote::Nothing),
            count if count == most => Some(SuppressionNote::Last),
            count if count > most && count >= 100 && is_power_of_ten(count) => Some(SuppressionNote::Count(count)),
            _ => None,
        }
    }
}

fn is_power_of_ten(count: u64) -> bool {
    10_u64.checked_pow(count.ilog10()) == Some(count)
}

/// A [`LogLimit`] for one place of the code, in a `static`, or for one object.
#[derive(Debug)]
pub struct SiteLimit {
    max: u32,
    limit: Mutex<Option<LogLimit>>,
}

impl SiteLimit {
    #[must_use]
    pub const fn new(max: u32) -> Self {
        Self { max, limit: Mutex::new(None) }
    }

    /// As [`LogLimit::allow`].
    pub fn allow(&self) -> Option<SuppressionNote> {
        let now = Instant::now();
        self.limit.lock().get_or_insert_with(|| LogLimit::new(self.max, now)).allow(now)
    }
}

/// A [`LogLimit`] for each key, such as an address. Lines of keys beyond [`KEPT`] in a minute are not written.
#[derive(Debug)]
pub struct LogLimits<K> {
    max: u32,
    window: Duration,
    by: Mutex<HashMap<K, LogLimit>>,
}

impl<K: Eq + Hash> LogLimits<K> {
    #[must_use]
    pub fn new(max: u32) -> Self {
        Self::within(max, TIME)
    }

    /// As [`LogLimits::new`], with another window than a minute. The notes say minute, so such a caller writes none.
    #[must_use]
    pub fn within(max: u32, window: Duration) -> Self {
        Self { max, window, by: Mutex::default() }
    }

    /// As [`LogLimit::allow`].
    pub fn allow(&self, key: K, now: Instant) -> Option<SuppressionNote> {
        let mut by = self.by.lock();
        if by.len() >= KEPT && !by.contains_key(&key) {
            by.retain(|_, limit| !limit.is_over(now));
            if by.len() >= KEPT {
                return None;
            }
        }
        by.entry(key).or_insert_with(|| LogLimit::within(self.max, self.window, now)).allow(now)
    }

    /// Whether the line is one of the first few of its key in this window. The later ones are not counted in the log.
    pub fn is_first(&self, key: K, now: Instant) -> bool {
        !matches!(self.allow(key, now), None | Some(SuppressionNote::Count(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_lines_of_its_own_and_they_are_bounded() {
        let (limits, now) = (LogLimits::new(1), Instant::now());
        assert!(limits.allow(0, now).is_some() && limits.allow(1, now).is_some());
        assert_eq!(limits.allow(0, now), None);
        assert_eq!((2..2 * KEPT).filter(|key| limits.allow(*key, now).is_some()).count(), KEPT - 2);
        assert!(limits.allow(2 * KEPT, now + TIME).is_some());
        assert_eq!(limits.by.lock().len(), 1);
    }

    #[test]
    fn a_key_is_first_once_in_its_window() {
        let (limits, start) = (LogLimits::within(1, 10 * TIME), Instant::now());
        let first = (0..1_000).map(|second| limits.is_first("a", start + Duration::from_secs(second)));
        assert_eq!(first.filter(|first| *first).count(), 2);
    }

    #[test]
    fn the_first_few_of_a_minute_are_logged_and_then_how_many_there_are() {
        let start = Instant::now();
        for most in [1, 10] {
            let mut limit = LogLimit::new(most, start);
            let minute = |limit: &mut LogLimit, n: u32| -> Vec<_> {
                (0..50_000).filter_map(|_| limit.allow(start + TIME * n)).map(|more| more.to_string()).collect()
            };
            let first = minute(&mut limit, 0);
            let counts = [
                " (100 of these in this minute)",
                " (1000 of these in this minute)",
                " (10000 of these in this minute)",
            ];
            assert_eq!(first.len(), most as usize + counts.len());
            assert!(first[..most as usize - 1].iter().all(String::is_empty));
            assert_eq!(first[most as usize..], counts);
            let second = minute(&mut limit, 1);
            assert_eq!(second[0], format!(" ({} of these were left out before)", 50_000 - most));
            assert_eq!(limit.allow(start + TIME * 9), Some(SuppressionNote::LeftOut(u64::from(50_000 - most))));
        }
    }
}
