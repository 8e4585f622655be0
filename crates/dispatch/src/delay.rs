//! Holds an event's effects back while its targets may get no more: the event's queue waits, its worker and all other queues go
//! on. What is held back is bounded in bytes; past it the worker itself waits.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    entry_batch::Settled,
    outcome::{self, Next},
    queue::{QueueKey, Work},
    retry::retry,
    runner::{DELAYED_UNITS, Runner, UNIT_BYTES},
    uncommitted::Pending,
};
use switchbox_plugin_runtime::limits::names;

/// Takes over an event whose effects must wait, and what else was taken of its queue.
pub(super) async fn hold(runner: &Arc<Runner>, pending: Box<Pending>, wait: Duration, rest: Work) {
    let began = tokio::time::Instant::now();
    let until = began + wait;
    let units = (pending.bytes() / UNIT_BYTES + 1).min(DELAYED_UNITS);
    if runner.delayed.available_permits() < units {
        runner.counters.limit(names::DELAYED_BYTES);
    }
    let permits = runner.delayed.clone().acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX));
    let permit = tokio::select! {
        permit = permits => permit.ok(),
        () = runner.ending.cancelled() => None,
    };
    let key = rest.key;
    runner.backlog.put_back_behind(pending.job.event.seq, rest);
    let held = Held(runner.clone());
    runner.context.spawn(async move {
        let _permit: Option<OwnedSemaphorePermit> = permit;
        tokio::select! {
            () = tokio::time::sleep_until(until) => release(&held.0, *pending, began.elapsed(), key).await,
            // The event is in the journal and comes again.
            () = held.0.ending.cancelled() => {}
        }
        drop(held);
    });
}

/// An event whose effects are held back. Dropped when they are released, also by a panic.
struct Held(Arc<Runner>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.backlog.released();
    }
}

async fn release(runner: &Arc<Runner>, mut pending: Pending, held: Duration, key: QueueKey) {
    let mut settled = Settled::new(runner);
    settled.add_held_back(&mut pending, held);
    let next = outcome::finish(&mut settled, pending).await;
    settled.submit().await;
    match next {
        Next::Again(job) => retry(runner, *job, Work { key, jobs: VecDeque::new() }),
        Next::Handled | Next::Later(..) => runner.backlog.finish(key),
    }
}
