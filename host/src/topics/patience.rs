//! How long publishers wait for a subscriber whose queue is full: for as long as it takes what it has. Pure; knows no clock.

use std::time::{Duration, Instant};

use super::PATIENCE;

/// For each message that the subscriber takes: who takes twenty a second loses none.
const EARNED: Duration = Duration::from_millis(50);

/// What is left of it for one subscriber. Who takes nothing has used it up after [`PATIENCE`], for all publishers and all
/// messages together, and misses what it has no room for from then on: it holds nobody up.
#[derive(Debug)]
pub struct Patience {
    left: Duration,
    waited_until: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE, waited_until: None }
    }
}

impl Patience {
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left
    }

    /// A publisher waited; what others waited at the same time counts once.
    pub fn waited(&mut self, from: Instant, until: Instant) {
        let from = self.waited_until.map_or(from, |waited| waited.max(from));
        self.left = self.left.saturating_sub(until.saturating_duration_since(from));
        self.waited_until = Some(until.max(from));
    }

    /// The subscriber took so many messages.
    pub fn took(&mut self, messages: u64) {
        let earned = EARNED.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX));
        self.left = self.left.saturating_add(earned).min(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_takes_nothing_is_waited_for_once() {
        let mut patience = Patience::default();
        let began = Instant::now();
        patience.waited(began, began + 600 * MS);
        assert_eq!(patience.left(), PATIENCE - 600 * MS);
        patience.waited(began + 700 * MS, began + 1_300 * MS);
        assert_eq!(patience.left(), Duration::ZERO);
    }

    #[test]
    fn publishers_who_wait_at_the_same_time_wait_once() {
        let mut patience = Patience::default();
        let began = Instant::now();
        for from in [0, 100, 200, 50] {
            patience.waited(began + from * MS, began + 300 * MS);
        }
        assert_eq!(patience.left(), PATIENCE - 300 * MS);
    }

    #[test]
    fn who_takes_twenty_a_second_is_waited_for_always_and_who_takes_two_seldom() {
        for (every_ms, is_left) in [(50, true), (500, false)] {
            let mut patience = Patience::default();
            let began = Instant::now();
            for turn in 0..100 {
                let from = began + turn * every_ms * MS;
                patience.waited(from, from + every_ms * MS);
                patience.took(1);
            }
            assert_eq!(patience.left() > EARNED, is_left, "one in {every_ms} ms");
        }
    }
}
