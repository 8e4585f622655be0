//! A worker of one plugin: takes the events of one device, gives them to its instance one after the other, and hands what
//! came of them to the log. An instance that trapped is thrown away.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    delay,
    outcome::{self, Next, Settled},
    queue::{Job, Work},
    runner::{Runner, Running, Version},
};
use switchbox_plugin_runtime::{Call, CallError, Execution, Verdict};

/// How often an event is tried before it goes to the dead letters.
pub(super) const ATTEMPTS: u32 = 5;

/// 100 ms, 400 ms, 1.6 s, 6.4 s.
fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(100 * 4_u64.pow(attempt.saturating_sub(1).min(4)))
}

pub(super) async fn run(runner: Arc<Runner>) {
    let _place = LostWorker(&runner);
    let mut running = None;
    while let Some(work) = runner.next().await {
        handle(&runner, &mut running, work).await;
        // So that a busy plugin does not keep connections from their turn.
        tokio::task::yield_now().await;
    }
}

/// Gives the worker's place back when it panics; a worker that ends gives it back itself.
struct LostWorker<'a>(&'a Arc<Runner>);

impl Drop for LostWorker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.worker_lost();
        }
    }
}

async fn handle(runner: &Arc<Runner>, running: &mut Option<Running>, mut work: Work) {
    let mut settled = Settled::new(runner);
    while let Some(job) = work.jobs.pop_front() {
        let next = match ready(runner, running).await {
            Ok(Running { version, instance, .. }) => {
                let device = job.device.as_ref().map(|device| &device.name);
                let execution = instance.handle(Call { event: &job.event, device, attempt: job.attempt }).await;
                outcome::settle(&mut settled, version, job, execution).await
            }
            Err(failed) => {
                let (version, error) = *failed;
                outcome::settle(&mut settled, &version, job, not_started(&error)).await
            }
        };
        if matches!(next, Next::Handled) {
            continue;
        }
        settled.submit().await;
        match next {
            Next::Handled => {}
            Next::Again(job) => retry(runner, *job, work),
            Next::Later(pending, wait) => delay::hold(runner, pending, wait, work).await,
        }
        return;
    }
    settled.submit().await;
    runner.finish(work.lane);
}

pub(super) fn retry(runner: &Arc<Runner>, mut job: Job, mut rest: Work) {
    let delay = back_off(job.attempt);
    job.attempt += 1;
    let mut jobs = VecDeque::with_capacity(rest.jobs.len() + 1);
    jobs.push_back(job);
    jobs.append(&mut rest.jobs);
    runner.retry(Work { lane: rest.lane, jobs }, delay);
}

/// A good instance of the version in force. The error: which version does not start, and why.
async fn ready<'a>(
    runner: &Arc<Runner>,
    running: &'a mut Option<Running>,
) -> Result<&'a mut Running, Box<(Arc<Version>, CallError)>> {
    // Read before the version: one that comes in between is looked for again at the next event.
    let turn = runner.turn();
    let good = running.take().filter(|running| !running.instance.poisoned());
    let next = match good {
        Some(good) if good.turn == turn => good,
        good => {
            let version = runner.version();
            match good.filter(|good| Arc::ptr_eq(&good.version, &version)) {
                Some(same) => Running { turn, ..same },
                None => {
                    let started = version.component.start(version.setup.clone(), runner.context.plugin_host()).await;
                    match started {
                        Ok(instance) => Running { version, turn, instance },
                        Err(error) => return Err(Box::new((version, error))),
                    }
                }
            }
        }
    };
    Ok(running.insert(next))
}

fn not_started(error: &CallError) -> Execution {
    let verdict = match error {
        CallError::Panicked { .. } => Verdict::Panicked(error.to_string()),
        _ => Verdict::Failed(error.to_string()),
    };
    Execution {
        verdict,
        effects: Vec::new(),
        kv: Vec::new(),
        calls: Vec::new(),
        logs: Vec::new(),
        guest_time: Duration::ZERO,
        awaited: Duration::ZERO,
        limits_hit: Vec::new(),
    }
}
