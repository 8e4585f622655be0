//! How long something took, as a Prometheus histogram. Recording is two atomic additions and takes no lock, but for what belongs to a
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

#[derive(Debug, Default)]
struct Inner {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
    /// By the bucket.
    exemplars: Mutex<BTreeMap<usize, Exemplar>>,
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        self.record_traced(took, None);
    }

    /// The same, with the trace that it belongs to, if that is sampled.
    pub fn record_traced(&self, took: Duration, trace: Option<TraceId>) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.0.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.0.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(trace) = trace {
            let exemplar = Exemplar { trace: trace.to_string(), value: took.as_secs_f64(), time_ms: clock::now_ms() };
            self.0.exemplars.lock().insert(bucket, exemplar);
        }
    }

    /// By the bucket's place.
    #[must_use]
    pub fn exemplars(&self) -> BTreeMap<usize, Exemplar> {
        self.0.exemplars.lock().clone()
    }

    /// The same between two readings of the wall clock in milliseconds; one that went back in between counts as no time.
    pub fn record_between_ms(&self, from_ms: u64, to_ms: u64, trace: Option<TraceId>) {
        self.record_traced(Duration::from_millis(to_ms.saturating_sub(from_ms)), trace);
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
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
            histogram.clone().record(Duration::from_micros(us));
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
}
