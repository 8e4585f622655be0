//! The listener: its options, its port and its run until shutdown.

use std::{convert::identity, io, net::SocketAddr, sync::Arc};

use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, AppState},
    bounds, routes,
};
use switchbox_azure::Hubs;
use switchbox_azure_amqp::{Endpoint, HostHandles};
use switchbox_files as files;
use switchbox_http_server::{Listener, Server, Tls};
use switchbox_model::{PayloadLimits, limits};
use switchbox_transport::{admission, tls};

/// Where the API listens, always with TLS.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    pub tls: tls::Handle,
    /// Maps host names to registries.
    pub hubs: Hubs,
    /// Maximum sizes of what devices send.
    pub payloads: PayloadLimits,
    /// Connections at a time.
    pub connections: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the hub's API cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A bound port that is not served yet.
pub struct Ports {
    listener: Listener,
    address: SocketAddr,
    hubs: Hubs,
    payloads: PayloadLimits,
    connections: usize,
}

impl Ports {
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = Some(Tls { handle: options.tls.clone(), of_devices: true });
        let listener = Listener { listener, tls };
        let Options { hubs, payloads, connections, .. } = options;
        Ok(Self { listener, address, hubs: hubs.clone(), payloads: *payloads, connections: *connections })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The API, ready to serve its port.
pub struct Service {
    listener: Listener,
    app: App,
    connections: usize,
}

impl Service {
    #[must_use]
    pub fn new(ports: Ports, handles: HostHandles, files: files::Handle, amqp: Endpoint) -> Self {
        let Ports { listener, hubs, payloads, connections, .. } = ports;
        let rates = admission::Rates::new(limits::ADMIN_CALLERS);
        let queries = Arc::new(Semaphore::new(limits::HUB_QUERIES));
        let app = App::new(AppState { handles, files, amqp, hubs, payloads, rates, queries });
        Self { listener, app, connections }
    }

    /// Serves until `shutdown`, then waits for the calls in progress.
    pub async fn run(self, shutdown: CancellationToken) {
        let (metrics, tasks) = (self.app.handles.metrics.clone(), self.app.handles.tasks.clone());
        let bounds = bounds::bounds(self.connections);
        let server = Server { bounds, routes: routes::routes(self.app), rewrite: identity, metrics };
        server.serve(vec![self.listener], tasks, shutdown).await;
    }
}
