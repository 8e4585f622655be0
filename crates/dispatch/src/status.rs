//! A plugin's status: its state and its counters.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use switchbox_model::{lifecycle::RolledBack, limits::LimitName};
use switchbox_plugin_runtime::{Description, Execution, GrantRequest, Limits, Trigger, Verdict};

/// A plugin's counters, since the host started. `Totals` explains each.
#[derive(Debug, Default)]
pub(super) struct Counters {
    executions: AtomicU64,
    done: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    effects: AtomicU64,
    /// Times that the plugin fell so far behind that it had to read from the journal.
    pub(super) lagged: AtomicU64,
    guest_ns: AtomicU64,
    handling_ns: AtomicU64,
    limits: Mutex<BTreeMap<LimitName, u64>>,
    last_error: Mutex<Option<String>>,
}

/// Executions that are counted together, as the counters are shared by all workers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    executions: u64,
    done: u64,
    effects: u64,
    guest: Duration,
    /// The workers' time, guest time included.
    handling: Duration,
}

impl Tally {
    /// Counts the execution if it was done and hit no limit. Returns false otherwise: the caller then calls [`Counters::record`].
    pub(super) fn add(&mut self, execution: &Execution, worker_time: Duration) -> bool {
        let is_plain = execution.verdict == Verdict::Done && execution.limits_hit.is_empty();
        if is_plain {
            self.executions += 1;
            self.guest += execution.guest_time;
            self.handling += worker_time;
        }
        is_plain
    }

    /// Counts an event whose outcome is submitted to the journal: it was done with so many effects.
    pub(super) fn add_done(&mut self, effects: usize) {
        self.done += 1;
        self.effects += u64::try_from(effects).unwrap_or(u64::MAX);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    /// Counts one execution. `worker_time`: what its worker took for it, guest time included.
    pub(super) fn record(&self, execution: &Execution, worker_time: Duration) {
        let counter = match execution.verdict {
            Verdict::Reject(_) => Some(&self.rejected),
            Verdict::GuestFailed(_) | Verdict::HostPanicked(_) => Some(&self.failed),
            Verdict::Done | Verdict::Retry(_) => None,
        };
        self.executions.fetch_add(1, Ordering::Relaxed);
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.guest_ns.fetch_add(nanos(execution.guest_time), Ordering::Relaxed);
        self.handling_ns.fetch_add(nanos(worker_time), Ordering::Relaxed);
        if !execution.limits_hit.is_empty() {
            let mut limits = self.limits.lock();
            for limit in &execution.limits_hit {
                *limits.entry(*limit).or_default() += 1;
            }
        }
    }

    /// Adds executions that were done and hit no limit, and events that were done.
    pub(super) fn add(&self, tally: &Tally) {
        if tally.done > 0 {
            self.done.fetch_add(tally.done, Ordering::Relaxed);
            self.effects.fetch_add(tally.effects, Ordering::Relaxed);
        }
        if tally.executions > 0 {
            self.executions.fetch_add(tally.executions, Ordering::Relaxed);
            self.guest_ns.fetch_add(nanos(tally.guest), Ordering::Relaxed);
            self.handling_ns.fetch_add(nanos(tally.handling), Ordering::Relaxed);
        }
    }

    /// A limit was hit outside of an execution.
    pub(super) fn limit(&self, name: LimitName) {
        *self.limits.lock().entry(name).or_default() += 1;
    }

    pub(super) fn count_retry(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dead_letter(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_last_error(&self, text: &str) {
        *self.last_error.lock() = Some(text.to_owned());
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub(super) fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            executions: read(&self.executions),
            done: read(&self.done),
            rejected: read(&self.rejected),
            failed: read(&self.failed),
            retried: read(&self.retried),
            dead: read(&self.dead),
            effects: read(&self.effects),
            lagged: read(&self.lagged),
            guest_time: Duration::from_nanos(read(&self.guest_ns)),
            handling_time: Duration::from_nanos(read(&self.handling_ns)),
            limits_hit: self.limits.lock().iter().map(|(name, count)| (name.to_string(), *count)).collect(),
        }
    }
}

/// A plugin's counters, since the host started.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// All executions; an event that is tried again has several.
    pub executions: u64,
    /// Events whose effects are committed.
    pub done: u64,
    /// Executions that the guest ended with an error which is not tried again.
    pub rejected: u64,
    /// Executions with traps, time-outs and other limits.
    pub failed: u64,
    /// Executions after which the event was tried again.
    pub retried: u64,
    /// Events that became dead letters.
    pub dead: u64,
    /// Of the events that were done.
    pub effects: u64,
    /// Times that the plugin fell so far behind that it had to read from the journal.
    pub lagged: u64,
    /// Guest time of all events together.
    pub guest_time: Duration,
    /// The workers' time for all events together, guest time included.
    pub handling_time: Duration,
    /// By the limit's name.
    pub limits_hit: BTreeMap<String, u64>,
}

impl Totals {
    /// Events that were handled: those that were done, and those that became dead letters.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.done + self.dead
    }
}

