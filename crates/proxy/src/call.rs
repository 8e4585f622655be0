//! A call, its answer, and its errors.

use std::time::Duration;

use bytes::Bytes;

use switchbox_model::limits;

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
    /// For the header of this name.
    pub traceparent: Option<String>,
}

/// What the endpoint answered: HTTP's status and body, whatever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    pub body: Bytes,
}

/// Why a call has no answer.
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
    #[error("the head of the answer is larger than {} bytes", limits::ENDPOINT_HEAD_BYTES)]
    HeadTooLarge,
    #[error("{0} calls over HTTP are under way; no more are accepted")]
    Busy(usize),
    #[error("the endpoint's answer is not valid HTTP: {0}")]
    Broken(String),
    #[error("{0}")]
    Invalid(String),
}
