//! Counts durations in buckets that are 1.6 % wide, so that percentiles of millions of round trips cost no memory.

use std::time::Duration;

/// Sub-buckets a power of two: 2^6.
const BITS: u32 = 6;
const BUCKETS: usize = 64 << BITS;

#[derive(Debug, Clone)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    longest: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS], count: 0, longest: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(index(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(nanos);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (own, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += others;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// The duration that `share` (0 to 1) of all do not exceed. Returns `None` if nothing was counted.
    pub(super) fn percentile(&self, share: f64) -> Option<Duration> {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= rank {
                return Some(Duration::from_nanos(middle(index).min(self.longest)));
            }
        }
        None
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.longest))
    }
}

/// Small values have their own bucket; from 2^BITS on, the top BITS + 1 bits select the bucket.
fn index(nanos: u64) -> usize {
    let exponent = nanos.max(1).ilog2();
    if exponent < BITS {
        return nanos as usize;
    }
    let shift = exponent - BITS;
    (((shift as usize) + 1) << BITS) + ((nanos >> shift) as usize - (1 << BITS))
}

fn middle(index: usize) -> u64 {
    let row = index >> BITS;
    if row == 0 {
        return index as u64;
    }
    let low = ((1 << BITS) + (index & ((1 << BITS) - 1)) as u64) << (row - 1);
    low + (1 << (row - 1)) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_buckets_width() {
        let mut histogram = Histogram::default();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, expect) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let got = histogram.percentile(share).expect("counted").as_nanos() as f64 / 1_000.0;
            assert!((got / expect - 1.0).abs() < 0.016, "{share}: {got} for {expect}");
        }
        assert_eq!(histogram.longest(), Some(Duration::from_micros(1_000)));
    }

    #[test]
    fn every_value_falls_into_the_table() {
        for nanos in [0, 1, 63, 64, 65, 127, 128, 1_000_000, u64::MAX / 2, u64::MAX] {
            let index = index(nanos);
            assert!(index < BUCKETS, "{nanos}");
            let error = middle(index).abs_diff(nanos) as f64 / nanos.max(1) as f64;
            assert!(error < 0.016, "{nanos} counted as {}", middle(index));
        }
    }

    #[test]
    fn merged_counts_add_up_and_nothing_has_no_percentile() {
        let mut both = Histogram::default();
        assert_eq!(both.percentile(0.5), None);
        assert_eq!(both.longest(), None);
        let mut slow = Histogram::default();
        slow.record(Duration::from_millis(9));
        both.record(Duration::from_millis(1));
        both.merge(&slow);
        assert_eq!(both.longest(), Some(Duration::from_millis(9)));
        let (low, high) = (both.percentile(0.5).expect("two"), both.percentile(1.0).expect("two"));
        assert!(low < Duration::from_millis(2) && high > Duration::from_millis(8), "{low:?} {high:?}");
    }
}
