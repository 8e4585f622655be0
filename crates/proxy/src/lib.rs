//! Method calls over HTTP, for devices whose registry entry names an endpoint: one POST, one answer. Calls only hosts that the
//! operator listed, at addresses that were checked after they were looked up, and follows no redirect. Never asks the registry
//! and never retries.

mod call;
mod endpoint;
mod exchange;
#[cfg(test)]
mod tests;
mod tls;

use std::{net::SocketAddr, sync::Arc};

use tokio::{net::TcpStream, sync::Semaphore};

use self::endpoint::Endpoint;
pub use self::{
    call::{Call, Error, Response},
    endpoint::check_url,
};
use switchbox_model::{AllowedHosts, limits};
use switchbox_support::{fd_exhaustion, metrics::Metrics};

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

impl Handle {
    #[must_use]
    pub fn new(allowed: AllowedHosts, metrics: Metrics) -> Self {
        let places = Semaphore::new(limits::PROXY_CALLS);
        Self(Arc::new(Inner { allowed, places, tls: tls::Lazy::default(), metrics }))
    }

    /// Why no call to this URL is made.
    #[must_use]
    pub fn endpoint_problem(&self, url: &str) -> Option<String> {
        let endpoint = Endpoint::parse(url).ok()?;
        let listed = self.0.allowed.names(&endpoint.host, endpoint.port);
        (!listed).then(|| Error::NotAllowed(endpoint.place()).to_string())
    }

    /// Posts the call to the URL.
    pub async fn call(&self, url: &str, call: Call) -> Result<Response, Error> {
        let result = self.try_call(url, call).await;
        match &result {
            Err(Error::TooLarge) => self.0.metrics.limit(limits::names::METHOD_BYTES),
            Err(Error::HeadTooLarge) => self.0.metrics.limit(limits::names::ENDPOINT_HEAD_BYTES),
            _ => {}
        }
        self.0.metrics.proxy_call(match &result {
            Ok(_) => "answered",
            Err(Error::NotAllowed(_) | Error::PrivateAddress(..)) => "not allowed",
            Err(Error::TimedOut(_)) => "timed out",
            Err(Error::Busy(_)) => "busy",
            Err(_) => "failed",
        });
        result
    }

    async fn try_call(&self, url: &str, call: Call) -> Result<Response, Error> {
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
