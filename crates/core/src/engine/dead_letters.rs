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
        let mut letters = Self { last, of: HashMap::new() };
        for (plugin, id) in kept {
            letters.of.entry(plugin.clone()).or_default().push_back(*id);
        }
        letters
    }

    /// A new one: its id, and the one that makes room for it.
    pub(super) fn add(&mut self, plugin: &PluginName) -> (u64, Option<u64>) {
        self.last += 1;
        let letters = self.of.entry(plugin.clone()).or_default();
        letters.push_back(self.last);
        let oldest = if letters.len() > DEAD_LETTERS { letters.pop_front() } else { None };
        (self.last, oldest)
    }

    pub(super) fn drop(&mut self, ids: &[u64]) {
        for letters in self.of.values_mut() {
            for id in ids {
                if let Ok(index) = letters.binary_search(id) {
                    letters.remove(index);
                }
            }
        }
        self.of.retain(|_, letters| !letters.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_letters_of_each_plugin_are_kept() {
        let [one, other] = ["one", "other"].map(|name| PluginName::new(name).unwrap());
        let mut letters = DeadLetterIds::new(7, &[(one.clone(), 3)]);
        assert_eq!(letters.add(&other), (8, None));
        for n in 1..DEAD_LETTERS as u64 {
            assert_eq!(letters.add(&one), (8 + n, None));
        }
        let next = 8 + DEAD_LETTERS as u64;
        assert_eq!(letters.add(&one), (next, Some(3)), "the oldest makes room");
        letters.drop(&[9, 8]);
        assert_eq!(letters.add(&one), (next + 1, None));
        assert!(!letters.of.contains_key(&other));
    }
}
