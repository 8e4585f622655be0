//! Gives executions to the tracer, if traces are on.

use super::{queue::Job, runner::Runner, version::Version};
use switchbox_plugin_runtime::{Execution, Verdict};
use switchbox_telemetry::{self as telemetry, TraceId};

/// It ended just now. Returns its trace if it has a span.
pub(super) fn execution(runner: &Runner, version: &Version, job: &Job, execution: &Execution) -> Option<TraceId> {
    let traces = runner.context.metrics.traces.on()?;
    let error = match &execution.verdict {
        Verdict::Done => None,
        Verdict::Reject(text) | Verdict::Retry(text) | Verdict::GuestFailed(text) | Verdict::HostPanicked(text) => {
            Some(text.as_str())
        }
    };
    traces.execution(telemetry::Execution {
        event: &job.event,
        plugin: &runner.name,
        digest: &version.digest,
        attempt: job.attempt,
        took: execution.guest_time + execution.awaited,
        effects: execution.effects.len(),
        error,
    })
}

/// The trace of a job's event, if it is sampled.
pub(super) fn of(runner: &Runner, job: &Job) -> Option<TraceId> {
    runner.context.metrics.traces.on()?.sampled(&job.event)
}
