//! The front: MQTT 3.1.1 and 5 on one TCP port. Turns bytes into operations and back, and guards the host against its
//! clients: whatever one sends, only its own connection can end by it. Never decides what an event brings about.

mod aliases;
mod clients;
mod codec;
mod connect;
mod connection;
mod encode;
mod end;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod hub;
mod inbound;
mod mailbox;
mod packet;
mod subscribe;
#[cfg(test)]
mod tests;
mod will;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast::error::RecvError,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::clients::Clients;
pub use self::hub::{Hub, Live, Online};
use crate::{metrics::Metrics, registry::Changed, topics};

/// How long connections may take to end when the host shuts down.
const DRAIN: Duration = Duration::from_secs(2);
/// Pauses after accept failed, such as for want of file descriptors.
const ACCEPT_BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    /// Connections at a time.
    pub connections: usize,
    /// How long a client may take to send CONNECT.
    pub connect_deadline: Duration,
    /// How long a client may leave what is sent to it unread.
    pub write_deadline: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 1883).into(),
            connections: 100_000,
            connect_deadline: Duration::from_secs(10),
            write_deadline: Duration::from_secs(30),
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
    metrics: Metrics,
}

/// The front, as others see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    addr: SocketAddr,
    metrics: Metrics,
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.metrics.connections.get()
    }
}

pub struct Service<H: Hub> {
    listener: TcpListener,
    addr: SocketAddr,
    shared: Arc<Shared<H>>,
}

impl<H: Hub> Service<H> {
    /// Listens, but lets nobody in before [`Self::run`].
    pub async fn bind(options: Options, hub: H, topics: topics::Handle, metrics: Metrics) -> Result<Self, Error> {
        let addr = options.listen;
        let failed = |source| Error::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let clients = Arc::new(Clients::new(topics.clone(), metrics.clone()));
        Ok(Self { listener, addr, shared: Arc::new(Shared { options, hub, topics, clients, metrics }) })
    }

    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { addr: self.addr, metrics: self.shared.metrics.clone() }
    }

    /// Serves until `shutdown`, then ends all connections within two seconds: what became durable is acknowledged first.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut changes = self.shared.hub.changes();
        let mut back_off = ACCEPT_BACK_OFF.0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = tasks.join_next() => self.reap(&ended),
                changed = changes.recv() => self.recheck(changed),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        back_off = ACCEPT_BACK_OFF.0;
                        self.welcome(stream, &mut tasks, &shutdown);
                    }
                    Err(error) => {
                        self.shared.metrics.limit("accept");
                        tracing::warn!(%error, "a connection was not accepted; waiting {back_off:?}");
                        tokio::time::sleep(back_off).await;
                        back_off = (back_off * 2).min(ACCEPT_BACK_OFF.1);
                    }
                },
            }
        }
        let Self { listener, shared, .. } = self;
        drop(listener);
        shared.clients.close_all();
        let drained = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(left = tasks.len(), "connections did not end in time");
        }
        tasks.shutdown().await;
        shared.metrics.connections.set(0);
    }

    /// Who was let in by what has changed is looked at again.
    fn recheck(&self, changed: Result<Changed, RecvError>) {
        match changed {
            Ok(Changed::Device(num)) => self.shared.clients.recheck(Some(&clients::Key::Device(num))),
            Ok(Changed::Registry(_)) => self.shared.clients.recheck(None),
            // Too many changes at once to hear of each.
            Err(RecvError::Lagged(_)) => self.shared.clients.recheck(None),
            // The registry outlives the front.
            Err(RecvError::Closed) => {}
        }
    }

    fn welcome(&self, stream: TcpStream, tasks: &mut JoinSet<()>, shutdown: &CancellationToken) {
        if tasks.len() >= self.shared.options.connections {
            self.shared.metrics.limit("connections");
            return;
        }
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        self.shared.metrics.connections.inc();
        tasks.spawn(serve(self.shared.clone(), stream, shutdown.clone()));
    }

    fn reap(&self, ended: &Result<(), tokio::task::JoinError>) {
        self.shared.metrics.connections.dec();
        if let Err(error) = ended
            && error.is_panic()
        {
            self.shared.metrics.connection_panics.inc();
            tracing::error!(%error, "a connection's task panicked; the others go on");
        }
    }
}

/// One connection, from its first byte to its last.
async fn serve<H: Hub>(shared: Arc<Shared<H>>, stream: TcpStream, shutdown: CancellationToken) {
    let connection = {
        // Boxed, so that its memory is free while the connection lives on.
        let handshake = Box::pin(handshake::handshake(shared, stream));
        tokio::select! {
            connection = handshake => connection,
            () = shutdown.cancelled_owned() => None,
        }
    };
    if let Some(connection) = connection {
        connection.run().await;
    }
}
