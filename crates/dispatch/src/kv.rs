//! The plugins' own key-value state in memory. The next event reads what an event wrote at once, also before it is durable. The
//! journal makes the writes durable, in the same order.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use switchbox_model::{KvWrite, PluginName};
use switchbox_plugin_runtime::KvChange;
use switchbox_store::{KvDoc, PluginLifecycleDoc};

/// The current revision differs from the one that the plugin read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {key:?} was written meanwhile: revision {current} is in force, not {expected}")]
pub(super) struct Conflict {
    key: String,
    expected: u64,
    current: u64,
}

/// The key-value state of one plugin.
#[derive(Debug, Default)]
pub(super) struct PluginKv {
    /// Each key's value and revision.
    entries: BTreeMap<String, (Bytes, u64)>,
    /// Bytes of all keys and values.
    bytes: usize,
    /// The schema in which the state is kept (`wit/migration.wit`).
    schema: u32,
}

impl PluginKv {
    /// The value of a key, and its revision.
    pub(super) fn get(&self, key: &str) -> Option<(Bytes, u64)> {
        self.entries.get(key).cloned()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Up to `limit` keys with the prefix in ascending order, those behind the key `after` if there is one.
    pub(super) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let keys = self.entries.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        keys.take_while(|key| key.starts_with(prefix)).take(limit).cloned().collect()
    }

    pub(super) fn schema(&self) -> u32 {
        self.schema
    }

    /// Applies the writes that bring the state to this schema.
    pub(super) fn apply_migration(&mut self, schema: u32, writes: &[KvWrite]) {
        writes.iter().for_each(|write| self.apply(write));
        self.schema = schema;
    }

    /// The writes that the changes make. The error: a change expects another revision.
    pub(super) fn plan(&self, changes: &[KvChange]) -> Result<Vec<KvWrite>, Conflict> {
        let mut revisions: HashMap<&str, u64> = HashMap::new();
        let mut writes = Vec::with_capacity(changes.len());
        for change in changes {
            let stored = || self.entries.get(&change.key).map_or(0, |(_, revision)| *revision);
            let current = revisions.get(change.key.as_str()).copied().unwrap_or_else(stored);
            if let Some(expected) = change.expected
                && expected != current
            {
                return Err(Conflict { key: change.key.clone(), expected, current });
            }
            let revision = if change.value.is_some() { current + 1 } else { 0 };
            revisions.insert(&change.key, revision);
            writes.push(KvWrite { key: change.key.clone(), value: change.value.clone(), revision });
        }
        Ok(writes)
    }

    /// Every key with its value and revision.
    pub(super) fn all(&self) -> Vec<(String, (Bytes, u64))> {
        self.entries.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn apply(&mut self, write: &KvWrite) {
        if let Some((old, _)) = self.entries.remove(&write.key) {
            self.bytes -= write.key.len() + old.len();
        }
        if let Some(value) = &write.value {
            self.bytes += write.key.len() + value.len();
            self.entries.insert(write.key.clone(), (value.clone(), write.revision));
        }
    }
}

/// One plugin's state. A worker that commits holds `order` until the entry is queued (or refused), so that the journal has the
/// writes in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct OrderedKv {
    pub(super) order: tokio::sync::Mutex<()>,
    pub(super) data: Mutex<PluginKv>,
}

/// Every plugin's state.
#[derive(Debug, Default)]
pub(super) struct Kv {
    plugins: RwLock<HashMap<PluginName, Arc<OrderedKv>>>,
}

impl Kv {
    pub(super) fn load(&self, docs: &[KvDoc], lifecycles: &[PluginLifecycleDoc]) {
        for doc in docs {
            let write = KvWrite { key: doc.key.clone(), value: doc.value.clone(), revision: doc.revision };
            self.get_or_create(&doc.plugin).data.lock().apply(&write);
        }
        for doc in lifecycles.iter().filter(|doc| doc.schema > 0) {
            self.get_or_create(&doc.plugin).data.lock().schema = doc.schema;
        }
    }

    /// The plugins that have state.
    pub(super) fn plugins(&self) -> Vec<PluginName> {
        let plugins = self.plugins.read();
        plugins.iter().filter(|(_, kv)| kv.data.lock().bytes() > 0).map(|(name, _)| name.clone()).collect()
    }

    /// Returns `None` if the plugin has no state, and had none since the host started.
    pub(super) fn find(&self, plugin: &PluginName) -> Option<Arc<OrderedKv>> {
        self.plugins.read().get(plugin).cloned()
    }

    pub(super) fn get_or_create(&self, plugin: &PluginName) -> Arc<OrderedKv> {
        if let Some(kv) = self.plugins.read().get(plugin) {
            return kv.clone();
        }
        self.plugins.write().entry(plugin.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(kv: &mut PluginKv, changes: &[KvChange]) -> Result<Vec<KvWrite>, Conflict> {
        let writes = kv.plan(changes)?;
        writes.iter().for_each(|write| kv.apply(write));
        Ok(writes)
    }

    fn set(key: &str, value: &str, expected: Option<u64>) -> KvChange {
        KvChange { key: key.into(), value: Some(Bytes::copy_from_slice(value.as_bytes())), expected }
    }

    #[test]
    fn revisions_grow_with_each_write_and_begin_again_after_a_delete() {
        let mut kv = PluginKv::default();
        assert_eq!(commit(&mut kv, &[set("a", "x", Some(0)), set("a", "yy", Some(1))]).unwrap()[1].revision, 2);
        assert_eq!((kv.get("a"), kv.bytes()), (Some((Bytes::from("yy"), 2)), 3));
        commit(&mut kv, &[KvChange { key: "a".into(), value: None, expected: Some(2) }]).unwrap();
        assert_eq!((kv.get("a"), kv.bytes()), (None, 0));
        assert_eq!(commit(&mut kv, &[set("a", "z", Some(0))]).unwrap()[0].revision, 1);
    }

    #[test]
    fn one_conflict_undoes_all_changes_of_the_event() {
        let mut kv = PluginKv::default();
        commit(&mut kv, &[set("a", "1", None)]).unwrap();
        let conflict = commit(&mut kv, &[set("b", "1", None), set("a", "2", Some(7))]).unwrap_err();
        assert_eq!(conflict, Conflict { key: "a".into(), expected: 7, current: 1 });
        assert_eq!(kv.get("b"), None);
    }

    #[test]
    fn keys_are_listed_by_prefix_and_page() {
        let mut kv = PluginKv::default();
        for key in ["a", "b/1", "b/2", "b/3", "c"] {
            commit(&mut kv, &[set(key, "", None)]).unwrap();
        }
        assert_eq!(kv.keys("b/", None, 2), ["b/1", "b/2"]);
        assert_eq!(kv.keys("b/", Some("b/2"), 9), ["b/3"]);
        assert_eq!(kv.keys("", Some("b/3"), 9), ["c"]);
    }
}
