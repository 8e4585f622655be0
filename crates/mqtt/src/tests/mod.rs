//! The MQTT server over real sockets, on the real parts of a host: journal, registry, authentication, delivery and topics.

mod auth_context;
mod bridge;
mod device;
mod ends;
mod gateway;
mod gateway_limits;
mod library;
mod listeners;
mod methods;
mod normative;
mod packets;
mod quotas;
mod raw;
mod sessions;
mod sizes;
mod spans;
mod takeover;
mod topics;
mod web;
mod wills;

use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::raw::Client;
use super::{HostParts, ListenerOptions, Options, Service};
use switchbox_auth::Enroll;
use switchbox_model::{Entry, RegistryChange, limits::LimitName, patch::DevicePatch, registry::DeviceSpec};
use switchbox_mqtt_session::topics::{Publisher, WaitBudget};
use switchbox_pubsub::Topics;
use switchbox_store::{OnCommit, QueuePermit, QueueShare};
use switchbox_support::metrics::{Metrics, Reason};
use switchbox_testing::{Events, Host};

/// Bytes that may wait for the journal.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// A running server.
struct TestServer {
    addr: std::net::SocketAddr,
    host: Host,
    events: Arc<Events>,
    metrics: Metrics,
    topics: Topics,
    shutdown: CancellationToken,
    service: Option<AbortOnDropHandle<()>>,
}

impl TestServer {
    async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    async fn start_with(options: Options) -> Self {
        Self::start_at(ListenerOptions::plain(([127, 0, 0, 1], 0).into()), options).await
    }

    /// Behind one listener.
    async fn start_at(listener: ListenerOptions, options: Options) -> Self {
        let options = Options { listeners: vec![listener], ..options };
        Self::start_in(switchbox_testing::folder(), Enroll::Open, options).await
    }

    /// In this folder, after a listener.
    async fn start_as(folder: TempDir, enroll: Enroll) -> Self {
        let listeners = vec![ListenerOptions::plain(([127, 0, 0, 1], 0).into())];
        Self::start_in(folder, enroll, Options { listeners, ..Options::default() }).await
    }

    async fn start_in(folder: TempDir, enroll: Enroll, options: Options) -> Self {
        let events = Arc::new(Events::default());
        let host_options = switchbox_testing::Options {
            enroll,
            queue_bytes: QUEUE_BYTES,
            plugins: events.clone(),
            ..switchbox_testing::Options::default()
        };
        let mut host = Host::start_in(folder, host_options).await;
        let host_parts =
            HostParts { auth: host.auth.clone(), ingest: host.ingest.clone(), delivery: host.delivery.clone() };
        let (topics, metrics) = (host.topics.clone(), host.metrics.clone());
        let service = Service::bind(options, host_parts, topics.clone(), metrics.clone()).await.unwrap();
        service.restore(std::mem::take(&mut host.restored), |num| host.registry.get(num));
        let shutdown = CancellationToken::new();
        let addr = service.local_addrs()[0];
        let service = Some(AbortOnDropHandle::new(tokio::spawn(service.run(shutdown.clone()))));
        Self { addr, host, events, metrics, topics, shutdown, service }
    }

    /// Stops it and the host, and starts both again with the same data folder.
    async fn restart(mut self, enroll: Enroll) -> Self {
        self.shutdown.cancel();
        self.service.take().unwrap().await.unwrap();
        Self::start_as(self.host.stop(), enroll).await
    }

    /// Reserves this much of the journal's queue; others wait for the room until this is dropped.
    async fn occupy(&self, bytes: usize) -> QueuePermit {
        self.host.store.permits.reserve(bytes, QueueShare::Whole).await.unwrap()
    }

    /// Waits until this many messages of clients have been read.
    async fn wait_for_publishes(&self, publishes: u64) {
        until("the messages are read", || self.metrics.publishes_in.get() == publishes).await;
    }

    /// Waits until the journal contains this.
    async fn wait_for_journal(&self, line: &str) {
        let deadline = std::time::Instant::now() + TIMEOUT;
        loop {
            let lines = self.host.journal_texts().await;
            if lines.iter().any(|one| one == line) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{line} is not in the journal: {lines:?}");
            // Sleeps between two checks of a condition.
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn assert_not_journaled(&self, line: &str) {
        let lines = self.host.journal_texts().await;
        assert!(lines.iter().all(|one| one != line), "{lines:?}");
    }

    /// A device of the name `blocked` that is.
    async fn register_blocked(&self) {
        self.host.register("blocked", DeviceSpec { blocked: true, ..DeviceSpec::default() }).await;
    }

    /// Blocks the device.
    async fn block(&self, id: &str) {
        self.host.change(id, |spec| spec.blocked = true).await;
    }

    /// Blocks the device while the journal is blocked or has no room: the change is queued without waiting.
    fn block_later(&self, id: &str) {
        let device = self.host.device(id);
        let patch = Box::new(DevicePatch { blocked: Some(true), ..DevicePatch::default() });
        let change = RegistryChange::DevicePatched { num: device.num, patch };
        self.host.store.submit([(Entry::Registry { change, revision: None }, OnCommit::Nothing)], true, None);
    }

    /// A connection that has sent nothing.
    async fn open(&self) -> Client {
        Client::open(self.addr).await
    }

    /// Connects with these bytes; gives the CONNACK.
    async fn connect(&self, bytes: &[u8]) -> (Client, Vec<u8>) {
        let mut client = self.open().await;
        client.send(bytes).await;
        let connack = client.packet().await;
        assert_eq!((connack[0], connack[3]), (0x20, 0), "{connack:?}");
        (client, connack)
    }

    /// Connects with these bytes; gives "session present".
    async fn resume(&self, bytes: &[u8]) -> (Client, bool) {
        let (client, connack) = self.connect(bytes).await;
        (client, connack[2] == 1)
    }

    /// A 3.1.1 client with a clean session.
    async fn v4(&self, id: &str) -> Client {
        let mut client = self.open().await;
        client.send(&raw::connect_v4(id, 2, 60)).await;
        client.expect(&[0x20, 2, 0, 0]).await;
        client
    }

    /// An MQTT 5 client with clean start and no properties.
    async fn v5(&self, id: &str) -> Client {
        let mut client = self.open().await;
        client.send(&raw::connect_v5(id, 2, &[])).await;
        let connack = client.packet().await;
        assert_eq!(&connack[..1], &[0x20], "{connack:?}");
        assert_eq!(connack[3], 0, "{connack:?}");
        client
    }

    fn limit_hits(&self, limit: &str) -> u64 {
        limit_hits(&self.metrics, limit)
    }

    fn refused(&self, reason: &'static str) -> u64 {
        self.metrics.refused.get_or_create(&Reason { reason }).get()
    }
}

/// How long tests wait for what has to come, and how often they look.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);

/// How often the limit of this name was hit.
fn limit_hits(metrics: &Metrics, limit: &str) -> u64 {
    metrics.limit_hits(LimitName::find(limit).unwrap_or_else(|| panic!("there is no limit {limit}")))
}

/// Publishes for no particular client, with the whole wait budget.
async fn publish_alone(topics: &Topics, message: Arc<switchbox_model::Message>) {
    topics.publish(message, &Publisher::of(switchbox_model::broker::Owner::Everyone), &mut WaitBudget::default()).await;
}

/// So much time passes at once, for the server as for its clients.
async fn pass(time: std::time::Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Waits until the condition holds; fails after five seconds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + TIMEOUT;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come true");
        // Sleeps between two checks of a condition.
        tokio::time::sleep(PAUSE).await;
    }
}
