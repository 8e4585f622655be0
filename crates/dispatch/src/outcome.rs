//! The outcome of an execution: effects for the journal, a retry, or a dead letter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    blast_radius::Exceeded, entry_batch::EntryBatch, kv::PluginKv, loop_guard::Admission, queue::Job, retry::ATTEMPTS,
    shadow_feed, uncommitted::Uncommitted, version::Version,
};
use switchbox_core::timers;
use switchbox_dry_run::{effect::OutcomeLine, recorder::RecordedCalls};
use switchbox_model::{Effect, Handled, HandledInRun, KvWrite, Outcome, limits};
use switchbox_plugin_runtime::{Execution, Verdict, limits::names};
use switchbox_store::OnCommit;
use switchbox_support::clock;

/// What happens next with the event.
pub(super) enum NextStep {
    Handled,
    /// The event is tried again after a back-off.
    Retry(Box<Job>),
    /// The event's effects are held back for this time.
    HoldBack(Box<Uncommitted>, Duration),
    /// The event's effects wait for an operator's approval.
    Approve(Box<Uncommitted>, Exceeded),
}

/// What was found out of an execution whose outcome is not decided yet.
pub(super) struct Judgement {
    /// When the execution ended, milliseconds since the Unix epoch.
    time_ms: u64,
    /// The guest's time, microseconds.
    took_us: u32,
    failure: Option<Failure>,
    admission: Admission,
    exceeded: Option<Exceeded>,
}

/// Accounts for one execution. If it has only effects that cannot be refused, adds them to the shared entry and returns `None`: that is the
/// end of most executions, so it moves neither the job nor the execution. Otherwise [`decide`] has to follow. `recorded_calls`: its host calls,
/// if they are recorded or a shadow needs them.
pub(super) fn add_if_plain(
    entries: &mut EntryBatch<'_>,
    version: &Arc<Version>,
    job: &Job,
    execution: &mut Execution,
    recorded_calls: &mut Option<RecordedCalls>,
) -> Option<Judgement> {
    let runner = entries.runner;
    let now = execution.ended.unwrap_or_else(Instant::now);
    let time_ms = entries.account(version, job, execution, now);
    log_limits_hit(entries, job, execution, now);
    let rolled_back = entries.observe(version, job.event.seq, execution);
    let Execution { verdict, effects, kv, calls, logs, guest_time, .. } = execution;
    let called: Vec<_> = calls.iter().map(|call| call.device).collect();
    if !calls.is_empty() {
        entries.add_calls(version, job, std::mem::take(calls));
    }
    for line in &*logs {
        tracing::info!(target: "plugin", plugin = %runner.name, event = %job.event.seq, "{line}");
    }
    let mut failure = judge(entries, verdict);
    if let Some(failure) = &mut failure {
        // The previous version gets the event.
        failure.retry |= rolled_back;
    }
    let took_us = u32::try_from(guest_time.as_micros()).unwrap_or(u32::MAX);
    let admission = if failure.is_none() { runner.admit(version, job, effects, now) } else { Admission::Now };
    let exceeded = if failure.is_none() { runner.exceeds(version, effects, &called) } else { None };
    let shares_entry =
        failure.is_none() && exceeded.is_none() && kv.is_empty() && logs.is_empty() && is_plain(job, effects);
    if !shares_entry || !matches!(admission, Admission::Now) {
        return Some(Judgement { time_ms, took_us, failure, admission, exceeded });
    }
    shadow_feed::offer_plain(runner, version, job, effects, recorded_calls.take(), took_us);
    let outcome = Outcome::Done { effects: std::mem::take(effects) };
    let handled = HandledInRun { seq: job.event.seq, attempt: job.attempt, took_us, logs: Vec::new(), outcome };
    entries.handled_timer(job);
    entries.add_plain(&version.journaled_as, time_ms, job.event.durable, handled);
    None
}

/// Decides what happens after an execution that [`add_if_plain`] did not add.
pub(super) async fn decide(
    entries: &mut EntryBatch<'_>,
    version: &Arc<Version>,
    job: Job,
    execution: Execution,
    recorded_calls: Option<RecordedCalls>,
    judgement: Judgement,
) -> NextStep {
    let Judgement { time_ms, took_us, failure, admission, exceeded } = judgement;
    let Execution { verdict, effects, kv, logs, .. } = execution;
    let handled = Handled {
        plugin: entries.runner.name.clone(),
        digest: version.journaled_as.clone(),
        seq: job.event.seq,
        attempt: job.attempt,
        time_ms,
        took_us,
        logs,
        outcome: Outcome::Done { effects },
    };
    let (version, outcome, hold_reason) = (version.clone(), OutcomeLine::of(&verdict), String::new());
    let uncommitted = Uncommitted { version, job, outcome, handled, kv, recorded_calls, hold_reason };
    if let Some(failure) = failure {
        return give_up(entries, uncommitted, failure);
    }
    if let Some(exceeded) = exceeded {
        return approve(entries, uncommitted, exceeded);
    }
    commit_at_rate(entries, uncommitted, admission).await
}

