//! From the watched folder to the plugins that run: takes the changes one after the other.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::previous::Previous;
use crate::{
    builtins,
    dispatch::{Component, Manager, PluginState},
    model::PluginName,
    settings::Settings,
    tasks::Tasks,
    watch::{self, Change, Source},
};

pub(super) struct Service {
    watching: JoinHandle<()>,
    applying: JoinHandle<()>,
}

impl Service {
    pub(super) async fn stop(self) {
        for task in [self.watching, self.applying] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the plugin folder's task ended badly");
            }
        }
    }
}

/// Returns when all that is in the folder has been looked at, so that no event passes a plugin by.
pub(super) async fn start(
    settings: &Settings,
    plugins: Arc<Manager>,
    tasks: &Tasks,
    shutdown: CancellationToken,
) -> Result<Service, watch::Error> {
    let (service, changes) = watch::Service::new(watch::Options::new(&settings.plugins))?;
    let (looked, first_look) = oneshot::channel();
    let watching = tasks.spawn("plugin folder", &shutdown, service.run(shutdown.clone()));
    let applying = apply_all(changes, plugins, Previous::new(&settings.data), looked);
    let applying = tasks.spawn("plugin loader", &shutdown, applying);
    tokio::select! {
        _ = first_look => {}
        () = shutdown.cancelled() => {}
    }
    Ok(Service { watching, applying })
}

async fn apply_all(
    mut changes: mpsc::Receiver<Change>,
    plugins: Arc<Manager>,
    previous: Previous,
    looked: oneshot::Sender<()>,
) {
    let mut looked = Some(looked);
    while let Some(change) = changes.recv().await {
        let done = match change {
            Change::Upsert { name, component, settings } => match component_of(component) {
                Ok(component) => {
                    let bytes = component.origin.ends_with(".wasm").then(|| component.bytes.clone());
                    let done = plugins.upsert(&name, component, *settings).await;
                    let runs = plugins.get(&name).is_some_and(|plugin| plugin.state == PluginState::Running);
                    if let (Ok(()), true, Some(bytes)) = (&done, runs, bytes) {
                        remember(&previous, &name, bytes).await;
                    }
                    done
                }
                Err(problem) => {
                    plugins.broken(&name, &problem);
                    Ok(())
                }
            },
            Change::Removed { name } => {
                let done = plugins.remove(&name).await;
                let previous = previous.clone();
                let _ = tokio::task::spawn_blocking(move || previous.forget(&name)).await;
                done
            }
            Change::Broken { name, error } => {
                plugins.broken(&name, &error);
                Ok(())
            }
            Change::FirstLook { unready } => {
                let done = plugins.first_look_done(&unready).await;
                looked.take().map(|looked| looked.send(()));
                done
            }
        };
        // What is wrong with a plugin is in the log and in the API already; this is for what is wrong with the host.
        if let Err(error) = done {
            tracing::debug!(%error, "a change of the plugin folder is not in force");
        }
    }
}

/// For a rollback. That this fails costs no more than that.
async fn remember(previous: &Previous, name: &PluginName, bytes: Bytes) {
    let (previous, plugin) = (previous.clone(), name.clone());
    let written = tokio::task::spawn_blocking(move || previous.runs(&plugin, &bytes)).await;
    if let Err(error) = written.map_err(std::io::Error::other).flatten() {
        tracing::warn!(plugin = %name, %error, "the component cannot be kept for a rollback");
    }
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
