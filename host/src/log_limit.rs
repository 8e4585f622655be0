//! Which of many lines of one kind the log gets: the first few of a minute, so that a client that goes on and on does not fill
//! it, and one that stays for months is still heard of. Pure.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

const TIME: Duration = Duration::from_secs(60);
/// Those who are told apart in a minute.
const KEPT: usize = 1_000;

#[derive(Debug)]
pub struct LogLimit {
    /// Lines in a minute.
    most: u32,
    since: Instant,
    count: u32,
}

impl LogLimit {
    #[must_use]
    pub fn new(most: u32, now: Instant) -> Self {
        Self { most, since: now, count: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= TIME
    }

    /// One more. None: not for the log; else what is added to the line.
    pub fn note(&mut self, now: Instant) -> Option<&'static str> {
        if self.is_over(now) {
            *self = Self::new(self.most, now);
        }
        self.count = self.count.saturating_add(1);
        match self.count {
            count if count < self.most => Some(""),
            count if count == self.most => Some(" (no more of these for a minute)"),
            _ => None,
        }
    }
}

/// The same for each of many, such as addresses. Those beyond [`KEPT`] in a minute are not for the log.
#[derive(Debug)]
pub struct LogLimits<K> {
    most: u32,
    by: Mutex<HashMap<K, LogLimit>>,
}

impl<K: Eq + Hash> LogLimits<K> {
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, by: Mutex::default() }
    }

    /// As [`LogLimit::note`].
    pub fn note(&self, who: K, now: Instant) -> Option<&'static str> {
        let mut by = self.by.lock();
        if by.len() >= KEPT && !by.contains_key(&who) {
            by.retain(|_, limit| !limit.is_over(now));
            if by.len() >= KEPT {
                return None;
            }
        }
        by.entry(who).or_insert_with(|| LogLimit::new(self.most, now)).note(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_lines_of_its_own_and_they_are_bounded() {
        let (limits, now) = (LogLimits::new(1), Instant::now());
        assert!(limits.note(0, now).is_some() && limits.note(1, now).is_some());
        assert_eq!(limits.note(0, now), None);
        assert_eq!((2..2 * KEPT).filter(|who| limits.note(*who, now).is_some()).count(), KEPT - 2);
        assert!(limits.note(2 * KEPT, now + TIME).is_some());
        assert_eq!(limits.by.lock().len(), 1);
    }

    #[test]
    fn the_first_few_of_a_minute_are_told() {
        let start = Instant::now();
        for most in [1, 10] {
            let mut limit = LogLimit::new(most, start);
            for minute in 0..3 {
                let now = start + TIME * minute;
                let told: Vec<_> = (0..most * 2).filter_map(|_| limit.note(now)).collect();
                assert_eq!(told.len(), most as usize);
                assert!(told.iter().all(|more| more.is_empty() != (*more == told[told.len() - 1])));
                assert!(limit.note(now + TIME - Duration::from_millis(1)).is_none());
            }
        }
    }
}
