//! Gives executions and their method calls to the tracer, if traces are on.

use super::{queue::Job, runner::Runner, version::Version};
use switchbox_model::{CallRecord, DeviceName};
use switchbox_plugin_runtime::{Execution, MethodCall, MethodError, MethodResponse, Verdict};
use switchbox_support::metrics::Metrics;
use switchbox_telemetry::{self as telemetry, Call, TraceId};

/// Ends an execution's span. Returns its trace if it has a span.
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

/// An execution is about to call a method. Returns the call's span, and its id; `None` if traces are off.
pub(super) fn method_begins(metrics: &Metrics, call: &MethodCall) -> Option<(Call, String)> {
    let traced = metrics.traces.on()?.method_of(call.seq, &call.plugin, call.attempt, call.index);
    Some((traced, CallRecord::id_of(call.seq, &call.plugin, call.index)))
}

/// Ends a method call's span.
pub(super) fn method_ended(
    metrics: &Metrics,
    traced: Option<(Call, String)>,
    device: &DeviceName,
    answer: &Result<MethodResponse, MethodError>,
) {
    if let (Some((call, id)), Some(traces)) = (traced, metrics.traces.on()) {
        traces.method_ended(call, id, device, answer.as_ref().err().map(ToString::to_string));
    }
}
