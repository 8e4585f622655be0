//! Looks at the host every few seconds, and adds what it has counted to the series.

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    app::Parts,
    series::{EVERY, Sample, Series},
};
use switchbox_support::clock;

/// Until the host stops.
pub(super) async fn run(series: Series, parts: Parts, shutdown: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => series.push(sample(&parts).await),
            () = shutdown.cancelled() => return,
        }
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
        publishes_in: parts.counters.publishes_in.get(),
        publishes_out: parts.counters.publishes_out.get(),
    }
}
