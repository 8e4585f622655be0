//! What becomes of an execution: effects for the log, another try, or a dead letter.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    guard::Admission,
    queue::Job,
    runner::{Runner, Version},
    status::Tally,
    worker::ATTEMPTS,
};
use switchbox_core::timers;
use switchbox_model::{
    CallRecord, Cause, Effect, Entry, EventData, Handled, HandledInRun, HandledRun, HeldBack, Outcome,
    life::{PluginChange, TakenBack},
};
use switchbox_plugin_runtime::{Called, Execution, KvChange, Verdict, limits::names};
use switchbox_store::{Done, Refused, Reply};
use switchbox_support::{
    clock::{self, Anchor},
    scheduling::PriorityClass,
};

/// Bytes that an entry without effects takes up in the log's queue, roughly.
const ENTRY_BYTES: usize = 128;
/// The same for a method call: two beginnings of payloads, names, and an error's text.
const CALL_BYTES: usize = 1024;

/// Characters of the error that a version was taken back for that are kept.
const ERROR_CHARS: usize = 1_000;

/// What goes on with the event.
pub(super) enum Next {
    Handled,
    /// Try it again later.
    Again(Box<Job>),
    /// Its effects have to wait for so long.
    Later(Box<Pending>, Duration),
}

/// An event that a guest has handled, not yet committed.
pub(super) struct Pending {
    pub(super) job: Job,
    handled: Handled,
    kv: Vec<KvChange>,
    /// What holds its effects back; empty: nothing.
    why_held: String,
}

impl Pending {
    fn effects(&self) -> &[Effect] {
        match &self.handled.outcome {
            Outcome::Done { effects } => effects,
            Outcome::Dead { .. } => &[],
        }
    }

    /// What it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        let kv = |change: &KvChange| change.key.len() + change.value.as_ref().map_or(0, bytes::Bytes::len);
        self.job.event.data.payload().len()
            + outcome_weight(&self.handled.outcome)
            + self.kv.iter().map(kv).sum::<usize>()
    }
}

/// Entries of events that were handled, waiting to go to the log together.
pub(super) struct Settled<'a> {
    runner: &'a Arc<Runner>,
    entries: Vec<(Entry, Option<Done>)>,
    /// Dead letters among them.
    letters: Vec<u64>,
    sync: bool,
    bytes: usize,
    tally: Tally,
    clock: Anchor,
    /// Up to when the worker's time is accounted for: what follows is the next event's.
    accounted: Instant,
}

impl<'a> Settled<'a> {
    pub(super) fn new(runner: &'a Arc<Runner>) -> Self {
        let clock = Anchor::now();
        Self {
            runner,
            entries: Vec::new(),
            letters: Vec::new(),
            sync: false,
            bytes: 0,
            tally: Tally::default(),
            clock,
            accounted: clock.at(),
        }
    }

    fn add(&mut self, handled: Handled, job: &Job, done: Option<Done>) {
        self.handled_timer(job);
        self.bytes += ENTRY_BYTES + outcome_weight(&handled.outcome);
        self.sync |= job.event.durable;
        self.entries.push((Entry::Handled(handled), done));
        // In the same commit: a letter is never lost, and never redriven twice.
        self.letters.extend(job.letter);
        self.entries.extend(job.letter.map(|id| (Entry::DeadLettersDropped { ids: vec![id] }, None)));
    }

    /// An event that was handled at the first try, without a word, a letter or a condition.
    fn add_plain(&mut self, digest: &Arc<str>, time_ms: u64, durable: bool, handled: HandledInRun) {
        self.bytes += ENTRY_BYTES + weight(&handled.effects);
        self.sync |= durable;
        if let Some((Entry::HandledRun(run), _)) = self.entries.last_mut()
            && run.time_ms == time_ms
            && Arc::ptr_eq(&run.digest, digest)
        {
            run.events.push(handled);
            return;
        }
        let (plugin, digest) = (self.runner.name.clone(), digest.clone());
        let run = HandledRun { plugin, digest, time_ms, events: vec![handled] };
        self.entries.push((Entry::HandledRun(run), None));
    }

    /// The effects were held back for so long and are made now. Without this, what follows would count from when the guest
    /// ended, and the device would seem slow.
    pub(super) fn add_held_back(&mut self, pending: &mut Pending, held: Duration) {
        let handled = &mut pending.handled;
        handled.time_ms = self.clock.ms(Instant::now());
        let held_back = HeldBack {
            plugin: handled.plugin.clone(),
            seq: handled.seq,
            attempt: handled.attempt,
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            why: std::mem::take(&mut pending.why_held),
        };
        self.bytes += ENTRY_BYTES + held_back.why.len();
        self.entries.push((Entry::HeldBack(held_back), None));
    }

    /// In the same batch as the event's end, so that a timer whose event is handled is never due again.
    fn handled_timer(&self, job: &Job) {
        if let EventData::Timer { name, .. } = &job.event.data
            && job.letter.is_none()
        {
            self.runner.context.timers.handled(&self.runner.name, name);
        }
    }

    /// A new version failed, and `instead` is in force again. Kept over a restart.
    fn taken_back(&mut self, failed: &Version, instead: &Version, error: &str) {
        let name = &self.runner.name;
        self.runner.context.changed();
        tracing::error!(
            plugin = %name, digest = %failed.digest,
            "the new version failed in its first events; the one before is back until the plugin's files change: {error}"
        );
        let taken_back = TakenBack {
            digest: failed.digest.to_string(),
            version: failed.id.clone(),
            instead: instead.id.clone(),
            error: error.chars().take(ERROR_CHARS).collect(),
            time_ms: self.clock.ms(Instant::now()),
        };
        self.runner.context.lives.lock().change(name, |life| life.taken_back = Some(taken_back.clone()));
        let change = Box::new(PluginChange::TakenBack(Some(taken_back)));
        self.entries.push((Entry::Plugin { plugin: name.clone(), change }, None));
    }

