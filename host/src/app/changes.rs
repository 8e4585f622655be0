//! One change of the plugin folder: what it asks of the plugins, and which versions are kept to go back to.

use std::sync::Arc;

use bytes::Bytes;

use super::previous::{Previous, Ran};
use switchbox_builtins as builtins;
use switchbox_dispatch::{Component, Manager, PluginState, version_id};
use switchbox_model::PluginName;
use switchbox_plugin_folder::{Change, Source};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::PluginSettings;

pub(super) async fn make(plugins: Arc<Manager>, previous: Previous, change: Change) {
    let done = match change {
        Change::Upsert { name, component, settings, text } => match component_of(component) {
            Ok(component) => {
                let files = Files { component, settings: *settings, text };
                let done = upsert(&plugins, &previous, &name, files).await;
                plugins.prune_after_change().await;
                done
            }
            Err(problem) => {
                plugins.broken(&name, &problem);
                Ok(())
            }
        },
        Change::Removed { name } => {
            let done = plugins.remove(&name).await;
            blocking(move || previous.forget(&name)).await;
            plugins.prune_after_change().await;
            done
        }
        Change::Broken { name, error } => {
            plugins.broken(&name, &error);
            Ok(())
        }
        Change::FirstLook { unready } => plugins.first_scan_done(&unready).await,
    };
    // What is wrong with a plugin is in the log and in the API already; this is for what is wrong with the host.
    if let Err(error) = done {
        tracing::debug!(%error, "a change of the plugin folder is not in force");
    }
}

/// What a plugin's files say.
struct Files {
    component: Component,
    settings: PluginSettings,
    text: Arc<str>,
}

async fn upsert(
    plugins: &Manager,
    previous: &Previous,
    name: &PluginName,
    files: Files,
) -> Result<(), switchbox_dispatch::Error> {
    let Files { component, settings, text } = files;
    let version = version_id(&component.bytes, &settings);
    let taken_back = plugins.taken_back(name);
    if let Some(taken_back) = &taken_back {
        let instead = kept(previous, name, taken_back.instead.clone()).await;
        match instead {
            Some((component, settings)) if taken_back.version == version && settings.enabled => {
                let done = plugins.upsert(name, component, settings).await;
                plugins.runs_instead(name, taken_back);
                return done;
            }
            // It stays beside the one that comes now, for the case that this one fails too.
            Some((component, _)) if !component.origin.starts_with("builtin:") => {
                let (previous, plugin) = (previous.clone(), name.clone());
                let _ = blocking(move || previous.runs(&plugin, &component.bytes)).await;
            }
            _ => {}
        }
    }
    let digest = plugin::digest(&component.bytes);
    let own = component.origin.ends_with(".wasm").then(|| component.bytes.clone());
    let ran =
        Ran { version, component: own.as_ref().map_or_else(|| component.origin.clone(), |_| digest), settings: text };
    let done = plugins.upsert(name, component, settings).await;
    let runs = plugins.get(name).is_some_and(|plugin| plugin.state == PluginState::Running);
    if done.is_ok() && runs {
        remember(previous, name, own, ran).await;
    }
    done
}

/// A version that the plugin has run before.
async fn kept(previous: &Previous, name: &PluginName, version: String) -> Option<(Component, PluginSettings)> {
    let (previous, plugin) = (previous.clone(), name.clone());
    let (Ran { component, settings, .. }, bytes) =
        blocking(move || previous.version(&plugin, &version)).await.flatten()?;
    let settings = PluginSettings::parse(&settings).ok()?;
    let component = match bytes {
        Some(bytes) => Component { origin: format!("{name}.wasm"), bytes: bytes.into() },
        None => component_of(Source::Builtin(component.strip_prefix("builtin:")?.to_owned())).ok()?,
    };
    Some((component, settings))
}

/// For a roll-back. That this fails costs no more than that.
async fn remember(previous: &Previous, name: &PluginName, own: Option<Bytes>, ran: Ran) {
    let (previous, plugin) = (previous.clone(), name.clone());
    let written = blocking(move || {
        if let Some(bytes) = own {
            previous.runs(&plugin, &bytes)?;
        }
        previous.note_version(&plugin, ran)
    });
    if let Some(Err(error)) = written.await {
        tracing::warn!(plugin = %name, %error, "the component cannot be kept for a rollback");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn component_of(source: Source) -> Result<Component, String> {
    match source {
        Source::File { path, bytes } => Ok(Component { origin: path.display().to_string(), bytes }),
        Source::Builtin(name) => match builtins::find(&name) {
            Some(bytes) => Ok(Component { origin: format!("builtin:{name}"), bytes: Bytes::from_static(bytes) }),
            None => {
                let known: Vec<_> = builtins::names().collect();
                Err(format!("component: there is no builtin:{name}; there are {}", known.join(", ")))
            }
        },
    }
}
