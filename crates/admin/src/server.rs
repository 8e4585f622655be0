//! The API's listeners: connections, TLS, HTTP. Bounds what a client can take up before it has shown a token, and by being slow
//! after that. Knows no calls.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service as _, util::MapRequestLayer};

use super::{deadlines::WithWriteDeadline, verb_paths};
use switchbox_model::limits;
use switchbox_support::{
    log_limit::SiteLimit,
    metrics::Metrics,
    scheduling::{self, YieldBetweenPolls, move_listener_here},
    tasks::Tasks,
};
use switchbox_transport::{
    admission::{self, Admission, ConnectionPermit, Names},
    tls,
};

/// Of such lines the log gets ten a minute, and how many there are.
static NOT_ACCEPTED: SiteLimit = SiteLimit::new(10);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a call may take, and how long a connection may be without any.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long calls under way may take when the host stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pauses after accept failed, such as for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Connections that were accepted and wait to be served.
const ARRIVALS: usize = 16;

/// One address to listen on.
pub(super) struct Listener {
    pub(super) listener: TcpListener,
    /// None: what is said there can be read on its way.
    pub(super) tls: Option<tls::Handle>,
}

/// Who is on the other side of a connection; every call on it has this.
#[derive(Debug, Clone)]
pub(super) struct ConnectionInfo(Arc<ConnectionPermit>);

impl ConnectionInfo {
    /// The caller has shown a token.
    pub(super) fn known(&self) {
        self.0.known();
    }
}

type Arrival = (TcpStream, SocketAddr, Option<tls::Handle>);

/// What all connections share.
#[derive(Clone)]
struct Shared {
    routes: Router,
    metrics: Metrics,
    shutdown: CancellationToken,
}

/// Serves until `shutdown`, then lets the calls under way end, for a while.
pub(super) async fn serve(
    listeners: Vec<Listener>,
    connections: usize,
    routes: Router,
    metrics: Metrics,
    tasks: Tasks,
    shutdown: CancellationToken,
) {
    let admission = Admission::new(admission_options(connections), metrics.clone());
    let shared = Shared { routes, metrics, shutdown: shutdown.clone() };
    let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
    let (mut accepting, mut connections) = (JoinSet::new(), JoinSet::new());
    for listener in listeners {
        let accepts = accept(listener, arrivals.clone(), shared.metrics.clone());
        accepting.spawn(tasks.clone().supervised("admin listener", shutdown.clone(), accepts));
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => note(&ended),
            Some((stream, peer, tls)) = arrived.recv() => {
                if let Some(permit) = admission.enter(peer.ip()) {
                    let served = connection(shared.clone(), stream, peer, tls, permit);
                    connections.spawn(YieldBetweenPolls::new(served));
                }
            }
        }
    }
    accepting.shutdown().await;
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(left = connections.len(), "calls of the admin API did not end in time");
    }
    connections.shutdown().await;
}

fn admission_options(connections: usize) -> admission::Options {
    admission::Options {
        connections,
        per_address: limits::ADMIN_CONNECTIONS_PER_ADDRESS,
        per_second: limits::ADMIN_CONNECTS_PER_SECOND,
        // Those that have proved nothing never have all of the connections.
        unauthenticated: limits::ADMIN_UNAUTHENTICATED.min((connections / 2).max(8)),
        names: Names::ADMIN,
    }
}

fn note(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection of the admin API panicked; the others go on");
    }
}

async fn accept(at: Listener, arrivals: mpsc::Sender<Arrival>, metrics: Metrics) {
    let listener = match move_listener_here(at.listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!(%error, "a listener of the admin API cannot be waited for: nobody gets in there");
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if arrivals.send((stream, peer, at.tls.clone())).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                metrics.limit(limits::names::ADMIN_ACCEPT);
                if let Some(more) = NOT_ACCEPTED.note() {
                    tracing::warn!(%error, "a connection to the admin API was not accepted{more}");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn connection(
    shared: Shared,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<tls::Handle>,
    permit: ConnectionPermit,
) {
    let permit = Arc::new(permit);
    let info = ConnectionInfo(permit.clone());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let served = async {
        match tls {
            None => http(&shared, stream, peer, info).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept_call(stream)).await {
                Ok(accepted) => http(&shared, accepted?, peer, info).await,
                Err(_) => {
                    shared.metrics.limit(limits::names::ADMIN_HANDSHAKE_TIME);
                    Ok(())
                }
            },
        }
    };
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection to the admin API broke");
            }
        }
        () = permit.asked_to_leave() => {}
    }
}

async fn http(
    shared: &Shared,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: SocketAddr,
    info: ConnectionInfo,
) -> io::Result<()> {
    let routes = MapRequestLayer::new(verb_paths::split_verb).layer(shared.routes.clone());
    let calls = service_fn(move |request: hyper::Request<Incoming>| {
        // A thousand calls may have come at once.
        scheduling::yield_if_due_at(Instant::now());
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(info.clone());
        // A router is always ready.
        routes.clone().call(request)
    });
    let stream = TokioIo::new(WithWriteDeadline::new(stream, shared.metrics.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_headers(limits::ADMIN_HEADERS).max_buf_size(limits::ADMIN_HEAD_BYTES);
    let served = http.serve_connection(stream, calls);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = shared.shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    match ended {
        Err(error) if error.is_timeout() => {
            shared.metrics.limit(limits::names::ADMIN_HEAD_TIME);
            Ok(())
        }
        // It was answered 414 or 431. A head that is a little too large gets through here, and is refused in `head.rs`.
        Err(error) if error.is_parse_too_large() => {
            shared.metrics.limit(limits::names::ADMIN_HEAD_BYTES);
            Ok(())
        }
        ended => ended.map_err(io::Error::other),
    }
}
