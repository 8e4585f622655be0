//! Gives calls to the tracer, if traces are on. A call belongs to the trace that its header `traceparent` names.

use axum::{
    extract::Request,
    http::{HeaderName, Method, StatusCode},
};

use switchbox_support::metrics::Metrics;
use switchbox_telemetry::{Call, PROPERTY};

const TRACEPARENT: HeaderName = HeaderName::from_static(PROPERTY);

/// The call came. `None`: it has no span, as traces are off, or as it only reads and is in no trace of its caller's.
pub(super) fn begins(metrics: &Metrics, request: &Request) -> Option<Call> {
    let traces = metrics.traces.on()?;
    let named = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    (named.is_some() || !reads).then(|| traces.api_call(named))
}

/// It was answered just now. Callers that are not let in make no spans: they could push out those of others.
pub(super) fn ended(metrics: &Metrics, call: Option<Call>, name: &str, status: StatusCode) {
    let let_in = !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    if let (Some(call), Some(traces)) = (call.filter(|_| let_in), metrics.traces.on()) {
        traces.api_answered(call, name, status.as_u16());
    }
}
