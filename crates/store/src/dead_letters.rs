//! Dead letters on their way to `state.db`. A letter that is replaced by a newer one before it is written is not written: otherwise a
//! plugin that rejects all events of a device would have each event written twice and deleted once. Pure.

use std::collections::BTreeMap;

use switchbox_model::DeadLetter;

/// Changes of dead letters that are not written yet.
#[derive(Default)]
pub(super) struct DeadLetterFold {
    /// By their ids.
    pub(super) new: BTreeMap<u64, Box<DeadLetter>>,
    /// Of letters that are written.
    pub(super) gone: Vec<u64>,
    /// The highest id that was given to one, also if it is gone again. `None` if there was none.
    pub(super) last: Option<u64>,
}

impl DeadLetterFold {
    pub(super) fn add(&mut self, dead_letter: Box<DeadLetter>) {
        self.last = Some(dead_letter.id);
        self.new.insert(dead_letter.id, dead_letter);
    }

    /// Returns false if the letter was not written yet, and need not be.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let was_written = self.new.remove(&id).is_none();
        if was_written {
            self.gone.push(id);
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
        assert_eq!(fold.new.keys().copied().collect::<Vec<_>>(), [6, 7]);
        assert_eq!((fold.gone, fold.last), (vec![3], Some(8)), "no later letter gets the id of one that is gone");
    }
}
