//! A worker of one plugin: takes the events of one device, gives them to its instance one after the other, and hands what
//! came of them to the log. An instance that trapped is thrown away.

use std::{sync::Arc, time::Duration};

use tracing::Instrument as _;

use super::{
    delay,
    entry_batch::Settled,
    host::PluginHost,
    outcome::{self, Next},
    queue::Work,
    retry::retry,
    runner::Runner,
    version::Version,
};
use switchbox_plugin_runtime::{Call, CallError, Execution, Instance, Verdict};

/// Events after which a worker lets other tasks of its thread run, so that a busy plugin does not keep connections waiting. Where
/// little happens it would cost more than it gives: the thread looks for work of others before it rests.
const YIELD_AFTER: usize = 32;

/// A worker's instance, and of which version it is.
struct Running {
    version: Arc<Version>,
    /// When it was seen to be the one in force.
    epoch: u64,
    instance: Instance,
}

/// Begins one more worker.
pub(super) fn start(runner: &Arc<Runner>) {
    runner.context.spawn(run(runner.clone()));
}

async fn run(runner: Arc<Runner>) {
    let _place = LostWorker(&runner);
    let mut running = None;
    let mut handled = 0;
    while let Some(work) = runner.backlog.next().await {
        handled += work.jobs.len();
        handle(&runner, &mut running, work).await;
        if handled >= YIELD_AFTER {
            handled = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Gives the worker's place back when it panics; a worker that ends gives it back itself.
struct LostWorker<'a>(&'a Arc<Runner>);

impl Drop for LostWorker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.backlog.worker_lost();
        }
    }
}

async fn handle(runner: &Arc<Runner>, running: &mut Option<Running>, mut work: Work) {
    let mut settled = Settled::new(runner);
    // The one that has waited longest: those behind it came later.
    if let Some(first) = work.jobs.front() {
        settled.record_wait(first);
    }
    while let Some(job) = work.jobs.pop_front() {
        let next = match ready(runner, running).await {
            Ok(Running { version, instance, .. }) => {
                let device = job.device.as_ref().map(|device| &device.name);
                let (plugin, event, attempt) = (&runner.name, job.event.seq, job.attempt);
                let span = tracing::debug_span!("execution", %plugin, %event, attempt);
                let execution = instance.handle(Call { event: &job.event, device, attempt }).instrument(span).await;
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
    runner.backlog.finish(work.key);
}

/// A good instance of the version in force. The error: which version does not start, and why.
async fn ready<'a>(
    runner: &Arc<Runner>,
    running: &'a mut Option<Running>,
) -> Result<&'a mut Running, Box<(Arc<Version>, CallError)>> {
    // Read before the version: one that comes in between is looked for again at the next event.
    let epoch = runner.versions.epoch();
    let good = running.take().filter(|running| !running.instance.poisoned());
    let next = match good {
        Some(good) if good.epoch == epoch => good,
        good => {
            let version = runner.version();
            match good.filter(|good| Arc::ptr_eq(&good.version, &version)) {
                Some(same) => Running { epoch, ..same },
                None => {
                    let started = version.component.start(version.setup.clone(), PluginHost::of(runner)).await;
                    match started {
                        Ok(instance) => Running { version, epoch, instance },
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
        CallError::Panicked { .. } => Verdict::HostPanicked(error.to_string()),
        _ => Verdict::GuestFailed(error.to_string()),
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
