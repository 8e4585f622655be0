//! How often a caller may call: a bucket of calls for each token and each address, filled again with time. Bounded: past so many
//! callers, all that are new share one bucket.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::model::limits;

/// Who has a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    Token(String),
    /// Whoever shows no token, or none that is right.
    Stranger(IpAddr),
    /// Whoever asks for what needs no token.
    Passer(IpAddr),
    /// Those for whom there was no bucket left.
    Others,
}

/// So many calls at once, and so many a second after that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) burst: f64,
    pub(super) per_second: f64,
}

/// For who has shown a token.
pub(super) const CALLS: Rate = Rate { burst: limits::ADMIN_CALL_BURST, per_second: limits::ADMIN_CALLS_PER_SECOND };
/// For who has not.
pub(super) const STRANGERS: Rate =
    Rate { burst: limits::ADMIN_STRANGER_BURST, per_second: limits::ADMIN_STRANGERS_PER_SECOND };

#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Instant,
    rate: Rate,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.calls = (self.calls + passed * self.rate.per_second).min(self.rate.burst);
        self.at = now;
    }

    /// How long until there is a call to take, if there is none.
    fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.calls < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.calls) / self.rate.per_second));
        }
        self.calls -= 1.0;
        Ok(())
    }
}

/// The buckets of all callers. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Rates(Arc<Mutex<HashMap<Caller, Bucket>>>);

impl Rates {
    /// The error says how long the caller should wait.
    pub(super) fn take(&self, caller: Caller, rate: Rate) -> Result<(), Duration> {
        self.take_at(caller, rate, Instant::now())
    }

    fn take_at(&self, caller: Caller, rate: Rate, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.0.lock();
        let full = |buckets: &HashMap<_, _>| buckets.len() >= limits::ADMIN_CALLERS;
        if full(&buckets) && !buckets.contains_key(&caller) {
            // Whoever has not called for long has a full bucket, as if he had never called.
            buckets.retain(|_, bucket| {
                bucket.fill(now);
                bucket.calls < bucket.rate.burst
            });
        }
        let caller = if full(&buckets) && !buckets.contains_key(&caller) { Caller::Others } else { caller };
        buckets.entry(caller).or_insert(Bucket { calls: rate.burst, at: now, rate }).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3.0, per_second: 2.0 };

    fn token(name: &str) -> Caller {
        Caller::Token(name.into())
    }

    #[test]
    fn a_caller_waits_when_its_bucket_is_empty_and_no_other_does() {
        let (rates, start) = (Rates::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, caller, expected) in [
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
            let taken = rates.take_at(token(caller), RATE, at(ms));
            assert_eq!(taken.err().map(|wait| wait.as_millis()), expected, "{caller} at {ms} ms");
        }
    }

    #[test]
    fn callers_without_number_share_one_bucket_and_take_no_memory() {
        let (rates, now) = (Rates::default(), Instant::now());
        for n in 0..limits::ADMIN_CALLERS {
            assert!(rates.take_at(token(&n.to_string()), RATE, now).is_ok());
        }
        let strangers: Vec<_> = (0..5).map(|n| rates.take_at(token(&format!("new {n}")), RATE, now).is_ok()).collect();
        assert_eq!(strangers, [true, true, true, false, false]);
        assert!(rates.take_at(token("0"), RATE, now).is_ok(), "who was there before keeps its own");
        assert_eq!(rates.0.lock().len(), limits::ADMIN_CALLERS + 1);
        // With time, those that are full again make room.
        assert!(rates.take_at(token("late"), RATE, now + Duration::from_secs(60)).is_ok());
        assert_eq!(rates.0.lock().len(), 1);
    }
}
