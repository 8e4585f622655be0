//! When an event that failed is tried again, and how often.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    queue::{Job, Work},
    runner::Runner,
};

/// How often an event is tried before it goes to the dead letters.
pub(super) const ATTEMPTS: u32 = 5;

/// 100 ms, 400 ms, 1.6 s, 6.4 s.
fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 * 4_u64.pow(attempt.saturating_sub(1).min(4)))
}

/// Tries the job again after a while, and then what else was taken of its queue.
pub(super) fn retry(runner: &Arc<Runner>, mut job: Job, mut rest: Work) {
    let delay = back_off(job.attempt);
    job.attempt += 1;
    let mut jobs = VecDeque::with_capacity(rest.jobs.len() + 1);
    jobs.push_back(job);
    jobs.append(&mut rest.jobs);
    let key = rest.key;
    runner.backlog.put_back(Work { key, jobs });
    let again = runner.clone();
    runner.context.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(delay) => again.backlog.wake(key),
            () = again.context.stopping.cancelled() => {}
        }
    });
}
