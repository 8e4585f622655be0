//! How long a plugin keeps its state and its timers.
//!
//! * A plugin that is off (disabled, without consent, broken, its files removed) keeps both, together.
//! * A new component under the same plugin name is the same plugin if its description has the same name. With another name
//!   it is another plugin, which gets neither state nor timers of the one before.
//! * A plugin whose files were removed is the same plugin again if its component is the same to the byte.
//! * State and timers of a removed plugin are deleted after [`REMOVED_KEPT`].

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use switchbox_model::{
    PluginName,
    lifecycle::{Identity, RolledBack},
};
use switchbox_store::PluginLifecycleDoc;

/// How long the state and the timers of a removed plugin are kept.
pub const REMOVED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes of a component's own name that are compared.
const KIND_BYTES: usize = 256;

/// Which component a plugin is, and since when it is off or removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lifecycle {
    /// `None` if it has not run yet.
    pub(super) identity: Option<Identity>,
    /// Since when it is off; `None` if it is on.
    pub(super) off_ms: Option<u64>,
    /// The plugin's files are gone.
    pub(super) removed: bool,
    pub(super) rolled_back: Option<RolledBack>,
    /// The digests of the components that it had compiled when it was switched off. Empty after a restart of the host.
    pub(super) compiled: Vec<String>,
    /// The last check found that it has to be deleted.
    overdue: bool,
}

/// Why a plugin is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffReason {
    Disabled,
    /// Its settings have no grants any more.
    NeedsConsent,
    /// Its files are gone, or are those of another plugin.
    Removed,
}

impl OffReason {
    /// The error of the events that it had not handled.
    pub(super) fn error(self) -> &'static str {
        match self {
            Self::Disabled => "the plugin was disabled before it had handled the event",
            Self::NeedsConsent => "the consent to the plugin's grants was withdrawn before it had handled the event",
            Self::Removed => "the plugin was removed before it had handled the event",
        }
    }
}

impl Lifecycle {
    /// Whether a component with this identity is the same plugin.
    pub(super) fn is_same_plugin(&self, identity: &Identity) -> bool {
        match &self.identity {
            None => !self.removed,
            Some(last) if self.removed => last.digest == identity.digest,
            Some(last) => last.kind == identity.kind,
        }
    }
}

