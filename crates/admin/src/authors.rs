//! The caller that wrote each plugin's file last, so that the host can name who brought a version into force.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use parking_lot::Mutex;

use switchbox_model::PluginName;

/// Plugins whose last author is remembered; then all are forgotten.
const PLUGINS: usize = 1_000;

/// The last author of each plugin's files, with a hash of what was written: a file that was changed by other means has no author.
#[derive(Debug, Default)]
pub struct Authors(Mutex<BTreeMap<PluginName, (String, u64)>>);

impl Authors {
    pub(super) fn writes(&self, plugin: &PluginName, caller: &str, bytes: &[u8]) {
        let mut authors = self.0.lock();
        if authors.len() >= PLUGINS {
            authors.clear();
        }
        authors.insert(plugin.clone(), (caller.to_owned(), hash(bytes)));
    }

    /// The token's name, if the component or the settings are what a caller of the API wrote last.
    #[must_use]
    pub fn of(&self, plugin: &PluginName, component: &[u8], settings: &[u8]) -> Option<String> {
        let authors = self.0.lock();
        let (caller, written) = authors.get(plugin)?;
        [component, settings].into_iter().any(|bytes| hash(bytes) == *written).then(|| caller.clone())
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_known_by_what_was_written() {
        let (authors, relay) = (Authors::default(), PluginName::new("relay").unwrap());
        authors.writes(&relay, "ops", b"a = 1");
        assert_eq!(authors.of(&relay, b"component", b"a = 1").as_deref(), Some("ops"));
        assert_eq!(authors.of(&relay, b"component", b"a = 2"), None);
        assert_eq!(authors.of(&PluginName::new("other").unwrap(), b"", b"a = 1"), None);
    }
}
