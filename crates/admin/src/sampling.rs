//! Reads the host's counters every few seconds, and adds them to the series.

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    app::Parts,
    series::{EVERY, Percentiles, Sample, Series},
};
use switchbox_support::{
    clock,
    histogram::{Buckets, Histogram},
};

/// Until the host stops.
pub(super) async fn run(series: Series, parts: Parts, shutdown: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut commits, mut deliveries) = (Interval::default(), Interval::default());
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let commit = commits.percentiles(&parts.counters.commit_time);
                let delivery = deliveries.percentiles(&parts.counters.delivery_time);
                series.push(Sample { commit, delivery, ..sample(&parts).await });
            }
            () = shutdown.cancelled() => return,
        }
    }
}

/// What a histogram had at the sample before.
#[derive(Default)]
struct Interval(Buckets);

impl Interval {
    /// Of what was recorded since it was asked last.
    fn percentiles(&mut self, histogram: &Histogram) -> Percentiles {
        let now = histogram.buckets();
        let new = now.since(&std::mem::replace(&mut self.0, now));
        Percentiles { p50_us: new.percentile_us(50), p99_us: new.percentile_us(99) }
    }
}

async fn sample(parts: &Parts) -> Sample {
    let plugins = parts.plugins.list().await;
    let handled = plugins.iter().map(|plugin| plugin.counters.done + plugin.counters.rejected + plugin.counters.failed);
    Sample {
        time_ms: clock::now_ms(),
        connections: parts.counters.connections.get(),
        devices_connected: parts.delivery.connected(),
        events: parts.store.journal_end().1.0,
        executions: handled.sum(),
        effects: plugins.iter().map(|plugin| plugin.counters.effects).sum(),
        publishes_in: parts.counters.publishes_in.get(),
        publishes_out: parts.counters.publishes_out.get(),
        ..Sample::default()
    }
}
