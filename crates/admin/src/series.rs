//! Counts of the last hour, for operators without a database of metrics. They are in memory only, so they begin at zero after a restart.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;

/// The interval of samples.
pub(super) const EVERY: Duration = Duration::from_secs(10);
/// Samples of an hour.
const KEPT: usize = 361;

/// The host's counters at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) time_ms: u64,
    pub(super) connections: i64,
    pub(super) devices_connected: usize,
    /// The number of the newest event.
    pub(super) events: u64,
    /// Events that plugins have handled since the start of the host.
    pub(super) executions: u64,
    /// Their effects.
    pub(super) effects: u64,
    pub(super) publishes_in: u64,
    pub(super) publishes_out: u64,
    /// Since the previous sample, microseconds.
    pub(super) commit: Percentiles,
    pub(super) delivery: Percentiles,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    pub(super) p50_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Series(Arc<Mutex<VecDeque<Sample>>>);

impl Series {
    /// Oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.lock().iter().copied().collect()
    }

    pub(super) fn push(&self, sample: Sample) {
        let mut samples = self.0.lock();
        if samples.len() >= KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_what_is_older_goes() {
        let series = Series::default();
        for time_ms in 0..400 {
            series.push(Sample { time_ms, ..Sample::default() });
        }
        let samples = series.samples();
        assert_eq!((samples.len(), samples[0].time_ms, samples[KEPT - 1].time_ms), (KEPT, 39, 399));
    }
}
