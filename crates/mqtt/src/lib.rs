//! The front: MQTT 3.1.1 and 5 over TCP, TLS and WebSocket. Turns bytes into operations and back, and guards the host against its
//! clients: whatever one sends, only its own connection can end by it. Never decides what an event brings about.

mod bridge;
mod clients;
mod connection;
mod connection_tasks;
mod content;
pub mod dialect;
mod end;
mod gateway;
mod handshake;
mod hub;
mod listen;
mod mailbox;
mod offline_sessions;
mod outgoing;
mod presence;
mod restore;
mod resume;
mod session_key;
mod shared_redelivery;
mod socket;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wake_signal;
mod web;
mod will;
mod wire;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::{broadcast::error::RecvError, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use self::hub::{Hub, Live, Online};
use self::{
    clients::Clients, connection::Migration, connection_tasks::ConnectionTasks, gateway::routes::GatewayRoutes,
    listen::Arrival,
};
pub use self::{
    listen::{ListenError, ListenerOptions, Ports, take_ports},
    web::Origins,
};
use switchbox_core::registry::Changed;
use switchbox_model::{PayloadLimits, limits};
use switchbox_mqtt_session::topics;
use switchbox_support::{
    log_limit::LogLimits,
    metrics::Metrics,
    scheduling::{self, CpuBudgets},
    tasks::Tasks,
};
use switchbox_transport::admission::{self, Admission, ConnectionPermit, Names};

/// How long connections may take to end when the host shuts down.
const DRAIN: Duration = Duration::from_secs(2);
/// Lines of the log in a minute about clients of one network that are not let in.
const REFUSALS_LOGGED: u32 = 30;
/// Clients that were accepted and wait to be served.
const ARRIVALS: usize = 64;

#[derive(Debug, Clone)]
pub struct Options {
    pub listeners: Vec<ListenerOptions>,
    /// Connections at a time.
    pub connections: usize,
    /// Connections of one address at a time, other than this machine's own.
    pub connections_per_address: usize,
    /// Connections that come in a second.
    pub connects_per_second: u32,
    /// How long a client may take for TLS, WebSocket and CONNECT together.
    pub connect_deadline: Duration,
    /// How long a client may take to send the rest of a packet.
    pub packet_deadline: Duration,
    /// How long a client may leave what is sent to it unread.
    pub write_deadline: Duration,
    /// How large what is published may be.
    pub payloads: PayloadLimits,
    /// Who serves the clients that do not keep the host busy. None: who serves all.
    pub foreground: Option<runtime::Handle>,
    /// Those that must live: the listeners are among them.
    pub tasks: Tasks,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerOptions::plain((Ipv4Addr::LOCALHOST, 1883).into())],
            connections: 100_000,
            connections_per_address: 1_000,
            connects_per_second: 100_000,
            connect_deadline: Duration::from_secs(20),
            packet_deadline: Duration::from_secs(60),
            write_deadline: Duration::from_secs(30),
            payloads: PayloadLimits::default(),
            foreground: None,
            tasks: Tasks::default(),
        }
    }
}

impl Options {
    fn admission(&self) -> admission::Options {
        admission::Options {
            connections: self.connections,
            per_address: self.connections_per_address,
            per_second: self.connects_per_second,
            // Those that have proved nothing never have all of the connections.
            unauthenticated: limits::UNAUTHENTICATED.min((self.connections / 2).max(64)),
            names: Names::MQTT,
        }
    }
}

/// What all connections share.
struct Shared<H: Hub> {
    options: Options,
    hub: H,
    topics: topics::Handle,
    clients: Arc<Clients>,
    gateway_routes: GatewayRoutes,
    /// Of accounts, all of whose connections are one client here.
    shares: CpuBudgets,
    /// Of clients that are not let in, by their networks.
    refusals_logged: LogLimits<IpAddr>,
    /// Of clients by their names, and what is told of them: one line a minute, however often they come back.
    client_lines: LogLimits<(Arc<str>, &'static str)>,
    metrics: Metrics,
}

/// The front, as others see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    metrics: Metrics,
}

impl Handle {
    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.metrics.connections.get()
    }
}

pub struct Service<H: Hub> {
    listeners: Vec<(TcpListener, Arc<ListenerOptions>)>,
    addrs: Vec<SocketAddr>,
    admission: Admission,
    shared: Arc<Shared<H>>,
}

impl<H: Hub> Service<H> {
    /// Takes the listeners' ports, but lets nobody in before [`Self::run`].
    pub async fn bind(options: Options, hub: H, topics: topics::Handle, metrics: Metrics) -> Result<Self, ListenError> {
        let ports = take_ports(&options.listeners).await?;
        Ok(Self::new(options, ports, hub, topics, metrics))
    }

