//! The ids of all dead letters. A plugin that fails repeatedly keeps its newest ones. Pure.

use std::collections::{HashMap, VecDeque};

use switchbox_model::{PluginName, limits::DEAD_LETTERS};

/// The ids of each plugin's dead letters, oldest first.
#[derive(Debug, Default)]
pub(super) struct DeadLetterIds {
    /// The highest id that a dead letter ever had.
    last_id: u64,
    by_plugin: HashMap<PluginName, VecDeque<u64>>,
}

impl DeadLetterIds {
    /// `last_id`: the highest id that a dead letter ever had, also if it is removed.
    pub(super) fn new(last_id: u64, kept: &[(PluginName, u64)]) -> Self {
        let mut dead_letters = Self { last_id, by_plugin: HashMap::new() };
        for (plugin, id) in kept {
            dead_letters.by_plugin.entry(plugin.clone()).or_default().push_back(*id);
        }
        dead_letters
    }

    /// Adds a dead letter. Returns its id, and the id of the one that is removed to make room for it.
    pub(super) fn add(&mut self, plugin: &PluginName) -> (u64, Option<u64>) {
        self.last_id += 1;
        let dead_letters = self.by_plugin.entry(plugin.clone()).or_default();
        dead_letters.push_back(self.last_id);
        let oldest = if dead_letters.len() > DEAD_LETTERS { dead_letters.pop_front() } else { None };
        (self.last_id, oldest)
    }

    pub(super) fn remove(&mut self, ids: &[u64]) {
        for dead_letters in self.by_plugin.values_mut() {
            for id in ids {
                if let Ok(index) = dead_letters.binary_search(id) {
                    dead_letters.remove(index);
                }
            }
        }
        self.by_plugin.retain(|_, dead_letters| !dead_letters.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_letters_of_each_plugin_are_kept() {
        let [one, other] = ["one", "other"].map(|name| PluginName::new(name).unwrap());
        let mut dead_letters = DeadLetterIds::new(7, &[(one.clone(), 3)]);
        assert_eq!(dead_letters.add(&other), (8, None));
        for n in 1..DEAD_LETTERS as u64 {
            assert_eq!(dead_letters.add(&one), (8 + n, None));
        }
        let next = 8 + DEAD_LETTERS as u64;
        assert_eq!(dead_letters.add(&one), (next, Some(3)), "the oldest makes room");
        dead_letters.remove(&[9, 8]);
        assert_eq!(dead_letters.add(&one), (next + 1, None));
        assert!(!dead_letters.by_plugin.contains_key(&other));
    }
}
