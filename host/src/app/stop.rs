//! Stopping a host: its parts in the reverse order of their start, each with a deadline, so that one that hangs does not keep the
//! store from writing what is acknowledged.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use super::{Failure, Host};

/// How long each part may take.
const CONNECTIONS: Duration = Duration::from_secs(11);
const PLUGINS: Duration = Duration::from_secs(6);
const TASK: Duration = Duration::from_secs(1);
const STORE: Duration = Duration::from_secs(6);
/// Parts that have [`TASK`].
const TASKS: u64 = 6;

const _: () = {
    let longest = CONNECTIONS.as_secs() + PLUGINS.as_secs() + TASKS * TASK.as_secs() + STORE.as_secs();
    assert!(longest < super::STOP_DEADLINE.as_secs(), "a stop in which every part hangs ends by its own deadline");
};

impl Host {
    /// Ends the connections, then the plugins, then the store: what is acknowledged is kept, what is in progress is completed or
    /// left in the journal. The error is why the host had to stop, if it had to.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop_with_reports(&|_| ()).await
    }

    /// Stops like [`Self::stop`], and calls `report` with each phase that it waits for.
    pub async fn stop_with_reports(self, report: &(dyn Fn(&'static str) + Sync)) -> anyhow::Result<()> {
        self.ready.store(false, Ordering::Release);
        self.shutdown.cancel();
        let phases = Phases { report };
        // The exporter ends by its own deadline, a second.
        let exporter = async {
            match self.exporter {
                Some(exporter) => exporter.await,
                None => Ok(()),
            }
        };
        let connections = async { tokio::join!(self.mqtt_server, self.api, self.azure.stop(), exporter) };
        if let Some((mqtt_server, api, azure, exporter)) = phases.wait("connections", CONNECTIONS, connections).await {
            ended("the MQTT server", &mqtt_server);
            ended("the admin API", &api);
            ended("the exporter of traces", &exporter);
            ended("a listener for programs of Azure IoT Hub", &azure);
        }
        phases.wait("the watched folder", TASK, self.folder.stop()).await;
        phases.task("timers", self.timers).await;
        phases.wait("plugins", PLUGINS, self.dispatch.stop()).await;
        phases.task("housekeeping", self.housekeeping).await;
        let watches = async {
            let (clock_watch, windows) = tokio::join!(self.clock_watch, self.windows);
            clock_watch.and(windows)
        };
        phases.task("the watches over the wall clock and the guards", watches).await;
        phases.task("publishing", self.publisher).await;
        phases.task("the expiry of commands", self.expiry).await;
        drop(self.background);
        let store = spawn_blocking(move || self.store_service.stop());
        let stored = phases.wait("the store", STORE, store).await;
        if let Some(problem) = self.fatal.lock().take() {
            return Err(Failure::Store(problem).into());
        }
        match stored {
            Some(stored) => Ok(stored?),
            None => Err(Failure::StoreHangs.into()),
        }
    }
}

struct Phases<'a> {
    report: &'a (dyn Fn(&'static str) + Sync),
}

impl Phases<'_> {
    /// Returns `None` if the part did not end in time.
    async fn wait<T>(&self, what: &'static str, limit: Duration, part: impl Future<Output = T>) -> Option<T> {
        (self.report)(what);
        let ended = timeout(limit, part).await.ok();
        if ended.is_none() {
            tracing::warn!(part = what, "did not end within {limit:?}; the host stops without it");
        }
        ended
    }

    async fn task(&self, what: &'static str, task: impl Future<Output = Result<(), JoinError>>) {
        if let Some(result) = self.wait(what, TASK, task).await {
            ended(what, &result);
        }
    }
}

fn ended(what: &str, result: &Result<(), JoinError>) {
    if let Err(error) = result {
        tracing::error!(%error, part = what, "failed");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn the_stop_continues_without_a_part_that_never_ends_and_names_it() {
        let reported = Mutex::new(Vec::new());
        let report = |part| reported.lock().push(part);
        let phases = Phases { report: &report };
        let short = Duration::from_millis(10);
        assert_eq!(phases.wait("connections", short, pending::<()>()).await, None);
        assert_eq!(phases.wait("plugins", short, async { 7 }).await, Some(7));
        // A thread that never returns from the kernel.
        let (never, waits) = std::sync::mpsc::sync_channel::<()>(0);
        let blocked = spawn_blocking(move || waits.recv());
        assert!(phases.wait("the store", short, blocked).await.is_none());
        assert_eq!(*reported.lock(), ["connections", "plugins", "the store"]);
        drop(never);
    }
}
