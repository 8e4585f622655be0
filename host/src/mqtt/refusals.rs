//! Which refusals of one connection the log tells of: the first few of a minute, so that a client that goes on and on does
//! not fill it, and one that stays for months is still heard of. Pure.

use std::time::{Duration, Instant};

const LOGGED: u32 = 10;
const TIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Refusals {
    since: Instant,
    count: u32,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, count: 0 }
    }

    /// One more. None: not for the log; else what is added to the line.
    pub(super) fn note(&mut self, now: Instant) -> Option<&'static str> {
        if now.saturating_duration_since(self.since) >= TIME {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        match self.count {
            ..LOGGED => Some(""),
            LOGGED => Some(" (no more of these from this connection for a minute)"),
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
        let mut refusals = Refusals::new(start);
        for minute in 0..3 {
            let now = start + TIME * minute;
            let told: Vec<_> = (0..LOGGED * 2).filter_map(|_| refusals.note(now)).collect();
            assert_eq!(told.len(), LOGGED as usize);
            assert!(told.iter().all(|more| more.is_empty() != (*more == told[told.len() - 1])));
            assert!(refusals.note(now + TIME - Duration::from_millis(1)).is_none());
        }
    }
}