/// A component's own name, cut to the bytes that are compared: [`Identity::kind`].
pub(super) fn kind(name: &str) -> String {
    let mut end = name.len().min(KIND_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default().to_owned()
}

/// All plugins that have run and are not deleted.
#[derive(Debug, Default)]
pub(super) struct Lifecycles(BTreeMap<PluginName, Lifecycle>);

impl Lifecycles {
    pub(super) fn load(docs: Vec<PluginLifecycleDoc>) -> Self {
        let lifecycle = |doc: PluginLifecycleDoc| {
            let PluginLifecycleDoc { plugin, identity, off_ms, removed, rolled_back, .. } = doc;
            (plugin, Lifecycle { identity, off_ms, removed, rolled_back, compiled: Vec::new(), overdue: false })
        };
        Self(docs.into_iter().map(lifecycle).collect())
    }

    pub(super) fn get(&self, name: &PluginName) -> Option<&Lifecycle> {
        self.0.get(name)
    }

    pub(super) fn change(&mut self, name: &PluginName, change: impl FnOnce(&mut Lifecycle)) {
        change(self.0.entry(name.clone()).or_default());
    }

    /// The digests of the components of all plugins that are not removed. A removed plugin that comes back is compiled again.
    pub(super) fn digests(&self) -> HashSet<String> {
        let lifecycles = self.0.values().filter(|lifecycle| !lifecycle.removed);
        let digests = |lifecycle: &Lifecycle| {
            let last = lifecycle.identity.as_ref().map(|identity| identity.digest.clone());
            last.into_iter().chain(lifecycle.compiled.clone())
        };
        lifecycles.flat_map(digests).collect()
    }

    pub(super) fn forget(&mut self, name: &PluginName) {
        self.0.remove(name);
    }

    /// The wall clock was set: no plugin is off since a time in the future.
    pub(super) fn clock_set(&mut self, now_ms: u64) {
        for lifecycle in self.0.values_mut() {
            lifecycle.off_ms = lifecycle.off_ms.map(|off_ms| off_ms.min(now_ms));
        }
    }

    /// Removed plugins that were overdue at this check and at the one before, so that a wall clock that is ahead for a moment
    /// deletes nothing.
    pub(super) fn overdue(&mut self, now_ms: u64) -> Vec<PluginName> {
        let kept_ms = u64::try_from(REMOVED_KEPT.as_millis()).unwrap_or(u64::MAX);
        let mut plugins = Vec::new();
        for (name, lifecycle) in &mut self.0 {
            let is_overdue =
                lifecycle.removed && lifecycle.off_ms.is_some_and(|off_ms| off_ms.saturating_add(kept_ms) <= now_ms);
            if std::mem::replace(&mut lifecycle.overdue, is_overdue) && is_overdue {
                plugins.push(name.clone());
            }
        }
        plugins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(kind: &str, digest: &str) -> Identity {
        Identity { kind: kind.into(), digest: digest.into() }
    }

    #[test]
    fn a_plugin_stays_itself_through_upgrades_and_comes_back_only_as_the_same() {
        for (before, removed, now, same) in [
            (None, false, identity("a", "1"), true),
            (None, true, identity("a", "1"), false),
            (Some(identity("a", "1")), false, identity("a", "2"), true),
            (Some(identity("a", "1")), false, identity("b", "2"), false),
            (Some(identity("a", "1")), true, identity("a", "1"), true),
            (Some(identity("a", "1")), true, identity("a", "2"), false),
        ] {
            let lifecycle = Lifecycle { identity: before, removed, ..Lifecycle::default() };
            assert_eq!(lifecycle.is_same_plugin(&now), same, "{lifecycle:?} {now:?}");
        }
    }

    #[test]
    fn what_is_overdue_at_two_looks_is_deleted() {
        let name = PluginName::new("gone").unwrap();
        let kept_ms = u64::try_from(REMOVED_KEPT.as_millis()).unwrap();
        let mut lifecycles = Lifecycles::default();
        lifecycles.change(&name, |lifecycle| {
            *lifecycle = Lifecycle { off_ms: Some(1_000), removed: true, ..Lifecycle::default() }
        });
        for (now_ms, expected) in [
            (1_000 + kept_ms, vec![]),
            (1_000, vec![]),
            (1_000 + kept_ms, vec![]),
            (1_000 + kept_ms, vec![name.clone()]),
        ] {
            assert_eq!(lifecycles.overdue(now_ms), expected, "at {now_ms}");
        }
        lifecycles.change(&name, |lifecycle| lifecycle.removed = false);
        assert_eq!(lifecycles.overdue(u64::MAX), [], "it is disabled only");
    }

    #[test]
    fn what_a_plugin_had_compiled_is_kept_while_it_is_off_and_not_when_it_is_removed() {
        let name = PluginName::new("off").unwrap();
        let mut lifecycles = Lifecycles::default();
        lifecycles.change(&name, |lifecycle| {
            let compiled = vec!["current".into(), "previous".into()];
            *lifecycle = Lifecycle { identity: Some(identity("a", "current")), compiled, ..Lifecycle::default() };
        });
        assert_eq!(lifecycles.digests(), HashSet::from(["current".to_owned(), "previous".to_owned()]));
        lifecycles.change(&name, |lifecycle| lifecycle.removed = true);
        assert!(lifecycles.digests().is_empty());
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(kind("relay"), "relay");
        assert_eq!(kind(&"ü".repeat(500)).len(), KIND_BYTES);
    }
}
