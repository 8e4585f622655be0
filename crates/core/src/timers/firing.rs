//! The task that fires due timers. It follows the wall clock, also when the clock is set.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Handle;
use crate::ingest;
use switchbox_model::PluginName;
use switchbox_store::QueueShare;
use switchbox_support::clock;

/// The longest sleep while a timer waits, so that a jump of the wall clock is noticed.
const STEP_MS: u64 = 1_000;
/// Timers of one plugin that fire in one entry of the journal, at most.
const MAX_FIRED: usize = 64;
/// An estimate of the bytes that one entry takes up in the journal's queue.
const ENTRY_BYTES: usize = 64 * 1024;

/// Fires timers when they are due, until `shutdown`.
pub async fn run(timers: Handle, ingest: ingest::Handle, shutdown: CancellationToken) {
    loop {
        let waiting = timers.waiting();
        let now_ms = clock::now_ms();
        for (plugin, due_ms) in &waiting {
            if *due_ms <= now_ms && fire(&timers, &ingest, plugin).await.is_err() {
                return;
            }
        }
        let changed = timers.inner.changed.notified();
        let next = timers.waiting().into_iter().map(|(_, due_ms)| due_ms).min();
        let sleep = next.map(|due_ms| Duration::from_millis(due_ms.saturating_sub(clock::now_ms()).min(STEP_MS)));
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Fires the due timers of one plugin.
async fn fire(timers: &Handle, ingest: &ingest::Handle, plugin: &PluginName) -> Result<(), ingest::Error> {
    let permit = ingest.reserve(ENTRY_BYTES, QueueShare::Whole).await?;
    let locked = timers.lock(plugin).await;
    // The journal computes the next times from the same moment.
    let now_ms = clock::now_ms();
    let fired = locked.take(now_ms, MAX_FIRED);
    if !fired.is_empty() {
        ingest.submit_timers(fired, now_ms, permit);
    }
    Ok(())
}
