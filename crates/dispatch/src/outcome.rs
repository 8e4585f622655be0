//! What becomes of an execution: effects for the log, another try, or a dead letter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    entry_batch::Settled, guard::Admission, queue::Job, retry::ATTEMPTS, uncommitted::Pending, version::Version,
};
use switchbox_core::timers;
use switchbox_model::{Effect, Handled, HandledInRun, Outcome};
use switchbox_plugin_runtime::{Execution, Verdict, limits::names};
use switchbox_support::clock;

/// What goes on with the event.
pub(super) enum Next {
    Handled,
    /// Try it again later.
    Again(Box<Job>),
    /// Its effects have to wait for so long.
    Later(Box<Pending>, Duration),
}

/// Decides on one execution.
pub(super) async fn settle(settled: &mut Settled<'_>, version: &Arc<Version>, job: Job, execution: Execution) -> Next {
    let runner = settled.runner;
    let now = Instant::now();
    let time_ms = settled.account(&execution, now);
    if !execution.limits_hit.is_empty()
        && let Some(more) = runner.log_limits.note("limits", now)
    {
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, limits = ?execution.limits_hit, "limits were hit{more}");
    }
    let Execution { verdict, effects, kv, calls, logs, guest_time, .. } = execution;
    if !calls.is_empty() {
        settled.add_calls(version, &job, calls);
    }
    for line in &logs {
        tracing::info!(target: "plugin", plugin = %runner.name, event = %job.event.seq, "{line}");
    }
    let problem = judge(settled, version, verdict);
    let took_us = u32::try_from(guest_time.as_micros()).unwrap_or(u32::MAX);
    let admission = match problem {
        None => runner.admit(version, &job, &effects, now),
        Some(_) => Admission::Now,
    };
    let plain = problem.is_none() && kv.is_empty() && logs.is_empty() && is_plain(&job, &effects);
    if plain && matches!(admission, Admission::Now) {
        let outcome = Outcome::Done { effects };
        let handled = HandledInRun { seq: job.event.seq, attempt: job.attempt, took_us, logs, outcome };
        settled.handled_timer(&job);
        settled.add_plain(&version.digest, time_ms, job.event.durable, handled);
        return Next::Handled;
    }
    let handled = Handled {
        plugin: runner.name.clone(),
        digest: version.digest.clone(),
        seq: job.event.seq,
        attempt: job.attempt,
        time_ms,
        took_us,
        logs,
        outcome: Outcome::Done { effects },
    };
    let mut pending = Pending { job, handled, kv, why_held: String::new() };
    if let Some(problem) = problem {
        return give_up(settled, pending, problem);
    }
    match admission {
        Admission::Now => finish(settled, pending).await,
        Admission::Later { wait, hit } => {
            pending.why_held = runner.note_delay(version, hit, wait, pending.effects());
            Next::Later(Box::new(pending), wait)
        }
        Admission::Never { wait, hit } => {
            let text = runner.too_long(version, hit, wait, pending.effects());
            give_up(settled, pending, Problem { text, retry: false })
        }
    }
}

/// None: all is well.
fn judge(settled: &mut Settled<'_>, version: &Arc<Version>, verdict: Verdict) -> Option<Problem> {
    let runner = settled.runner;
    match verdict {
        Verdict::Done => {
            runner.versions.note_handled(version);
            None
        }
        Verdict::Reject(text) => Some(Problem { text, retry: false }),
        Verdict::Retry(text) => Some(Problem { text, retry: true }),
        Verdict::GuestFailed(text) => {
            if let Some(instead) = runner.versions.take_back(version) {
                settled.taken_back(version, &instead, &text);
            }
            Some(Problem { text, retry: true })
        }
        // Another try would most likely end in the same way.
        Verdict::HostPanicked(text) => {
            runner.context.vital.count_panic("guest call", &text);
            let text = format!("the host panicked in a call of the plugin: {text}");
            if let Some(instead) = runner.versions.take_back(version) {
                settled.taken_back(version, &instead, &text);
            }
            Some(Problem { text, retry: false })
        }
    }
}

/// Commits what is wanted.
pub(super) async fn finish(settled: &mut Settled<'_>, pending: Pending) -> Next {
    match commit(settled, pending).await {
        Ok(()) => Next::Handled,
        Err(failed) => {
            let (problem, pending) = *failed;
            give_up(settled, pending, problem)
        }
    }
}

