//! Delays an event's effects while a rate limit of their targets is reached. The event's queue waits; its worker and all other
//! queues continue. The delayed effects are bounded in bytes: beyond that, the worker itself waits.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    entry_batch::EntryBatch,
    outcome::{self, NextStep},
    queue::{JobBatch, QueueKey},
    retry::retry,
    runner::{DELAYED_UNITS, Runner, UNIT_BYTES},
    uncommitted::Uncommitted,
};
use switchbox_plugin_runtime::limits::names;

/// Holds the effects of one event back for `wait`. `remaining` are the other jobs that the worker took from the event's queue.
pub(super) async fn hold_back(
    runner: &Arc<Runner>,
    uncommitted: Box<Uncommitted>,
    wait: Duration,
    remaining: JobBatch,
) {
    let began = tokio::time::Instant::now();
    let until = began + wait;
    let units = (uncommitted.bytes() / UNIT_BYTES + 1).min(DELAYED_UNITS);
    if runner.delay_permits.available_permits() < units {
        runner.counters.limit(names::DELAYED_BYTES);
    }
    let permits = runner.delay_permits.clone().acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
    let permit = tokio::select! {
        permit = permits => permit.ok(),
        () = runner.ending.cancelled() => None,
    };
    let key = remaining.key;
    runner.backlog.put_back_behind(uncommitted.job.event.seq, remaining);
    let held = HeldBackGuard(runner.clone());
    runner.context.spawn(async move {
        let _permit: Option<OwnedSemaphorePermit> = permit;
        tokio::select! {
            () = tokio::time::sleep_until(until) => commit_held_back(&held.0, *uncommitted, began.elapsed(), key).await,
            () = held.0.ending.cancelled() => held.0.leave_unfinished(uncommitted.job),
        }
        drop(held);
    });
}

/// Counts one event as held back until it is dropped, also by a panic.
struct HeldBackGuard(Arc<Runner>);

impl Drop for HeldBackGuard {
    fn drop(&mut self) {
        self.0.backlog.held_back_ended();
    }
}

async fn commit_held_back(runner: &Arc<Runner>, mut uncommitted: Uncommitted, held: Duration, key: QueueKey) {
    let mut entries = EntryBatch::new(runner, 1);
    entries.add_held_back(&mut uncommitted, held);
    let next = outcome::finish(&mut entries, uncommitted).await;
    entries.submit().await;
    match next {
        NextStep::Retry(job) => retry(runner, *job, JobBatch { key, jobs: VecDeque::new() }),
        NextStep::Handled | NextStep::HoldBack(..) | NextStep::Approve(..) => runner.backlog.finish(key),
    }
}
