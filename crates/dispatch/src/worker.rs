//! A worker of one plugin: takes the events of one device, gives them to its instance one after the other, and submits the
//! outcomes to the journal. An instance that trapped is dropped.

use std::{pin::pin, sync::Arc};

use tracing::Instrument as _;

use super::{
    approval_wait, delay,
    entry_batch::EntryBatch,
    outcome::{self, NextStep},
    queue::JobBatch,
    recorded_instance::{self, RecordedInstance},
    retry::retry,
    runner::Runner,
    version::Version,
};
use switchbox_plugin_runtime::{Call, CallError, Execution, Instance, Verdict};

/// Events after which a worker yields to other tasks of its thread, so that a busy plugin does not delay connections. Fewer would
/// cost more than they gain: a thread that yields looks for tasks on other threads before it polls again.
const YIELD_AFTER: usize = 32;

/// An instance of a plugin that a worker has started, and its version.
struct WorkerInstance {
    version: Arc<Version>,
    /// [`Versions::epoch`](super::version::Versions::epoch) when the instance was last found to be the right one.
    epoch: u64,
    instance: Instance,
    /// `None` if its calls are not recorded.
    recorded: Option<RecordedInstance>,
}

impl WorkerInstance {
    fn is_usable(&self) -> bool {
        !self.instance.poisoned() && !self.recorded.as_ref().is_some_and(RecordedInstance::is_incomplete)
    }
}

/// A worker's instances; each is started when an event needs it. Boxed, because each event takes one out and puts it back.
#[derive(Default)]
struct Instances {
    in_force: Option<Box<WorkerInstance>>,
    canary: Option<Box<WorkerInstance>>,
}

impl Instances {
    fn flush_recorded(&mut self, runner: &Runner) {
        let both = [&mut self.in_force, &mut self.canary];
        both.into_iter()
            .flatten()
            .filter_map(|running| running.recorded.as_mut())
            .for_each(|recorded| recorded.flush(runner));
    }
}

/// Spawns one more worker.
pub(super) fn start(runner: &Arc<Runner>) {
    runner.context.spawn(run(runner.clone()));
}

async fn run(runner: Arc<Runner>) {
    let _lost_worker = LostWorker(&runner);
    let mut instances = Instances::default();
    let mut handled = 0;
    while let Some(batch) = runner.backlog.next().await {
        handled += batch.jobs.len();
        handle(&runner, &mut instances, batch).await;
        instances.flush_recorded(&runner);
        if handled >= YIELD_AFTER {
            handled = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Counts the worker as ended if it panics. A worker that ends in [`Backlog::next`](super::backlog::Backlog::next) is counted there.
struct LostWorker<'a>(&'a Arc<Runner>);

impl Drop for LostWorker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.backlog.worker_lost();
        }
    }
}

/// Handles the jobs until one has to be retried or held back; that and the jobs behind it are put back into their queue.
async fn handle(runner: &Arc<Runner>, instances: &mut Instances, mut batch: JobBatch) {
    let mut entries = EntryBatch::new(runner, batch.jobs.len());
    // The first job has waited longest.
    if let Some(first) = batch.jobs.front() {
        entries.record_wait(first);
    }
    while let Some(job) = batch.jobs.pop_front() {
        let canary = runner.canary().filter(|canary| canary.acts_for(&job)).map(|canary| canary.version.clone());
        let slot = if canary.is_some() { &mut instances.canary } else { &mut instances.in_force };
        let next = match usable_instance(runner, slot, canary).await {
            Ok(WorkerInstance { version, instance, recorded, .. }) => {
                let device = job.device.as_ref().map(|device| &device.name);
                let (plugin, event, attempt) = (&runner.name, job.event.seq, job.attempt);
                let span = tracing::debug_span!("execution", %plugin, %event, attempt);
                if let Some(recorded) = recorded.as_mut() {
                    recorded.begin(runner);
                }
                let mut execution = {
                    // Pinned before it is handed on, because each move of a call's future copies all of it.
                    let call = pin!(instance.handle(Call { event: &job.event, device, attempt }));
                    call.instrument(span).await
                };
                let mut calls = recorded.as_mut().map(|recorded| recorded.record(runner, &job, &execution));
                let judgement = outcome::add_if_plain(&mut entries, version, &job, &mut execution, &mut calls);
                let Some(judgement) = judgement else { continue };
                outcome::decide(&mut entries, version, job, execution, calls, judgement).await
            }
            Err(failed) => {
                let (version, error) = *failed;
                let mut execution = not_started(&error);
                let judgement = outcome::add_if_plain(&mut entries, &version, &job, &mut execution, &mut None);
                let Some(judgement) = judgement else { continue };
                outcome::decide(&mut entries, &version, job, execution, None, judgement).await
            }
        };
        let next = match next {
            NextStep::Handled => continue,
            NextStep::Approve(uncommitted, exceeded) => {
                approval_wait::wait_for_approval(runner, uncommitted, exceeded);
                continue;
            }
            next => next,
        };
        entries.submit().await;
        match next {
            NextStep::Handled | NextStep::Approve(..) => {}
            NextStep::Retry(job) => retry(runner, *job, batch),
            NextStep::HoldBack(uncommitted, wait) => delay::hold_back(runner, uncommitted, wait, batch).await,
        }
        return;
    }
    entries.submit().await;
    runner.backlog.finish(batch.key);
}

/// The instance in `slot` if it may handle the next event, or else a new one: of the canary, or of the current version without `canary`. The
/// error: which version does not start, and why.
async fn usable_instance<'a>(
    runner: &Arc<Runner>,
    slot: &'a mut Option<Box<WorkerInstance>>,
    canary: Option<Arc<Version>>,
) -> Result<&'a mut WorkerInstance, Box<(Arc<Version>, CallError)>> {
    // Read before the version: if it changes in between, the next event looks up the version again.
    let epoch = runner.versions.epoch();
    let usable = slot.take().filter(|running| running.is_usable());
    let instance = match usable {
        Some(usable) if usable.epoch == epoch => usable,
        usable => {
            let (version, recording) =
                (canary.unwrap_or_else(|| runner.version()), runner.context.recordings.of(&runner.name));
            let has_shadow = runner.shadow().is_some();
            let matches_recording = |usable: &WorkerInstance| match &usable.recorded {
                None => recording.is_none() && !has_shadow,
                Some(recorded) => recorded.is_of(recording.as_ref(), has_shadow),
            };
            match usable.filter(|usable| Arc::ptr_eq(&usable.version, &version) && matches_recording(usable)) {
                Some(mut usable) => {
                    usable.epoch = epoch;
                    usable
                }
                None => match recorded_instance::start(runner, &version, recording, has_shadow).await {
                    Ok((instance, recorded)) => Box::new(WorkerInstance { version, epoch, instance, recorded }),
                    Err(error) => return Err(Box::new((version, error))),
                },
            }
        }
    };
    Ok(slot.insert(instance))
}

/// The execution of an event for which no instance could be started.
fn not_started(error: &CallError) -> Execution {
    let verdict = match error {
        CallError::Panicked { .. } => Verdict::HostPanicked(error.to_string()),
        _ => Verdict::GuestFailed(error.to_string()),
    };
    Execution { limits_hit: error.limit().into_iter().collect(), ..Execution::of(verdict) }
}
