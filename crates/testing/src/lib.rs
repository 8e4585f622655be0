//! A host for tests: journal, documents, registry, delivery, authentication and topics, wired as the program wires them, in a
//! folder that goes away. It has neither listeners nor plugins: the tests of a crate start its server on these handles.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate"
)]

mod devices;
mod disk;
mod events;
mod log;
mod tools;
mod versions;

use std::{path::Path, sync::Arc};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub use self::{
    disk::Disk,
    events::Events,
    log::subscribe,
    tools::{is_available, skip_on_this_system},
    versions::config_version,
};
use switchbox_auth as auth;
use switchbox_auth::Enroll;
use switchbox_core::{
    engine::Engine,
    ingest::{self, EventSink},
    outbox, registry,
};
use switchbox_delivery as delivery;
use switchbox_pubsub::{SessionJournal, Topics};
use switchbox_store as store;
use switchbox_store::BrokerDocs;
use switchbox_support::{metrics::Metrics, tasks::Tasks};

/// What a test can choose.
pub struct Options {
    pub enroll: Enroll,
    /// Bytes of entries that may wait for the journal's writer.
    pub queue_bytes: usize,
    /// Commands that may wait for one device.
    pub queued_commands: usize,
    /// Replaces the plugins: every event is offered to it.
    pub plugins: Arc<dyn EventSink>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enroll: Enroll::Open,
            queue_bytes: 64 * 1024 * 1024,
            queued_commands: 1_000,
            plugins: Arc::new(Events::default()),
        }
    }
}

/// A host without listeners and plugins. Dropping it stops its store.
pub struct Host {
    pub store: store::Handle,
    pub registry: registry::Handle,
    pub ingest: ingest::Handle,
    pub outbox: outbox::Handle,
    pub delivery: delivery::Handle,
    pub auth: auth::Handle,
    pub topics: Topics,
    pub metrics: Metrics,
    pub tasks: Tasks,
    pub disk: Disk,
    /// Sessions and retained messages that an earlier host left in the folder.
    pub restored: BrokerDocs,
    shutdown: CancellationToken,
    service: Option<store::Service>,
    /// Last, so that it goes when nothing writes into it any more.
    folder: Option<TempDir>,
}

/// A folder that goes away, in memory where the system has a place for that: no test here asks what a power cut leaves, and
/// all of them together would wait for a disk for a minute.
#[must_use]
pub fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl Host {
    /// A host with a folder of its own.
    pub async fn start(options: Options) -> Self {
        Self::start_in(folder(), options).await
    }

    /// A host in the folder that [`Host::stop`] gave.
    pub async fn start_in(folder: TempDir, options: Options) -> Self {
        let disk = Disk::new(folder.path());
        let store_options =
            store::Options { queue_bytes: options.queue_bytes, ..store::Options::new(folder.path().join("data")) };
        let mut opened = store::open(store_options).unwrap();
        let store = opened.handle();
        let registry = registry::Handle::load(store.clone(), &opened.loaded);
        let metrics = Metrics::default();
        let tasks = Tasks::new(metrics.clone());
        let ingest = ingest::Handle::new(store.clone(), options.plugins, metrics.traces.clone());
        let loaded_queues = std::mem::take(&mut opened.loaded.commands);
        let queues = outbox::CommandQueues::new(loaded_queues, opened.loaded.queue_limit);
        let delivery = delivery::Handle::new(delivery::HostHandles {
            store: store.clone(),
            ingest: ingest.clone(),
            registry: registry.clone(),
            queues: queues.clone(),
            metrics: metrics.clone(),
            runtime: tokio::runtime::Handle::current(),
            command_deliveries: 10,
        });
        let sink = Arc::new(delivery.clone());
        let mut engine = Engine::new(registry.clone(), queues.clone(), sink, &opened.loaded, metrics.clone());
        opened.replay(&mut engine).unwrap();
        let mut loaded = std::mem::take(&mut opened.loaded);
        delivery.start_publishing(std::mem::take(&mut loaded.outgoing));
        let service = Some(opened.start(disk.in_front_of(engine), |_| {}).unwrap());
        let outbox = outbox::Handle::new(store.clone(), queues, metrics.traces.clone());
        outbox.limit_queues(options.queued_commands).await.unwrap();
        registry.make_default().await.unwrap();
        delivery.close_orphaned_connections().await.unwrap();
        delivery.expire_overdue().await.unwrap();
        let topics = Topics::new(metrics.clone(), SessionJournal::new(store.clone(), &loaded.broker));
        let shutdown = CancellationToken::new();
        let (expiring, stop) = (delivery.clone(), shutdown.clone());
        drop(tasks.spawn("expiry", &shutdown, async move { expiring.run_command_expiry(stop).await }));
        let publisher = delivery.publisher(topics.clone()).run(tasks.clone(), shutdown.clone());
        drop(tasks.spawn("publisher", &shutdown, publisher));
        Self {
            auth: auth::Handle::new(registry.clone(), options.enroll, None, metrics.clone()),
            outbox,
            restored: loaded.broker,
            folder: Some(folder),
            store,
            registry,
            ingest,
            delivery,
            topics,
            metrics,
            tasks,
            disk,
            shutdown,
            service,
        }
    }

    /// The folder of the data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// Stops it as the program is stopped, and gives its folder for the next one.
    #[must_use]
    pub fn stop(mut self) -> TempDir {
        self.stop_store();
        self.folder.take().unwrap()
    }

    fn stop_store(&mut self) {
        self.shutdown.cancel();
        self.disk.release();
        if let Some(service) = self.service.take() {
            service.stop();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop_store();
    }
}
