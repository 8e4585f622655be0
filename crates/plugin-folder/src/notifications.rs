//! Notifications of the system: of the folder, and of files elsewhere that links in it lead to. Says only that it is time to
//! look.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// Folders of targets that are watched; changes in others are found by the poll.
const FOLDERS: usize = 64;

pub(super) struct Notifications {
    watcher: RecommendedWatcher,
    folder: PathBuf,
    /// What links lead to, shared with the thread that gets the notifications.
    targets: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// The folders of the targets that are watched.
    beside: BTreeSet<PathBuf>,
}

impl Notifications {
    pub(super) fn new(folder: &Path, sender: mpsc::Sender<()>) -> notify::Result<Self> {
        let targets = Arc::new(Mutex::new(BTreeSet::<PathBuf>::new()));
        // As notifications name it.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let (watched, home) = (targets.clone(), folder.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the folder causes an event too, which is ignored, as are events of other files beside a target.
            let is_news = |event: notify::Event| {
                let concerns = |path: &PathBuf| path.starts_with(&home) || watched.lock().contains(path);
                !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(concerns))
            };
            if event.is_ok_and(is_news) {
                let _ = sender.try_send(());
            }
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(Self { watcher, folder, targets, beside: BTreeSet::new() })
    }

    /// The folder may be another than the one that was watched.
    pub(super) fn watch_again(&mut self) {
        let _ = self.watcher.unwatch(&self.folder);
        if let Err(error) = self.watcher.watch(&self.folder, RecursiveMode::NonRecursive) {
            tracing::debug!(%error, "the plugin folder is only polled");
        }
    }

    /// Links lead to these files now.
    pub(super) fn follow(&mut self, targets: &BTreeSet<PathBuf>) {
        if *self.targets.lock() == *targets {
            return;
        }
        let parents = targets.iter().filter_map(|target| target.parent());
        let beside: BTreeSet<_> =
            parents.filter(|parent| *parent != self.folder).take(FOLDERS).map(Path::to_owned).collect();
        for folder in self.beside.difference(&beside) {
            let _ = self.watcher.unwatch(folder);
        }
        for folder in beside.difference(&self.beside) {
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, folder = %folder.display(), "the target of a link is only polled");
            }
        }
        self.beside = beside;
        *self.targets.lock() = targets.clone();
    }
}
