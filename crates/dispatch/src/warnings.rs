//! Warnings for the operator, by plugin: the newest few, for as long as the plugin runs.

use std::collections::VecDeque;

use hashbrown::HashMap;

use switchbox_model::PluginName;

/// Warnings of one plugin that are shown.
const WARNINGS_KEPT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Warnings(HashMap<PluginName, VecDeque<String>>);

impl Warnings {
    /// A warning that exists already becomes the newest.
    pub(super) fn add(&mut self, plugin: &PluginName, text: String) {
        let warnings = self.0.entry(plugin.clone()).or_default();
        warnings.retain(|known| *known != text);
        if warnings.len() >= WARNINGS_KEPT {
            warnings.pop_front();
        }
        warnings.push_back(text);
    }

    /// Oldest first.
    pub(super) fn of(&self, plugin: &PluginName) -> Vec<String> {
        self.0.get(plugin).into_iter().flatten().cloned().collect()
    }

    /// The plugin stopped.
    pub(super) fn forget(&mut self, plugin: &PluginName) {
        self.0.remove(plugin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_few_are_kept_each_once() {
        let (mut warnings, plugin) = (Warnings::default(), PluginName::new("hop").unwrap());
        for n in (0..10).chain([5]) {
            warnings.add(&plugin, n.to_string());
        }
        assert_eq!(warnings.of(&plugin), ["2", "3", "4", "6", "7", "8", "9", "5"]);
        warnings.forget(&plugin);
        assert!(warnings.of(&plugin).is_empty());
    }
}
