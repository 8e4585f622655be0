//! Ends canaries, and makes their status.

use super::{
    canary::{Canary, CanaryScope, median_us},
    runner::Runner,
    shadow::SHARE_SCALE,
};
use switchbox_model::Seq;
use switchbox_plugin_runtime::{CanaryEnd, CanaryStatus};
use switchbox_support::clock;

/// Ends the plugin's canary, if it is running: the version in force acts for all devices from the next event on. Calls
/// `on_canary_ended`.
pub(super) fn end(runner: &Runner, why: String) {
    end_with(runner, CanaryEnd { why, time_ms: clock::now_ms(), by_guard: false, event: None });
}

/// Ends the plugin's canary, if it is running, because it violated its guard. `event`: the one with which it did, if that is known.
pub(super) fn end_by_guard(runner: &Runner, why: &str, event: Option<Seq>) {
    let why = format!("the guard ended it: {why}");
    end_with(runner, CanaryEnd { why, time_ms: clock::now_ms(), by_guard: true, event });
}

fn end_with(runner: &Runner, end: CanaryEnd) {
    let Some(canary) = runner.end_canary(end) else { return };
    if let Some(notify) = runner.context.on_canary_ended.get() {
        notify(&runner.name, &status(runner, &canary));
    }
}

/// The canary's status, also after it has ended.
#[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
pub(super) fn status(runner: &Runner, canary: &Canary) -> CanaryStatus {
    let (share, devices) = match canary.scope() {
        CanaryScope::Share(share) => (Some(share as f64 / SHARE_SCALE as f64), None),
        CanaryScope::Devices(pattern, _) => (None, Some(pattern)),
    };
    let behaviour = canary.behaviour();
    CanaryStatus {
        digest: canary.version.digest.to_string(),
        since_ms: canary.since_ms,
        share,
        devices,
        events: behaviour.events,
        traps: behaviour.traps,
        errors: behaviour.errors,
        dead_letters: behaviour.dead_letters,
        median_us: median_us(&behaviour),
        in_force_median_us: median_us(&runner.version().behaviour.lock()),
        ended: canary.ended(),
    }
}
