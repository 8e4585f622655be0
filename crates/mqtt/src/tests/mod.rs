//! The MQTT server over real sockets, against a stand-in for the rest of the host.

mod auth_context;
mod bridge;
mod device;
mod ends;
mod fake;
mod gateway;
mod library;
mod listeners;
mod normative;
mod packets;
mod quotas;
mod raw;
mod sessions;
mod sizes;
mod takeover;
mod topics;
mod web;
mod wills;

use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{fake::FakeHub, raw::Client};
use super::{ListenerOptions, Options, Service};
use switchbox_model::limits::LimitName;
use switchbox_mqtt_session::topics::{Handle, Publisher, WaitBudget};
use switchbox_support::metrics::{Metrics, Reason};

/// A running front.
struct TestServer {
    addr: std::net::SocketAddr,
    hub: FakeHub,
    metrics: Metrics,
    topics: switchbox_mqtt_session::topics::Handle,
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
        let metrics = Metrics::default();
        let topics = switchbox_mqtt_session::topics::Handle::new(
            metrics.clone(),
            switchbox_mqtt_session::topics::SessionLog::default(),
        );
        let hub = FakeHub::default();
        let options = Options { listeners: vec![listener], ..options };
        let service = Service::bind(options, hub.clone(), topics.clone(), metrics.clone()).await.unwrap();
        let shutdown = CancellationToken::new();
        let addr = service.local_addrs()[0];
        let service = Some(AbortOnDropHandle::new(tokio::spawn(service.run(shutdown.clone()))));
        Self { addr, hub, metrics, topics, shutdown, service }
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

/// Waits until the condition holds; fails after five seconds.
/// How often the limit of this name was hit.
fn limit_hits(metrics: &Metrics, limit: &str) -> u64 {
    metrics.limit_hits(LimitName::find(limit).unwrap_or_else(|| panic!("there is no limit {limit}")))
}

/// Publishes for no particular client, with the whole wait budget.
async fn publish_alone(topics: &Handle, message: std::sync::Arc<switchbox_model::Message>) {
    topics.publish(message, &Publisher::of(switchbox_model::broker::Owner::Everyone), &mut WaitBudget::default()).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
