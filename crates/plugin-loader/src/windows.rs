//! Stores the windows of guards and the canaries, so that they continue after a restart: each second what has changed, and a canary at once
//! when it is started. A kill loses the counts of a second at most.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use switchbox_dispatch::{Component, Manager, PreviousVersion, Windows, version_id};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::{CanaryStatus, PluginSettings};
use switchbox_plugin_versions::{History, Version};

/// How often changed windows are stored.
const INTERVAL: Duration = Duration::from_secs(1);

/// Stores the windows that have changed, again and again until the host stops.
pub async fn run(plugins: Arc<Manager>, history: History, shutdown: CancellationToken) {
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(INTERVAL) => false,
            () = shutdown.cancelled() => true,
        };
        for (name, windows) in plugins.all_windows() {
            if !history.keeps_windows(&name, &text(&windows)) {
                store(&plugins, &history, &name).await;
            }
        }
        if stopping {
            return;
        }
    }
}

/// Stores the windows of a plugin as they are now.
pub async fn store(plugins: &Arc<Manager>, history: &History, name: &PluginName) {
    let (plugins, history, name) = (plugins.clone(), history.clone(), name.clone());
    // Supervision: after a panic, the windows of one plugin are stored again when they change.
    let _ = tokio::task::spawn_blocking(move || write(&plugins, &history, &name, false)).await;
}

fn write(plugins: &Manager, history: &History, name: &PluginName, canary_has_ended: bool) {
    let (mut windows, component) = plugins.windows(name);
    if !plugins.is_running(name) {
        // It is switched off, or the host stops: what is stored continues, but for a canary that has ended.
        if !canary_has_ended {
            return;
        }
        windows.guard = stored(history, name).guard;
    }
    if let Err(error) = history.keep_windows(name, &text(&windows), component.as_deref()) {
        tracing::warn!(plugin = %name, %error, "what a restart of the host needs of the guard and the canary cannot be stored");
    }
}

/// Records in the plugin's history that a canary has ended, and stores that it does not continue after a restart. Does not block.
pub fn canary_ended(plugins: &Weak<Manager>, history: &History, name: &PluginName, status: &CanaryStatus) {
    if status.ended.is_none() {
        return;
    }
    let (plugins, history, name, ended) = (plugins.clone(), history.clone(), name.clone(), status.clone());
    // Supervision: after a panic, the history lacks the end of this canary.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = history.record_canary(&name, ended) {
            tracing::warn!(plugin = %name, %error, "the history of canaries cannot be written");
        }
        if let Some(plugins) = plugins.upgrade() {
            write(&plugins, &history, &name, true);
        }
    });
}

/// The windows as they are stored; empty if there are none.
fn text(windows: &Windows) -> String {
    if windows.is_empty() { String::new() } else { serde_json::to_string(windows).unwrap_or_default() }
}

/// The windows of a plugin that were stored; none if they cannot be read. Blocks.
pub(crate) fn stored(history: &History, name: &PluginName) -> Windows {
    serde_json::from_str(&history.windows(name)).unwrap_or_default()
}

/// The version that comes back if the version `id` violates its guard, when the host has just started: the one of the window that was
/// stored, or the one that ran last if `id` has not run. Blocks.
pub(crate) fn previous_version(
    history: &History,
    name: &PluginName,
    id: &str,
    windows: Windows,
) -> Option<PreviousVersion> {
    let window = windows.guard.filter(|window| window.version == id);
    let versions = history.versions(name);
    let version = match &window {
        Some(window) => versions.iter().find(|version| version.id == window.before)?,
        None if versions.iter().any(|version| version.id == id) => return None,
        None => versions.iter().rev().find(|version| version.rolled_back.as_ref().is_none_or(|back| back.stays))?,
    };
    let (component, settings) = stored_files(history, version)?;
    // A built-in of another version of the host has other bytes.
    let is_unchanged = version_id(&component.bytes, &settings) == version.id;
    is_unchanged.then_some(PreviousVersion { component, settings, window })
}

/// The component and the settings of a version, as the history has them. Returns `None` if it does not have them any more. Blocks.
pub(crate) fn stored_files(history: &History, version: &Version) -> Option<(Component, PluginSettings)> {
    let settings = PluginSettings::parse(&version.settings).ok()?;
    let bytes: Bytes = match (history.component(version).ok()?, version.component.strip_prefix("builtin:")) {
        (Some(bytes), _) => bytes.into(),
        (None, Some(name)) => Bytes::from_static(switchbox_builtins::find(name)?),
        (None, None) => return None,
    };
    Some((Component { origin: version.component.clone(), bytes }, settings))
}
