//! Token buckets: a burst, and then a rate. What admits or refuses single things by a rate uses them: connections, calls of the HTTP
//! APIs, effects of plugins, items of a sample. Pure: the caller gives the time, in units of a clock that never goes back.
//!
//! These bound something else over time, and are not token buckets:
//! * Log lines (`switchbox_support::log_limit`) and a plugin's new targets in a minute (`crates/dispatch/src/blast_radius.rs`) are counted
//!   in fixed windows, because the first ones of a window and their number are wanted, and not a steady rate.
//! * The share of a client (`crates/mqtt/src/cpu_budget.rs`) refuses nothing. It is the same arithmetic on one atomic, with a debt that is
//!   cut off, and decides on which threads a client is served.
//! * Pauses after failures (wrong passwords in `crates/auth/src/throttle.rs`, retries of events in `crates/dispatch/src/retry.rs`) grow with
//!   each failure: back-off.
//! * Pacing (the writer's batches, the permits of `crates/store/src/permits.rs`) delays work that is done in any case.

/// A rate with its burst, in units of the clock: nanoseconds, unless a caller has a clock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRate {
    /// Between two tokens.
    interval: u64,
    /// A full bucket.
    capacity: u64,
}

impl TokenRate {
    /// A full bucket has one token at least. `interval`: units between two tokens, 0 counts as 1.
    #[must_use]
    pub const fn new(interval: u64, capacity: u64) -> Self {
        let interval = if interval == 0 { 1 } else { interval };
        Self { interval, capacity: if capacity < interval { interval } else { capacity } }
    }

    /// A rate per second, and a burst, for a clock of nanoseconds.
    #[must_use]
    pub fn per_second(tokens: f64, burst: f64) -> Self {
        let interval = 1e9 / tokens;
        // A float becomes the nearest integer that there is.
        Self::new(interval as u64, (interval * burst) as u64)
    }
}

/// A bucket as the moment at which it is full again (the generic cell rate algorithm): one number, and nothing to do while it is
/// idle. The default is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenBucket {
    full_at: u64,
}

impl TokenBucket {
    /// How long a caller has to wait for this many tokens.
    #[must_use]
    pub fn wait(self, now: u64, tokens: u32, rate: TokenRate) -> u64 {
        self.after(now, tokens, rate).full_at.saturating_sub(now.saturating_add(rate.capacity))
    }

    /// The bucket without this many tokens, whether it had them or not.
    #[must_use]
    pub fn after(self, now: u64, tokens: u32, rate: TokenRate) -> Self {
        let taken = rate.interval.saturating_mul(tokens.into());
        Self { full_at: self.full_at.max(now).saturating_add(taken) }
    }

    /// Takes one token. The error says how long to wait for it.
    pub fn take(&mut self, now: u64, rate: TokenRate) -> Result<(), u64> {
        match self.wait(now, 1, rate) {
            0 => {
                *self = self.after(now, 1, rate);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// It is as one that nothing was ever taken from.
    #[must_use]
    pub fn is_full(self, now: u64) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (mut bucket, rate) = (TokenBucket::default(), TokenRate::per_second(2.0, 3.0));
        let taken: Vec<_> = (0..4).map(|_| bucket.take(0, rate)).collect();
        assert_eq!(taken, [Ok(()), Ok(()), Ok(()), Err(SECOND / 2)]);
        assert_eq!(bucket.take(SECOND / 4, rate), Err(SECOND / 4));
        assert_eq!(bucket.take(SECOND / 2, rate), Ok(()));
        assert!(!bucket.is_full(SECOND) && bucket.is_full(10 * SECOND));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_allow(
            steps in prop::collection::vec(0..SECOND, 1..200),
            per_second in 1_u32..1_000,
            burst in 1_u32..50,
        ) {
            let rate = TokenRate::per_second(per_second.into(), burst.into());
            let (mut bucket, mut now, mut taken) = (TokenBucket::default(), 0, 0_u64);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(now, rate).is_ok());
                // The interval is rounded down, so time may bring a token a little early.
                let allowed = u64::from(burst) + now / rate.interval + 1;
                prop_assert!(taken <= allowed, "{taken} of {allowed}");
            }
        }
    }
}
