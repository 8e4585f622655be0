//! Moving averages of a counter's rate per minute, over one, five and fifteen minutes. Pure.

use std::time::Duration;

/// The period of each average in minutes, and its name.
const OVER: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// The averages of one counter.
#[derive(Debug, Clone)]
pub(super) struct Load {
    per_minute: [f64; 3],
    counted: u64,
}

impl Load {
    /// Begins with the average since the counter was 0.
    pub(super) fn begin(counted: u64, since: Duration) -> Self {
        let minutes = since.as_secs_f64().max(1.0) / 60.0;
        Self { per_minute: [counted as f64 / minutes; 3], counted }
    }

    /// Adds the counter's current value, read this long after the one before.
    pub(super) fn add(&mut self, counted: u64, after: Duration) {
        let minutes = after.as_secs_f64() / 60.0;
        if minutes <= 0.0 {
            return;
        }
        let now = counted.saturating_sub(self.counted) as f64 / minutes;
        self.counted = counted;
        for (average, (over, _)) in self.per_minute.iter_mut().zip(OVER) {
            let kept = (-minutes / over).exp();
            *average = kept.mul_add(*average - now, now);
        }
    }

    pub(super) fn averages(&self) -> impl Iterator<Item = (&'static str, f64)> {
        OVER.into_iter().zip(self.per_minute).map(|((_, name), average)| (name, average))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(load: &Load) -> Vec<f64> {
        load.averages().map(|(_, average)| average.round()).collect()
    }

    #[test]
    fn an_average_follows_what_is_counted_the_slower_the_longer_it_looks_back() {
        let mut load = Load::begin(600, Duration::from_secs(60));
        assert_eq!(of(&load), [600.0, 600.0, 600.0]);
        load.add(600, Duration::from_secs(60));
        assert_eq!(of(&load), [221.0, 491.0, 561.0]);
        for minute in 1..=100 {
            load.add(600 + minute * 60, Duration::from_secs(60));
        }
        assert_eq!(of(&load), [60.0, 60.0, 61.0]);
        load.add(9_999, Duration::ZERO);
        assert_eq!(of(&load), [60.0, 60.0, 61.0]);
    }
}
