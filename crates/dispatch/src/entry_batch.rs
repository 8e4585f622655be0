//! What a worker's events have come to, on its way to the log: entries that are handed over together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    queue::Job,
    runner::Runner,
    status::Tally,
    uncommitted::{ENTRY_BYTES, Pending, outcome_weight},
    version::Version,
};
use switchbox_model::{
    CallRecord, Cause, Entry, EventData, Handled, HandledInRun, HandledRun, HeldBack,
    lifecycle::{PluginChange, TakenBack},
};
use switchbox_plugin_runtime::{Called, Execution};
use switchbox_store::{CommitCallback, Refused, Reply};
use switchbox_support::{clock::Anchor, scheduling::PriorityClass};

/// Bytes that a method call takes up in the log's queue, roughly: two beginnings of payloads, names, and an error's text.
const CALL_BYTES: usize = 1024;

/// Characters of the error that a version was taken back for that are kept.
const ERROR_CHARS: usize = 1_000;

/// Entries of events that were handled, waiting to go to the log together.
pub(super) struct Settled<'a> {
    pub(super) runner: &'a Arc<Runner>,
    entries: Vec<(Entry, Option<CommitCallback>)>,
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

    /// Records how long an event that is tried for the first time has waited for its worker.
    pub(super) fn record_wait(&self, job: &Job) {
        if job.attempt == 1 {
            let now_ms = self.clock.ms(self.clock.at());
            self.runner.context.metrics.plugin_wait.record_between_ms(job.event.time_ms, now_ms);
        }
    }

    /// Counts an execution that ended now, with what the worker took for it. Returns its time, milliseconds since the Unix epoch.
    pub(super) fn account(&mut self, execution: &Execution, now: Instant) -> u64 {
        let took = now.saturating_duration_since(std::mem::replace(&mut self.accounted, now));
        self.runner.context.metrics.plugin_time.record(execution.guest_time);
        if !self.tally.take(execution, took) {
            self.runner.counters.note(execution, took);
        }
        self.clock.ms(now)
    }

    pub(super) fn add(&mut self, handled: Handled, job: &Job, done: Option<CommitCallback>) {
        self.handled_timer(job);
        self.bytes += ENTRY_BYTES + outcome_weight(&handled.outcome);
        self.sync |= job.event.durable;
        self.entries.push((Entry::from(handled), done));
        // In the same commit: a letter is never lost, and never redriven twice.
        self.letters.extend(job.dead_letter_id);
        self.entries.extend(job.dead_letter_id.map(|id| (Entry::DeadLettersDropped { ids: vec![id] }, None)));
    }

    /// An event that was handled at the first try, without a word, a letter or a condition.
    pub(super) fn add_plain(&mut self, digest: &Arc<str>, time_ms: u64, durable: bool, handled: HandledInRun) {
        self.bytes += ENTRY_BYTES + outcome_weight(&handled.outcome);
        self.sync |= durable;
        if let Some((Entry::Handled(run), None)) = self.entries.last_mut()
            && run.time_ms == time_ms
            && Arc::ptr_eq(&run.digest, digest)
        {
            run.events.push(handled);
            return;
        }
        let (plugin, digest) = (self.runner.name.clone(), digest.clone());
        let run = HandledRun { plugin, digest, time_ms, events: vec![handled] };
        self.entries.push((Entry::Handled(run), None));
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
    pub(super) fn handled_timer(&self, job: &Job) {
        if let EventData::Timer { name, .. } = &job.event.data
            && job.dead_letter_id.is_none()
        {
            self.runner.context.timers.handled(&self.runner.name, name);
        }
    }

    /// A new version failed, and `instead` is in force again. Kept over a restart.
    pub(super) fn taken_back(&mut self, failed: &Version, instead: &Version, error: &str) {
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
        self.runner.context.lifecycles.lock().change(name, |lifecycle| lifecycle.taken_back = Some(taken_back.clone()));
        let change = Box::new(PluginChange::TakenBack(Some(taken_back)));
        self.entries.push((Entry::Plugin { plugin: name.clone(), change }, None));
    }

    /// Calls have happened, whatever becomes of the event.
    pub(super) fn add_calls(&mut self, version: &Version, job: &Job, calls: Vec<Called>) {
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
    pub(super) async fn submit_alone(&mut self, handled: Handled, job: &Job) -> Option<Refused> {
        self.submit().await;
        let (tell, told) = tokio::sync::oneshot::channel();
        let done: CommitCallback = Box::new(move |reply| {
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
