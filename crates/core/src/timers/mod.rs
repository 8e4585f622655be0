//! Timers of plugins: when they are due, and the clock that turns them into events. The event in the journal is the firing: applying its
//! entry removes the timer or sets its next due time.

mod firing;
mod schedule;
mod table;

use std::{collections::HashMap, sync::Arc};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, OwnedMutexGuard};

pub use firing::run;
pub use schedule::{first, next};
pub use table::Table;
use table::{Fired, Timers};

use switchbox_model::{
    Effect, EffectKey, Entry, EventData, PluginName, Seq,
    lifecycle::SetTimer,
    timer::{START, Schedule, Timer},
};
use switchbox_rules::schedule::LAST_MS;
use switchbox_store as store;
use switchbox_store::TimerDoc;
use switchbox_support::clock;

/// One plugin's timers, as they will be once all that is queued for the journal is applied.
#[derive(Debug, Default)]
struct PluginTimers {
    /// Locked from reading the timers to queueing the entry, by setting and by firing, so that both are in the order of the journal.
    order: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

/// The timers of one plugin, and what is known of their events.
#[derive(Debug, Default)]
struct State {
    timers: Timers,
    /// Timers that fired and whose events the plugin has not handled, by name, each with how many such events there are.
    unhandled: HashMap<String, (SetTimer, usize)>,
    /// When the plugin began to run. Is `None` while it does not run: its timers wait. A timer that was due before this time counts as late.
    running_since_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    plugins: RwLock<HashMap<PluginName, Arc<PluginTimers>>>,
    /// Notified when the next due time may have changed.
    changed: Notify,
}

impl State {
    /// The timer has fired: its event is unhandled until [`Handle::record_handled`].
    fn record_fired(&mut self, timer: Timer, by: Option<EffectKey>) {
        // If the plugin has cancelled the timer since, only this one firing is due again.
        let timer = Timer { schedule: Schedule::Once, ..timer };
        let (last, count) = self
            .unhandled
            .entry(timer.name.clone())
            .or_insert_with(|| (SetTimer { timer: timer.clone(), by: by.clone() }, 0));
        *last = SetTimer { timer, by };
        *count += 1;
    }
}

/// The timers of all plugins. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    inner: Arc<Inner>,
}

/// The exclusive right to set, cancel and fire the timers of a plugin.
#[derive(Debug)]
pub struct LockedTimers {
    plugin: PluginName,
    cell: Arc<PluginTimers>,
    inner: Arc<Inner>,
    _order: OwnedMutexGuard<()>,
}

impl LockedTimers {
    /// Applies effects of an event that are queued for the journal, each with its index among all effects of the event.
    pub fn apply(&self, seq: Seq, effects: Vec<(u32, Effect)>) {
        let mut state = self.cell.state.lock();
        for (index, effect) in effects {
            match effect {
                Effect::TimerSet(timer) => {
                    let by = EffectKey { seq, plugin: self.plugin.clone(), index };
                    state.timers.set(*timer, Some(by));
                }
                Effect::TimerCancel { name } => state.timers.cancel(&name),
                _ => {}
            }
        }
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Whether the plugin has been notified that it starts with this component and these settings.
    #[must_use]
    pub fn is_started(&self, version: &str) -> bool {
        self.cell.state.lock().timers.payload(START).is_some_and(|payload| payload == version.as_bytes())
    }

    /// Sets the timer that notifies the plugin of this version.
    pub fn start(&self, version: String, now_ms: u64) {
        self.cell.state.lock().timers.set(start(version, now_ms), None);
        self.inner.changed.notify_one();
    }

    /// The timers that the plugin has set, and those that have fired and are not handled.
    #[must_use]
    pub fn all(&self) -> Vec<Timer> {
        let state = self.cell.state.lock();
        let fired = state.unhandled.values().map(|(unhandled_timer, _)| unhandled_timer.timer.clone());
        fired.chain(state.timers.all().filter(|timer| timer.name != START).cloned()).collect()
    }

    /// Deletes the plugin's timers.
    pub fn clear(&self) {
        *self.cell.state.lock() = State::default();
    }

    /// Lets the plugin's timers wait until [`Handle::resume`], because the plugin is off.
    pub fn pause(&self) {
        self.cell.state.lock().running_since_ms = None;
    }

    /// Timers whose events the plugin has not handled.
    #[must_use]
    pub fn unhandled(&self) -> Vec<SetTimer> {
        self.cell.state.lock().unhandled.values().map(|(unhandled_timer, _)| unhandled_timer.clone()).collect()
    }

    /// Makes these timers due again, because their events will not be handled any more.
    pub fn set_due_again(&self, unhandled: Vec<SetTimer>) {
        let mut state = self.cell.state.lock();
        state.unhandled.clear();
        unhandled.into_iter().for_each(|unhandled_timer| state.timers.set_due_again(unhandled_timer));
    }

    /// Fires due timers, at most `max`. Returns their events in order, each with the effect that set the timer.
    fn take(&self, now_ms: u64, max: usize) -> Vec<(EventData, Option<EffectKey>)> {
        let mut state = self.cell.state.lock();
        let mut fired = Vec::new();
        let Some(since_ms) = state.running_since_ms else { return fired };
        while fired.len() < max
            && let Some((timer, by)) = state.timers.due(now_ms)
        {
            let _: Option<Fired> = state.timers.fire(&timer.name, timer.due_ms, now_ms);
            state.record_fired(timer.clone(), by.clone());
            let Timer { name, payload, due_ms, .. } = timer;
            let plugin = self.plugin.to_string();
            fired.push((EventData::Timer { plugin, name, payload, due_ms, late: due_ms < since_ms }, by));
        }
        fired
    }
}

/// Corrects a timer that is about to be set by an event from before the wall clock went back: it is not due later than if it were set now.
pub fn realign(timer: &mut Timer, now_ms: u64) {
    if let Some(due_ms) = schedule::realigned(&timer.schedule, timer.due_ms, now_ms) {
        timer.due_ms = due_ms;
    }
}

/// The timer that starts a plugin.
#[must_use]
pub fn start(version: String, due_ms: u64) -> Timer {
    Timer { name: START.to_owned(), schedule: Schedule::Start, payload: version.into(), due_ms }
}

impl Handle {
    /// Restores the timers from the documents. All of them wait for their plugins to run.
    pub fn load(&self, docs: &[TimerDoc]) {
        for doc in docs {
            self.get_or_create(&doc.plugin).state.lock().timers.set(doc.timer.clone(), doc.by.clone());
        }
    }

