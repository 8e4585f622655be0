//! Passes the results of the plugin in force to its shadow. This happens when a result is committed, so that both states change in the same order.

use std::sync::Arc;

use super::{queue::Job, runner::Runner, shadow::InForceResult, uncommitted::Uncommitted, version::Version};
use switchbox_dry_run::{effect::OutcomeLine, recorder::RecordedCalls};
use switchbox_model::Effect;

/// Offers a result without writes of state.
pub(super) fn offer_plain(
    runner: &Runner,
    version: &Arc<Version>,
    job: &Job,
    effects: &[Effect],
    recorded_calls: Option<RecordedCalls>,
    guest_us: u32,
) {
    let Some(shadow) = runner.shadow() else { return };
    let result = InForceResult { outcome: OutcomeLine::Done, effects, kv: &[], recorded_calls, guest_us };
    shadow.offer(version, job, result, &runner.context.metrics);
}

/// Offers any result. If it writes state or timers, the caller holds their locks.
pub(super) fn offer_committed(runner: &Runner, uncommitted: &mut Uncommitted) {
    let Some(shadow) = runner.shadow() else { return };
    let recorded_calls = uncommitted.recorded_calls.take();
    let result = InForceResult {
        outcome: uncommitted.outcome.clone(),
        effects: uncommitted.effects(),
        kv: &uncommitted.kv,
        recorded_calls,
        guest_us: uncommitted.handled.took_us,
    };
    shadow.offer(&uncommitted.version, &uncommitted.job, result, &runner.context.metrics);
}
