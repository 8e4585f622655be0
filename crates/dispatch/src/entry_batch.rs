//! The entries of the events that a worker has handled, submitted to the journal together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    behaviour::Observation,
    canary::Canary,
    canary_end, migration,
    queue::Job,
    runner::Runner,
    status::Tally,
    traces,
    uncommitted::{ENTRY_BYTES, Uncommitted, outcome_weight},
    version::Version,
};
use switchbox_model::{
    CallRecord, Cause, Effect, Entry, EventData, Handled, HandledInRun, HandledRun, HeldBack, Outcome, Seq,
    lifecycle::PluginChange,
};
use switchbox_plugin_runtime::{Called, Execution, Verdict};
use switchbox_store::{EntryRefusal, OnCommit, QueueShare, Reply};
use switchbox_support::{clock::Anchor, histogram::SameBucketRun};

/// Bytes that a method call takes up in the journal's queue, roughly: the beginnings of two payloads, names, and an error text.
const CALL_BYTES: usize = 1024;

/// Entries of handled events that are not submitted yet.
pub(super) struct EntryBatch<'a> {
    pub(super) runner: &'a Arc<Runner>,
    entries: Vec<(Entry, OnCommit)>,
    /// The dead letters whose events are among the handled ones.
    dead_letters: Vec<u64>,
    /// Whether the commit waits for the disk: one of the events is durable.
    sync: bool,
    /// What the entries take up in the journal's queue, roughly.
    bytes: usize,
    tally: Tally,
    /// Guest times that are not recorded yet.
    plugin_time: SameBucketRun,
    /// The version whose executions are in `observations`.
    observed: Option<Arc<Version>>,
    /// How many events are still to come, as a capacity.
    to_come: usize,
    /// Executions that are not added to the version's statistics yet.
    observations: Vec<Observation>,
    clock: Anchor,
    /// The worker's time up to here has been accounted for; the time after it belongs to the next event.
    accounted: Instant,
}

impl<'a> EntryBatch<'a> {
    /// `events`: how many events will be added, as a capacity.
    pub(super) fn new(runner: &'a Arc<Runner>, events: usize) -> Self {
        let clock = Anchor::now();
        Self {
            runner,
            entries: Vec::new(),
            dead_letters: Vec::new(),
            sync: false,
            bytes: 0,
            tally: Tally::default(),
            plugin_time: SameBucketRun::default(),
            observed: None,
            observations: Vec::with_capacity(events),
            to_come: events,
            clock,
            accounted: clock.at(),
        }
    }

    /// Records how long an event that is tried for the first time has waited for its worker.
    pub(super) fn record_wait(&self, job: &Job) {
        if job.attempt == 1 {
            let now_ms = self.clock.ms(self.clock.at());
            let metrics = &self.runner.context.metrics;
            let trace = metrics.traces.on().and_then(|traces| traces.sampled(&job.event));
            metrics.plugin_wait.record_between_ms(job.event.time_ms, now_ms, trace);
        }
    }

    /// Counts an execution that ended at `now`, with the time that the worker took for it. Returns when it ended, milliseconds since the Unix epoch.
    pub(super) fn account(&mut self, version: &Version, job: &Job, execution: &Execution, now: Instant) -> u64 {
        self.to_come = self.to_come.saturating_sub(1);
        let worker_time = now.saturating_duration_since(std::mem::replace(&mut self.accounted, now));
        let trace = traces::execution(self.runner, version, job, execution);
        let plugin_time = &self.runner.context.metrics.plugin_time;
        match trace {
            Some(trace) => plugin_time.record_traced(execution.guest_time, Some(trace)),
            None => plugin_time.record_in(&mut self.plugin_time, execution.guest_time),
        }
        if !self.tally.add(execution, worker_time) {
            self.runner.counters.record(execution, worker_time);
        }
        self.clock.ms(now)
    }

