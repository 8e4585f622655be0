//! The timers of a plugin: applies setting, cancelling and firing. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::schedule;
use switchbox_model::{
    EffectKey, PluginName,
    lifecycle::{PluginChange, SetTimer},
    timer::{START, Timer},
};
use switchbox_store::{Doc, TimerDoc};

/// One plugin's timers, by name and by when they are due.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Each timer with the effect that set it.
    by_name: HashMap<String, (Timer, Option<EffectKey>)>,
    by_due: BTreeSet<(u64, String)>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, by: Option<EffectKey>) {
        self.cancel(&timer.name);
        self.by_due.insert((timer.due_ms, timer.name.clone()));
        self.by_name.insert(timer.name.clone(), (timer, by));
    }

    pub(super) fn cancel(&mut self, name: &str) {
        if let Some((timer, _)) = self.by_name.remove(name) {
            self.by_due.remove(&(timer.due_ms, timer.name));
        }
    }

    /// How many timers the plugin has set. The timer that starts the plugin is not counted.
    pub(super) fn len(&self) -> usize {
        self.by_name.len() - usize::from(self.has(START))
    }

    pub(super) fn payload(&self, name: &str) -> Option<&Bytes> {
        self.by_name.get(name).map(|(timer, _)| &timer.payload)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Timer> {
        self.by_name.values().map(|(timer, _)| timer)
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.by_due.first().map(|(due_ms, _)| *due_ms)
    }

    /// The timer that has been due longest, and the effect that set it.
    pub(super) fn due(&self, now_ms: u64) -> Option<(Timer, Option<EffectKey>)> {
        let (_, name) = self.by_due.first().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.by_name.get(name).cloned()
    }

    /// Makes a timer due again whose event was not handled, unless the timer was set again since.
    pub(super) fn set_due_again(&mut self, unhandled: SetTimer) {
        let SetTimer { timer, by } = unhandled;
        match self.by_name.get(&timer.name).cloned() {
            None => self.set(timer, by),
            Some((current, by)) if schedule::is_repeating(&current.schedule) => {
                self.set(Timer { due_ms: current.due_ms.min(timer.due_ms), ..current }, by);
            }
            Some(_) => {}
        }
    }

    /// Adjusts the timers after the wall clock was set to `now_ms`, possibly back. Returns those whose due time is earlier now.
    pub(super) fn realign(&mut self, now_ms: u64) -> Vec<SetTimer> {
        // Timers that are due by now need no adjustment.
        let ahead = self.by_due.range((now_ms.saturating_add(1), String::new())..);
        let realigned = |(due_ms, name): &(u64, String)| {
            let (timer, by) = self.by_name.get(name)?;
            let due_ms = schedule::realigned(&timer.schedule, *due_ms, now_ms)?;
            Some(SetTimer { timer: Timer { due_ms, ..timer.clone() }, by: by.clone() })
        };
        let changed: Vec<_> = ahead.filter_map(realigned).collect();
        for SetTimer { timer, by } in &changed {
            self.set(timer.clone(), by.clone());
        }
        changed
    }

    /// The timer that was due at `due_ms` has fired: removes it, or sets its next due time. `None` when it was set again or cancelled
    /// meanwhile.
    pub(super) fn fire(&mut self, name: &str, due_ms: u64, now_ms: u64) -> Option<Fired> {
        let (timer, by) = self.by_name.get(name).filter(|(timer, _)| timer.due_ms == due_ms)?.clone();
        match schedule::next(&timer.schedule, due_ms, now_ms) {
            Some(due_ms) => {
                let next = Timer { due_ms, ..timer };
                self.set(next.clone(), by.clone());
                Some(Fired::Again(next, by))
            }
            None => {
                self.cancel(name);
                Some(Fired::Gone)
            }
        }
    }
}

/// What firing does to a timer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fired {
    /// The timer has its next due time.
    Again(Timer, Option<EffectKey>),
    /// The timer is removed.
    Gone,
}

/// The timers of all plugins after the entries that are applied. Only for applying the journal.
#[derive(Debug, Default)]
pub struct Table {
    plugins: BTreeMap<PluginName, Timers>,
}

impl Table {
    #[must_use]
    pub fn load(docs: &[TimerDoc]) -> Self {
        let mut table = Self::default();
        for doc in docs {
            table.plugins.entry(doc.plugin.clone()).or_default().set(doc.timer.clone(), doc.by.clone());
        }
        table
    }

