//! The API as a service: its state, behind its ports, served until the host stops.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

use tokio_util::sync::CancellationToken;

use super::{
    answers,
    app::{App, AppState, HostHandles},
    audit, bounds, folder, followers,
    ports::{Error, Options, Ports},
    rate, routes, sampling, series, tokens, verb_paths, web,
};
use switchbox_http_server::{Listener, Server};
use switchbox_model::limits;
use switchbox_settings::AdminAuth;
use switchbox_support::{clock, log_limit::LogLimits};

/// Log lines a minute about refusals of one address or one token.
const REFUSALS_LOGGED: u32 = 30;

/// The API, bound to its port.
pub struct Service {
    listeners: Vec<Listener>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    connections: usize,
    app: App,
}

impl Service {
    /// Takes the ports, and reads or makes the token.
    pub async fn bind(options: Options, handles: HostHandles) -> Result<Self, Error> {
        let ports = Ports::bind(&options).await?;
        Self::new(options, ports, handles)
    }

    /// Creates the service with bound ports. Reads or creates the host's own token.
    pub fn new(options: Options, ports: Ports, handles: HostHandles) -> Result<Self, Error> {
        let tokens = match options.auth {
            AdminAuth::Token => Some(tokens::Tokens::load(&options.data).map_err(Error::Token)?),
            AdminAuth::None => None,
        };
        let Ports { listeners, address, tls_address } = ports;
        let app = App::new(AppState {
            folder: folder::Folder::new(options.plugins, handles.authors.clone()),
            tokens,
            rates: rate::Rates::new(limits::ADMIN_CALLERS),
            answers: answers::LargeAnswers::default(),
            audit: audit::Audit::open(&options.data).map_err(Error::Audit)?,
            cors_origins: options.cors_origins.into(),
            payloads: options.payloads,
            hubs: Arc::new(options.hubs),
            ready: Arc::default(),
            followers: followers::Followers::default(),
            series: series::Series::default(),
            started_ms: clock::now_ms(),
            bridge_log_limit: Arc::new(LogLimits::new(REFUSALS_LOGGED)),
            scope_log_limit: Arc::new(LogLimits::new(REFUSALS_LOGGED)),
            stopping: CancellationToken::new(),
            handles,
        });
        Ok(Self { listeners, address, tls_address, connections: options.connections, app })
    }

    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens with TLS.
    #[must_use]
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Set to true when the host is ready, to false when it drains: what `/readyz` says.
    #[must_use]
    pub fn readiness(&self) -> Arc<AtomicBool> {
        self.app.ready.clone()
    }

    /// Serves until `shutdown`, then waits for the calls in progress.
    pub async fn run(self, shutdown: CancellationToken) {
        let (stopping, metrics) = (self.app.stopping.clone(), self.app.handles.counters.clone());
        let tasks = self.app.handles.tasks.clone();
        let origins = self.app.cors_origins.clone();
        let sampling = sampling::run(self.app.series.clone(), self.app.handles.clone(), shutdown.clone());
        let routes = web::guard(routes::routes(self.app), &origins);
        let stop_streams = async {
            shutdown.cancelled().await;
            stopping.cancel();
        };
        let (bounds, rewrite) = (bounds::bounds(self.connections), verb_paths::split_verb as fn(_) -> _);
        let served = Server { bounds, routes, rewrite, metrics }.serve(self.listeners, tasks, shutdown.clone());
        tokio::join!(served, stop_streams, sampling);
    }
}
