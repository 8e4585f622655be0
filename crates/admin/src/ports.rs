//! The listeners of the API: their options, and their ports, which are bound before anything is served.

use std::{io, net::SocketAddr, path::PathBuf};

use tokio::net::TcpListener;

use switchbox_azure::Hubs;
use switchbox_http_server::{Listener, Tls};
use switchbox_model::PayloadLimits;
use switchbox_settings::AdminAuth;
use switchbox_transport::tls;

/// The listeners of the API, and which calls each of them accepts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 binds a free one.
    pub listen: SocketAddr,
    /// The listener with TLS.
    pub tls: Option<(SocketAddr, tls::Handle)>,
    /// Maximum number of connections.
    pub connections: usize,
    pub auth: AdminAuth,
    /// The data folder, which contains the token.
    pub data: PathBuf,
    /// The watched folder.
    pub plugins: PathBuf,
    /// Origins of web pages that may call.
    pub cors_origins: Vec<String>,
    /// Limits of payloads from devices.
    pub payloads: PayloadLimits,
    /// Maps the hubs of Azure IoT Hub's clients to registries.
    pub hubs: Hubs,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the admin API cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "--admin-auth none is allowed only for a loopback address, and {0} is not one: anyone on that network could control the host"
    )]
    Open(SocketAddr),
    #[error("the admin tokens cannot be read or made: {0}")]
    Token(#[source] io::Error),
    #[error("the audit log cannot be opened: {0}")]
    Audit(#[source] io::Error),
}

/// Ports that are bound but not served yet; the system queues connections until then.
pub struct Ports {
    pub(super) listeners: Vec<Listener>,
    pub(super) address: SocketAddr,
    pub(super) tls_address: Option<SocketAddr>,
}

impl Ports {
    pub async fn bind(options: &Options) -> Result<Self, Error> {
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

async fn listen(address: SocketAddr, tls: Option<tls::Handle>) -> Result<(Listener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let tls = tls.map(|handle| Tls { handle, of_devices: false });
    Ok((Listener { listener, tls }, bound))
}
