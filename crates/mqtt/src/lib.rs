//! The front: MQTT 3.1.1 and 5 over TCP, TLS and WebSocket. Turns bytes into operations and back, and guards the host against its
//! clients: whatever one sends, only its own connection can end by it. Never decides what an event brings about.

mod aliases;
mod attached;
mod away;
mod behalf;
mod bridge;
mod carriers;
mod carry;
mod clients;
mod codec;
mod connect;
mod connection;
mod content;
pub mod dialect;
mod encode;
mod end;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway;
mod goodbye;
mod hand_on;
mod handshake;
mod hub;
mod inbound;
mod listen;
mod mailbox;
mod ordinary;
mod owner;
mod packet;
mod parcel;
mod properties;
mod restore;
mod resume;
mod retained;
mod seats;
mod socket;
mod stay;
mod subscribe;
mod subscriptions;
#[cfg(test)]
mod tests;
mod web;
mod will;
mod window;

use std::{
    io,
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
    carriers::Carriers,
    clients::Clients,
    listen::Arrival,
    seats::{Moving, Seats},
};
pub use self::{listen::Door, web::Origins};
use switchbox_core::registry::Changed;
use switchbox_model::{PayloadLimits, limits};
use switchbox_mqtt_session::topics;
use switchbox_support::{
    fairness::{self, Shares},
    log_limit::LogLimits,
    metrics::Metrics,
    tasks::Tasks,
};
use switchbox_transport::lobby::{self, Lobby, Names, Pass};

/// How long connections may take to end when the host shuts down.
const DRAIN: Duration = Duration::from_secs(2);
/// Lines of the log in a minute about clients of one network that are not let in.
const REFUSALS_LOGGED: u32 = 30;
/// Clients that were accepted and wait to be served.
const ARRIVALS: usize = 64;

#[derive(Debug, Clone)]
pub struct Options {
    pub doors: Vec<Door>,
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
            doors: vec![Door::plain((Ipv4Addr::LOCALHOST, 1883).into())],
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
    fn lobby(&self) -> lobby::Options {
        lobby::Options {
            connections: self.connections,
            per_address: self.connections_per_address,
            per_second: self.connects_per_second,
            // Those that have proved nothing never have all of the connections.
            strangers: limits::STRANGERS.min((self.connections / 2).max(64)),
            names: Names::MQTT,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
}

/// What all connections share.
struct Shared<H: Hub> {
    options: Options,
    hub: H,
    topics: topics::Handle,
    clients: Arc<Clients>,
    carriers: Carriers,
    /// Of accounts, all of whose connections are one client here.
    shares: Shares,
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
    listeners: Vec<(TcpListener, Arc<Door>)>,
    addrs: Vec<SocketAddr>,
    lobby: Lobby,
    shared: Arc<Shared<H>>,
}

impl<H: Hub> Service<H> {
    /// Listens, but lets nobody in before [`Self::run`].
    pub async fn bind(options: Options, hub: H, topics: topics::Handle, metrics: Metrics) -> Result<Self, Error> {
        let (mut listeners, mut addrs) = (Vec::new(), Vec::new());
        for door in &options.doors {
            let addr = door.listen;
            let failed = |source| Error::Listen { addr, source };
            let listener = TcpListener::bind(addr).await.map_err(failed)?;
            addrs.push(listener.local_addr().map_err(failed)?);
            listeners.push((listener, Arc::new(door.clone())));
        }
        let lobby = Lobby::new(options.lobby(), metrics.clone());
        let clients = Arc::new(Clients::new(topics.clone(), metrics.clone(), options.connections));
        let (carriers, shares) = (Carriers::default(), Shares::default());
        let (refusals_logged, client_lines) = (LogLimits::new(REFUSALS_LOGGED), LogLimits::new(1));
        let shared = Shared { options, hub, topics, clients, carriers, shares, refusals_logged, client_lines, metrics };
        Ok(Self { listeners, addrs, lobby, shared: Arc::new(shared) })
    }

    /// Where the doors are, in their order.
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
        let Self { listeners, shared, lobby, .. } = self;
        let mut seats = Seats::new(shared.options.foreground.clone());
        let mut changes = shared.hub.changes();
        let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
        let mut doors = JoinSet::new();
        for (listener, door) in listeners {
            let accepting = listen::accept(listener, door, arrivals.clone(), shared.metrics.clone());
            doors.spawn(shared.options.tasks.clone().supervised("mqtt listener", shutdown.clone(), accepting));
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = seats.ended() => shared.reap(&ended),
                changed = changes.recv() => shared.recheck(changed),
                Some(arrival) = arrived.recv() => shared.welcome(arrival, &lobby, &mut seats, &shutdown),
            }
            fairness::breathe();
        }
        doors.shutdown().await;
        drop(arrived);
        shared.clients.close_all();
        let drained = async { while seats.ended().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(left = seats.len(), "connections did not end in time");
        }
        seats.shutdown().await;
        shared.metrics.connections.set(0);
    }
}

impl<H: Hub> Shared<H> {
    /// Who was let in by what has changed is looked at again.
    fn recheck(&self, changed: Result<Changed, RecvError>) {
        match changed {
            Ok(Changed::Device(num)) => {
                self.clients.recheck(Some(&clients::Key::Device(num)));
                self.carriers.recheck(num);
            }
            Ok(Changed::Deleted(num)) => {
                self.clients.forget(&clients::Key::Device(num));
                self.carriers.recheck(num);
            }
            Ok(Changed::Registry(_) | Changed::Clock) => self.clients.recheck(None),
            // Too many changes at once to hear of each.
            Ok(Changed::Service(_)) | Err(RecvError::Lagged(_)) => {
                self.clients.forget_all(|key| !owner::can_return(&self.hub, key));
                self.clients.recheck(None);
            }
            // The registry outlives the front.
            Err(RecvError::Closed) => {}
        }
    }

    fn welcome(
        self: &Arc<Self>,
        (stream, door): Arrival,
        lobby: &Lobby,
        seats: &mut Seats<H>,
        shutdown: &CancellationToken,
    ) {
        // A client that is gone already has no address.
        let Ok(peer) = stream.peer_addr() else { return };
        let Some(pass) = lobby.enter(peer.ip()) else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        self.metrics.connections.inc();
        seats.newcomer(serve(self.clone(), stream, door, pass, shutdown.clone()));
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
    door: Arc<Door>,
    pass: Pass,
    shutdown: CancellationToken,
) -> Moving<H> {
    let leaving = async {
        tokio::select! {
            () = pass.asked_to_leave() => {}
            () = shutdown.cancelled_owned() => {}
        }
    };
    // Boxed, so that its memory is free while the connection lives on.
    let connection = Box::pin(handshake::handshake(shared, stream, door, leaving)).await?;
    pass.known();
    connection.run().await
}
