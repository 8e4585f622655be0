//! How long something took, as a Prometheus histogram. Recording is two atomic additions and takes no lock, except for what belongs to a
//! sampled trace: the last one of each bucket is kept as its exemplar.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use switchbox_telemetry::TraceId;

use super::{clock, exposition::Exemplar};

/// Upper bounds of the buckets, microseconds: three a decade, from a fast disk's commit to a slow device's answer. What took longer
/// is in a bucket of its own.
const BOUNDS_US: [u64; 19] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 60_000_000,
];

/// Cheap to clone: every clone records into the same buckets.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Inner>);

const BUCKETS: usize = BOUNDS_US.len() + 1;

#[derive(Debug, Default)]
struct Inner {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
    /// By the bucket.
    exemplars: Mutex<BTreeMap<usize, TracedSample>>,
}

/// Durations of one bucket that follow each other, recorded together by [`Histogram::record_in`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SameBucketRun {
    bucket: usize,
    count: u64,
    sum_ns: u64,
}

/// What belonged to a sampled trace. Its text is made only for a scraper.
#[derive(Debug, Clone, Copy)]
struct TracedSample {
    trace: TraceId,
    value: f64,
    time_ms: u64,
}

/// The index of the duration's bucket, and its nanoseconds.
fn bucket_of(took: Duration) -> (usize, u64) {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    (BOUNDS_US.partition_point(|bound| *bound < us), u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))
}

impl Histogram {
    /// Adds a duration to the run. It is recorded when a duration of another bucket comes, or by [`Histogram::record_run`], so the shared counters
    /// are written less often.
    pub fn record_in(&self, run: &mut SameBucketRun, took: Duration) {
        let (bucket, ns) = bucket_of(took);
        if run.bucket != bucket {
            self.record_run(std::mem::take(run));
            run.bucket = bucket;
        }
        run.count += 1;
        run.sum_ns += ns;
    }

    /// Records the durations of a run.
    pub fn record_run(&self, run: SameBucketRun) {
        if run.count > 0
            && let Some(counter) = self.0.buckets.get(run.bucket)
        {
            counter.fetch_add(run.count, Ordering::Relaxed);
            self.0.sum_ns.fetch_add(run.sum_ns, Ordering::Relaxed);
        }
    }

    /// Records a duration, with the trace that it belongs to, if that is sampled.
    pub fn record_traced(&self, took: Duration, trace: Option<TraceId>) {
        let (bucket, sum_ns) = bucket_of(took);
        self.record_run(SameBucketRun { bucket, count: 1, sum_ns });
        if let Some(trace) = trace {
            let seen = TracedSample { trace, value: took.as_secs_f64(), time_ms: clock::now_ms() };
            self.0.exemplars.lock().insert(bucket, seen);
        }
    }

    /// By the bucket's place.
    #[must_use]
    pub fn exemplars(&self) -> BTreeMap<usize, Exemplar> {
        let seen = self.0.exemplars.lock().clone();
        let text = |(bucket, TracedSample { trace, value, time_ms })| {
            (bucket, Exemplar { trace: trace.to_string(), value, time_ms })
        };
        seen.into_iter().map(text).collect()
    }

    /// Records the time between two readings of the wall clock in milliseconds. It counts as zero if the clock went back.
    pub fn record_between_ms(&self, from_ms: u64, to_ms: u64, trace: Option<TraceId>) {
        self.record_traced(Duration::from_millis(to_ms.saturating_sub(from_ms)), trace);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets().count()
    }

    /// What was recorded up to now.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        let mut counts = [0; BUCKETS];
        for (count, bucket) in counts.iter_mut().zip(&self.0.buckets) {
            *count = bucket.load(Ordering::Relaxed);
        }
        Buckets(counts)
    }
}

/// How many took how long, as it was at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buckets([u64; BUCKETS]);

impl Buckets {
    /// What was recorded after `before` was read.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut counts = self.0;
        counts.iter_mut().zip(before.0).for_each(|(count, before)| *count = count.saturating_sub(before));
        Self(counts)
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The value that this percentage did not exceed, microseconds, estimated from the buckets: within one, values count as spread
    /// evenly, as in Prometheus' `histogram_quantile`. Values over the last bound count as that bound. Returns `None` if nothing
    /// was recorded.
    #[must_use]
    pub fn percentile_us(&self, percent: u64) -> Option<u64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let (mut below, mut from) = (0, 0);
        for (count, bound) in self.0.iter().zip(BOUNDS_US.iter().chain(BOUNDS_US.last())) {
            if *count > 0 && below + count >= rank {
                return Some(from + (bound - from) * (rank - below) / count);
            }
            (below, from) = (below + count, *bound);
        }
        None
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6).chain([f64::MAX]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let sum = self.0.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        // What was recorded meanwhile is in the buckets as read, or not at all: count and buckets agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_was_recorded_is_written_with_how_many_took_no_longer() {
        let histogram = Histogram::default();
        for us in [0, 20, 21, 1_000, 3_000_000, 61_000_000] {
            histogram.clone().record_traced(Duration::from_micros(us), None);
        }
        histogram.record_between_ms(5, 3, None);
        let mut registry = Registry::default();
        registry.register("commit_seconds", "Time", histogram.clone());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE commit_seconds histogram",
            "commit_seconds_sum 64.001041",
            "commit_seconds_count 7",
            r#"commit_seconds_bucket{le="0.00002"} 3"#,
            r#"commit_seconds_bucket{le="0.00005"} 4"#,
            r#"commit_seconds_bucket{le="0.001"} 5"#,
            r#"commit_seconds_bucket{le="60.0"} 6"#,
            r#"commit_seconds_bucket{le="+Inf"} 7"#,
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
        }
        assert_eq!(histogram.count(), 7);
    }

    #[test]
    fn durations_that_are_recorded_in_runs_count_as_those_that_are_recorded_one_by_one() {
        let (one_by_one, in_runs) = (Histogram::default(), Histogram::default());
        let mut run = SameBucketRun::default();
        for us in [1, 20, 21, 30, 50, 3, 61_000_000, 61_000_000] {
            one_by_one.record_traced(Duration::from_micros(us), None);
            in_runs.record_in(&mut run, Duration::from_micros(us));
        }
        assert_eq!(in_runs.count(), 6, "the last run is not recorded yet");
        in_runs.record_run(run);
        let sum = |histogram: &Histogram| histogram.0.sum_ns.load(Ordering::Relaxed);
        assert_eq!((in_runs.buckets(), sum(&in_runs)), (one_by_one.buckets(), sum(&one_by_one)));
    }

    #[test]
    fn percentiles_are_as_precise_as_the_buckets() {
        let histogram = Histogram::default();
        assert_eq!(histogram.buckets().percentile_us(50), None);
        for us in (1..=100).map(|n| n * 10) {
            histogram.record_traced(Duration::from_micros(us), None);
        }
        let before = histogram.buckets();
        assert_eq!([50, 99, 100].map(|percent| before.percentile_us(percent)), [Some(500), Some(990), Some(1_000)]);
        histogram.record_traced(Duration::from_secs(90), None);
        let after = histogram.buckets().since(&before);
        assert_eq!((after.count(), after.percentile_us(50)), (1, Some(60_000_000)));
    }
}
