//! Rate limits: a token bucket for each key. The number of buckets is limited. Beyond it all new keys share one bucket.

use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use switchbox_rules::token_bucket::{TokenBucket, TokenRate};

/// A burst, and then a rate per second.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub burst: f64,
    pub per_second: f64,
}

/// The buckets of all. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Rates<K> {
    /// How many keys may have buckets of their own.
    most: usize,
    began: Instant,
    /// The key `None` is the bucket that is shared when there is no other left.
    buckets: Arc<Mutex<HashMap<Option<K>, TokenBucket>>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// `most`: how many keys may have buckets of their own.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, began: Instant::now(), buckets: Arc::default() }
    }

    /// The error says how long to wait.
    pub fn take(&self, key: K, rate: Rate) -> Result<(), Duration> {
        self.take_at(key, rate, Instant::now())
    }

    pub(super) fn take_at(&self, key: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        let now = u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        let mut buckets = self.buckets.lock();
        let key = Some(key);
        let full = |buckets: &HashMap<_, _>| buckets.len() >= self.most;
        if full(&buckets) && !buckets.contains_key(&key) {
            // An address that has not connected for long has a full bucket, as one that never connected.
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let key = if full(&buckets) && !buckets.contains_key(&key) { None } else { key };
        let rate = TokenRate::per_second(rate.per_second, rate.burst);
        buckets.entry(key).or_default().take(now, rate).map_err(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3.0, per_second: 2.0 };
    const MOST: usize = 100;

    #[test]
    fn a_caller_with_an_empty_bucket_waits_and_no_other_does() {
        let (rates, start) = (Rates::new(MOST), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, key, expected) in [
            (0, "a", None),
            (0, "a", None),
            (0, "a", None),
            (0, "a", Some(500)),
            (0, "b", None),
            (250, "a", Some(250)),
            (500, "a", None),
            (500, "a", Some(500)),
            (60_000, "a", None),
            (60_000, "a", None),
            (60_000, "a", None),
            (60_000, "a", Some(500)),
        ] {
            let taken = rates.take_at(key, RATE, at(ms));
            assert_eq!(taken.err().map(|wait| wait.as_millis()), expected, "{key} at {ms} ms");
        }
    }

    #[test]
    fn those_without_number_share_one_bucket_and_take_no_memory() {
        let (rates, now) = (Rates::new(MOST), Instant::now());
        for n in 0..MOST {
            assert!(rates.take_at(n.to_string(), RATE, now).is_ok());
        }
        let unauthenticated: Vec<_> = (0..5).map(|n| rates.take_at(format!("new {n}"), RATE, now).is_ok()).collect();
        assert_eq!(unauthenticated, [true, true, true, false, false]);
        assert!(rates.take_at("0".into(), RATE, now).is_ok(), "an earlier address keeps its own rate");
        assert_eq!(rates.buckets.lock().len(), MOST + 1);
        // With time, those that are full again make room.
        assert!(rates.take_at("late".into(), RATE, now + Duration::from_secs(60)).is_ok());
        assert_eq!(rates.buckets.lock().len(), 1);
    }
}
