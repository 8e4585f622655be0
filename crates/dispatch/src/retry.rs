//! Retries of an event that failed: how often, and after which back-off.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    queue::{Job, JobBatch},
    runner::Runner,
};

/// Attempts in all before an event becomes a dead letter.
pub(super) const ATTEMPTS: u32 = 5;

/// How long to wait after the failed `attempt` (from 1): 100 ms, 400 ms, 1.6 s, 6.4 s.
fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 * 4_u64.pow(attempt.saturating_sub(1).min(4)))
}

/// Puts the job back in front of `remaining`, the other jobs taken from its queue, and wakes the queue after the back-off.
pub(super) fn retry(runner: &Arc<Runner>, mut job: Job, mut remaining: JobBatch) {
    let delay = back_off(job.attempt);
    job.attempt += 1;
    let mut jobs = VecDeque::with_capacity(remaining.jobs.len() + 1);
    jobs.push_back(job);
    jobs.append(&mut remaining.jobs);
    let key = remaining.key;
    runner.backlog.put_back(JobBatch { key, jobs });
    let context = runner.context.clone();
    let runner = runner.clone();
    context.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(delay) => runner.backlog.wake(key),
            () = runner.context.stopping.cancelled() => {}
        }
    });
}
