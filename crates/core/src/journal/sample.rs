//! How many items a follower that takes a sample gets at each look into the journal: a steady number, and those that earlier looks did not use.

use switchbox_rules::token_bucket::{TokenBucket, TokenRate};

/// The rate of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate {
    /// Items for each look.
    pub per_look: usize,
    /// Items for one look, at most, after looks that found fewer than `per_look`.
    pub burst: usize,
}

impl SampleRate {
    /// In items: the clock advances by `per_look` for a look.
    fn in_items(self) -> TokenRate {
        TokenRate::new(1, self.burst as u64)
    }
}

/// Items that a follower may still get.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// `None` if it gets all.
    rate: Option<SampleRate>,
    bucket: TokenBucket,
    /// Items that all looks so far allow.
    allowed: u64,
}

impl Allowance {
    #[must_use]
    pub fn new(rate: Option<SampleRate>) -> Self {
        Self { rate, bucket: TokenBucket::default(), allowed: 0 }
    }

    /// Adds the items of the next look.
    pub fn refill(&mut self) {
        let per_look = self.rate.map_or(0, |rate| rate.per_look);
        self.allowed = self.allowed.saturating_add(per_look as u64);
    }

    /// Takes one item. Returns false if the follower may get no more.
    pub fn take(&mut self) -> bool {
        self.rate.is_none_or(|rate| self.bucket.take(self.allowed, rate.in_items()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &mut Allowance, requested: usize) -> usize {
        allowance.refill();
        (0..requested).filter(|_| allowance.take()).count()
    }

    #[test]
    fn what_was_not_given_is_saved_up_to_the_burst() {
        let mut allowance = Allowance::new(Some(SampleRate { per_look: 4, burst: 40 }));
        // A busy second, after a quiet one: all at once, then the rate.
        assert_eq!([100, 100, 100].map(|requested| taken(&mut allowance, requested)), [40, 4, 4]);
        assert_eq!([0, 1, 100].map(|requested| taken(&mut allowance, requested)), [0, 1, 11]);
        assert_eq!([0; 30].map(|requested| taken(&mut allowance, requested)), [0; 30]);
        assert_eq!(taken(&mut allowance, 100), 40);
    }

    #[test]
    fn without_a_rate_all_are_taken() {
        let mut allowance = Allowance::new(None);
        assert_eq!([100, 0, 5_000].map(|requested| taken(&mut allowance, requested)), [100, 0, 5_000]);
    }
}
