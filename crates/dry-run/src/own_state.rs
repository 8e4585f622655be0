//! A plugin's own state and timers in memory, for worlds that carry nothing out: the next execution sees what the previous one
//! wrote.

use std::collections::BTreeMap;

use bytes::Bytes;

use switchbox_core::timers;
use switchbox_model::{
    Effect,
    timer::{START, Schedule, Timer},
};
use switchbox_plugin_runtime::{Execution, KvChange};

/// A plugin's own state and timers in memory.
#[derive(Debug, Clone, Default)]
pub struct OwnState {
    kv: BTreeMap<String, (Bytes, u64)>,
    timers: BTreeMap<String, Timer>,
}

impl OwnState {
    #[must_use]
    pub fn new(kv: impl Iterator<Item = (String, (Bytes, u64))>, timers: impl Iterator<Item = Timer>) -> Self {
        Self { kv: kv.collect(), timers: timers.map(|timer| (timer.name.clone(), timer)).collect() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<(Bytes, u64)> {
        self.kv.get(key).cloned()
    }

    pub(crate) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let keys = self.kv.keys().filter(|key| key.starts_with(prefix));
        keys.filter(|key| after.is_none_or(|after| key.as_str() > after)).take(limit).cloned().collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.kv.iter().map(|(key, (value, _))| key.len() + value.len()).sum()
    }

    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }

    #[must_use]
    pub fn has_timer(&self, name: &str) -> bool {
        self.timers.contains_key(name)
    }

    /// Applies the state and timers that the execution set.
    pub fn apply(&mut self, execution: &Execution) {
        for effect in &execution.effects {
            match effect {
                Effect::TimerSet(timer) => drop(self.timers.insert(timer.name.clone(), (**timer).clone())),
                Effect::TimerCancel { name } => drop(self.timers.remove(name)),
                _ => {}
            }
        }
        self.write(&execution.kv);
    }

    /// No keys are set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kv.is_empty()
    }

    /// Applies writes of the state.
    pub fn write(&mut self, changes: &[KvChange]) {
        for change in changes {
            let revision = self.kv.get(&change.key).map_or(0, |(_, revision)| *revision);
            match &change.value {
                Some(value) => drop(self.kv.insert(change.key.clone(), (value.clone(), revision + 1))),
                None => drop(self.kv.remove(&change.key)),
            }
        }
    }

    /// Fires the timer: it gets its next due time, or is removed. Returns false if there is no timer of this name.
    pub fn fire(&mut self, name: &str, now_ms: u64) -> bool {
        let Some(timer) = self.timers.get_mut(name) else { return name == START };
        match timers::next(&timer.schedule, timer.due_ms, now_ms) {
            Some(due_ms) => timer.due_ms = due_ms,
            None if timer.schedule == Schedule::Start => {}
            None => drop(self.timers.remove(name)),
        }
        true
    }

    /// A timer that was due before this time.
    #[must_use]
    pub fn overdue(&self, before_ms: u64) -> Option<&Timer> {
        self.timers.values().find(|timer| timer.schedule != Schedule::Start && timer.due_ms < before_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_fires_is_due_again_or_gone() {
        let timer = |name: &str, schedule| Timer { name: name.into(), schedule, payload: Bytes::new(), due_ms: 1_000 };
        let timers = [timer("once", Schedule::Once), timer("often", Schedule::Every { period_ms: 500 })];
        let mut own = OwnState::new(std::iter::empty(), timers.into_iter());
        assert_eq!((own.overdue(1_000).is_some(), own.overdue(1_001).is_some()), (false, true));
        assert_eq!([own.fire("once", 1_000), own.fire("once", 1_000), own.fire("often", 1_000)], [true, false, true]);
        assert_eq!((own.timers(), own.overdue(1_500).is_some(), own.overdue(1_501).is_some()), (1, false, true));
    }
}
