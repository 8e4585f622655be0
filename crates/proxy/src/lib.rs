//! Method calls over HTTP, for devices whose registry entry names an endpoint: one POST, one answer. Calls only hosts that the
//! operator listed, at addresses that were checked after they were looked up, and follows no redirect. Never asks the registry
//! and never retries.

mod exchange;
#[cfg(test)]
mod tests;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::Uri;
use tokio::{net::TcpStream, sync::Semaphore};

use switchbox_model::{AllowedHosts, limits};
use switchbox_support::{fd_exhaustion, metrics::Metrics};

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Unique while the host runs.
    pub id: u64,
    /// The device's full name.
    pub device: String,
    pub method: String,
    pub payload: Bytes,
    pub timeout: Duration,
}

/// What the endpoint answered: HTTP's status and body, whatever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 100 to 599.
    pub status: u16,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "{0} is not among the hosts that may be called; list it under methods.allowed-hosts in the host's settings"
    )]
    NotAllowed(String),
    #[error(
        "{0} is a private address ({1}); list the address itself under methods.allowed-hosts in the host's settings"
    )]
    PrivateAddress(String, std::net::IpAddr),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("the answer is larger than {} bytes", limits::METHOD_BYTES)]
    TooLarge,
    #[error("{0} calls over HTTP are under way; no more are taken")]
    Busy(usize),
    #[error("the endpoint does not answer as HTTP says: {0}")]
    Broken(String),
    #[error("{0}")]
    Invalid(String),
}

/// Where calls go out. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    allowed: AllowedHosts,
    places: Semaphore,
    tls: tls::Lazy,
    metrics: Metrics,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("proxy::Handle").field(&self.0.allowed).finish()
    }
}

/// An endpoint's URL, taken apart.
#[derive(Debug)]
struct Endpoint {
    uri: Uri,
    host: String,
    port: u16,
    https: bool,
}

/// Says what is wrong with an endpoint's URL.
pub fn check_url(url: &str) -> Result<(), String> {
    Endpoint::parse(url).map(drop)
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the URL {:?} {what}", url.chars().take(200).collect::<String>());
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("is none: {error}")))?;
        let https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("must not hold a user name or password"));
        }
        let (host, port) = (authority.host().to_owned(), authority.port_u16());
        if host.is_empty() || (port.is_none() && authority.as_str().len() > host.len()) {
            return Err(wrong("has no host, or no number for a port"));
        }
        let port = port.unwrap_or(if https { 443 } else { 80 });
        Ok(Self { uri, host, port, https })
    }

    fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Handle {
    #[must_use]
    pub fn new(allowed: AllowedHosts, metrics: Metrics) -> Self {
        let places = Semaphore::new(limits::PROXY_CALLS);
        Self(Arc::new(Inner { allowed, places, tls: tls::Lazy::default(), metrics }))
    }

    /// Posts the call to the URL.
    pub async fn call(&self, url: &str, call: Call) -> Result<Answer, Error> {
        let result = self.try_call(url, call).await;
        self.0.metrics.proxy_call(match &result {
            Ok(_) => "answered",
            Err(Error::NotAllowed(_) | Error::PrivateAddress(..)) => "not allowed",
            Err(Error::TimedOut(_)) => "timed out",
            Err(Error::Busy(_)) => "busy",
            Err(_) => "failed",
        });
        result
    }

    async fn try_call(&self, url: &str, call: Call) -> Result<Answer, Error> {
        let endpoint = Endpoint::parse(url).map_err(Error::Invalid)?;
        let timeout = call.timeout;
        if !self.0.allowed.names(&endpoint.host, endpoint.port) {
            return Err(Error::NotAllowed(endpoint.place()));
        }
        let Ok(_place) = self.0.places.try_acquire() else {
            self.0.metrics.limit(limits::names::PROXY_CALLS);
            return Err(Error::Busy(limits::PROXY_CALLS));
        };
        let exchange = async {
            let stream = self.connect(&endpoint).await?;
            if endpoint.https {
                let stream = self.0.tls.connect(&endpoint.host, stream).await?;
                exchange::exchange(stream, &endpoint, call).await
            } else {
                exchange::exchange(stream, &endpoint, call).await
            }
        };
        tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(Error::TimedOut(timeout)))
    }

    /// To the very address that was checked: a name that is looked up twice may have two answers.
    async fn connect(&self, endpoint: &Endpoint) -> Result<TcpStream, Error> {
        let unreachable = |error: std::io::Error| Error::Unreachable(endpoint.place(), error.to_string());
        let host = endpoint.host.trim_start_matches('[').trim_end_matches(']');
        // Until the call's time is over.
        let what = "a method call over HTTP";
        let found: Vec<SocketAddr> = fd_exhaustion::retry(what, || tokio::net::lookup_host((host, endpoint.port)))
            .await
            .map_err(unreachable)?
            .collect();
        let mut last = Error::Unreachable(endpoint.place(), "the name has no address".into());
        for address in found {
            if !self.0.allowed.reaches(address.ip(), address.port()) {
                last = Error::PrivateAddress(endpoint.place(), address.ip());
                continue;
            }
            match fd_exhaustion::retry(what, || TcpStream::connect(address)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }
}
