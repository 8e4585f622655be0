//! Listeners: admission, TLS, then a task for each connection.

use std::time::Duration;

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    authorization::TlsClient,
    connection::{self, Peer},
    context::Context,
};
use switchbox_model::limits::{self, HUB_AMQP_UNAUTHENTICATED, names};
use switchbox_support::{log_limit::SiteLimit, threads::move_listener_here};
use switchbox_transport::{
    admission::{self, Admission, ConnectionPermit, Names},
    tls,
};

/// At most ten such lines a minute are logged; the others are counted.
static NOT_ACCEPTED: SiteLimit = SiteLimit::new(10);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, for example because no file descriptor is free.
const BACK_OFF: Duration = Duration::from_millis(100);

pub(crate) struct Listener {
    pub(crate) listener: TcpListener,
    /// `None` if connections are not encrypted.
    pub(crate) tls: Option<tls::Handle>,
}

/// `connections`: how many there may be at a time.
pub(crate) async fn serve(context: Context, listeners: Vec<Listener>, connections: usize) {
    let per_address = connections.div_ceil(2);
    let options = admission::Options {
        connections,
        per_address,
        per_second: limits::ADMIN_CONNECTS_PER_SECOND,
        unauthenticated: per_address.min(HUB_AMQP_UNAUTHENTICATED),
        names: Names::HUB_AMQP,
    };
    let admission = Admission::new(options, context.handles.metrics.clone());
    let (tasks, shutdown) = (context.handles.tasks.clone(), context.shutdown.clone());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let accepts = accept(context.clone(), listener, admission.clone());
        accepting.spawn(tasks.clone().supervised("amqp listener", shutdown.clone(), accepts));
    }
    shutdown.cancelled().await;
    accepting.shutdown().await;
}

/// Ends when all its connections have ended. Each connection closes by itself when the host stops.
async fn accept(context: Context, at: Listener, admission: Admission) {
    let listener = match move_listener_here(at.listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "an AMQP listener does not work: it accepts no connections"),
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(ended) = connections.join_next(), if !connections.is_empty() => log_panic(&ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(permit) = admission.admit(peer.ip()) {
                        connections.spawn(serve_stream(context.clone(), stream, at.tls.clone(), permit));
                    }
                }
                Err(error) => {
                    context.handles.metrics.limit(names::HUB_AMQP_ACCEPT);
                    if let Some(more) = NOT_ACCEPTED.allow() {
                        tracing::warn!(%error, "an AMQP connection was not accepted{more}");
                    }
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

fn log_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "an AMQP connection panicked; the others continue");
    }
}

async fn serve_stream(context: Context, stream: TcpStream, tls: Option<tls::Handle>, permit: ConnectionPermit) {
    let Ok(peer) = stream.peer_addr() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let address = peer.ip();
    let Some(tls) = tls else {
        return connection::serve(context, stream, Peer { address, tls: TlsClient::default(), permit: &permit }).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept_call(stream, true)).await {
        Ok(Ok(stream)) => {
            let tls = stream.get_ref().1;
            let certificates = tls.peer_certificates().unwrap_or_default().to_vec();
            let tls = TlsClient { certificates, host: tls.server_name().unwrap_or_default().to_owned() };
            connection::serve(context, stream, Peer { address, tls, permit: &permit }).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake for AMQP failed"),
        Err(_) => context.handles.metrics.limit(names::HUB_AMQP_OPEN_TIME),
    }
}