    /// Restores a timer that fired before the host started and whose event the plugin has not handled.
    pub fn load_unhandled(&self, plugin: &PluginName, timer: Timer, by: Option<EffectKey>) {
        self.get_or_create(plugin).state.lock().record_fired(timer, by);
    }

    /// The plugin has handled an event of this timer, or never will.
    pub fn record_handled(&self, plugin: &PluginName, name: &str) {
        let cell = self.get_or_create(plugin);
        let mut state = cell.state.lock();
        if let Some((_, count)) = state.unhandled.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                state.unhandled.remove(name);
            }
        }
    }

    /// Plugins that have timers, whether they run or not.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginName> {
        let plugins = self.inner.plugins.read();
        let has_timers = |cell: &PluginTimers| cell.state.lock().timers.next_due().is_some();
        plugins.iter().filter(|(_, cell)| has_timers(cell)).map(|(name, _)| name.clone()).collect()
    }

    /// Corrects the timers after a start, and after the wall clock went back. Those that would be due too late are due sooner. They are
    /// in one entry of the journal, with everything else that depends on the clock.
    pub async fn clock_set(&self, store: &store::Handle, now_ms: u64) -> Result<(), store::Error> {
        let plugins: Vec<_> = self.inner.plugins.read().keys().cloned().collect();
        let mut locked = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            locked.push(self.lock(&plugin).await);
        }
        store.call(Entry::ClockSet { time_ms: now_ms }).await?;
        for locked in locked {
            let mut state = locked.cell.state.lock();
            state.timers.realign(now_ms);
            state.running_since_ms = state.running_since_ms.map(|since_ms| since_ms.min(now_ms));
        }
        self.inner.changed.notify_one();
        Ok(())
    }

    /// The timers of the plugin, which are created if it had none.
    fn get_or_create(&self, plugin: &PluginName) -> Arc<PluginTimers> {
        if let Some(cell) = self.inner.plugins.read().get(plugin) {
            return cell.clone();
        }
        self.inner.plugins.write().entry(plugin.clone()).or_default().clone()
    }

    fn with_timers<T>(&self, plugin: &PluginName, read: impl FnOnce(&Timers) -> T) -> T {
        read(&self.get_or_create(plugin).state.lock().timers)
    }

    /// How many timers the plugin has.
    #[must_use]
    pub fn count(&self, plugin: &PluginName) -> usize {
        self.with_timers(plugin, Timers::len)
    }

    #[must_use]
    pub fn has(&self, plugin: &PluginName, name: &str) -> bool {
        self.with_timers(plugin, |timers| timers.has(name))
    }

    /// When the plugin's next timer is due, milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_due_of(&self, plugin: &PluginName) -> Option<u64> {
        self.with_timers(plugin, Timers::next_due).filter(|due_ms| *due_ms < LAST_MS)
    }

    /// The plugin runs: its timers fire from now on, those that were due before as late ones.
    pub fn resume(&self, plugin: &PluginName) {
        self.get_or_create(plugin).state.lock().running_since_ms.get_or_insert_with(clock::now_ms);
        self.inner.changed.notify_one();
    }

    /// Waits until the plugin's timers are free, and takes the exclusive right to change them.
    pub async fn lock(&self, plugin: &PluginName) -> LockedTimers {
        let cell = self.get_or_create(plugin);
        let order = cell.order.clone().lock_owned().await;
        LockedTimers { plugin: plugin.clone(), cell, inner: self.inner.clone(), _order: order }
    }

    /// The plugins that run and have a timer, with the next time of each.
    fn waiting(&self) -> Vec<(PluginName, u64)> {
        let next = |cell: &PluginTimers| {
            let state = cell.state.lock();
            state.running_since_ms.and(state.timers.next_due())
        };
        let plugins = self.inner.plugins.read();
        plugins.iter().filter_map(|(name, cell)| Some((name.clone(), next(cell)?))).collect()
    }
}

#[cfg(test)]
mod tests;
