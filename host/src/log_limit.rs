//! Which of many lines of one kind the log gets: the first few of a minute, so that a client that goes on and on does not fill
//! it, and one that stays for months is still heard of. Pure.

use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(60);

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

    /// One more. None: not for the log; else what is added to the line.
    pub fn note(&mut self, now: Instant) -> Option<&'static str> {
        if now.saturating_duration_since(self.since) >= TIME {
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

#[cfg(test)]
mod tests {
    use super::*;

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