/// Another try, or the dead letters.
fn give_up(settled: &mut Settled<'_>, pending: Pending, problem: Problem) -> Next {
    let runner = settled.runner;
    let Pending { job, mut handled, .. } = pending;
    runner.counters.set_last_error(&problem.text);
    if problem.retry && job.attempt < ATTEMPTS {
        runner.counters.retried();
        if let Some(more) = runner.log_limits.note("retry", Instant::now()) {
            tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; trying again{more}", problem.text);
        }
        return Next::Again(Box::new(job));
    }
    runner.counters.dead();
    if let Some(more) = runner.log_limits.note("dead letter", Instant::now()) {
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; to the dead letters{more}", problem.text);
    }
    handled.outcome = Outcome::Dead { error: problem.text, event: Box::new(job.event.clone()) };
    settled.add(handled, &job, None);
    Next::Handled
}

/// Why an event was not handled.
struct Problem {
    text: String,
    retry: bool,
}

/// Hands the effects to the log. What can be refused there is waited for; the rest goes with the batch. The error has what
/// is needed to give the event up.
async fn commit(settled: &mut Settled<'_>, mut pending: Pending) -> Result<(), Box<(Problem, Pending)>> {
    realign_timers(&mut pending.handled.outcome);
    wait_to_publish(settled, pending.effects()).await;
    let conditional = has_condition(pending.effects());
    let of_timers = (0..).zip(pending.effects()).filter(|(_, effect)| is_of_timer(effect));
    let timers: Vec<(u32, Effect)> = of_timers.map(|(index, effect)| (index, effect.clone())).collect();
    if pending.kv.is_empty() && timers.is_empty() && !conditional {
        settled.add(pending.handled, &pending.job, None);
        return Ok(());
    }
    settled.submit().await;
    let context = settled.runner.context.clone();
    let state = context.kv.of(&settled.runner.name);
    let _order = state.order.lock().await;
    let held = if timers.is_empty() { None } else { Some(context.timers.hold(&settled.runner.name).await) };
    let planned = state.data.lock().plan(&pending.kv);
    let writes = match planned {
        Ok(writes) => writes,
        Err(conflict) => return Err(Box::new((Problem { text: conflict.to_string(), retry: true }, pending))),
    };
    let mut handled = pending.handled.clone();
    if let Outcome::Done { effects } = &mut handled.outcome {
        effects.extend(writes.iter().cloned().map(Effect::Kv));
    }
    if conditional {
        if let Some(refused) = settled.submit_alone(handled, &pending.job).await {
            return Err(Box::new((Problem { text: refused.to_string(), retry: true }, pending)));
        }
    } else {
        settled.add(handled, &pending.job, None);
        settled.submit().await;
    }
    if let Some(held) = held {
        held.apply(pending.job.event.seq, timers);
    }
    let mut data = state.data.lock();
    writes.iter().for_each(|write| data.apply(write));
    Ok(())
}

/// A guest sets timers by the time of its event, which may be of before the wall clock went back.
fn realign_timers(outcome: &mut Outcome) {
    if let Outcome::Done { effects } = outcome
        && effects.iter().any(|effect| matches!(effect, Effect::TimerSet(_)))
    {
        let now_ms = clock::now_ms();
        for effect in effects {
            if let Effect::TimerSet(timer) = effect {
                timers::realign(timer, now_ms);
            }
        }
    }
}

/// Where plugins publish more than subscribers take, the plugins are slowed down.
async fn wait_to_publish(settled: &mut Settled<'_>, effects: &[Effect]) {
    if !effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })) {
        return;
    }
    let Some(connections) = settled.runner.context.connections.get().cloned() else { return };
    settled.submit().await;
    if !connections.room_to_publish().await {
        settled.runner.counters.limit(names::OUTGOING_BYTES);
    }
}

/// The number of the first try.
const FIRST_ATTEMPT: u32 = 1;

/// First try, and nothing among its effects that has to wait for anything.
fn is_plain(job: &Job, effects: &[Effect]) -> bool {
    let plain = |effect: &Effect| matches!(effect, Effect::Config { expected: None, .. } | Effect::Command { .. });
    job.attempt == FIRST_ATTEMPT && job.dead_letter_id.is_none() && effects.iter().all(plain)
}

fn is_of_timer(effect: &Effect) -> bool {
    matches!(effect, Effect::TimerSet(_) | Effect::TimerCancel { .. })
}

fn has_condition(effects: &[Effect]) -> bool {
    // A patch is refused when what is in force by then cannot be patched.
    let refusable =
        |effect: &Effect| matches!(effect, Effect::Config { expected: Some(_), .. } | Effect::PatchDesired { .. });
    effects.iter().any(refusable)
}
