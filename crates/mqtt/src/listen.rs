//! The MQTT server's listeners: their addresses and transports. Accepted sockets are handed over at once, so a client that is slow to send
//! CONNECT delays no other.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{socket::Socket, web::Origins};
use switchbox_model::limits;
use switchbox_support::{
    log_limit::SiteLimit,
    metrics::Metrics,
    threads::{self, move_listener_here},
};
use switchbox_transport::tls;

/// At most ten such lines a minute are written to the log, with their count.
static NOT_ACCEPTED: SiteLimit = SiteLimit::new(10);

/// The shortest and the longest pause after `accept` failed, for example without a free file descriptor.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// One address to listen on.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    pub listen: SocketAddr,
    /// `None` for a listener without encryption.
    pub tls: Option<tls::Handle>,
    /// MQTT over WebSocket.
    pub web: Option<Origins>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct ListenError {
    addr: SocketAddr,
    source: io::Error,
}

/// Bound ports that are not served yet. The system queues connections meanwhile.
#[derive(Debug)]
pub struct Ports {
    pub(super) sockets: Vec<TcpListener>,
    pub(super) addrs: Vec<SocketAddr>,
}

impl Ports {
    /// The addresses, in the order of the listeners.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

/// Binds the ports of the listeners.
pub async fn bind_ports(listeners: &[ListenerOptions]) -> Result<Ports, ListenError> {
    let (mut sockets, mut addrs) = (Vec::new(), Vec::new());
    for ListenerOptions { listen: addr, .. } in listeners {
        let failed = |source| ListenError { addr: *addr, source };
        let socket = TcpListener::bind(addr).await.map_err(failed)?;
        addrs.push(socket.local_addr().map_err(failed)?);
        sockets.push(socket);
    }
    Ok(Ports { sockets, addrs })
}

/// An accepted socket with its listener.
pub(super) type Arrival = (TcpStream, Arc<ListenerOptions>);

impl ListenerOptions {
    /// Plain MQTT.
    #[must_use]
    pub fn plain(listen: SocketAddr) -> Self {
        Self { listen, tls: None, web: None }
    }

    /// The name of the handshakes before MQTT, for the log.
    pub(super) fn handshakes(&self) -> &'static str {
        match (self.tls.is_some(), self.web.is_some()) {
            (false, false) => "the connection",
            (true, false) => "the TLS handshake",
            (false, true) => "the WebSocket upgrade",
            (true, true) => "the TLS handshake and the WebSocket upgrade",
        }
    }

    /// Does the handshakes before MQTT. The caller limits their time.
    pub(super) async fn open(&self, tcp: TcpStream, metrics: &Metrics) -> io::Result<Socket> {
        let socket = match &self.tls {
            None => Socket::Plain(tcp),
            Some(tls) => Socket::Tls(tls.accept(tcp, self.web.is_some()).await?),
        };
        match self.web {
            None => Ok(socket),
            Some(origins) => socket.upgrade(origins, metrics).await,
        }
    }
}

/// Accepts connections until the receiver is gone.
pub(super) async fn accept(
    listener: TcpListener,
    options: Arc<ListenerOptions>,
    arrivals: mpsc::Sender<Arrival>,
    metrics: Metrics,
) {
    let listener = match move_listener_here(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener does not work: it accepts no connections"),
    };
    let mut back_off = BACK_OFF.0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                back_off = BACK_OFF.0;
                metrics.sockets.inc();
                if arrivals.send((stream, options.clone())).await.is_err() {
                    return;
                }
                threads::yield_if_due();
            }
            Err(error) => {
                metrics.limit(limits::names::ACCEPT);
                if let Some(more) = NOT_ACCEPTED.allow() {
                    tracing::warn!(%error, "a connection was not accepted; waiting {back_off:?}{more}");
                }
                tokio::time::sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}
