//! The HTTP API for operators and their programs: Google Cloud IoT Core's resources, and Switchbox's own beside them.
//! Never decides what a change means: it asks the parts of the host that do, and shows what they answer.

mod answers;
mod audit;
mod convert;
mod deadlines;
mod details;
mod edit;
mod error;
mod etag;
mod folder;
mod followers;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod handlers;
mod head;
mod openapi;
mod plugins;
mod rate;
mod reply;
mod routes;
mod scope;
mod server;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod web;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use plugins::{Counters, DeleteError, Later, PluginView, Plugins, RedriveError, TakenBackView, Timers};
use serde::Serialize;
pub use tokens::FILE as TOKEN_FILE;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use switchbox_auth as auth;
use switchbox_core::{explain, ingest, journal, outbox, registry};
use switchbox_delivery as delivery;
use switchbox_model::{PayloadLimits, limits};
use switchbox_settings::AdminAuth;
use switchbox_store as store;
use switchbox_support::{log_limit::LogLimits, metrics::Metrics, tasks::Tasks};
use switchbox_transport::tls;

/// Lines of a log in a minute that tell what one address, or one token, was refused.
const REFUSALS_LOGGED: u32 = 30;

/// Where the API listens and who may call it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 = a free one.
    pub listen: SocketAddr,
    /// Where it listens with TLS as well.
    pub tls: Option<(SocketAddr, tls::Handle)>,
    /// Connections at a time.
    pub connections: usize,
    pub auth: AdminAuth,
    /// The data folder, where the token is.
    pub data: PathBuf,
    /// The watched folder.
    pub plugins: PathBuf,
    /// Web pages that may call, by their origins.
    pub cors_origins: Vec<String>,
    /// How large what devices send may be.
    pub payloads: PayloadLimits,
}

/// The parts of the host that the API speaks for.
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
    /// Those that must live.
    pub tasks: Tasks,
    pub reach: Reach,
    /// The counters in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// Where devices and programs reach the host, for those who are to tell them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    pub mqtt: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wss: Option<String>,
    /// What the host's certificate calls it.
    pub tls_names: Vec<String>,
    /// The certificate of the authority that devices are to trust, on the host's machine, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_authority: Option<PathBuf>,
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
}

/// What every handler sees.
#[derive(Clone)]
struct App {
    parts: Parts,
    folder: folder::Folder,
    /// None: nobody is asked for one.
    tokens: Option<tokens::Tokens>,
    rates: rate::Rates,
    answers: answers::Answers,
    audit: audit::Audit,
    cors_origins: Arc<[String]>,
    payloads: PayloadLimits,
    ready: Arc<AtomicBool>,
    followers: followers::Followers,
    /// Of devices that are not let in over HTTP.
    bridge_log_limit: Arc<LogLimits<IpAddr>>,
    /// Of calls that a token's scope is too narrow for, by the token's name.
    scope_log_limit: Arc<LogLimits<String>>,
    /// Streams that never end by themselves end now.
    stopping: CancellationToken,
}

/// Ports that were taken and are not served yet: the system holds the connections of clients that come meanwhile.
pub struct Ports {
    listeners: Vec<server::Listener>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

impl Ports {
    pub async fn take(options: &Options) -> Result<Self, Error> {
        let with_tls = options.tls.as_ref().map(|(address, _)| *address);
        let reachable = [Some(options.listen), with_tls].into_iter().flatten().find(|at| !at.ip().is_loopback());
        if let (AdminAuth::None, Some(reachable)) = (options.auth, reachable) {
            return Err(Error::Open(reachable));
        }
        let (plain, address) = listen(options.listen, None).await?;
        let (mut listeners, mut tls_address) = (vec![plain], None);
        if let Some((at, tls)) = options.tls.clone() {
            let (listener, address) = listen(at, Some(tls)).await?;
            listeners.push(listener);
            tls_address = Some(address);
        }
        Ok(Self { listeners, address, tls_address })
    }
}

async fn listen(address: SocketAddr, tls: Option<tls::Handle>) -> Result<(server::Listener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((server::Listener { listener, tls }, bound))
}

/// The API, bound to its port.
pub struct Service {
    listeners: Vec<server::Listener>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    connections: usize,
    app: App,
}

impl Service {
    /// Takes the ports, and reads or makes the token.
    pub async fn bind(options: Options, parts: Parts) -> Result<Self, Error> {
        let ports = Ports::take(&options).await?;
        Self::new(options, ports, parts)
    }

    /// Behind ports that were taken for the same options. Reads or makes the token.
    pub fn new(options: Options, ports: Ports, parts: Parts) -> Result<Self, Error> {
        let tokens = match options.auth {
            AdminAuth::Token => Some(tokens::Tokens::load(&options.data).map_err(Error::Token)?),
            AdminAuth::None => None,
        };
        let Ports { listeners, address, tls_address } = ports;
        let app = App {
            folder: folder::Folder::new(options.plugins),
            tokens,
            rates: rate::Rates::new(limits::ADMIN_CALLERS),
            answers: answers::Answers::default(),
            audit: audit::Audit::open(&options.data).map_err(Error::Audit)?,
            cors_origins: options.cors_origins.into(),
            payloads: options.payloads,
            ready: Arc::default(),
            followers: followers::Followers::default(),
            bridge_log_limit: Arc::new(LogLimits::new(REFUSALS_LOGGED)),
            scope_log_limit: Arc::new(LogLimits::new(REFUSALS_LOGGED)),
            stopping: CancellationToken::new(),
            parts,
        };
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

    /// Serves until `shutdown`, then lets the calls under way end.
    pub async fn run(self, shutdown: CancellationToken) {
        let (stopping, metrics) = (self.app.stopping.clone(), self.app.parts.counters.clone());
        let tasks = self.app.parts.tasks.clone();
        let origins = self.app.cors_origins.clone();
        let routes = web::guard(routes::routes(self.app), &origins);
        let stop_streams = async {
            shutdown.cancelled().await;
            stopping.cancel();
        };
        let served = server::serve(self.listeners, self.connections, routes, metrics, tasks, shutdown.clone());
        tokio::join!(served, stop_streams);
    }
}

impl App {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The error of a call about a device that is not there. Where its registry is not there either, it names that.
    fn no_device(&self, name: &switchbox_model::DeviceName) -> error::Error {
        match self.parts.registry.registry(&name.registry) {
            Some(_) => error::Error::not_found(format!("device {name}")),
            None => error::Error::not_found(format!("registry {}", name.registry)),
        }
    }

    /// The name of a device for what is shown of the past; none when it is gone.
    fn name_of(&self, num: switchbox_model::DeviceNum) -> Option<switchbox_model::DeviceName> {
        self.parts.registry.get(num).map(|device| device.name.clone())
    }
}
