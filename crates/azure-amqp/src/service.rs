//! The endpoint: its options, its ports and its run until shutdown.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    context::{Context, Parts},
    feedback_cursor::FeedbackCursors,
    server::{self, Listener},
};
use switchbox_azure::Hubs;
use switchbox_transport::tls;

/// Where the endpoint listens, and into how many partitions it divides the journal.
#[derive(Debug, Clone)]
pub struct Options {
    /// Without TLS.
    pub plain: Option<SocketAddr>,
    pub with_tls: Option<(SocketAddr, tls::Handle)>,
    pub hubs: Hubs,
    pub partitions: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event endpoint cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// Bound ports that are not served yet.
pub struct Ports {
    listeners: Vec<Listener>,
    pub plain: Option<SocketAddr>,
    pub with_tls: Option<SocketAddr>,
    hubs: Hubs,
    partitions: u16,
}

impl Ports {
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let (hubs, partitions) = (options.hubs.clone(), options.partitions);
        let mut ports = Self { listeners: Vec::new(), plain: None, with_tls: None, hubs, partitions };
        if let Some(address) = options.plain {
            ports.plain = Some(ports.listen(address, None).await?);
        }
        if let Some((address, tls)) = &options.with_tls {
            ports.with_tls = Some(ports.listen(*address, Some(tls.clone())).await?);
        }
        Ok(ports)
    }

    async fn listen(&mut self, address: SocketAddr, tls: Option<tls::Handle>) -> Result<SocketAddr, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        self.listeners.push(Listener { listener, tls });
        Ok(bound)
    }
}

/// The endpoint, ready to serve its ports.
pub struct Service {
    ports: Ports,
    parts: Parts,
}

impl Service {
    #[must_use]
    pub fn new(ports: Ports, parts: Parts) -> Self {
        Self { ports, parts }
    }

    /// Serves until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let Ports { listeners, hubs, partitions, .. } = self.ports;
        let feedback = FeedbackCursors::default();
        let context = Context { parts: self.parts, hubs, partitions, feedback, shutdown };
        server::serve(context, listeners).await;
    }
}