/// The state of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PluginState {
    Running,
    Disabled,
    /// The plugin asks for grants, its settings have none, and this host gives none by itself: an operator has to consent.
    WaitingForConsent,
    /// The plugin cannot be started; `last_error` says why.
    Broken,
}

/// The progress of the window in which the current version may be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardStatus {
    /// When the version came into force, milliseconds since the Unix epoch.
    pub since_ms: u64,
    pub events: u64,
    pub traps: u64,
    pub errors: u64,
    pub dead_letters: u64,
    /// The window's length.
    pub of_events: u64,
    pub time: Duration,
}

/// A plugin's status, as the HTTP API shows it.
#[derive(Debug, Clone)]
pub struct PluginStatus {
    pub name: String,
    pub state: PluginState,
    /// `sha256:…` of the component that runs.
    pub digest: Option<String>,
    /// An id of that component with all of its settings.
    pub version_id: Option<String>,
    /// `builtin:NAME` or the component's file.
    pub component: Option<String>,
    /// When the version of its files came into force, milliseconds since the Unix epoch. Is `None` if that does not run.
    pub in_force_ms: Option<u64>,
    pub description: Option<Description>,
    /// The triggers in use: the operator's, or those of the component's description.
    pub triggers: Vec<Trigger>,
    /// The grants that the component asks for.
    pub grants: Vec<GrantRequest>,
    /// The grants in force: both asked for and granted.
    pub grants_in_force: Vec<GrantRequest>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// JSON, as given to the component.
    pub settings: String,
    /// Is `None` if no version runs.
    pub limits: Option<Limits>,
    /// Why the newest files do not run, or the last error of an execution.
    pub last_error: Option<String>,
    /// Events that wait in memory.
    pub queued: usize,
    /// Events whose effects wait for an operator's approval.
    pub waiting_for_approval: usize,
    /// More events wait in the journal.
    pub lagging: bool,
    /// Warnings for the operator, such as plugins that trigger each other; oldest first.
    pub warnings: Vec<String>,
    pub timers: usize,
    /// When the next one is due, milliseconds since the Unix epoch.
    pub next_timer_ms: Option<u64>,
    /// Is `None` if the version that runs can no longer be rolled back.
    pub guard: Option<GuardStatus>,
    /// The version in the plugin's files, if it failed and the version before it runs.
    pub rolled_back: Option<RolledBack>,
    pub totals: Totals,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_by_their_outcome_and_executions_apart() {
        let (counters, mut tally) = (Counters::default(), Tally::default());
        // One event traps at each of its five attempts.
        (0..5).for_each(|_| counters.record(&Execution::of(Verdict::GuestFailed("trap".into())), Duration::ZERO));
        (0..4).for_each(|_| counters.count_retry());
        counters.count_dead_letter();
        // Three executions are done; the effects of one are refused.
        (0..3).for_each(|_| assert!(tally.add(&Execution::of(Verdict::Done), Duration::ZERO)));
        counters.count_dead_letter();
        (0..2).for_each(|_| tally.add_done(3));
        counters.add(&tally);
        let totals = counters.totals();
        assert_eq!((totals.events(), totals.done, totals.dead), (4, 2, 2));
        assert_eq!((totals.executions, totals.failed, totals.retried, totals.effects), (8, 5, 4, 6));
    }
}
