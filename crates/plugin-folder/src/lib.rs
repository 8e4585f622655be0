//! The watched folder: which plugins its files make, and what changed. Never loads, checks or runs a component; a file
//! that is still being written is not read.

mod change;
mod files;
mod notifications;
mod options;
mod plan;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use change::{Change, Source};
pub use options::Options;
use switchbox_support::log_limit::LogLimit;

/// Changes that may wait for their reader; the folder is not read on while they do.
const QUEUE: usize = 16;

/// How long files that are still growing, or a folder that cannot be read, may hold back `FirstScanDone`.
const FIRST_SCAN_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
#[error("the plugin folder {folder} cannot be made or read: {source}")]
pub struct Error {
    folder: String,
    source: std::io::Error,
}

/// The folder, ready to be watched.
pub struct Service {
    options: Options,
    files: files::Files,
    plan: plan::Plan,
    changes: mpsc::Sender<Change>,
    /// `None` when the system has no notifications left. Then the folder is only polled.
    notifications: Option<notifications::Notifications>,
    notified: mpsc::Receiver<()>,
    /// Of lines that the folder cannot be read.
    lost: LogLimit,
}

impl Service {
    /// Creates the folder and subscribes to its changes.
    pub fn new(options: Options) -> Result<(Self, mpsc::Receiver<Change>), Error> {
        let failed = |source| Error { folder: options.folder.display().to_string(), source };
        std::fs::create_dir_all(&options.folder).map_err(failed)?;
        std::fs::read_dir(&options.folder).map_err(failed)?;
        let (changes, receiver) = mpsc::channel(QUEUE);
        let (sender, notified) = mpsc::channel(1);
        let notifications = notifications::Notifications::new(&options.folder, sender)
            .inspect_err(|error| tracing::warn!(%error, poll = ?options.poll, "no notifications of the plugin folder"))
            .ok();
        let files = files::Files::new(&options);
        let lost = LogLimit::new(1, Instant::now());
        Ok((Self { options, files, plan: plan::Plan::default(), changes, notifications, notified, lost }, receiver))
    }

    /// Reports changes until `shutdown` or until the receiver of the changes is dropped.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let began = tokio::time::Instant::now();
        let mut is_first_scan = true;
        let mut is_lost = false;
        loop {
            let mut files = self.files;
            let looking = tokio::task::spawn_blocking(move || {
                let read = files.scan();
                (files, read)
            });
            let (files, read) = match looking.await {
                Ok(scanned) => scanned,
                Err(error) => return tracing::error!(%error, "the plugin folder is no longer watched"),
            };
            self.files = files;
            is_lost = self.record_read(read, is_lost);
            if let Some(notifications) = &mut self.notifications {
                notifications.follow(self.files.targets());
            }
            let mut changes = self.plan.changes(&mut self.files);
            // A file that cannot be read counts as still being written.
            let unsettled = !is_lost && self.files.unsettled();
            if is_first_scan && ((!unsettled && !is_lost) || began.elapsed() > FIRST_SCAN_MAX) {
                is_first_scan = false;
                changes.push(Change::FirstScanDone { unreported: self.plan.unreported(&self.files) });
            }
            for change in changes {
                tokio::select! {
                    sent = self.changes.send(change) => if sent.is_err() { return },
                    () = shutdown.cancelled() => return,
                }
            }
            let pause =
                if unsettled || (!is_lost && self.files.waiting()) { self.options.settle } else { self.options.poll };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // Then look again soon, but not at every single notification of a long copy.
                Some(()) = self.notified.recv(), if self.notifications.is_some() && !unsettled && !is_lost => {}
            }
        }
    }

    /// Logs that the folder cannot be read, or that it can again. Plugins keep running meanwhile. Returns true when it cannot be read.
    fn record_read(&mut self, read: std::io::Result<()>, was_lost: bool) -> bool {
        let folder = self.options.folder.display();
        match read {
            Ok(()) if was_lost => {
                tracing::info!(%folder, "the plugin folder can be read again");
                if let Some(notifications) = &mut self.notifications {
                    notifications.watch_again();
                }
                false
            }
            Ok(()) => false,
            Err(error) => {
                if let Some(more) = self.lost.allow(Instant::now()) {
                    tracing::warn!(%error, %folder, "the plugin folder cannot be read; running plugins continue{more}");
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