    /// Calls have happened, whatever becomes of the event.
    fn add_calls(&mut self, version: &Version, job: &Job, calls: Vec<Called>) {
        let record = |(index, call): (u32, Called)| CallRecord {
            id: CallRecord::id_of(job.event.seq, &self.runner.name, index),
            cause: Cause::Plugin {
                seq: job.event.seq,
                plugin: self.runner.name.clone(),
                digest: version.digest.clone(),
                attempt: job.attempt,
                index,
            },
            device: call.device,
            method: call.method,
            request: call.request,
            time_ms: call.time_ms,
            took_ms: u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX),
            result: call.result,
        };
        let records: Vec<_> = (0..).zip(calls).map(record).collect();
        self.bytes += records.len() * CALL_BYTES;
        self.entries.push((Entry::Called(records), None));
    }

    /// Hands over what there is, when the log's queue has room.
    pub(super) async fn submit(&mut self) {
        self.runner.counters.add(&std::mem::take(&mut self.tally));
        if self.entries.is_empty() {
            return;
        }
        let store = &self.runner.context.store;
        // A closed store means that the host is stopping: the events are in the journal and come again.
        let Ok(room) = store.reserve(std::mem::take(&mut self.bytes), PriorityClass::Foreground).await else { return };
        store.submit(self.entries.drain(..), std::mem::take(&mut self.sync), Some(room));
        self.letters.drain(..).for_each(|id| self.runner.release_letter(id));
    }

    /// Hands over one entry on its own and waits for what the log says of it.
    async fn submit_alone(&mut self, handled: Handled, job: &Job) -> Option<Refused> {
        self.submit().await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let done: Done = Box::new(move |reply| {
            let _ = tell.send(reply);
        });
        self.add(handled, job, Some(done));
        self.submit().await;
        match told.await {
            Ok(Ok(Reply::Refused(refused))) => Some(refused),
            _ => None,
        }
    }
}

fn outcome_weight(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Done { effects } => weight(effects),
        Outcome::Dead { .. } => ENTRY_BYTES,
    }
}

fn weight(effects: &[Effect]) -> usize {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Publish { topic, payload, .. } => ENTRY_BYTES + topic.len() + payload.len(),
            Effect::TimerSet(timer) => ENTRY_BYTES + timer.name.len() + timer.payload.len(),
            Effect::TimerCancel { name } => ENTRY_BYTES + name.len(),
            Effect::Config { payload, .. }
            | Effect::ConfigForced { payload, .. }
            | Effect::Command { payload, .. }
            | Effect::PatchDesired { patch: payload, .. } => ENTRY_BYTES + payload.len(),
            Effect::Kv(write) => ENTRY_BYTES + write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len),
        })
        .sum()
}

/// Decides on one execution.
pub(super) async fn settle(settled: &mut Settled<'_>, version: &Arc<Version>, job: Job, execution: Execution) -> Next {
    let runner = settled.runner;
    let now = Instant::now();
    let took = now.saturating_duration_since(std::mem::replace(&mut settled.accounted, now));
    let time_ms = settled.clock.ms(now);
    if !settled.tally.take(&execution, took) {
        runner.counters.note(&execution, took);
    }
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
        let handled = HandledInRun { seq: job.event.seq, took_us, effects };
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
        Admission::Later { wait, slow } => {
            pending.why_held = runner.note_delay(version, slow, wait, pending.effects());
            Next::Later(Box::new(pending), wait)
        }
        Admission::Never { wait, slow } => {
            let text = runner.too_long(version, slow, wait, pending.effects());
            give_up(settled, pending, Problem { text, retry: false })
        }
    }
}

/// None: all is well.
fn judge(settled: &mut Settled<'_>, version: &Arc<Version>, verdict: Verdict) -> Option<Problem> {
    let runner = settled.runner;
    match verdict {
        Verdict::Done => {
            runner.note_handled(version);
            None
        }
        Verdict::Reject(text) => Some(Problem { text, retry: false }),
        Verdict::Retry(text) => Some(Problem { text, retry: true }),
        Verdict::Failed(text) => {
            if let Some(instead) = runner.take_back(version) {
                settled.taken_back(version, &instead, &text);
            }
            Some(Problem { text, retry: true })
        }
        // Another try would most likely end in the same way.
        Verdict::Panicked(text) => {
            runner.context.vital.count_panic("guest call", &text);
            let text = format!("the host panicked in a call of the plugin: {text}");
            if let Some(instead) = runner.take_back(version) {
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
    let Some(reach) = settled.runner.context.reach.get().cloned() else { return };
    settled.submit().await;
    if !reach.room_to_publish().await {
        settled.runner.counters.limit(names::OUTGOING_BYTES);
    }
}

/// First try, and nothing among its effects that has to wait for anything.
fn is_plain(job: &Job, effects: &[Effect]) -> bool {
    let plain = |effect: &Effect| matches!(effect, Effect::Config { expected: None, .. } | Effect::Command { .. });
    job.attempt == HandledRun::ATTEMPT && job.letter.is_none() && effects.iter().all(plain)
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
