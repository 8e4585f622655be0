//! Holds the effects of an event until an operator approves or rejects them. Other events are handled meanwhile, also those of the
//! same device.

use std::sync::Arc;

use super::{
    approvals::{Approval, Decided, Decision, MAX_WAIT},
    blast_radius::Exceeded,
    entry_batch::EntryBatch,
    loop_guard::distinct_targets,
    outcome::{self, NextStep},
    runner::Runner,
    uncommitted::Uncommitted,
};
use switchbox_dry_run::effect::lines;
use switchbox_model::{Effect, Seq, limits};
use switchbox_plugin_runtime::{
    KvChange,
    limits::{Line, names},
};
use switchbox_support::clock;

/// Describes the waiting effects, for an operator.
fn approval(runner: &Runner, uncommitted: &Uncommitted, exceeded: Exceeded) -> Approval {
    let registry = &runner.context.registry;
    let name = |num| registry.get(num).map(|device| device.name.clone());
    let effects = uncommitted.effects();
    let (shown, shown_kv) = first(effects, &uncommitted.kv);
    let Exceeded { line, targets, most, called } = exceeded;
    let counted = if line == Line::MaxTargetsPerEvent { "targets" } else { "new targets within a minute" };
    let called = if called > 0 { format!(", with {called} devices whose methods it called") } else { String::new() };
    let raise_text = uncommitted.version.setup.limits.raise(line);
    Approval {
        seq: uncommitted.job.event.seq,
        plugin: runner.name.clone(),
        digest: uncommitted.version.digest.to_string(),
        device: uncommitted.job.device.as_ref().map(|device| device.name.id.to_string()).unwrap_or_default(),
        since_ms: clock::now_ms(),
        why: format!("limits.{}: {targets} {counted}{called}; up to {most} need no approval{raise_text}", line.key()),
        targets: distinct_targets(effects, &[]).len(),
        effects: lines(shown, shown_kv, &name),
        effect_count: effects.len() + uncommitted.kv.len(),
    }
}

/// The effects and the writes of the state that an operator is shown: at most [`limits::APPROVAL_EFFECTS`] of both together.
fn first<'a>(effects: &'a [Effect], kv: &'a [KvChange]) -> (&'a [Effect], &'a [KvChange]) {
    let shown = effects.get(..limits::APPROVAL_EFFECTS).unwrap_or(effects);
    (shown, kv.get(..limits::APPROVAL_EFFECTS - shown.len()).unwrap_or(kv))
}

/// Holds the effects. The worker continues with the next event.
pub(super) fn wait_for_approval(runner: &Arc<Runner>, uncommitted: Box<Uncommitted>, exceeded: Exceeded) {
    let approval = approval(runner, &uncommitted, exceeded);
    let (seq, why) = (approval.seq, approval.why.clone());
    runner.counters.limit(exceeded.line.limit());
    if let Some(more) = runner.log_limits.allow("approval", std::time::Instant::now()) {
        let (plugin, id) = (&runner.name, approval.id());
        tracing::warn!(%plugin, "effects wait for approval: {why}; `switchbox approvals show {id}`{more}");
    }
    runner.backlog.wait_for_approval(seq);
    let decided = runner.context.approvals.add(approval);
    let began = tokio::time::Instant::now();
    let mut waiting = WaitingEvent { runner: runner.clone(), seq, decided: false };
    runner.context.spawn(async move {
        let runner = waiting.runner.clone();
        let decided = tokio::select! {
            decided = decided => decided.ok(),
            () = tokio::time::sleep(MAX_WAIT) => None,
            () = runner.ending.cancelled() => return runner.leave_unfinished(uncommitted.job),
        };
        let mut uncommitted = *uncommitted;
        uncommitted.hold_reason = match &decided {
            Some(Decided { decision: Decision::Approved { caller }, .. }) => format!("{why}; approved by {caller}"),
            _ => why.clone(),
        };
        let mut entries = EntryBatch::new(&runner, 1);
        let next = match &decided {
            Some(Decided { decision: Decision::Approved { .. }, .. }) => {
                runner.blast_radius.lock().record_approved(uncommitted.effects());
                entries.add_held_back(&mut uncommitted, began.elapsed());
                outcome::finish(&mut entries, uncommitted).await
            }
            Some(Decided { decision: Decision::Rejected { caller, reason }, .. }) => {
                let colon = if reason.is_empty() { "" } else { ": " };
                outcome::refuse(&mut entries, uncommitted, format!("{why}; rejected by {caller}{colon}{reason}"))
            }
            None => {
                let hours = MAX_WAIT.as_secs() / 3_600;
                runner.counters.limit(names::APPROVAL_TIME);
                outcome::refuse(
                    &mut entries,
                    uncommitted,
                    format!("{why}; no operator approved them within {hours} hours"),
                )
            }
        };
        entries.submit().await;
        waiting.decided = true;
        if let NextStep::Retry(job) = next {
            // The objects of the effects have changed meanwhile, so the plugin handles the event again.
            runner.handle_again(*job);
        }
        drop(waiting);
        if let Some(decided) = decided {
            // The caller may have disconnected.
            let _ = decided.done.send(());
        }
    });
}

/// Counts one event as waiting until it is dropped, also by a panic.
struct WaitingEvent {
    runner: Arc<Runner>,
    seq: Seq,
    /// The outcome of the event is queued for the journal.
    decided: bool,
}

impl Drop for WaitingEvent {
    fn drop(&mut self) {
        self.runner.context.approvals.remove(self.seq, &self.runner.name);
        self.runner.backlog.approval_ended(self.seq, self.decided);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_of_the_state_are_shown_with_the_effects_and_both_are_bounded() {
        let effects = |count| vec![Effect::TimerCancel { name: "off".into() }; count];
        let kv = |count| vec![KvChange { key: "a".into(), value: None, expected: None }; count];
        let most = limits::APPROVAL_EFFECTS;
        for (effect_count, kv_count, expected) in [
            (3, 1, (3, 1)),
            (0, 2, (0, 2)),
            (most - 1, 5, (most - 1, 1)),
            (most + 9, 5, (most, 0)),
            (2, most, (2, most - 2)),
        ] {
            let (effects, kv) = (effects(effect_count), kv(kv_count));
            let (shown, shown_kv) = first(&effects, &kv);
            assert_eq!((shown.len(), shown_kv.len()), expected, "{effect_count} {kv_count}");
        }
    }
}
