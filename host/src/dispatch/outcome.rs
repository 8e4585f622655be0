//! What becomes of an execution: effects for the log, another try, or a dead letter.

use std::{sync::Arc, time::Instant};

use super::{
    queue::Job,
    runner::{Runner, Version},
    worker::ATTEMPTS,
};
use crate::{
    clock,
    model::{CallRecord, Cause, Effect, Entry, Handled, Outcome},
    plugin::{Called, Execution, KvChange, Verdict, limits::names},
    store::{Done, Refused, Reply},
};

/// Bytes that an entry without effects takes up in the log's queue, roughly.
const ENTRY_BYTES: usize = 128;
/// The same for a method call: two beginnings of payloads, names, and an error's text.
const CALL_BYTES: usize = 1024;

/// What goes on with the event.
pub(super) enum Next {
    Handled,
    /// Try it again later.
    Again,
}

/// Entries of events that were handled, waiting to go to the log together.
pub(super) struct Settled<'a> {
    runner: &'a Arc<Runner>,
    entries: Vec<(Entry, Option<Done>)>,
    sync: bool,
    bytes: usize,
}

impl<'a> Settled<'a> {
    pub(super) fn new(runner: &'a Arc<Runner>) -> Self {
        Self { runner, entries: Vec::new(), sync: false, bytes: 0 }
    }

    fn add(&mut self, handled: Handled, job: &Job, done: Option<Done>) {
        self.bytes += ENTRY_BYTES + weight(&handled);
        self.sync |= job.event.durable;
        self.entries.push((Entry::Handled(handled), done));
        // In the same commit: a letter is never lost, and never redriven twice.
        self.entries.extend(job.letter.map(|id| (Entry::DeadLettersDropped { ids: vec![id] }, None)));
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
        if self.entries.is_empty() {
            return;
        }
        let store = &self.runner.context.store;
        // A closed store means that the host is stopping: the events are in the journal and come again.
        let Ok(room) = store.reserve(std::mem::take(&mut self.bytes)).await else { return };
        store.submit(self.entries.drain(..), std::mem::take(&mut self.sync), Some(room));
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

fn weight(handled: &Handled) -> usize {
    let Outcome::Done { effects } = &handled.outcome else { return ENTRY_BYTES };
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Config { payload, .. } | Effect::Command { payload, .. } => ENTRY_BYTES + payload.len(),
            Effect::Publish { topic, payload, .. } => ENTRY_BYTES + topic.len() + payload.len(),
            Effect::Kv(write) => ENTRY_BYTES + write.key.len() + write.value.as_ref().map_or(0, bytes::Bytes::len),
        })
        .sum()
}

/// Decides on one execution.
pub(super) async fn settle(
    settled: &mut Settled<'_>,
    version: &Arc<Version>,
    job: &Job,
    execution: Execution,
    started: Instant,
) -> Next {
    let runner = settled.runner;
    runner.counters.note(&execution, started.elapsed());
    if !execution.limits_hit.is_empty() {
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, limits = ?execution.limits_hit, "limits were hit");
    }
    let Execution { verdict, effects, kv, calls, logs, guest_time, .. } = execution;
    if !calls.is_empty() {
        settled.add_calls(version, job, calls);
    }
    let took_us = u32::try_from(guest_time.as_micros()).unwrap_or(u32::MAX);
    for line in &logs {
        tracing::info!(target: "plugin", plugin = %runner.name, event = %job.event.seq, "{line}");
    }
    let handled = |outcome, logs| Handled {
        plugin: runner.name.clone(),
        digest: version.digest.clone(),
        seq: job.event.seq,
        attempt: job.attempt,
        time_ms: clock::now_ms(),
        took_us,
        logs,
        outcome,
    };
    let problem = match verdict {
        Verdict::Done => {
            runner.note_handled(version);
            let done = handled(Outcome::Done { effects }, logs.clone());
            match commit(settled, job, done, kv).await {
                Ok(()) => return Next::Handled,
                Err(problem) => problem,
            }
        }
        Verdict::Reject(text) => Problem { text, retry: false },
        Verdict::Retry(text) => Problem { text, retry: true },
        Verdict::Failed(text) => {
            if runner.take_back(version) {
                runner.context.changed();
                tracing::error!(plugin = %runner.name, "the new version failed in its first events; the one before is back");
            }
            Problem { text, retry: true }
        }
    };
    runner.counters.set_last_error(&problem.text);
    if problem.retry && job.attempt < ATTEMPTS {
        runner.counters.retried();
        tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; trying again", problem.text);
        return Next::Again;
    }
    runner.counters.dead();
    tracing::warn!(plugin = %runner.name, event = %job.event.seq, attempt = job.attempt, "{}; to the dead letters", problem.text);
    let dead = Outcome::Dead { error: problem.text, event: Box::new(job.event.clone()) };
    settled.add(handled(dead, logs), job, None);
    Next::Handled
}

/// Why an event was not handled.
struct Problem {
    text: String,
    retry: bool,
}

/// Hands the effects to the log. What can be refused there is waited for; the rest goes with the batch.
async fn commit(settled: &mut Settled<'_>, job: &Job, mut handled: Handled, kv: Vec<KvChange>) -> Result<(), Problem> {
    wait_to_publish(settled, &handled).await;
    let conditional = has_condition(&handled);
    if kv.is_empty() && !conditional {
        settled.add(handled, job, None);
        return Ok(());
    }
    settled.submit().await;
    let context = settled.runner.context.clone();
    let state = context.kv.of(&settled.runner.name);
    let _order = state.order.lock().await;
    let planned = state.data.lock().plan(&kv);
    let writes = planned.map_err(|conflict| Problem { text: conflict.to_string(), retry: true })?;
    if let Outcome::Done { effects } = &mut handled.outcome {
        effects.extend(writes.iter().cloned().map(Effect::Kv));
    }
    if conditional {
        if let Some(refused) = settled.submit_alone(handled, job).await {
            return Err(Problem { text: refused.to_string(), retry: true });
        }
    } else {
        settled.add(handled, job, None);
        settled.submit().await;
    }
    let mut data = state.data.lock();
    writes.iter().for_each(|write| data.apply(write));
    Ok(())
}

/// Where plugins publish more than subscribers take, the plugins are slowed down.
async fn wait_to_publish(settled: &mut Settled<'_>, handled: &Handled) {
    let Outcome::Done { effects } = &handled.outcome else { return };
    if !effects.iter().any(|effect| matches!(effect, Effect::Publish { .. })) {
        return;
    }
    let Some(reach) = settled.runner.context.reach.get().cloned() else { return };
    settled.submit().await;
    if !reach.room_to_publish().await {
        settled.runner.counters.limit(names::OUTGOING_BYTES);
    }
}

fn has_condition(handled: &Handled) -> bool {
    let Outcome::Done { effects } = &handled.outcome else { return false };
    effects.iter().any(|effect| matches!(effect, Effect::Config { expected: Some(_), .. }))
}