/// Commits the effects at the rate that their targets allow.
async fn commit_at_rate(entries: &mut EntryBatch<'_>, mut uncommitted: Uncommitted, admission: Admission) -> NextStep {
    let runner = entries.runner;
    match admission {
        Admission::Now => finish(entries, uncommitted).await,
        Admission::Later { wait, hit } => {
            uncommitted.hold_reason = runner.record_delay(&uncommitted.version, hit, wait, uncommitted.effects());
            NextStep::HoldBack(Box::new(uncommitted), wait)
        }
        Admission::Never { wait, hit } => {
            let text = runner.delay_too_long(&uncommitted.version, hit, wait, uncommitted.effects());
            give_up(entries, uncommitted, Failure { text, retry: false })
        }
    }
}

/// Lets the effects wait for approval, if there is room for them.
fn approve(entries: &mut EntryBatch<'_>, uncommitted: Uncommitted, exceeded: Exceeded) -> NextStep {
    let runner = entries.runner;
    if runner.context.approvals.count(&runner.name) < limits::APPROVALS {
        return NextStep::Approve(Box::new(uncommitted), exceeded);
    }
    runner.counters.limit(names::APPROVALS);
    let (limit, waiting) = (exceeded.line.key(), limits::APPROVALS);
    let raise_text = uncommitted.version.setup.limits.raise(exceeded.line);
    let text = format!("limits.{limit}: needs approval, and {waiting} events of the plugin wait for it{raise_text}");
    refuse(entries, uncommitted, text)
}

/// The event becomes a dead letter, and its effects are dropped.
pub(super) fn refuse(entries: &mut EntryBatch<'_>, uncommitted: Uncommitted, text: String) -> NextStep {
    give_up(entries, uncommitted, Failure { text, retry: false })
}

fn log_limits_hit(entries: &EntryBatch<'_>, job: &Job, execution: &Execution, now: Instant) {
    let runner = entries.runner;
    if !execution.limits_hit.is_empty()
        && let Some(more) = runner.log_limits.allow("limits", now)
    {
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, limits = ?execution.limits_hit, "limits were hit{more}");
    }
}

/// Returns `None` if the guest handled the event.
fn judge(entries: &EntryBatch<'_>, verdict: &Verdict) -> Option<Failure> {
    let runner = entries.runner;
    match verdict {
        Verdict::Done => None,
        Verdict::Reject(text) => Some(Failure { text: text.clone(), retry: false }),
        Verdict::Retry(text) | Verdict::GuestFailed(text) => Some(Failure { text: text.clone(), retry: true }),
        // A retry would most likely end in the same way.
        Verdict::HostPanicked(text) => {
            runner.context.supervisor.count_panic("guest call", text);
            let text = format!("the host panicked in a call of the plugin: {text}");
            Some(Failure { text, retry: false })
        }
    }
}

/// Commits the execution's effects.
pub(super) async fn finish(entries: &mut EntryBatch<'_>, uncommitted: Uncommitted) -> NextStep {
    match commit(entries, uncommitted).await {
        Ok(()) => NextStep::Handled,
        Err(failed) => {
            let (failure, uncommitted) = *failed;
            give_up(entries, uncommitted, failure)
        }
    }
}

/// A retry, or a dead letter after the last attempt.
fn give_up(entries: &mut EntryBatch<'_>, mut uncommitted: Uncommitted, failure: Failure) -> NextStep {
    let runner = entries.runner;
    runner.counters.set_last_error(&failure.text);
    if failure.retry && uncommitted.job.attempt < ATTEMPTS {
        let job = uncommitted.job;
        runner.counters.count_retry();
        if let Some(more) = runner.log_limits.allow("retry", Instant::now()) {
            tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; trying again{more}", failure.text);
        }
        return NextStep::Retry(Box::new(job));
    }
    shadow_feed::offer_committed(runner, &mut uncommitted);
    let Uncommitted { version, job, mut handled, .. } = uncommitted;
    runner.counters.count_dead_letter();
    if let Some(more) = runner.log_limits.allow("dead letter", Instant::now()) {
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; the event becomes a dead letter{more}", failure.text);
    }
    entries.observe_dead_letter(&version, job.event.seq);
    handled.outcome = Outcome::Dead { error: failure.text, event: Box::new(job.event.clone()) };
    entries.add(handled, &job, OnCommit::Nothing);
    NextStep::Handled
}

