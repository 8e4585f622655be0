//! Reports calls to the tracer, if traces are on. A call belongs to the trace in its header `traceparent`.

use axum::{
    extract::Request,
    http::{HeaderName, Method, StatusCode},
};

use switchbox_support::metrics::Metrics;
use switchbox_telemetry::{Call, PROPERTY};

const TRACEPARENT: HeaderName = HeaderName::from_static(PROPERTY);

/// Begins the span of a call. Returns `None` if traces are off, or if the call only reads and belongs to no trace of its caller.
#[must_use]
pub fn begins(metrics: &Metrics, request: &Request) -> Option<Call> {
    let traces = metrics.traces.on()?;
    let named = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    (named.is_some() || !reads).then(|| traces.api_call(named))
}

/// Ends the span of a call. Refused callers make no spans, because these could displace those of others.
pub fn ended(metrics: &Metrics, call: Option<Call>, name: &str, status: StatusCode) {
    let is_authorised =
        !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    if let (Some(call), Some(traces)) = (call.filter(|_| is_authorised), metrics.traces.on()) {
        traces.api_answered(call, name, status.as_u16());
    }
}