    /// Applies the documents of an entry.
    pub fn apply_docs<'a>(&mut self, docs: impl Iterator<Item = &'a Doc>) {
        for doc in docs {
            match doc {
                Doc::Timer(doc) => {
                    self.plugins.entry(doc.plugin.clone()).or_default().set(doc.timer.clone(), doc.by.clone());
                }
                Doc::TimerGone { plugin, name } => {
                    if let Some(timers) = self.plugins.get_mut(plugin) {
                        timers.cancel(name);
                    }
                }
                Doc::PluginLifecycle { plugin, change: PluginChange::Deleted } => drop(self.plugins.remove(plugin)),
                _ => {}
            }
        }
    }

    /// Makes timers due again whose events the plugin has not handled when it was switched off. Returns their documents.
    pub fn switch_off(&mut self, plugin: &PluginName, due_again: Vec<SetTimer>) -> Vec<Doc> {
        let timers = self.plugins.entry(plugin.clone()).or_default();
        let names: Vec<_> = due_again.iter().map(|unhandled| unhandled.timer.name.clone()).collect();
        due_again.into_iter().for_each(|unhandled| timers.set_due_again(unhandled));
        let changed = names.iter().filter_map(|name| timers.by_name.get(name));
        changed.map(|(timer, by)| doc(plugin, timer.clone(), by.clone())).collect()
    }

    /// The wall clock was set: see [`Timers::realign`].
    pub fn realign(&mut self, now_ms: u64) -> Vec<Doc> {
        let docs = |(plugin, timers): (&PluginName, &mut Timers)| {
            let changed = timers.realign(now_ms).into_iter();
            changed.map(|SetTimer { timer, by }| doc(plugin, timer, by)).collect::<Vec<_>>()
        };
        self.plugins.iter_mut().flat_map(docs).collect()
    }

    /// Applies a firing: removes the timer, or sets its next due time. Returns the change of its document.
    #[must_use]
    pub fn apply_firing(&mut self, plugin: &PluginName, name: &str, due_ms: u64, now_ms: u64) -> Option<Doc> {
        let plugin = plugin.clone();
        Some(match self.plugins.get_mut(&plugin)?.fire(name, due_ms, now_ms)? {
            Fired::Again(timer, by) => doc(&plugin, timer, by),
            Fired::Gone => Doc::TimerGone { plugin, name: name.to_owned() },
        })
    }
}

fn doc(plugin: &PluginName, timer: Timer, by: Option<EffectKey>) -> Doc {
    Doc::Timer(Box::new(TimerDoc { plugin: plugin.clone(), timer, by }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::timer::Schedule;

    fn timer(name: &str, due_ms: u64, schedule: Schedule) -> Timer {
        Timer { name: name.into(), schedule, payload: Bytes::new(), due_ms }
    }

    #[test]
    fn a_firing_counts_only_for_the_setting_that_was_due() {
        let mut timers = Timers::default();
        timers.set(timer("once", 10, Schedule::Once), None);
        let by = "7.wake.1".parse::<EffectKey>().ok();
        timers.set(timer("again", 20, Schedule::Every { period_ms: 5 }), by.clone());
        assert_eq!(timers.due(9), None);
        assert_eq!(timers.due(30).unwrap().0.name, "once");
        assert_eq!(timers.fire("once", 10, 30), Some(Fired::Gone));
        assert_eq!(timers.fire("once", 10, 30), None, "it fired twice");
        assert_eq!(timers.fire("again", 15, 30), None, "another setting fired");
        let Some(Fired::Again(next, still)) = timers.fire("again", 20, 31) else { panic!("it fires once only") };
        assert_eq!((next.due_ms, &still), (35, &by), "the effect that set it is known at every firing");
        timers.set(timer("again", 99, Schedule::Once), None);
        assert_eq!(timers.fire("again", 35, 40), None, "it was set anew");
        timers.cancel("again");
        assert_eq!((timers.len(), timers.next_due()), (0, None));
    }

    #[test]
    fn a_timer_whose_event_was_not_handled_is_due_again_once() {
        let mut timers = Timers::default();
        let again = |timer: Timer| SetTimer { timer, by: None };
        timers.set_due_again(again(timer("lost", 10, Schedule::Once)));
        assert_eq!(timers.due(10).unwrap().0.name, "lost");
        timers.set(timer("every", 40, Schedule::Every { period_ms: 10 }), None);
        timers.set_due_again(again(timer("every", 30, Schedule::Every { period_ms: 10 })));
        assert_eq!(
            timers.fire("every", 30, 35),
            Some(Fired::Again(timer("every", 40, Schedule::Every { period_ms: 10 }), None))
        );
        timers.set(timer("anew", 90, Schedule::Once), None);
        timers.set_due_again(again(timer("anew", 20, Schedule::Once)));
        assert_eq!(timers.fire("anew", 90, 95), Some(Fired::Gone), "what it set anew counts");
    }

    #[test]
    fn a_clock_that_went_back_makes_timers_due_sooner_and_touches_no_others() {
        let mut timers = Timers::default();
        timers.set(timer("every", 9_000_000, Schedule::Every { period_ms: 1_000 }), None);
        timers.set(timer("at", 9_000_000, Schedule::Once), None);
        timers.set(timer("missed", 5, Schedule::Every { period_ms: 1_000 }), None);
        let moved: Vec<_> =
            timers.realign(500).into_iter().map(|moved| (moved.timer.name, moved.timer.due_ms)).collect();
        assert_eq!(moved, [("every".to_owned(), 1_000)]);
        assert_eq!(timers.realign(500), []);
        assert_eq!((timers.next_due(), timers.len()), (Some(5), 3));
    }
}