    /// Adds an execution to the version's statistics. Returns `true` if that rolled the version back.
    pub(super) fn observe(&mut self, version: &Arc<Version>, seq: Seq, execution: &Execution) -> bool {
        if self.observed.as_ref().is_some_and(|of| !Arc::ptr_eq(of, version)) {
            self.flush_observed(None, "");
        }
        self.observed.get_or_insert_with(|| version.clone());
        self.observations.push(Observation::of(execution));
        let text = match &execution.verdict {
            Verdict::Done => "",
            Verdict::Retry(text) | Verdict::Reject(text) => text,
            Verdict::GuestFailed(text) | Verdict::HostPanicked(text) => text,
        };
        let is_due_now = self.runner.versions.is_under_guard() || self.runner.canary().is_some();
        is_due_now && self.flush_observed(Some(seq), text)
    }

    /// Adds the observations to the version's statistics. Returns true if that rolled the version back or ended its canary. `seq`: the event
    /// of the last execution, `text`: its error.
    fn flush_observed(&mut self, seq: Option<Seq>, text: &str) -> bool {
        let Some(version) = self.observed.take() else { return false };
        let colon = if text.is_empty() { "" } else { ": " };
        if let Some(canary) = self.canary(&version) {
            let why = canary.observe(self.observations.drain(..), &self.runner.version());
            return self.end_canary(&version, seq, why.map(|why| format!("{why}{colon}{text}")));
        }
        let rollback = self.runner.versions.observe(&version, self.observations.drain(..));
        let Some((instead, why)) = rollback else { return false };
        self.rolled_back(&version, instead, &format!("{why}{colon}{text}"))
    }

    /// The running canary, if this is its version.
    fn canary(&self, version: &Arc<Version>) -> Option<Arc<Canary>> {
        self.runner.canary().filter(|canary| Arc::ptr_eq(&canary.version, version))
    }

    /// Ends the canary if there is a reason. Returns true if it did.
    fn end_canary(&self, version: &Version, seq: Option<Seq>, why: Option<String>) -> bool {
        let Some(why) = why else { return false };
        tracing::error!(
            plugin = %self.runner.name, digest = %version.digest,
            "the guard ended the canary; the version in force acts for all devices: {why}"
        );
        canary_end::end_by_guard(self.runner, &why, seq);
        true
    }

    /// An event of this version became a dead letter.
    pub(super) fn observe_dead_letter(&mut self, version: &Arc<Version>, seq: Seq) {
        if let Some(canary) = self.canary(version) {
            let why = canary.observe_dead_letter(&self.runner.version());
            self.end_canary(version, Some(seq), why);
            return;
        }
        if let Some((instead, why)) = self.runner.versions.observe_dead_letter(version) {
            self.rolled_back(version, instead, &why);
        }
    }

    /// Adds the outcome of an event. If the event is that of a dead letter, the dead letter is deleted in the same commit.
    pub(super) fn add(&mut self, handled: Handled, job: &Job, on_commit: OnCommit) {
        self.handled_timer(job);
        self.bytes += ENTRY_BYTES + outcome_weight(&handled.outcome);
        self.sync |= job.event.durable;
        self.entries.push((Entry::from(handled), on_commit));
        // In the same commit, so that a dead letter is never lost and never redriven twice.
        self.dead_letters.extend(job.dead_letter_id);
        let dropped = job.dead_letter_id.map(|id| Entry::DeadLettersDropped { ids: vec![id] });
        self.entries.extend(dropped.map(|entry| (entry, OnCommit::Nothing)));
    }

    /// Counts an event that was done, when its outcome is added.
    pub(super) fn count_done(&mut self, effects: &[Effect]) {
        self.tally.add_done(effects.len());
    }

    /// Adds an event that was handled at the first attempt, without log lines, dead letter or condition.
    pub(super) fn add_plain(&mut self, digest: &Arc<str>, time_ms: u64, durable: bool, handled: HandledInRun) {
        self.bytes += ENTRY_BYTES + outcome_weight(&handled.outcome);
        self.sync |= durable;
        if let Outcome::Done { effects } = &handled.outcome {
            self.count_done(effects);
        }
        if let Some((Entry::Handled(run), OnCommit::Nothing)) = self.entries.last_mut()
            && run.time_ms == time_ms
            && Arc::ptr_eq(&run.digest, digest)
        {
            run.events.push(handled);
            return;
        }
        let (plugin, digest) = (self.runner.name.clone(), digest.clone());
        let mut events = Vec::with_capacity(1 + self.to_come);
        events.push(handled);
        let run = HandledRun { plugin, digest, time_ms, events };
        self.entries.push((Entry::Handled(run), OnCommit::Nothing));
    }

