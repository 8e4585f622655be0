//! The history of one event: the event, the executions of plugins that handled it, and their method calls.

use super::Handle;
use switchbox_model::{CallRecord, Cause, EffectKey, Entry, Event, Handled, HeldBack, PluginName, Seq};
use switchbox_store as store;
use switchbox_store::JournalPage;

/// Bytes of the journal that are read at once.
const PAGE_BYTES: usize = 1024 * 1024;
/// Pages of the journal after an event in which its executions are searched.
const PAGES: usize = 32;

/// An event and its executions. Each list is in the order of the journal.
#[derive(Debug, Default)]
pub struct EventHistory {
    /// `None` if the event does not exist or is no longer kept.
    pub event: Option<Event>,
    /// The effect that caused the event, if one did.
    pub by: Option<EffectKey>,
    /// The executions for the event.
    pub handled: Vec<Handled>,
    /// The method calls of the executions.
    pub calls: Vec<CallRecord>,
    /// Executions whose effects a rate held back, and for how long. Not kept longer than the journal.
    pub held: Vec<HeldBack>,
    /// Whether there is a later part of the journal that was not searched.
    pub cut: bool,
}

impl EventHistory {
    /// Whether and why the effects of this attempt were held back.
    #[must_use]
    pub fn held_back(&self, plugin: &PluginName, attempt: u32) -> Option<&HeldBack> {
        // A dead letter that was redriven has been held back before under the same numbers.
        self.held.iter().rfind(|held| held.plugin == *plugin && held.attempt == attempt)
    }

    fn add(&mut self, seq: Seq, entry: Entry) {
        match entry {
            Entry::Handled(run) => self.handled.extend(run.each().filter(|handled| handled.seq == seq)),
            Entry::HeldBack(held) => self.held.extend(Some(held).filter(|held| held.seq == seq)),
            Entry::Called(calls) => self.calls.extend(calls.into_iter().filter(|call| is_for(&call.cause, seq))),
            Entry::Events { .. } | Entry::CommandsSettled { .. } | Entry::DeviceDeleted { .. } => {
                if self.event.is_none()
                    && let Some((event, by)) = entry.into_event(seq)
                {
                    (self.event, self.by) = (Some(event), by);
                }
            }
            // Not about one event.
            Entry::Settled(_)
            | Entry::Registry { .. }
            | Entry::Operator { .. }
            | Entry::Plugin { .. }
            | Entry::PluginStarts { .. }
            | Entry::DeadLettersDropped { .. }
            | Entry::Broker(_)
            | Entry::QueueLimit { .. }
            | Entry::Barrier
            | Entry::ClockSet { .. } => {}
        }
    }
}

/// Whether the cause is an execution for this event.
fn is_for(cause: &Cause, event: Seq) -> bool {
    matches!(cause, Cause::Plugin { seq, .. } if *seq == event)
}

impl Handle {
    /// Searches the journal for an event and its executions. With `plugin`, the search ends at the execution by that plugin.
    pub async fn event_history(&self, seq: Seq, plugin: Option<&PluginName>) -> Result<EventHistory, store::Error> {
        let mut history = EventHistory::default();
        let mut row = self.store.row_of(seq).await?;
        for page in 0.. {
            let Some(from) = row else { break };
            if page == PAGES {
                history.cut = true;
                break;
            }
            let JournalPage { rows, next } = self.store.journal_page(from, PAGE_BYTES).await?;
            row = (!rows.is_empty()).then_some(next);
            rows.into_iter().flat_map(|row| row.entries).for_each(|entry| history.add(seq, entry));
            if plugin.is_some_and(|plugin| history.handled.iter().any(|handled| handled.plugin == *plugin)) {
                break;
            }
        }
        if history.event.is_none() {
            for kept in self.store.kept(seq).await? {
                history.event = history.event.take().or(kept.event);
                history.by = history.by.take().or(kept.by);
                let is_known = |handled: &Handled| history.handled.contains(handled);
                history.handled.extend(kept.handled.filter(|handled| !is_known(handled)));
            }
        }
        Ok(history)
    }
}
