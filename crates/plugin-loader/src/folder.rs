//! From the watched folder to the plugins that run. The changes of one plugin are made one after the other. Those of different plugins
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

/// The tasks that watch the folder and make its changes.
pub struct Service {
    watching: JoinHandle<()>,
    applying: JoinHandle<()>,
}

impl Service {
    pub async fn stop(self) {
        for task in [self.watching, self.applying] {
            if let Err(error) = task.await {
                tracing::error!(%error, "the task of the plugin folder failed");
            }
        }
    }
}

/// Returns when the folder has been scanned once, so that no plugin misses an event.
pub async fn start(
    folder: &Path,
    loader: Loader,
    tasks: &Tasks,
    background: &runtime::Handle,
    shutdown: CancellationToken,
) -> Result<Service, watch::Error> {
    let (service, changes) = watch::Service::new(watch::Options::new(folder))?;
    let (looked, first_look) = oneshot::channel();
    // Components of many MiB are read and digested there.
    let watching = tasks.spawn_on(background, "plugin folder", &shutdown, service.run(shutdown.clone()));
    let queues = ChangeQueues::new(move |change| loader.clone().make(change), tasks.clone());
    let applying = tasks.spawn("plugin loader", &shutdown, queues.run(changes, looked));
    tokio::select! {
        _ = first_look => {}
        () = shutdown.cancelled() => {}
    }
    Ok(Service { watching, applying })
}

/// The changes that wait, by their plugins.
struct ChangeQueues<M> {
    make: M,
    /// Plugins of which a change is being made, each with those that come next.
    plugins: BTreeMap<PluginName, Vec<Change>>,
    tasks: JoinSet<()>,
    /// Which plugin's change a task makes.
    names: HashMap<task::Id, PluginName>,
    supervisor: Tasks,
}

impl<M, F> ChangeQueues<M>
where
    M: Fn(Change) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    fn new(make: M, supervisor: Tasks) -> Self {
        Self { make, plugins: BTreeMap::new(), tasks: JoinSet::new(), names: HashMap::new(), supervisor }
    }

    async fn run(mut self, mut changes: mpsc::Receiver<Change>, looked: oneshot::Sender<()>) {
        let mut looked = Some(looked);
        let mut first_look = None;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => match change.plugin().cloned() {
                        Some(name) => self.push(name, change),
                        // It comes after all changes before it.
                        None => first_look = Some(change),
                    },
                    None => break,
                },
                Some(done) = self.tasks.join_next_with_id() => self.done(done),
            }
            if self.tasks.is_empty()
                && let Some(change) = first_look.take()
            {
                (self.make)(change).await;
                looked.take().map(|looked| looked.send(()));
            }
        }
        self.tasks.shutdown().await;
    }

    fn push(&mut self, name: PluginName, change: Change) {
        match self.plugins.entry(name) {
            Entry::Occupied(mut waiting) => {
                // Of what the files were meanwhile only the newest counts, and that they were away.
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

    /// Also after a panic the plugin's next change is made.
    fn done(&mut self, done: Result<(task::Id, ()), task::JoinError>) {
        let id = match done {
            Ok((id, ())) => id,
            Err(error) => {
                self.supervisor.count_panic("plugin change", &error.to_string());
                error.id()
            }
        };
        let Some(name) = self.names.remove(&id) else { return };
        match self.plugins.remove(&name) {
            Some(mut waiting) if !waiting.is_empty() => {
                let next = waiting.remove(0);
                self.plugins.insert(name.clone(), waiting);
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
                            _ => "first look".into(),
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
        let (looked, first_look) = oneshot::channel();
        let running = tokio::spawn(queues.run(changes, looked));
        for change in [
            broken("slow", "compiles"),
            broken("slow", "was edited"),
            removed("slow"),
            broken("slow", "is back"),
            broken("slow", "is back again"),
            Change::FirstLook { unready: vec![] },
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
        first_look.await.unwrap();
        let expected = ["other is disabled", "slow compiles", "slow removed", "slow is back again", "first look"];
        assert_eq!(*made.lock(), expected);
        drop(sender);
        running.await.unwrap();
    }
}
