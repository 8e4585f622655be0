//! Which dead letters there are: a plugin that fails repeatedly keeps its newest ones. Pure.

use std::collections::{HashMap, VecDeque};

use switchbox_model::{PluginName, limits::DEAD_LETTERS};

/// The ids of each plugin's dead letters, oldest first.
#[derive(Debug, Default)]
pub(super) struct DeadLetterIds {
    last: u64,
    of: HashMap<PluginName, VecDeque<u64>>,
}

impl DeadLetterIds {
    /// `last` was the newest of all, whether it is still there or not.
    pub(super) fn new(last: u64, kept: &[(PluginName, u64)]) -> Self {
        let mut dead_letters = Self { last, of: HashMap::new() };
        for (plugin, id) in kept {
            dead_letters.of.entry(plugin.clone()).or_default().push_back(*id);
        }
        dead_letters
    }

    /// A new one: its id, and the one that makes room for it.
    pub(super) fn add(&mut self, plugin: &PluginName) -> (u64, Option<u64>) {
        self.last += 1;
        let dead_letters = self.of.entry(plugin.clone()).or_default();
        dead_letters.push_back(self.last);
        let oldest = if dead_letters.len() > DEAD_LETTERS { dead_letters.pop_front() } else { None };
        (self.last, oldest)
    }

    pub(super) fn drop(&mut self, ids: &[u64]) {
        for dead_letters in self.of.values_mut() {
            for id in ids {
                if let Ok(index) = dead_letters.binary_search(id) {
                    dead_letters.remove(index);
                }
            }
        }
        self.of.retain(|_, dead_letters| !dead_letters.is_empty());
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
        dead_letters.drop(&[9, 8]);
        assert_eq!(dead_letters.add(&one), (next + 1, None));
        assert!(!dead_letters.of.contains_key(&other));
    }
}
