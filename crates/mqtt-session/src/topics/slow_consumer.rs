//! How long publishers wait for subscribers whose queues are full. Two bounds hold at the same time: [`SlowConsumer`] is what one
//! subscriber costs all publishers, [`WaitBudget`] is what all subscribers cost one publisher. Pure; knows no clock.

use std::time::{Duration, Instant};

/// How long all publishers together wait for a subscriber that reads nothing.
pub const SLOW_CONSUMER_WAIT: Duration = Duration::from_secs(1);

/// What a message that is sent to the subscriber adds to its allowance. Publishers always wait for a subscriber that reads 500 messages a
/// second.
const EARNED_PER_MESSAGE: Duration = Duration::from_millis(2);
/// The budget of a publisher for waiting for all subscribers, before time has refilled it.
const BUDGET: Duration = Duration::from_millis(500);
/// The budget is refilled by this fraction (one divided by the value) of the time that passes.
const BUDGET_SHARE: u32 = 10;
/// Waiting up to this long for one message is free if all subscribers had room in the end. It is the pace of a subscriber that reads 500
/// messages a second.
const FREE_WAIT_PER_MESSAGE: Duration = EARNED_PER_MESSAGE;
/// An allowance shorter than this counts as none, because timers are a millisecond or two late.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// The allowance of one subscriber. A subscriber that reads nothing has used it up after [`SLOW_CONSUMER_WAIT`], for all publishers and
/// messages together. From then on it misses messages for which it has no room, and delays no publisher.
#[derive(Debug)]
pub struct SlowConsumer {
    allowance: Duration,
    /// The end of the newest wait that was recorded.
    waited_until: Option<Instant>,
}

impl Default for SlowConsumer {
    fn default() -> Self {
        Self { allowance: SLOW_CONSUMER_WAIT, waited_until: None }
    }
}

impl SlowConsumer {
    /// How long publishers still wait. Zero if less than [`SHORTEST_WAIT`] is left.
    #[must_use]
    pub fn allowance(&self) -> Duration {
        if self.allowance < SHORTEST_WAIT { Duration::ZERO } else { self.allowance }
    }

    /// A publisher has waited from `from` until `until`. Times of several publishers that overlap count once.
    pub fn record_wait(&mut self, from: Instant, until: Instant) {
        let from = self.waited_until.map_or(from, |waited| waited.max(from));
        self.allowance = self.allowance.saturating_sub(until.saturating_duration_since(from));
        self.waited_until = Some(until.max(from));
    }

    /// Messages were sent to the subscriber, so its allowance grows.
    pub fn record_sent(&mut self, messages: u64) {
        let earned = EARNED_PER_MESSAGE.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX));
        self.allowance = self.allowance.saturating_add(earned).min(SLOW_CONSUMER_WAIT);
    }
}

/// How long one publisher may still wait, for all subscribers together. In the long run it waits for at most a tenth of its time, and
/// besides for [`FREE_WAIT_PER_MESSAGE`] at each message that no subscriber missed.
#[derive(Debug)]
pub struct WaitBudget {
    remaining: Duration,
    /// The time that it waited beyond its budget, because timers are late.
    overdraft: Duration,
    /// The time up to which the budget was refilled.
    earned_until: Option<Instant>,
}

impl Default for WaitBudget {
    fn default() -> Self {
        Self { remaining: BUDGET, overdraft: Duration::ZERO, earned_until: None }
    }
}

impl WaitBudget {
    /// How long it may wait now. Zero if less than [`SHORTEST_WAIT`] is left.
    pub fn remaining(&mut self, now: Instant) -> Duration {
        let passed = self.earned_until.map_or(Duration::ZERO, |until| now.saturating_duration_since(until));
        let earned = passed / BUDGET_SHARE;
        let repaid = earned.min(self.overdraft);
        self.overdraft -= repaid;
        self.remaining = self.remaining.saturating_add(earned - repaid).min(BUDGET);
        self.earned_until = Some(now);
        if self.remaining < SHORTEST_WAIT { Duration::ZERO } else { self.remaining }
    }

    /// The publisher has waited for one message. `is_lost`: a subscriber still had no room in the end.
    pub fn record_wait(&mut self, waited: Duration, is_lost: bool) {
        let charged = if is_lost { waited } else { waited.saturating_sub(FREE_WAIT_PER_MESSAGE) };
        self.overdraft += charged.saturating_sub(self.remaining);
        self.remaining = self.remaining.saturating_sub(charged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_subscriber_that_takes_nothing_is_waited_for_once() {
        let mut slow_consumer = SlowConsumer::default();
        let began = Instant::now();
        slow_consumer.record_wait(began, began + 600 * MS);
        assert_eq!(slow_consumer.allowance(), SLOW_CONSUMER_WAIT - 600 * MS);
        slow_consumer.record_wait(began + 700 * MS, began + 1_300 * MS);
        assert_eq!(slow_consumer.allowance(), Duration::ZERO);
    }

    #[test]
    fn publishers_who_wait_at_the_same_time_wait_once() {
        let mut slow_consumer = SlowConsumer::default();
        let began = Instant::now();
        for from in [0, 100, 200, 50] {
            slow_consumer.record_wait(began + from * MS, began + 300 * MS);
        }
        assert_eq!(slow_consumer.allowance(), SLOW_CONSUMER_WAIT - 300 * MS);
    }

    #[test]
    fn a_subscriber_that_takes_five_hundred_a_second_is_waited_for_always_and_one_that_takes_twenty_seldom() {
        for (every_ms, is_left) in [(2, true), (50, false)] {
            let mut slow_consumer = SlowConsumer::default();
            let began = Instant::now();
            for turn in 0..1_000 {
                let from = began + turn * every_ms * MS;
                slow_consumer.record_wait(from, from + every_ms * MS);
                slow_consumer.record_sent(1);
            }
            assert_eq!(slow_consumer.allowance() > EARNED_PER_MESSAGE, is_left, "one in {every_ms} ms");
        }
    }

    #[test]
    fn a_publisher_waits_for_a_tenth_of_its_time_and_keeps_pace_with_fast_subscribers() {
        let mut budget = WaitBudget::default();
        let (began, mut now, mut waited) = (Instant::now(), Instant::now(), Duration::ZERO);
        while now < began + 10_000 * MS {
            let allowed = budget.remaining(now).min(100 * MS);
            // A timer is late.
            let wait = if allowed.is_zero() { allowed } else { allowed + 2 * MS };
            budget.record_wait(wait, true);
            waited += wait;
            now += wait + MS / 10;
        }
        assert!(waited < BUDGET + 1_100 * MS, "{waited:?} of ten seconds");
        let mut budget = WaitBudget::default();
        for message in 0..10_000 {
            assert!(!budget.remaining(began + message * 2 * MS).is_zero());
            budget.record_wait(2 * MS, false);
        }
    }
}
