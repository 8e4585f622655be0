//! Makes one change of the plugin folder: puts a version in force, switches a plugin off, or marks it as broken. Records each version in the
//! plugin's history, for a rollback.

use std::sync::Arc;

use bytes::Bytes;

use crate::{texts, windows};
use switchbox_builtins as builtins;
use switchbox_dispatch::{Component, Manager, PluginState, PluginStatus, PreviousVersion, StoredCanary, version_id};
use switchbox_model::{PluginName, lifecycle::RolledBack};
use switchbox_plugin_folder::{Change, Source};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::PluginSettings;
use switchbox_plugin_scripts::Scripts;
use switchbox_plugin_versions::{self as versions, History, NewVersion, Summary};
use switchbox_support::clock;

/// Returns the name of the API's caller that wrote a plugin's component or settings. `None` if they were copied into the folder. Its arguments:
/// the plugin, the bytes of the component, and the text of the settings.
pub type AuthorOf = Arc<dyn Fn(&PluginName, &[u8], &[u8]) -> Option<String> + Send + Sync>;

/// Makes the changes of the plugin folder. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    pub plugins: Arc<Manager>,
    pub history: History,
    pub author_of: AuthorOf,
    pub scripts: Arc<Scripts>,
}

/// The content of a plugin's files.
struct Files {
    component: Component,
    settings: PluginSettings,
    /// The text of the settings file.
    text: Arc<str>,
    /// The rule in JavaScript that the component was made of.
    script: Option<Bytes>,
}

impl Loader {
    /// Makes the change of the plugin folder.
    pub(crate) async fn make(self, change: Change) {
        let result = match change {
            Change::Upsert { name, component, settings, text } => match self.component_of(component).await {
                Ok((component, script)) => {
                    let files = Files { component, settings: *settings, text, script };
                    let result = self.upsert(&name, files).await;
                    self.plugins.prune_after_change().await;
                    result
                }
                Err(error) => {
                    self.plugins.mark_broken(&name, &error);
                    Ok(())
                }
            },
            Change::Removed { name } => {
                let result = self.plugins.remove(&name).await;
                let history = self.history.clone();
                blocking(move || history.forget(&name)).await;
                self.plugins.prune_after_change().await;
                result
            }
            Change::Broken { name, error } => {
                self.plugins.mark_broken(&name, &error);
                Ok(())
            }
            Change::FirstScanDone { unreported } => self.plugins.first_scan_done(&unreported).await,
        };
        // An error of the plugin itself is in the log and in its status already.
        if let Err(error) = result {
            tracing::debug!(%error, "a change of the plugin folder is not in force");
        }
    }

    /// The component, and the rule in JavaScript that it was made of.
    async fn component_of(&self, source: Source) -> Result<(Component, Option<Bytes>), String> {
        match source {
            Source::Script { path, bytes } => {
                let origin = path.display().to_string();
                let made = self.scripts.component(file_name(&origin), &bytes).await?;
                Ok((Component { origin, bytes: made }, Some(bytes)))
            }
            Source::File { path, bytes } => Ok((Component { origin: path.display().to_string(), bytes }, None)),
            Source::Builtin(name) => Ok((builtin(&name)?, None)),
        }
    }

    async fn upsert(&self, name: &PluginName, files: Files) -> Result<(), switchbox_dispatch::Error> {
        let Files { component, settings, text, script } = files;
        let id = version_id(&component.bytes, &settings);
        let was_rolled_back = |rolled_back: &RolledBack| rolled_back.version == id && !rolled_back.is_still_in_force();
        if let Some(rolled_back) = self.plugins.rolled_back(name).filter(was_rolled_back)
            && settings.enabled
            && let Some((instead, stored)) = self.stored_version(name, rolled_back.instead.clone()).await
        {
            // What a component asks for is known when it is compiled, and the guard has looked at that.
            if plugin::taken_away(&stored, &[], &settings).is_none() {
                let result = self.plugins.upsert(name, instead, stored, None).await;
                self.plugins.report_rolled_back(name, &rolled_back);
                windows::store(&self.plugins, &self.history, name).await;
                return result;
            }
            // An earlier host went back to a version with more grants or higher limits than the plugin's files have.
            self.plugins.forget_other_rollback(name, "").await?;
        }
        let new_version = NewVersion {
            id,
            digest: String::new(),
            component: file_name(&component.origin).to_owned(),
            settings: text.clone(),
            // Known when it is in force.
            time_ms: 0,
            by: (self.author_of)(name, component.bytes.as_ref(), text.as_bytes()),
            about: Summary::default(),
        };
        let bytes = component.bytes.clone();
        let (previous, canary) = self.before_restart(name, &new_version.id).await;
        let mut result = self.plugins.upsert(name, component, settings, previous).await;
        if result.is_ok() {
            result = self.plugins.forget_other_rollback(name, &new_version.id).await;
        }
        if result.is_ok()
            && let Some(status) = self.plugins.get(name).filter(|status| status.state == PluginState::Running)
        {
            // Executions are attributed to versions by this time.
            let time_ms = status.in_force_ms.unwrap_or_else(clock::now_ms);
            self.record_version(name, NewVersion { time_ms, ..new_version }, (bytes, script), &status).await;
            if let Some(canary) = canary {
                self.resume_canary(name, canary).await;
            }
            windows::store(&self.plugins, &self.history, name).await;
        }
        result
    }

