//! Connections from accept to their end: TLS, then HTTP, each call given to the routes.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, Service as _, util::MapRequestLayer};

use super::{bounds::Bounds, deadlines::WithWriteDeadline, unread_body::WithRestDiscarded};
use switchbox_support::{
    log_limit::SiteLimit,
    metrics::Metrics,
    tasks::Tasks,
    threads::{self, YieldBetweenPolls, move_listener_here},
};
use switchbox_transport::{
    admission::{Admission, ConnectionPermit},
    tls,
};

/// At most ten such lines a minute are logged; the others are counted.
static NOT_ACCEPTED: SiteLimit = SiteLimit::new(10);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a call may take, and how long a connection may be without any.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long calls in progress may take when the host stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pauses after accept failed, such as for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Connections that were accepted and wait to be served.
const ARRIVALS: usize = 16;

/// One address to listen on.
pub struct Listener {
    pub listener: TcpListener,
    /// `None` for a listener without TLS.
    pub tls: Option<Tls>,
}

/// The TLS settings of a listener.
#[derive(Clone)]
pub struct Tls {
    pub handle: tls::Handle,
    /// Whether devices call there. They are asked for a certificate, which is optional; a browser would ask its user for one.
    pub of_devices: bool,
}

/// The client of a connection; every call on the connection has this.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    permit: Arc<ConnectionPermit>,
    certificates: Arc<[CertificateDer<'static>]>,
}

impl ConnectionInfo {
    /// The caller has shown a token.
    pub fn mark_authenticated(&self) {
        self.permit.mark_authenticated();
    }

    /// The permit of the connection, which counts as open until the last clone is dropped.
    #[must_use]
    pub fn permit(&self) -> Arc<ConnectionPermit> {
        self.permit.clone()
    }

    /// Those that the caller showed in the TLS handshake, its own first, whose key it holds.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }
}

type Arrival = (TcpStream, SocketAddr, Option<Tls>);

/// What is served, and within which bounds.
#[derive(Clone)]
pub struct Server {
    pub bounds: Bounds,
    pub routes: Router,
    /// Changes a call before it is routed.
    pub rewrite: fn(Request) -> Request,
    pub metrics: Metrics,
}

/// What all connections share.
#[derive(Clone)]
struct ServerContext {
    server: Server,
    shutdown: CancellationToken,
}

impl Server {
    /// Serves until `shutdown`, then waits a limited time for the calls in progress.
    pub async fn serve(self, listeners: Vec<Listener>, tasks: Tasks, shutdown: CancellationToken) {
        let what = self.bounds.what;
        let admission = Admission::new(self.bounds.admission, self.metrics.clone());
        let shared = ServerContext { server: self, shutdown: shutdown.clone() };
        let (arrivals, mut arrived) = mpsc::channel(ARRIVALS);
        let (mut accepting, mut connections) = (JoinSet::new(), JoinSet::new());
        for listener in listeners {
            let accepts = accept(listener, arrivals.clone(), shared.server.clone());
            accepting.spawn(tasks.clone().supervised("http listener", shutdown.clone(), accepts));
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next() => log_panic(what, &ended),
                Some((stream, peer, tls)) = arrived.recv() => {
                    if let Some(permit) = admission.admit(peer.ip()) {
                        let served = connection(shared.clone(), stream, peer, tls, permit);
                        connections.spawn(YieldBetweenPolls::new(served));
                    }
                }
            }
        }
        accepting.shutdown().await;
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!(left = connections.len(), "calls of {what} did not end in time");
        }
        connections.shutdown().await;
    }
}

fn log_panic(what: &str, ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection of {what} panicked; the others continue");
    }
}

async fn accept(at: Listener, arrivals: mpsc::Sender<Arrival>, server: Server) {
    let what = server.bounds.what;
    let listener = match move_listener_here(at.listener) {
        Ok(listener) => listener,
        Err(error) => {
            return tracing::error!(%error, "a listener of {what} does not work: it accepts no connections");
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
                server.metrics.limit(server.bounds.names.accept);
                if let Some(more) = NOT_ACCEPTED.allow() {
                    tracing::warn!(%error, "a connection to {what} was not accepted{more}");
                }
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn connection(
    shared: ServerContext,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    permit: ConnectionPermit,
) {
    let (permit, what) = (Arc::new(permit), shared.server.bounds.what);
    let info = |certificates: Arc<_>| ConnectionInfo { permit: permit.clone(), certificates };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was not set");
    }
    let served = async {
        match tls {
            None => http(&shared, stream, peer, info([].into())).await,
            Some(Tls { handle, of_devices }) => {
                let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, handle.accept_call(stream, of_devices)).await;
                if let Ok(accepted) = accepted {
                    let stream = accepted?;
                    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let info = info(shown.iter().cloned().collect());
                    http(&shared, stream, peer, info).await
                } else {
                    shared.server.metrics.limit(shared.server.bounds.names.handshake_time);
                    Ok(())
                }
            }
        }
    };
    tokio::select! {
        ended = served => {
            if let Err(error) = ended {
                tracing::debug!(%error, %peer, "a connection to {what} broke");
            }
        }
        () = permit.eviction_requested() => {}
    }
}

async fn http(
    shared: &ServerContext,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    info: ConnectionInfo,
) -> io::Result<()> {
    let Server { bounds, routes, rewrite, metrics } = &shared.server;
    let routes = MapRequestLayer::new(*rewrite).layer(routes.clone());
    let (counters, names) = (metrics.clone(), bounds.names);
    let calls = service_fn(move |request: hyper::Request<Incoming>| {
        // A thousand calls may have come at once.
        threads::yield_if_due_at(Instant::now());
        let mut request: Request = request.map(|body| Body::new(WithRestDiscarded::new(body, counters.clone(), names)));
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(info.clone());
        // A router is always ready.
        routes.clone().call(request)
    });
    let stream = WithWriteDeadline::new(stream, metrics.clone(), bounds.names.write_time);
    let unanswered = stream.unanswered();
    let stream = TokioIo::new(stream);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_headers(bounds.headers).max_buf_size(bounds.head_bytes);
    let served = http.serve_connection(stream, calls).with_upgrades();
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
            // A browser keeps connections open without a call on them, which is no slow head.
            if unanswered.load(Ordering::Relaxed) {
                metrics.limit(bounds.names.head_time);
            }
            Ok(())
        }
        // It was answered 414 or 431. A head that is a little too large gets through here, and is refused by the routes.
        Err(error) if error.is_parse_too_large() => {
            metrics.limit(bounds.names.head_bytes);
            Ok(())
        }
        ended => ended.map_err(io::Error::other),
    }
}
