//! The listener: its options, its port and its run until shutdown.

use std::{convert::identity, io, net::SocketAddr};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, HostHandles},
    bounds, routes,
};
use switchbox_azure::Hubs;
use switchbox_http_server::{Listener, Server, Tls};
use switchbox_model::PayloadLimits;
use switchbox_transport::tls;

/// Where the API listens, always with TLS.
#[derive(Debug, Clone)]
pub struct Options {
    pub listen: SocketAddr,
    pub tls: tls::Handle,
    /// Maps host names to registries.
    pub hubs: Hubs,
    /// Maximum sizes of what devices send.
    pub payloads: PayloadLimits,
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
}

impl Ports {
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = Some(Tls { handle: options.tls.clone(), of_devices: true });
        let listener = Listener { listener, tls };
        Ok(Self { listener, address, hubs: options.hubs.clone(), payloads: options.payloads })
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
}

impl Service {
    #[must_use]
    pub fn new(ports: Ports, handles: HostHandles) -> Self {
        Self { listener: ports.listener, app: App::new(handles, ports.hubs, ports.payloads) }
    }

    /// Serves until `shutdown`, then waits for the calls in progress.
    pub async fn run(self, shutdown: CancellationToken) {
        let (metrics, tasks) = (self.app.handles.metrics.clone(), self.app.handles.tasks.clone());
        let server = Server { bounds: bounds::bounds(), routes: routes::routes(self.app), rewrite: identity, metrics };
        server.serve(vec![self.listener], tasks, shutdown).await;
    }
}
