//! The figures of one run, and their median over several runs.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{histogram::Histogram, load::LoadResult, streams::Faults};

/// The figures of one run, or the median of several.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Sample {
    pub(super) round_trips_per_s: f64,
    #[serde(rename = "p50_us", serialize_with = "micros")]
    pub(super) p50: Duration,
    #[serde(rename = "p99_us", serialize_with = "micros")]
    pub(super) p99: Duration,
    #[serde(rename = "longest_us", serialize_with = "micros")]
    pub(super) longest: Duration,
    /// Processor time of the server for one round trip. `None` if the system does not report it.
    #[serde(rename = "server_us_per_round_trip")]
    pub(super) server_us: Option<f64>,
    /// Cores that the load client kept busy.
    pub(super) client_cores: Option<f64>,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) skipped: u64,
}

/// Serialises a duration as microseconds.
pub(super) fn micros<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_nanos() as f64 / 1_000.0)
}

pub(super) fn maybe_micros<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| value.as_nanos() as f64 / 1_000.0).serialize(serializer)
}

impl Sample {
    pub(super) fn new(rate: f64, result: &LoadResult) -> Self {
        let Faults { lost, duplicated, skipped } = result.faults;
        let percentile = |share| result.round_trips.percentile(share).unwrap_or_default();
        Self {
            round_trips_per_s: rate,
            p50: percentile(0.5),
            p99: percentile(0.99),
            longest: result.round_trips.longest().unwrap_or_default(),
            lost,
            duplicated,
            skipped,
            ..Self::default()
        }
    }

    /// The median of each figure; faults are added up, and the longest time is the maximum of all runs.
    pub(super) fn median(samples: &[Self]) -> Option<Self> {
        let first = samples.first()?;
        let fold = |of: fn(&Self) -> u64| samples.iter().map(of).sum();
        Some(Self {
            round_trips_per_s: median(samples.iter().map(|s| s.round_trips_per_s)).unwrap_or(first.round_trips_per_s),
            p50: median_duration(samples.iter().map(|s| s.p50)),
            p99: median_duration(samples.iter().map(|s| s.p99)),
            longest: samples.iter().map(|s| s.longest).max().unwrap_or_default(),
            server_us: median(samples.iter().filter_map(|s| s.server_us)),
            client_cores: median(samples.iter().filter_map(|s| s.client_cores)),
            lost: fold(|s| s.lost),
            duplicated: fold(|s| s.duplicated),
            skipped: fold(|s| s.skipped),
        })
    }

    pub(super) fn faultless(&self) -> bool {
        self.lost + self.duplicated + self.skipped == 0
    }
}

/// Two percentiles of a time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Timing {
    #[serde(rename = "p50_us", serialize_with = "micros")]
    pub(super) p50: Duration,
    #[serde(rename = "p99_us", serialize_with = "micros")]
    pub(super) p99: Duration,
}

impl Timing {
    pub(super) fn of(histogram: &Histogram) -> Option<Self> {
        Some(Self { p50: histogram.percentile(0.5)?, p99: histogram.percentile(0.99)? })
    }
}

/// The middle value, or the mean of the two middle ones.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn median_duration(values: impl Iterator<Item = Duration>) -> Duration {
    median(values.map(|value| value.as_secs_f64())).map(Duration::from_secs_f64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        for (values, expect) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![9.0, 1.0, 2.0], Some(2.0)), (vec![4.0, 2.0], Some(3.0))]
        {
            assert_eq!(median(values.iter().copied()), expect, "{values:?}");
        }
    }

    #[test]
    fn runs_become_one_figure_but_no_fault_is_averaged_away() {
        let run = |rate: f64, lost, longest| Sample {
            round_trips_per_s: rate,
            lost,
            longest: Duration::from_millis(longest),
            ..Sample::default()
        };
        let sample = Sample::median(&[run(10.0, 0, 1), run(30.0, 2, 9), run(20.0, 0, 2)]).expect("three");
        assert_eq!((sample.round_trips_per_s, sample.lost, sample.longest.as_millis()), (20.0, 2, 9));
        assert!(!sample.faultless());
        assert!(Sample::median(&[]).is_none());
    }
}
