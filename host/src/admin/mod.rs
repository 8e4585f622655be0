//! The HTTP API for operators and their programs: Google Cloud IoT Core's resources, and Switchbox's own beside them.
//! Never decides what a change means: it asks the rooms that do, and shows what they answer.

mod audit;
mod convert;
mod edit;
mod error;
mod folder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod handlers;
mod openapi;
mod plugins;
mod rate;
mod reply;
mod routes;
mod scope;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod web;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{ServiceExt, extract::Request};
pub use plugins::{Counters, Later, PluginView, Plugins, RedriveError, Timers};
pub use tokens::FILE as TOKEN_FILE;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower::{Layer, util::MapRequestLayer};

use crate::{
    auth, delivery, explain, ingest, journal, metrics::Metrics, model::limits, outbox, registry, settings::AdminAuth,
    store,
};

/// Where the API listens and who may call it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 = a free one.
    pub listen: SocketAddr,
    pub auth: AdminAuth,
    /// The data folder, where the token is.
    pub data: PathBuf,
    /// The watched folder.
    pub plugins: PathBuf,
    /// Web pages that may call, by their origins.
    pub cors_origins: Vec<String>,
}

/// The rooms that the API speaks for.
#[derive(Clone)]
pub struct Parts {
    pub registry: registry::Handle,
    pub outbox: outbox::Handle,
    pub delivery: delivery::Handle,
    pub store: store::Handle,
    pub journal: journal::Handle,
    pub explain: explain::Handle,
    pub plugins: Arc<dyn Plugins>,
    /// For devices that speak HTTP.
    pub auth: auth::Handle,
    pub ingest: ingest::Handle,
    pub counters: Metrics,
    /// The counters in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the admin API cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("--admin-auth none is only for a loopback address, and {0} is none: anybody there could run the host")]
    Open(SocketAddr),
    #[error("the admin tokens cannot be read or made: {0}")]
    Token(#[source] io::Error),
    #[error("the audit log cannot be opened: {0}")]
    Audit(#[source] io::Error),
    #[error("the admin API stopped: {0}")]
    Serve(#[source] io::Error),
}

/// What every handler sees.
#[derive(Clone)]
struct App {
    parts: Parts,
    folder: folder::Folder,
    /// None: nobody is asked for one.
    tokens: Option<tokens::Tokens>,
    rates: rate::Rates,
    audit: audit::Audit,
    cors_origins: Arc<[String]>,
    ready: Arc<AtomicBool>,
    /// One permit for each who may follow the events.
    followers: Arc<Semaphore>,
    /// Streams that never end by themselves end now.
    stopping: CancellationToken,
}

/// The API, bound to its port.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
}

impl Service {
    /// Takes the port, and reads or makes the token.
    pub async fn bind(options: Options, parts: Parts) -> Result<Self, Error> {
        let listen = options.listen;
        let tokens = match options.auth {
            AdminAuth::Token => Some(tokens::Tokens::load(&options.data).map_err(Error::Token)?),
            AdminAuth::None if listen.ip().is_loopback() => None,
            AdminAuth::None => return Err(Error::Open(listen)),
        };
        let failed = |source| Error::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = App {
            folder: folder::Folder(options.plugins),
            tokens,
            rates: rate::Rates::default(),
            audit: audit::Audit::open(&options.data).map_err(Error::Audit)?,
            cors_origins: options.cors_origins.into(),
            ready: Arc::default(),
            followers: Arc::new(Semaphore::new(limits::FOLLOWERS)),
            stopping: CancellationToken::new(),
            parts,
        };
        Ok(Self { listener, address, app })
    }

    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Set to true when the host is ready, to false when it drains: what `/readyz` says.
    #[must_use]
    pub fn readiness(&self) -> Arc<AtomicBool> {
        self.app.ready.clone()
    }

    /// Serves until `shutdown`, then lets the calls under way end.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (stopping, origins) = (self.app.stopping.clone(), self.app.cors_origins.clone());
        let routes = web::guard(routes::routes(self.app), &origins);
        let routes = MapRequestLayer::new(routes::split_verb).layer(routes);
        let routes = ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(routes);
        let serve = axum::serve(self.listener, routes).with_graceful_shutdown(async move {
            shutdown.cancelled().await;
            stopping.cancel();
        });
        serve.await.map_err(Error::Serve)
    }
}

impl App {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The name of a device for what is shown of the past; none when it is gone.
    fn name_of(&self, num: crate::model::DeviceNum) -> Option<crate::model::DeviceName> {
        self.parts.registry.get(num).map(|device| device.name.clone())
    }
}