    /// Records that the effects were held back for so long. Without it, the device's latency would be counted from when the guest
    /// ended.
    pub(super) fn add_held_back(&mut self, uncommitted: &mut Uncommitted, held: Duration) {
        let handled = &mut uncommitted.handled;
        handled.time_ms = self.clock.ms(Instant::now());
        let held_back = HeldBack {
            plugin: handled.plugin.clone(),
            seq: handled.seq,
            attempt: handled.attempt,
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            why: std::mem::take(&mut uncommitted.hold_reason),
        };
        self.bytes += ENTRY_BYTES + held_back.why.len();
        self.entries.push((Entry::HeldBack(held_back), OnCommit::Nothing));
    }

    /// Called for the batch that has the event's outcome, so that a timer whose event is handled is never due again.
    pub(super) fn handled_timer(&self, job: &Job) {
        if let EventData::Timer { name, .. } = &job.event.data
            && job.dead_letter_id.is_none()
        {
            self.runner.context.timers.record_handled(&self.runner.name, name);
        }
    }

    /// A new version failed, and `instead` is active again, or it stays in force if `instead` is the version itself. Recorded in the journal, so
    /// that it holds after a restart. Returns true if another version handles the next event.
    fn rolled_back(&mut self, failed: &Arc<Version>, instead: Arc<Version>, error: &str) -> bool {
        if failed.schema() != instead.schema() {
            migration::roll_back_with_state(self.runner, failed.clone(), instead, error.to_owned());
            return true;
        }
        let name = &self.runner.name;
        let stays = Arc::ptr_eq(failed, &instead);
        if stays {
            migration::log_stays(name, failed, error);
        } else {
            self.runner.context.routes_changed();
            tracing::error!(
                plugin = %name, digest = %failed.digest,
                "the guard rolled the new version back; the previous version runs until the plugin's files change: {error}"
            );
        }
        let rolled_back = migration::rolled_back(failed, &instead, error);
        migration::set_rolled_back(self.runner, &rolled_back);
        let change = Box::new(PluginChange::RolledBack(Some(rolled_back)));
        self.entries.push((Entry::Plugin { plugin: name.clone(), change }, OnCommit::Nothing));
        !stays
    }

    /// Records method calls. They have happened, whatever the event's outcome is.
    pub(super) fn add_calls(&mut self, version: &Version, job: &Job, calls: Vec<Called>) {
        let record = |(index, call): (u32, Called)| CallRecord {
            id: CallRecord::id_of(job.event.seq, &self.runner.name, index),
            cause: Cause::Plugin {
                seq: job.event.seq,
                plugin: self.runner.name.clone(),
                digest: version.journaled_as.clone(),
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
        self.entries.push((Entry::Called(records), OnCommit::Nothing));
    }

    /// Submits all entries, when the journal's queue has room.
    pub(super) async fn submit(&mut self) {
        self.runner.counters.add(&std::mem::take(&mut self.tally));
        self.runner.context.metrics.plugin_time.record_run(std::mem::take(&mut self.plugin_time));
        self.flush_observed(None, "");
        if self.entries.is_empty() {
            return;
        }
        let store = &self.runner.context.store;
        // A closed store means that the host is stopping: the events are in the journal and will be handled again.
        let Ok(permit) = store.permits.reserve(std::mem::take(&mut self.bytes), QueueShare::Whole).await else {
            return;
        };
        store.submit(self.entries.drain(..), std::mem::take(&mut self.sync), Some(permit));
        self.dead_letters.drain(..).for_each(|id| self.runner.release_dead_letter(id));
    }

    /// Submits one entry on its own and waits until it is applied or refused.
    pub(super) async fn submit_alone(&mut self, handled: Handled, job: &Job) -> Option<EntryRefusal> {
        self.submit().await;
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let on_commit = OnCommit::Call(Box::new(move |reply| {
            let _ = sender.send(reply);
        }));
        self.add(handled, job, on_commit);
        self.submit().await;
        match receiver.await {
            Ok(Ok(Reply::Refused(refused))) => Some(refused),
            _ => None,
        }
    }
}
