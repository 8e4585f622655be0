//! Reads the host's counters every few seconds, and adds them to the series.

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    app::HostHandles,
    series::{EVERY, Percentiles, Sample, Series},
};
use switchbox_support::{
    clock,
    histogram::{Buckets, Histogram},
};

/// Until the host stops.
pub(super) async fn run(series: Series, handles: HostHandles, shutdown: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut commits, mut deliveries) = (Interval::default(), Interval::default());
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let commit = commits.percentiles(&handles.counters.commit_time);
                let delivery = deliveries.percentiles(&handles.counters.delivery_time);
                series.push(Sample { commit, delivery, ..sample(&handles).await });
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

async fn sample(handles: &HostHandles) -> Sample {
    let plugins = handles.plugins.list(None).await;
    let handled = plugins.iter().map(|plugin| plugin.counters.done + plugin.counters.rejected + plugin.counters.failed);
    Sample {
        time_ms: clock::now_ms(),
        connections: handles.counters.connections.get(),
        devices_connected: handles.delivery.connected(),
        events: handles.store.journal_end().1.0,
        executions: handled.sum(),
        effects: plugins.iter().map(|plugin| plugin.counters.effects).sum(),
        publishes_in: handles.counters.publishes_in.get(),
        publishes_out: handles.counters.publishes_out.get(),
        ..Sample::default()
    }
}
