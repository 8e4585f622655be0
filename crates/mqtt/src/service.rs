//! The MQTT server: it accepts clients, gives each a task, and checks again which clients may stay when the registry changes.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    connection::Migration,
    connection_tasks::ConnectionTasks,
    handshake::handshake,
    host_parts::HostParts,
    listen::{self, Arrival, ListenError, ListenerOptions, Ports, bind_ports},
    options::Options,
    server_context::ServerContext,
    sys_topics::SysTopics,
};
use switchbox_pubsub::Topics;
use switchbox_support::{metrics::Metrics, threads};
use switchbox_transport::admission::{Admission, ConnectionPermit};

/// How long connections may take to end when the host shuts down.
const DRAIN: Duration = Duration::from_secs(2);
/// Limit of accepted clients that wait for the server to start their task.
const ARRIVALS: usize = 64;

/// What other parts of the host can ask of the MQTT server. Cheap to clone.
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

pub struct Service {
    listeners: Vec<(TcpListener, Arc<ListenerOptions>)>,
    addrs: Vec<SocketAddr>,
    admission: Admission,
    pub(super) shared: Arc<ServerContext>,
}

impl Service {
    /// Takes the listeners' ports. No client is served before [`Self::run`].
    pub async fn bind(
        options: Options,
        host: HostParts,
        topics: Topics,
        metrics: Metrics,
    ) -> Result<Self, ListenError> {
        let ports = bind_ports(&options.listeners).await?;
        Ok(Self::new(options, ports, host, topics, metrics))
    }

    /// Makes a server on ports that were taken for `options.listeners`.
    pub fn new(options: Options, ports: Ports, host: HostParts, topics: Topics, metrics: Metrics) -> Self {
        let Ports { sockets, addrs } = ports;
        let listeners = sockets.into_iter().zip(options.listeners.iter().cloned().map(Arc::new)).collect();
        let admission = Admission::new(options.admission(), metrics.clone());
        Self { listeners, addrs, admission, shared: Arc::new(ServerContext::new(options, host, topics, metrics)) }
    }

    /// The addresses of the listeners, in the order of `options.listeners`.
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
        let mut changes = shared.host.auth.changes();
        let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
        let mut accepting = JoinSet::new();
        for (listener, listener_options) in listeners {
            let accept = listen::accept(listener, listener_options, arrivals.clone(), shared.metrics.clone());
            accepting.spawn(shared.options.tasks.clone().supervised("mqtt listener", shutdown.clone(), accept));
        }
        if let Some(statistics) = shared.statistics() {
            let run = statistics.run(shared.options.sys_interval, shutdown.child_token());
            accepting.spawn(shared.options.tasks.clone().supervised("statistics", shutdown.clone(), run));
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connection_tasks.ended() => shared.reap(&ended),
                changed = changes.recv() => shared.revalidate(changed),
                Some(arrival) = arrived.recv() => shared.accept_client(arrival, &admission, &mut connection_tasks, &shutdown),
            }
            threads::yield_if_due();
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

impl ServerContext {
    fn accept_client(
        self: &Arc<Self>,
        (stream, listener): Arrival,
        admission: &Admission,
        connection_tasks: &mut ConnectionTasks,
        shutdown: &CancellationToken,
    ) {
        // A client that is gone already has no address.
        let Ok(peer) = stream.peer_addr() else { return };
        let Some(permit) = admission.admit(peer.ip()) else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        self.metrics.connections.inc();
        connection_tasks.spawn_pending(serve(self.clone(), stream, listener, permit, shutdown.clone()));
    }

    /// Creates the publisher of the statistics. Returns `None` if they are turned off.
    fn statistics(self: &Arc<Self>) -> Option<Arc<SysTopics>> {
        if self.options.sys_interval.is_zero() {
            return None;
        }
        let statistics = SysTopics::new(self);
        let current = statistics.clone();
        self.topics.set_statistics(Box::new(move || current.current_messages()));
        Some(statistics)
    }

    fn reap(&self, ended: &Result<(), tokio::task::JoinError>) {
        self.metrics.connections.dec();
        if let Err(error) = ended
            && error.is_panic()
        {
            self.metrics.connection_panics.inc();
            tracing::error!(%error, "a connection's task panicked; the others continue");
        }
    }
}

/// Serves one connection from its first byte to its last, or until it moves to another priority class.
pub(super) async fn serve(
    shared: Arc<ServerContext>,
    stream: TcpStream,
    listener: Arc<ListenerOptions>,
    permit: ConnectionPermit,
    shutdown: CancellationToken,
) -> Migration {
    let leaving = async {
        tokio::select! {
            () = permit.eviction_requested() => {}
            () = shutdown.cancelled_owned() => {}
        }
    };
    // Boxed, so that its memory is free while the connection lives on.
    let connection = Box::pin(handshake(shared, stream, listener, leaving)).await?;
    permit.mark_authenticated();
    connection.run().await
}
