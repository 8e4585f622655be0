//! Reads from the journal, at the start, from which event on each plugin has to continue, and which later events it has handled.

use std::collections::{HashMap, HashSet};

use switchbox_core::timers;
use switchbox_model::{
    EffectKey, Entry, Event, EventData, PluginName, Seq,
    lifecycle::SetTimer,
    timer::{Schedule, Timer},
};
use switchbox_store as store;
use switchbox_store::{JournalPage, PluginDoc};

/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Which events each plugin had handled when the host stopped.
type HandledBefore = HashMap<PluginName, HashSet<Seq>>;

/// The timer that made the event, as a timer that fires once. `by`: the effect that had set it.
fn fired_timer(event: Event, by: Option<EffectKey>) -> Option<(PluginName, Seq, SetTimer)> {
    let EventData::Timer { plugin, name, payload, due_ms, .. } = event.data else { return None };
    let timer = Timer { name, schedule: Schedule::Once, payload, due_ms };
    Some((PluginName::new(&plugin).ok()?, event.seq, SetTimer { timer, by }))
}

/// The position in the journal from which each installed plugin continues.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The event from which each plugin continues.
    from: HashMap<PluginName, Seq>,
    handled: HandledBefore,
}

impl Recovery {
    /// Reads the journal from `low_water` on.
    pub(super) async fn read(
        store: &store::Handle,
        plugins: &[PluginDoc],
        low_water: Seq,
        timers: &timers::Handle,
    ) -> Result<Self, store::Error> {
        let from: HashMap<PluginName, Seq> =
            plugins.iter().map(|doc| (doc.plugin.clone(), doc.from.max(low_water))).collect();
        let mut handled = HandledBefore::new();
        let mut fired = Vec::new();
        let mut row = store.row_of(low_water).await?;
        while let Some(start) = row {
            let JournalPage { rows, next } = store.journal_page(start, PAGE_BYTES).await?;
            row = (!rows.is_empty()).then_some(next);
            for entry in rows.into_iter().flat_map(|row| row.entries) {
                if let Entry::Handled(done) = entry {
                    handled.entry(done.plugin).or_default().extend(done.events.iter().map(|event| event.seq));
                } else {
                    fired.extend(entry.into_events_by().filter_map(|(event, by)| fired_timer(event, by)));
                }
            }
        }
        for (plugin, seq, SetTimer { timer, by }) in fired {
            let is_handled = handled.get(&plugin).is_some_and(|handled| handled.contains(&seq));
            if !is_handled && from.get(&plugin).is_some_and(|from| seq >= *from) {
                timers.load_unhandled(&plugin, timer, by);
            }
        }
        Ok(Self { from, handled })
    }

    /// The event from which the plugin continues, and the later events that it has handled (only at the first call). Returns `None`
    /// if it was not installed. Its position is kept until [`Recovery::forget`].
    pub(super) fn resume(&mut self, plugin: &PluginName) -> Option<(Seq, HashSet<Seq>)> {
        let from = *self.from.get(plugin)?;
        Some((from, self.handled.remove(plugin).unwrap_or_default()))
    }

    /// Keeps a position in the journal for a plugin that is about to run.
    pub(super) fn keep_position(&mut self, plugin: PluginName, from: Seq) {
        self.from.insert(plugin, from);
    }

    /// The plugin runs, or was removed. Returns true if it had a position.
    pub(super) fn forget(&mut self, plugin: &PluginName) -> bool {
        self.handled.remove(plugin);
        self.from.remove(plugin).is_some()
    }

    /// The oldest event that a plugin which does not run yet may still have to handle.
    pub(super) fn oldest(&self) -> Option<Seq> {
        self.from.values().copied().min()
    }

    /// The plugins that were installed and do not run yet.
    pub(super) fn plugins(&self) -> Vec<PluginName> {
        self.from.keys().cloned().collect()
    }
}
