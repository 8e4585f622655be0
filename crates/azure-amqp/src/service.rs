//! The endpoint: its options, its ports and its run until shutdown.

use std::{
    fmt::Debug,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

use crate::{
    authorization::TlsClient,
    connection::{self, Peer},
    context::{Context, HostHandles},
    feedback_cursor::FeedbackCursors,
    journal_reads::JournalReads,
    server::{self, Listener},
};
use switchbox_azure::Hubs;
use switchbox_model::PayloadLimits;
use switchbox_transport::{admission::ConnectionPermit, tls};

/// Where the endpoint listens.
#[derive(Debug, Clone)]
pub struct Options {
    /// Without TLS.
    pub plain: Option<SocketAddr>,
    pub with_tls: Option<(SocketAddr, tls::Handle)>,
    /// Connections at a time.
    pub connections: usize,
}

/// The file in the data folder with the position up to which feedback was accepted.
const FEEDBACK_FILE: &str = "hub-feedback.json";

/// What the endpoint is set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Maps host names to registries.
    pub hubs: Hubs,
    pub partitions: u16,
    /// Maximum sizes of what devices send.
    pub payloads: PayloadLimits,
    /// The data folder.
    pub data: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the event endpoint cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// Bound ports that are not served yet.
pub struct Ports {
    listeners: Vec<Listener>,
    connections: usize,
    pub plain: Option<SocketAddr>,
    pub with_tls: Option<SocketAddr>,
}

impl Ports {
    pub async fn bind(options: &Options) -> Result<Self, Error> {
        let connections = options.connections;
        let mut ports = Self { listeners: Vec::new(), connections, plain: None, with_tls: None };
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

/// The endpoint for all its connections, whatever they come by. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Context);

impl Endpoint {
    /// Its connections end at `shutdown`.
    #[must_use]
    pub fn new(handles: HostHandles, settings: Settings, shutdown: CancellationToken) -> Self {
        let Settings { hubs, partitions, payloads, data } = settings;
        let feedback = FeedbackCursors::open(data.join(FEEDBACK_FILE));
        let journal = JournalReads::new(handles.store.clone());
        Self(Context { handles, journal, hubs, partitions, payloads, feedback, shutdown })
    }

    /// Serves its own ports until the shutdown.
    pub async fn run(self, ports: Ports) {
        server::serve(self.0, ports.listeners, ports.connections).await;
    }

    /// Serves one connection that came in elsewhere. `host` is the name that the client called, `certificates` are those that it showed.
    pub async fn serve<S>(
        &self,
        stream: S,
        address: IpAddr,
        host: &str,
        certificates: &[CertificateDer<'static>],
        permit: &ConnectionPermit,
    ) where
        S: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static,
    {
        let tls = TlsClient { certificates: certificates.to_vec(), host: host.to_owned() };
        let peer = Peer { address, tls, permit };
        connection::serve(self.0.clone(), stream, peer).await;
    }
}
