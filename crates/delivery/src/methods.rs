//! Method calls: a request to one device, whose answer goes back to the caller. Calls are not stored: a call that cannot be sent
//! now fails now, and an answer without a waiting call is dropped.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    handle::Handle,
    link::{DownlinkKind, OutboundCall},
    online::Online,
    online_device::OnlineDevice,
    waiting_calls::{NoResponse, Response, WaitingCallGuard},
};
use switchbox_core::registry::Device;
use switchbox_model::{
    calls,
    limits::{self, TooMuch, fields},
    registry::MethodEndpoint,
};
use switchbox_proxy as proxy;
use switchbox_telemetry as telemetry;

/// Why a method call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("{0} is not connected")]
    Offline(String),
    #[error("{0} does not subscribe to method calls")]
    NotSubscribed(String),
    #[error("{0} did not answer within {1:?}")]
    TimedOut(String, Duration),
    #[error("{0} has {1} method calls waiting; no more are accepted")]
    Busy(String, usize),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// The device's endpoint is not among the hosts that may be called.
    #[error("{0}")]
    NotAllowed(String),
    /// The device's endpoint could not be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The device's endpoint gave no valid answer.
    #[error("{0}")]
    Broken(String),
    #[error("{0} refused the call, or the call is larger than the device takes")]
    Refused(String),
    #[error("{0} answered with status {1}, which is not 0 to 65535")]
    Status(String, i64),
}

impl Handle {
    /// Calls a method and waits for the device's answer.
    pub async fn call(
        &self,
        device: &Device,
        name: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        check_call(name, &payload)?;
        let device_name = || device.name.to_string();
        if let Some(endpoint) = device.endpoint() {
            return self.call_endpoint(device, &endpoint, name, payload, timeout).await;
        }
        let online_device = self.online_device(device.num).ok_or_else(|| CallError::Offline(device_name()))?;
        if !online_device.is_subscribed(DownlinkKind::Methods) {
            return Err(CallError::NotSubscribed(device_name()));
        }
        let readable = online_device.link.check_call(&payload);
        readable.map_err(|why| CallError::Invalid(format!("{}: {why}", device_name())))?;
        self.call_connected(&online_device, name, payload, timeout).await
    }

    async fn call_endpoint(
        &self,
        device: &Device,
        endpoint: &MethodEndpoint,
        name: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let device_name = device.name.to_string();
        let Some(proxy) = self.inner.proxy.get() else { return Err(CallError::Offline(device_name)) };
        let id = self.inner.calls.next_rid.fetch_add(1, Ordering::Relaxed);
        let traceparent = telemetry::current_traceparent();
        let call =
            proxy::Call { id, device: device_name.clone(), method: name.to_owned(), payload, timeout, traceparent };
        let answer = proxy.call(&endpoint.url, call).await;
        let answer = answer.map_err(|error| endpoint_error(device_name, error))?;
        Ok(Response { status: answer.status, payload: answer.body })
    }

    /// Sets the proxy that calls methods of devices with an endpoint. Has to be called once, before the first call.
    pub fn set_proxy(&self, proxy: proxy::Handle) {
        let _ = self.inner.proxy.set(proxy);
    }

    /// Returns why method calls to an endpoint of this URL would fail; `None` if none is known.
    #[must_use]
    pub fn endpoint_problem(&self, url: &str) -> Option<String> {
        self.inner.proxy.get()?.endpoint_problem(url)
    }

    async fn call_connected(
        &self,
        online_device: &OnlineDevice,
        name: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let device_name = || online_device.device.name.to_string();
        let rid = self.inner.calls.next_rid.fetch_add(1, Ordering::Relaxed);
        let waiting = &online_device.calls;
        let answer = waiting.begin(rid).ok_or_else(|| CallError::Busy(device_name(), limits::METHODS_IN_FLIGHT))?;
        let _guard = WaitingCallGuard { waiting, rid };
        if let Some(traces) = self.inner.metrics.traces.on() {
            traces.method_goes_out(rid);
        }
        let expires = Instant::now() + timeout;
        if !online_device.link.deliver(OutboundCall { rid, name: name.into(), payload, expires }.into()) {
            return Err(CallError::Busy(device_name(), limits::SESSION_QUEUE));
        }
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(NoResponse::Refused))) => Err(CallError::Refused(device_name())),
            Ok(Ok(Err(NoResponse::Status(status)))) => Err(CallError::Status(device_name(), status)),
            Ok(Err(_)) => Err(CallError::Offline(device_name())),
            Err(_) => Err(CallError::TimedOut(device_name(), timeout)),
        }
    }

    /// How many answers came when no call waited for them.
    #[must_use]
    pub fn late_answers(&self) -> u64 {
        self.inner.calls.late.load(Ordering::Relaxed)
    }
}

fn endpoint_error(device_name: String, error: proxy::Error) -> CallError {
    use proxy::Error;
    let text = format!("{device_name}: {error}");
    match error {
        Error::TimedOut(timeout) => CallError::TimedOut(device_name, timeout),
        Error::Busy(most) => CallError::Busy("the host".into(), most),
        Error::NotAllowed(_) | Error::PrivateAddress(..) => CallError::NotAllowed(text),
        Error::Unreachable(..) => CallError::Unreachable(text),
        Error::TooLarge | Error::HeadTooLarge | Error::Broken(_) | Error::Invalid(_) => CallError::Broken(text),
    }
}

fn check_call(name: &str, payload: &[u8]) -> Result<(), CallError> {
    fields::METHOD_NAME.check_len("a method's name", name.len())?;
    calls::method_name(name).map_err(|refusal| CallError::Invalid(refusal.to_string()))?;
    Ok(fields::METHOD.check_len("method payload", payload.len())?)
}

impl Online {
    /// Gives the device's answer to the waiting method call, which fails if the status does not fit a response. Returns false, and counts
    /// it, if no call waits for it.
    pub fn answer(&self, rid: u64, status: i64, payload: Bytes) -> bool {
        let response = match u16::try_from(status) {
            Ok(status) => Ok(Response { status, payload }),
            Err(_) => Err(NoResponse::Status(status)),
        };
        let waited = self.online_device.calls.answer(rid, response);
        if !waited {
            let device = &self.online_device.device;
            self.inner.calls.record_late(device.num, &device.name, rid);
        }
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_endpoint_says_becomes_what_the_caller_reads() {
        use switchbox_proxy::Error;
        let name = || "lamp-1".to_owned();
        let second = Duration::from_secs(1);
        for (error, expect) in [
            (Error::TimedOut(second), CallError::TimedOut(name(), second)),
            (
                Error::NotAllowed("x:80".into()),
                CallError::NotAllowed(format!("lamp-1: {}", Error::NotAllowed("x:80".into()))),
            ),
            (Error::TooLarge, CallError::Broken("lamp-1: the answer is larger than 262144 bytes".into())),
            (
                Error::Unreachable("x:80".into(), "refused".into()),
                CallError::Unreachable("lamp-1: x:80 cannot be reached: refused".into()),
            ),
        ] {
            assert_eq!(endpoint_error(name(), error), expect);
        }
    }

    #[test]
    fn a_call_has_a_name_and_a_payload_that_fit() {
        for (name, bytes, valid) in [
            ("dim", 0, true),
            ("dim", limits::METHOD_BYTES, true),
            ("dim", limits::METHOD_BYTES + 1, false),
            ("a/b", 0, false),
        ] {
            assert_eq!(check_call(name, &vec![0; bytes]).is_ok(), valid, "{name} with {bytes} bytes");
        }
    }
}