/// Why an event was not handled, and whether it is tried again.
struct Failure {
    text: String,
    retry: bool,
}

/// Appends the effects to the journal. Waits for effects that can be refused there; others go with the batch. The error has what
/// `give_up` needs.
async fn commit(entries: &mut EntryBatch<'_>, mut uncommitted: Uncommitted) -> Result<(), Box<(Failure, Uncommitted)>> {
    realign_timers(&mut uncommitted.handled.outcome);
    wait_to_publish(entries, uncommitted.effects()).await;
    let conditional = has_condition(uncommitted.effects());
    let of_timers = (0..).zip(uncommitted.effects()).filter(|(_, effect)| is_of_timer(effect));
    let timers: Vec<(u32, Effect)> = of_timers.map(|(index, effect)| (index, effect.clone())).collect();
    if uncommitted.kv.is_empty() && timers.is_empty() && !conditional {
        shadow_feed::offer_committed(entries.runner, &mut uncommitted);
        entries.count_done(uncommitted.effects());
        entries.add(uncommitted.handled, &uncommitted.job, OnCommit::Nothing);
        return Ok(());
    }
    entries.submit().await;
    let context = entries.runner.context.clone();
    let state = context.kv.get_or_create(&entries.runner.name);
    let _order = state.order.lock().await;
    let timers_lock = if timers.is_empty() { None } else { Some(context.timers.lock(&entries.runner.name).await) };
    let planned = plan(&state.data.lock(), &uncommitted);
    let writes = match planned {
        Ok(writes) => writes,
        Err(text) => return Err(Box::new((Failure { text, retry: true }, uncommitted))),
    };
    let mut handled = uncommitted.handled.clone();
    if let Outcome::Done { effects } = &mut handled.outcome {
        effects.extend(writes.iter().cloned().map(Effect::Kv));
    }
    if conditional {
        if let Some(refused) = entries.submit_alone(handled, &uncommitted.job).await {
            return Err(Box::new((Failure { text: refused.to_string(), retry: true }, uncommitted)));
        }
        entries.count_done(uncommitted.effects());
    } else {
        entries.count_done(uncommitted.effects());
        entries.add(handled, &uncommitted.job, OnCommit::Nothing);
        entries.submit().await;
    }
    if let Some(timers_lock) = &timers_lock {
        timers_lock.apply(uncommitted.job.event.seq, timers);
    }
    let mut data = state.data.lock();
    writes.iter().for_each(|write| data.apply(write));
    drop(data);
    shadow_feed::offer_committed(entries.runner, &mut uncommitted);
    Ok(())
}

/// The writes of the plugin's state. The error: the state has changed since the event was handled.
fn plan(state: &PluginKv, uncommitted: &Uncommitted) -> Result<Vec<KvWrite>, String> {
    let (state_schema, version_schema) = (state.schema(), uncommitted.version.schema());
    if state_schema != version_schema && !uncommitted.kv.is_empty() {
        return Err(format!("the state was brought from schema {version_schema} to {state_schema} meanwhile"));
    }
    state.plan(&uncommitted.kv).map_err(|conflict| conflict.to_string())
}

/// A guest sets timers relative to the time of its event, which may be from before the wall clock went back.
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

/// Waits while messages that plugins published are not yet delivered: back-pressure from subscribers on plugins.
async fn wait_to_publish(entries: &mut EntryBatch<'_>, effects: &[Effect]) {
    if !effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })) {
        return;
    }
    let Some(connections) = entries.runner.context.connections.get().cloned() else { return };
    entries.submit().await;
    if !connections.room_to_publish().await {
        entries.runner.counters.limit(names::OUTGOING_BYTES);
    }
}

/// The number of the first attempt.
const FIRST_ATTEMPT: u32 = 1;

/// Whether the execution is the first attempt, and no effect can be refused or needs a lock. The entries of such executions are shared.
fn is_plain(job: &Job, effects: &[Effect]) -> bool {
    let is_plain_effect =
        |effect: &Effect| matches!(effect, Effect::Config { expected: None, .. } | Effect::Command { .. });
    job.attempt == FIRST_ATTEMPT && job.dead_letter_id.is_none() && effects.iter().all(is_plain_effect)
}

fn is_of_timer(effect: &Effect) -> bool {
    matches!(effect, Effect::TimerSet(_) | Effect::TimerCancel { .. })
}

fn has_condition(effects: &[Effect]) -> bool {
    // A patch is refused if the config that is current by then cannot be patched.
    let can_be_refused =
        |effect: &Effect| matches!(effect, Effect::Config { expected: Some(_), .. } | Effect::PatchDesired { .. });
    effects.iter().any(can_be_refused)
}
