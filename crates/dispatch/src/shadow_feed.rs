//! Hands what the plugin in force did to its shadow, if it has one: when it is committed, so that both states have the same order.

use std::sync::Arc;

use super::{queue::Job, runner::Runner, shadow::Did, uncommitted::Uncommitted, version::Version};
use switchbox_dry_run::{effect::OutcomeLine, recorder::RecordedCalls};
use switchbox_model::Effect;

/// An event without writes of state.
pub(super) fn plain(
    runner: &Runner,
    version: &Arc<Version>,
    job: &Job,
    effects: &[Effect],
    asked: Option<RecordedCalls>,
    guest_us: u32,
) {
    let Some(shadow) = runner.shadow() else { return };
    let did = Did { outcome: OutcomeLine::Done, effects, kv: &[], asked, guest_us };
    shadow.offer(version, job, did, &runner.context.metrics);
}

/// Any event. Called under the locks of the plugin's state and timers where it writes them.
pub(super) fn committed(runner: &Runner, uncommitted: &mut Uncommitted) {
    let Some(shadow) = runner.shadow() else { return };
    let asked = uncommitted.asked.take();
    let did = Did {
        outcome: uncommitted.outcome.clone(),
        effects: uncommitted.effects(),
        kv: &uncommitted.kv,
        asked,
        guest_us: uncommitted.handled.took_us,
    };
    shadow.offer(&uncommitted.version, &uncommitted.job, did, &runner.context.metrics);
}
