//! Switches plugins off, removes them, and deletes the state and the timers of removed ones.

use std::sync::atomic::Ordering;

use super::{
    Manager, canary_end,
    lifecycle::{OffReason, REMOVED_KEPT},
    prepare::Error,
    unhandled,
};

use switchbox_model::{
    Entry, PluginName,
    lifecycle::{Identity, PluginChange, RolledBack},
};
use switchbox_plugin_runtime::CanaryStatus;
use switchbox_store as store;
use switchbox_support::clock;

/// Why a plugin's state and timers are not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    #[error("plugin {0} is installed; remove it first")]
    Installed(PluginName),
    #[error("no state of a plugin {0} is kept")]
    NothingKept(PluginName),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Manager {
    /// The plugin's files are gone. Its state and its timers are kept for [`REMOVED_KEPT`], in case the files come back.
    pub async fn remove(&self, name: &PluginName) -> Result<(), Error> {
        let _one_at_a_time = self.lock(name).await;
        self.switch_off(name, OffReason::Removed).await?;
        self.installed.lock().remove(name);
        tracing::info!(
            plugin = %name,
            "removed; its state and its timers are kept for {} days, or until `switchbox plugin remove {name} --purge-state`",
            REMOVED_KEPT.as_secs() / 86_400
        );
        Ok(())
    }

    /// The first scan of the folder is complete: removes each plugin that has state, timers or unhandled events and no files. A
    /// plugin whose files are broken or still being written (`unreported`) keeps its position in the journal until they are usable again.
    pub async fn first_scan_done(&self, unreported: &[PluginName]) -> Result<(), Error> {
        let gone = {
            let installed = self.installed.lock();
            let has_files = |name: &PluginName| installed.contains_key(name) || unreported.contains(name);
            let mut names = self.context.kv.plugins();
            names.extend(self.context.timers.plugins());
            names.extend(self.context.recovery.lock().plugins());
            names.retain(|name| !has_files(name));
            names.sort_unstable();
            names.dedup();
            names
        };
        for plugin in gone {
            if !self.context.lifecycles.lock().get(&plugin).is_some_and(|lifecycle| lifecycle.removed) {
                self.remove(&plugin).await?;
            }
        }
        self.folder_scanned.store(true, Ordering::Relaxed);
        self.prune_compiled().await;
        Ok(())
    }

    /// The plugin gets no more events. Its state and its timers are kept together: a timer whose event was not handled is due
    /// again. Other events that it has not handled become dead letters.
    pub(super) async fn switch_off(&self, name: &PluginName, off: OffReason) -> Result<(), Error> {
        let removed = off == OffReason::Removed;
        let timers = &self.context.timers;
        // No timer fires after this.
        timers.lock(name).await.pause();
        if let Some(runner) = self.routes.runner(name) {
            canary_end::end(&runner, "the plugin was disabled or removed".into());
        }
        let was_waiting = self.context.recovery.lock().plugins().contains(name);
        // Until `Off` is in the journal, the low water must not pass what the plugin has not handled.
        if let Some(oldest) = self.routes.runner(name).and_then(|runner| runner.backlog.oldest()) {
            self.context.recovery.lock().keep_position(name.clone(), oldest);
        }
        let ended = self.routes.remove(name);
        let compiled: Vec<_> = ended.iter().flat_map(|runner| runner.digests()).collect();
        for runner in &ended {
            runner.stop().await;
            unhandled::keep_as_dead_letters(runner, off).await;
        }
        self.context.warnings.lock().forget(name);
        if was_waiting {
            tracing::warn!(plugin = %name, "events of before that it had not handled are lost, because it has not run since the host started");
        }
        if ended.is_empty() && !was_waiting && !self.has_kept_state(name) {
            return Ok(());
        }
        let was_off_as =
            self.context.lifecycles.lock().get(name).map(|lifecycle| (lifecycle.off_ms.is_some(), lifecycle.removed));
        if ended.is_empty() && !was_waiting && was_off_as.unwrap_or((true, false)) == (true, removed) {
            return Ok(());
        }
        let timers_lock = timers.lock(name).await;
        let (time_ms, due_again) = (clock::now_ms(), timers_lock.unhandled());
        self.change(name, PluginChange::Off { time_ms, removed, due_again: due_again.clone() }).await?;
        self.context.recovery.lock().forget(name);
        timers_lock.set_due_again(due_again);
        self.context.lifecycles.lock().change(name, |lifecycle| {
            (lifecycle.off_ms, lifecycle.removed) = (Some(time_ms), removed);
            lifecycle.compiled.extend(compiled);
        });
        Ok(())
    }

    fn has_kept_state(&self, name: &PluginName) -> bool {
        self.context.lifecycles.lock().get(name).is_some()
            || self.context.kv.get_or_create(name).data.lock().bytes() > 0
            || self.context.timers.count(name) > 0
    }

    /// Called before a plugin runs as `identity`: if another plugin had its name, deletes that one's state and timers.
    pub(super) async fn delete_predecessor(&self, name: &PluginName, identity: &Identity) -> Result<(), Error> {
        let predecessor = self.context.lifecycles.lock().get(name).cloned();
        let Some(predecessor) = predecessor.filter(|lifecycle| !lifecycle.is_same_plugin(identity)) else {
            return Ok(());
        };
        let previous_name = predecessor.identity.map_or_else(|| "one of before".to_owned(), |identity| identity.kind);
        tracing::warn!(
            plugin = %name,
            "{} is another plugin than {previous_name:?}, which had its name: the state and the timers of that are deleted",
            identity.kind
        );
        self.switch_off(name, OffReason::Removed).await?;
        Ok(self.delete(name).await?)
    }

    /// Deletes the state and the timers of a removed plugin at once.
    pub async fn delete_kept(&self, name: &PluginName) -> Result<(), DeleteError> {
        let _one_at_a_time = self.lock(name).await;
        if self.installed.lock().contains_key(name) {
            return Err(DeleteError::Installed(name.clone()));
        }
        if self.context.lifecycles.lock().get(name).is_none() {
            return Err(DeleteError::NothingKept(name.clone()));
        }
        Ok(self.delete(name).await?)
    }

    /// Deletes the state and the timers of plugins that were removed longer than [`REMOVED_KEPT`] ago.
    pub async fn delete_overdue(&self, now_ms: u64) -> Result<(), store::Error> {
        let overdue = self.context.lifecycles.lock().overdue(now_ms);
        for plugin in overdue {
            let _one_at_a_time = self.lock(&plugin).await;
            if !self.context.lifecycles.lock().get(&plugin).is_some_and(|lifecycle| lifecycle.removed) {
                continue;
            }
            self.delete(&plugin).await?;
            tracing::info!(%plugin, "the state of the removed plugin is deleted");
        }
        Ok(())
    }

    /// State and timers are deleted by one entry of the journal, so neither ever exists without the other.
    async fn delete(&self, name: &PluginName) -> Result<(), store::Error> {
        let state = self.context.kv.get_or_create(name);
        let _order = state.order.lock().await;
        let timers = self.context.timers.lock(name).await;
        self.change(name, PluginChange::Deleted).await?;
        timers.clear();
        state.data.lock().clear();
        self.context.lifecycles.lock().forget(name);
        Ok(())
    }

    /// Sets the callback for rollbacks; it must not block. Has to be called once, before the first plugin is installed.
    pub fn on_rolled_back(&self, notify: impl Fn(&PluginName, &RolledBack) + Send + Sync + 'static) {
        let _ = self.context.on_rolled_back.set(Box::new(notify));
    }

    /// Sets the callback for canaries that end; it must not block. Has to be called once, before the first plugin is installed.
    pub fn on_canary_ended(&self, notify: impl Fn(&PluginName, &CanaryStatus) + Send + Sync + 'static) {
        let _ = self.context.on_canary_ended.set(Box::new(notify));
    }

    /// The version of the plugin that was rolled back, if its files have not changed since.
    #[must_use]
    pub fn rolled_back(&self, name: &PluginName) -> Option<RolledBack> {
        self.context.lifecycles.lock().get(name)?.rolled_back.clone()
    }

    /// Reports that the plugin's files contain a version that was rolled back before the host started, so that the previous version runs: in the
    /// log, and as the plugin's error.
    pub fn report_rolled_back(&self, name: &PluginName, RolledBack { digest, error, .. }: &RolledBack) {
        let text =
            format!("the guard rolled the version in its files ({digest}) back, and the one before runs: {error}");
        tracing::warn!(plugin = %name, "{text}");
        self.update(name, |plugin| plugin.error = Some(text));
    }

    /// Called when the plugin's files contain `version` and it runs. Forgets which version was rolled back, if it was another one: also if
    /// `version` is the one that has run instead of it.
    pub async fn forget_other_rollback(&self, name: &PluginName, version: &str) -> Result<(), Error> {
        let _one_at_a_time = self.lock(name).await;
        if self.rolled_back(name).is_some_and(|rolled_back| rolled_back.version != version) {
            self.forget_rolled_back(name, "").await?;
        }
        Ok(())
    }

    /// Called when `version` comes into force. Forgets which version was rolled back, unless that is `version` itself or `version` runs instead
    /// of it. An empty `version` is no version: forgets in any case.
    pub(super) async fn forget_rolled_back(&self, name: &PluginName, version: &str) -> Result<(), Error> {
        let is_kept = |rolled_back: &RolledBack| rolled_back.version == version || rolled_back.instead == version;
        let is_forgotten = self
            .context
            .lifecycles
            .lock()
            .get(name)
            .and_then(|lifecycle| lifecycle.rolled_back.as_ref())
            .is_some_and(|rolled_back| !is_kept(rolled_back));
        if is_forgotten {
            self.change(name, PluginChange::RolledBack(None)).await?;
            self.context.lifecycles.lock().change(name, |lifecycle| lifecycle.rolled_back = None);
        }
        Ok(())
    }

    /// Writes a change of the plugin to the journal, and waits until it is on the disk.
    pub(super) async fn change(&self, name: &PluginName, change: PluginChange) -> Result<(), store::Error> {
        let entry = Entry::Plugin { plugin: name.clone(), change: Box::new(change) };
        self.context.store.call(entry).await.map(drop)
    }

    /// The host has started, or the wall clock went back.
    pub async fn clock_set(&self) -> Result<(), store::Error> {
        let now_ms = clock::now_ms();
        self.context.timers.clock_set(&self.context.store, now_ms).await?;
        self.context.lifecycles.lock().clock_set(now_ms);
        Ok(())
    }
}