    /// Behind ports that were taken for `options.listeners`.
    pub fn new(options: Options, ports: Ports, hub: H, topics: topics::Handle, metrics: Metrics) -> Self {
        let Ports { sockets, addrs } = ports;
        let listeners = sockets.into_iter().zip(options.listeners.iter().cloned().map(Arc::new)).collect();
        let admission = Admission::new(options.admission(), metrics.clone());
        let clients = Arc::new(Clients::new(topics.clone(), metrics.clone(), options.connections));
        let (gateway_routes, shares) = (GatewayRoutes::default(), CpuBudgets::default());
        let (refusals_logged, client_lines) = (LogLimits::new(REFUSALS_LOGGED), LogLimits::new(1));
        let shared =
            Shared { options, hub, topics, clients, gateway_routes, shares, refusals_logged, client_lines, metrics };
        Self { listeners, addrs, admission, shared: Arc::new(shared) }
    }

    /// Where the listeners are, in their order.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { metrics: self.shared.metrics.clone() }
    }

    /// Serves until `shutdown`, then ends all connections within two seconds: what became durable is acknowledged first.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listeners, shared, admission, .. } = self;
        let mut connection_tasks = ConnectionTasks::new(shared.options.foreground.clone());
        let mut changes = shared.hub.changes();
        let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
        let mut accepting = JoinSet::new();
        for (listener, listener_options) in listeners {
            let accept = listen::accept(listener, listener_options, arrivals.clone(), shared.metrics.clone());
            accepting.spawn(shared.options.tasks.clone().supervised("mqtt listener", shutdown.clone(), accept));
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connection_tasks.ended() => shared.reap(&ended),
                changed = changes.recv() => shared.revalidate(changed),
                Some(arrival) = arrived.recv() => shared.welcome(arrival, &admission, &mut connection_tasks, &shutdown),
            }
            scheduling::yield_if_due();
        }
        accepting.shutdown().await;
        drop(arrived);
        shared.clients.close_all();
        let drained = async { while connection_tasks.ended().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(left = connection_tasks.len(), "connections did not end in time");
        }
        connection_tasks.shutdown().await;
        shared.metrics.connections.set(0);
    }
}

impl<H: Hub> Shared<H> {
    /// Who was let in by what has changed is looked at again.
    fn revalidate(&self, changed: Result<Changed, RecvError>) {
        match changed {
            Ok(Changed::Device(num)) => {
                self.clients.revalidate(Some(&clients::Key::Device(num)));
                self.gateway_routes.revalidate(num);
            }
            Ok(Changed::Deleted(num)) => {
                self.clients.forget(&clients::Key::Device(num));
                self.gateway_routes.revalidate(num);
            }
            Ok(Changed::Registry(_) | Changed::Clock) => self.clients.revalidate(None),
            // Too many changes at once to hear of each.
            Ok(Changed::Service(_)) | Err(RecvError::Lagged(_)) => {
                self.clients.forget_all(|key| !session_key::can_return(&self.hub, key));
                self.clients.revalidate(None);
            }
            // The registry outlives the front.
            Err(RecvError::Closed) => {}
        }
    }

    fn welcome(
        self: &Arc<Self>,
        (stream, listener): Arrival,
        admission: &Admission,
        connection_tasks: &mut ConnectionTasks<H>,
        shutdown: &CancellationToken,
    ) {
        // A client that is gone already has no address.
        let Ok(peer) = stream.peer_addr() else { return };
        let Some(pass) = admission.enter(peer.ip()) else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        self.metrics.connections.inc();
        connection_tasks.spawn_pending(serve(self.clone(), stream, listener, pass, shutdown.clone()));
    }

    fn reap(&self, ended: &Result<(), tokio::task::JoinError>) {
        self.metrics.connections.dec();
        if let Err(error) = ended
            && error.is_panic()
        {
            self.metrics.connection_panics.inc();
            tracing::error!(%error, "a connection's task panicked; the others go on");
        }
    }
}

/// One connection, from its first byte to its last, or until it is to go on in another lane.
async fn serve<H: Hub>(
    shared: Arc<Shared<H>>,
    stream: TcpStream,
    listener: Arc<ListenerOptions>,
    pass: ConnectionPermit,
    shutdown: CancellationToken,
) -> Migration<H> {
    let leaving = async {
        tokio::select! {
            () = pass.asked_to_leave() => {}
            () = shutdown.cancelled_owned() => {}
        }
    };
    // Boxed, so that its memory is free while the connection lives on.
    let connection = Box::pin(handshake::handshake(shared, stream, listener, leaving)).await?;
    pass.known();
    connection.run().await
}
