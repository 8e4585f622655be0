//! Moving averages of a counter's rate per minute, over one, five and fifteen minutes. Pure.

use std::time::Duration;

/// The period of each average in minutes, and its name in the topic.
const PERIODS: [(f64, &str); 3] = [(1.0, "1min"), (5.0, "5min"), (15.0, "15min")];

/// The averages of one counter.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// In the order of [`PERIODS`].
    per_minute: [f64; 3],
    /// The counter's value when it was last read.
    counted: u64,
}

impl Load {
    /// Begins with the average since the counter was 0, which is `uptime` ago.
    pub(super) fn begin(counted: u64, uptime: Duration) -> Self {
        let minutes = uptime.as_secs_f64().max(1.0) / 60.0;
        Self { per_minute: [counted as f64 / minutes; 3], counted }
    }

    /// Adds the counter's current value, read this long after the last one.
    pub(super) fn add(&mut self, counted: u64, elapsed: Duration) {
        let minutes = elapsed.as_secs_f64() / 60.0;
        if minutes <= 0.0 {
            return;
        }
        let rate = counted.saturating_sub(self.counted) as f64 / minutes;
        self.counted = counted;
        for (average, (period, _)) in self.per_minute.iter_mut().zip(PERIODS) {
            let weight = (-minutes / period).exp();
            *average = weight.mul_add(*average - rate, rate);
        }
    }

    /// The averages per minute, with the names of their periods.
    pub(super) fn averages(&self) -> impl Iterator<Item = (&'static str, f64)> {
        PERIODS.into_iter().zip(self.per_minute).map(|((_, name), average)| (name, average))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(load: &Load) -> Vec<f64> {
        load.averages().map(|(_, average)| average.round()).collect()
    }

    #[test]
    fn an_average_follows_what_is_counted_the_slower_the_longer_it_looks_back() {
        let mut load = Load::begin(600, Duration::from_secs(60));
        assert_eq!(rounded(&load), [600.0, 600.0, 600.0]);
        load.add(600, Duration::from_secs(60));
        assert_eq!(rounded(&load), [221.0, 491.0, 561.0]);
        for minute in 1..=100 {
            load.add(600 + minute * 60, Duration::from_secs(60));
        }
        assert_eq!(rounded(&load), [60.0, 60.0, 61.0]);
        load.add(9_999, Duration::ZERO);
        assert_eq!(rounded(&load), [60.0, 60.0, 61.0]);
    }
}
