//! Makes the changes of the watched folder by the [`Loader`]. The changes of one plugin are made one after the other. Those of different plugins
//! are made at the same time, so that the compilation of a large component delays nothing else.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    path::Path,
};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::{self, JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::loader::Loader;
use switchbox_model::PluginName;
use switchbox_plugin_folder as watch;
use switchbox_plugin_folder::Change;
use switchbox_support::tasks::Tasks;

/// The tasks that watch the plugin folder and make its changes.
pub struct Service {
    watching: JoinHandle<()>,
    applying: JoinHandle<()>,
}

impl Service {
    /// Waits until both tasks have ended, after `shutdown` was cancelled.
    pub async fn stop(self) {
        for task in [self.watching, self.applying] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the task of the plugin folder failed");
            }
        }
    }
}

/// Starts to watch the folder. Returns when the plugins that it has are running or broken, so that no plugin misses an event that comes later.
///
/// # Errors
///
/// The folder cannot be watched.
pub async fn start(
    folder: &Path,
    loader: Loader,
    tasks: &Tasks,
    background: &runtime::Handle,
    shutdown: CancellationToken,
) -> Result<Service, watch::Error> {
    let (service, changes) = watch::Service::new(watch::Options::new(folder))?;
    let (scanned, first_scan) = oneshot::channel();
    // In the background, because components of many MiB are read and digested.
    let watching = tasks.spawn_on(background, "plugin folder", &shutdown, service.run(shutdown.clone()));
    let queues = ChangeQueues::new(move |change| loader.clone().make(change), tasks.clone());
    let applying = tasks.spawn("plugin loader", &shutdown, queues.run(changes, scanned));
    tokio::select! {
        _ = first_scan => {}
        () = shutdown.cancelled() => {}
    }
    Ok(Service { watching, applying })
}

/// The changes that wait or are being made, by their plugins.
struct ChangeQueues<M> {
    /// Makes one change.
    make: M,
    /// Plugins of which a change is being made, each with the changes to make next.
    waiting: BTreeMap<PluginName, Vec<Change>>,
    tasks: JoinSet<()>,
    /// The plugin whose change a task makes.
    names: HashMap<task::Id, PluginName>,
    supervisor: Tasks,
}

impl<M, F> ChangeQueues<M>
where
    M: Fn(Change) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn new(make: M, supervisor: Tasks) -> Self {
        Self { make, waiting: BTreeMap::new(), tasks: JoinSet::new(), names: HashMap::new(), supervisor }
    }

    async fn run(mut self, mut changes: mpsc::Receiver<Change>, scanned: oneshot::Sender<()>) {
        let mut scanned = Some(scanned);
        let mut first_scan_done = None;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => match change.plugin().cloned() {
                        Some(name) => self.push(name, change),
                        // The end of the first scan is reported when all changes before it are made.
                        None => first_scan_done = Some(change),
                    },
                    None => break,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            }
            if self.tasks.is_empty()
                && let Some(change) = first_scan_done.take()
            {
                (self.make)(change).await;
                scanned.take().map(|scanned| scanned.send(()));
            }
        }
        self.tasks.shutdown().await;
    }

    fn push(&mut self, name: PluginName, change: Change) {
        match self.waiting.entry(name) {
            Entry::Occupied(mut waiting) => {
                // Of the changes that are not begun, only the newest has to be made, and a removal before it: that ends the plugin.
                let waiting = waiting.get_mut();
                waiting.retain(|earlier| matches!(earlier, Change::Removed { .. }) && *earlier != change);
                waiting.push(change);
            }
            Entry::Vacant(free) => {
                let name = free.key().clone();
                free.insert(Vec::new());
                self.begin(name, change);
            }
        }
    }

    fn begin(&mut self, name: PluginName, change: Change) {
        let task = self.tasks.spawn((self.make)(change));
        self.names.insert(task.id(), name);
    }

    /// Begins the plugin's next change, also if the last one panicked.
    fn ended(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                self.supervisor.count_panic("plugin change", &error.to_string());
                error.id()
            }
        };
        let Some(name) = self.names.remove(&id) else { return };
        match self.waiting.remove(&name) {
            Some(mut waiting) if !waiting.is_empty() => {
                let next = waiting.remove(0);
                self.waiting.insert(name.clone(), waiting);
                self.begin(name, next);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;

    use super::*;

    fn broken(name: &str, error: &str) -> Change {
        Change::Broken { name: PluginName::new(name).unwrap(), error: error.into() }
    }

    fn removed(name: &str) -> Change {
        Change::Removed { name: PluginName::new(name).unwrap() }
    }

    #[tokio::test]
    async fn a_change_that_takes_long_holds_up_its_own_plugin_alone() {
        let (made, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let queues = ChangeQueues::new(
            {
                let (made, gate) = (made.clone(), gate.clone());
                move |change: Change| {
                    let (made, gate) = (made.clone(), gate.clone());
                    async move {
                        let text = match &change {
                            Change::Broken { name, error } => format!("{name} {error}"),
                            Change::Removed { name } => format!("{name} removed"),
                            _ => "first scan".into(),
                        };
                        if text == "slow compiles" {
                            let _ = gate.acquire().await;
                        }
                        assert_ne!(text, "other panics");
                        made.lock().push(text);
                    }
                }
            },
            Tasks::default(),
        );
        let (sender, changes) = mpsc::channel(16);
        let (scanned, first_scan) = oneshot::channel();
        let running = tokio::spawn(queues.run(changes, scanned));
        for change in [
            broken("slow", "compiles"),
            broken("slow", "was edited"),
            removed("slow"),
            broken("slow", "is back"),
            broken("slow", "is back again"),
            Change::FirstScanDone { unreported: vec![] },
            broken("other", "panics"),
            broken("other", "is disabled"),
        ] {
            sender.send(change).await.unwrap();
        }
        while made.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*made.lock(), ["other is disabled"]);
        gate.add_permits(1);
        first_scan.await.unwrap();
        let expected = ["other is disabled", "slow compiles", "slow removed", "slow is back again", "first scan"];
        assert_eq!(*made.lock(), expected);
        drop(sender);
        running.await.unwrap();
    }
}
