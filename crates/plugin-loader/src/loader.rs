//! One change of the plugin folder: what it asks of the plugins, and which versions are kept to go back to.

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

/// The name of the caller that wrote a plugin's component or its settings, if one did.
pub type AuthorOf = Arc<dyn Fn(&PluginName, &[u8], &[u8]) -> Option<String> + Send + Sync>;

/// Makes the changes. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    pub plugins: Arc<Manager>,
    pub history: History,
    pub author_of: AuthorOf,
    pub scripts: Arc<Scripts>,
}

/// What a plugin's files say.
struct Files {
    component: Component,
    settings: PluginSettings,
    text: Arc<str>,
    /// The rule in JavaScript that the component was made of.
    script: Option<Bytes>,
}

impl Loader {
    pub(crate) async fn make(self, change: Change) {
        let done = match change {
            Change::Upsert { name, component, settings, text } => match self.component_of(component).await {
                Ok((component, script)) => {
                    let files = Files { component, settings: *settings, text, script };
                    let done = self.upsert(&name, files).await;
                    self.plugins.prune_after_change().await;
                    done
                }
                Err(problem) => {
                    self.plugins.mark_broken(&name, &problem);
                    Ok(())
                }
            },
            Change::Removed { name } => {
                let done = self.plugins.remove(&name).await;
                let history = self.history.clone();
                blocking(move || history.forget(&name)).await;
                self.plugins.prune_after_change().await;
                done
            }
            Change::Broken { name, error } => {
                self.plugins.mark_broken(&name, &error);
                Ok(())
            }
            Change::FirstLook { unready } => self.plugins.first_scan_done(&unready).await,
        };
        // What is wrong with a plugin is in the log and in the API already; this is for what is wrong with the host.
        if let Err(error) = done {
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
        let is_this = |rolled_back: &RolledBack| rolled_back.version == id && !rolled_back.is_still_in_force();
        if let Some(rolled_back) = self.plugins.rolled_back(name).filter(is_this)
            && settings.enabled
            && let Some((instead, settings)) = self.kept(name, rolled_back.instead.clone()).await
        {
            let done = self.plugins.upsert(name, instead, settings, None).await;
            self.plugins.runs_instead(name, &rolled_back);
            return done;
        }
        let ran = NewVersion {
            id,
            digest: String::new(),
            component: file_name(&component.origin).to_owned(),
            settings: text.clone(),
            time_ms: clock::now_ms(),
            by: (self.author_of)(name, component.bytes.as_ref(), text.as_bytes()),
            about: Summary::default(),
        };
        let bytes = component.bytes.clone();
        let (before, canary) = self.before(name, &ran.id).await;
        let mut done = self.plugins.upsert(name, component, settings, before).await;
        if done.is_ok() {
            done = self.plugins.files_run(name, &ran.id).await;
        }
        if done.is_ok()
            && let Some(status) = self.plugins.get(name).filter(|status| status.state == PluginState::Running)
        {
            self.remember(name, ran, (bytes, script), &status).await;
            if let Some(canary) = canary {
                self.resume_canary(name, canary).await;
            }
            windows::store(&self.plugins, &self.history, name).await;
        }
        done
    }

    /// A version that the plugin has run before.
    async fn kept(&self, name: &PluginName, id: String) -> Option<(Component, PluginSettings)> {
        let (history, plugin) = (self.history.clone(), name.clone());
        let found = blocking(move || {
            let version = history.versions(&plugin).into_iter().find(|version| version.id == id)?;
            windows::kept(&history, &version)
        });
        found.await.flatten()
    }

    /// The version before this one, if the host has just started, and the canary that was running.
    async fn before(&self, name: &PluginName, id: &str) -> (Option<PreviousVersion>, Option<StoredCanary>) {
        if self.plugins.is_running(name) {
            return (None, None);
        }
        let (history, plugin, id) = (self.history.clone(), name.clone(), id.to_owned());
        let found = blocking(move || {
            let windows = windows::stored(&history, &plugin);
            let canary = windows.canary.clone().filter(|canary| canary.in_force == id);
            (windows::before(&history, &plugin, &id, windows), canary)
        });
        found.await.unwrap_or_default()
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

    /// For a roll-back. That this fails costs no more than that.
    async fn remember(
        &self,
        name: &PluginName,
        ran: NewVersion,
        (bytes, script): (Bytes, Option<Bytes>),
        status: &PluginStatus,
    ) {
        let (history, plugin) = (self.history.clone(), name.clone());
        let about = texts::about(status);
        let failed_before = |rolled_back: RolledBack| rolled_back.version == ran.id && rolled_back.is_still_in_force();
        let stays = self.plugins.rolled_back(name).is_some_and(failed_before);
        let written = blocking(move || {
            // It failed before a restart and stays in force, so it does not come into force now.
            if stays && history.versions(&plugin).last().is_some_and(|last| last.id == ran.id) {
                return Ok(());
            }
            let about = Summary { imports: plugin::imports(&bytes), ..about };
            let ran = NewVersion { digest: plugin::digest(&bytes), about, ..ran };
            let own = (!ran.component.starts_with("builtin:")).then_some(&*bytes);
            history.record_version(&plugin, ran, own, script.as_deref())
        });
        if let Some(Err(error)) = written.await {
            tracing::warn!(plugin = %name, %error, "the version cannot be kept for a rollback");
        }
        // It may have been rolled back before it was written down.
        if let Some(rolled_back) = self.plugins.rolled_back(name) {
            record_rolled_back(&self.history, name, &rolled_back);
        }
    }
}

/// Writes down that a version was rolled back. Does not block.
pub fn record_rolled_back(history: &History, name: &PluginName, rolled_back: &RolledBack) {
    let (history, name) = (history.clone(), name.clone());
    let stays = rolled_back.is_still_in_force();
    let RolledBack { version, error, time_ms, .. } = rolled_back.clone();
    // Supervision: a panic costs only what the history says of this version.
    tokio::task::spawn_blocking(move || {
        if let Err(error) =
            history.record_rollback(&name, &version, versions::RolledBack { why: error, time_ms, stays })
        {
            tracing::warn!(plugin = %name, %error, "the history of versions cannot be written");
        }
    });
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Without the folder.
fn file_name(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

fn builtin(name: &str) -> Result<Component, String> {
    match builtins::find(name) {
        Some(bytes) => Ok(Component { origin: format!("builtin:{name}"), bytes: Bytes::from_static(bytes) }),
        None => {
            let known: Vec<_> = builtins::names().collect();
            Err(format!("component: there is no builtin:{name}; there are {}", known.join(", ")))
        }
    }
}
