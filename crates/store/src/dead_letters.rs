//! Dead letters on their way to `state.db`. A dead letter that is removed before it is written is never written: otherwise a
//! plugin that rejects all events of a device would have each event written twice and deleted once. Pure.

use std::collections::BTreeMap;

use switchbox_model::DeadLetter;

/// Changes of dead letters that are not written yet.
#[derive(Default)]
pub(super) struct DeadLetterFold {
    /// Dead letters that are not written yet, by their ids.
    pub(super) unwritten: BTreeMap<u64, Box<DeadLetter>>,
    /// The ids of dead letters that are written and now removed.
    pub(super) removed: Vec<u64>,
    /// The highest id that a dead letter got, also if it is removed again. `None` if none was added.
    pub(super) last_id: Option<u64>,
}

impl DeadLetterFold {
    pub(super) fn add(&mut self, dead_letter: Box<DeadLetter>) {
        self.last_id = Some(dead_letter.id);
        self.unwritten.insert(dead_letter.id, dead_letter);
    }

    /// Returns false if the dead letter was not written yet and so never will be.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let was_written = self.unwritten.remove(&id).is_none();
        if was_written {
            self.removed.push(id);
        }
        was_written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchbox_model::{Event, EventData, PluginName, Seq};

    #[test]
    fn a_letter_that_is_gone_before_it_was_written_leaves_its_id_alone() {
        let dead_letter = |id| {
            let data = EventData::State { version: 0, payload: Vec::new().into() };
            let event = Event { seq: Seq(id), time_ms: 0, device: None, durable: true, data };
            let plugin = PluginName::new("picky").unwrap();
            let (digest, error, logs) = ("".into(), String::new(), Vec::new());
            Box::new(DeadLetter { id, plugin, digest, attempt: 1, time_ms: 0, error, logs, event })
        };
        let mut fold = DeadLetterFold::default();
        (5..=8).for_each(|id| fold.add(dead_letter(id)));
        assert_eq!([3, 5, 8].map(|id| fold.remove(id)), [true, false, false]);
        assert_eq!(fold.unwritten.keys().copied().collect::<Vec<_>>(), [6, 7]);
        assert_eq!((fold.removed, fold.last_id), (vec![3], Some(8)), "no later letter gets the id of one that is gone");
    }
}