    /// The files of a version that the plugin has run before. Returns `None` if its history does not have them any more.
    async fn stored_version(&self, name: &PluginName, id: String) -> Option<(Component, PluginSettings)> {
        let (history, plugin) = (self.history.clone(), name.clone());
        let files = blocking(move || {
            let version = history.versions(&plugin).into_iter().find(|version| version.id == id)?;
            windows::stored_files(&history, &version)
        });
        files.await.flatten()
    }

    /// When the host has just started: the version that comes back if the version `id` violates its guard, and the canary that was running
    /// beside it.
    async fn before_restart(&self, name: &PluginName, id: &str) -> (Option<PreviousVersion>, Option<StoredCanary>) {
        if self.plugins.is_running(name) {
            return (None, None);
        }
        let (history, plugin, id) = (self.history.clone(), name.clone(), id.to_owned());
        let versions = blocking(move || {
            let windows = windows::stored(&history, &plugin);
            let canary = windows.canary.clone().filter(|canary| canary.in_force == id);
            (windows::previous_version(&history, &plugin, &id, windows), canary)
        });
        versions.await.unwrap_or_default()
    }

    /// Lets the canary continue that was running when the host stopped.
    async fn resume_canary(&self, name: &PluginName, canary: StoredCanary) {
        let component = match canary.component.clone() {
            None => None,
            Some(digest) => {
                let history = self.history.clone();
                let read = blocking(move || history.stored(&digest).ok().flatten()).await.flatten();
                let Some(bytes) = read else {
                    return tracing::warn!(plugin = %name, "the canary does not continue: its component is not stored");
                };
                Some(Component { origin: "canary".into(), bytes: bytes.into() })
            }
        };
        if let Err(error) = self.plugins.resume_canary(name, canary, component).await {
            tracing::warn!(plugin = %name, %error, "the canary does not continue");
        }
    }

    /// Records the version in the plugin's history, for a rollback. Without the record, the plugin runs but cannot be rolled back to this version.
    async fn record_version(
        &self,
        name: &PluginName,
        new_version: NewVersion,
        (bytes, script): (Bytes, Option<Bytes>),
        status: &PluginStatus,
    ) {
        let (history, plugin) = (self.history.clone(), name.clone());
        let about = texts::summary(status);
        let failed_before =
            |rolled_back: RolledBack| rolled_back.version == new_version.id && rolled_back.is_still_in_force();
        let has_failed = self.plugins.rolled_back(name).is_some_and(failed_before);
        let written = blocking(move || {
            // The version failed before a restart and has stayed in force: the history has it as its last version already.
            if has_failed && history.versions(&plugin).last().is_some_and(|last| last.id == new_version.id) {
                return Ok(());
            }
            let about = Summary { imports: plugin::imports(&bytes), ..about };
            let new_version = NewVersion { digest: plugin::digest(&bytes), about, ..new_version };
            let stored_bytes = (!new_version.component.starts_with("builtin:")).then_some(&*bytes);
            history.record_version(&plugin, new_version, stored_bytes, script.as_deref())
        });
        if let Some(Err(error)) = written.await {
            tracing::warn!(plugin = %name, %error, "the version cannot be kept for a rollback");
        }
        // The version may have been rolled back before it was in the history.
        if let Some(rolled_back) = self.plugins.rolled_back(name) {
            record_rolled_back(&self.history, name, &rolled_back);
        }
    }
}

/// Records in the plugin's history that a version was rolled back. Does not block.
pub fn record_rolled_back(history: &History, name: &PluginName, rolled_back: &RolledBack) {
    let (history, name) = (history.clone(), name.clone());
    let stays = rolled_back.is_still_in_force();
    let RolledBack { version, error, time_ms, .. } = rolled_back.clone();
    // Supervision: after a panic, the history lacks this rollback.
    tokio::task::spawn_blocking(move || {
        if let Err(error) =
            history.record_rollback(&name, &version, versions::RolledBack { why: error, time_ms, stays })
        {
            tracing::warn!(plugin = %name, %error, "the history of versions cannot be written");
        }
    });
}

/// Runs blocking work on another thread. Returns `None` if it panics.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// The last part of a path.
fn file_name(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

/// A component that is part of the program.
fn builtin(name: &str) -> Result<Component, String> {
    match builtins::find(name) {
        Some(bytes) => Ok(Component { origin: format!("builtin:{name}"), bytes: Bytes::from_static(bytes) }),
        None => {
            let known: Vec<_> = builtins::names().collect();
            Err(format!("component: there is no builtin:{name}; there are {}", known.join(", ")))
        }
    }
}
