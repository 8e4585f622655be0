//! Direct methods: a call of a device's method, and its answer.

use std::time::{Duration, Instant};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    app::{App, Caller},
    body::Body,
    error::ServiceError,
    members::{on_one_line, raw},
};
use switchbox_core::registry::Device;
use switchbox_delivery::DownlinkKind;
use switchbox_model::{CallRecord, CallResult, Entry, limits::fields};
use switchbox_support::clock;

/// Response timeout, in seconds, if the caller gives none.
const TIMEOUT: u64 = 30;
/// How often a call checks whether the device is connected.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MethodIn {
    method_name: Option<String>,
    payload: Option<Box<RawValue>>,
    response_timeout_in_seconds: Option<u64>,
    connect_timeout_in_seconds: Option<u64>,
}

/// The payloads of a method keep the text of their values.
#[derive(Debug, Serialize)]
pub(crate) struct MethodOut {
    status: u16,
    payload: Box<RawValue>,
}

pub(crate) async fn invoke(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(requested): Body<MethodIn>,
) -> Result<Json<MethodOut>, ServiceError> {
    let device = app.find(&caller, &id)?;
    let name = requested.method_name.ok_or_else(|| ServiceError::invalid("methodName is missing"))?;
    let answer_secs = requested.response_timeout_in_seconds.unwrap_or(TIMEOUT);
    let connect_secs = requested.connect_timeout_in_seconds.unwrap_or(0);
    fields::METHOD_TIMEOUT.check("responseTimeoutInSeconds", answer_secs)?;
    fields::METHOD_TIMEOUT.check("connectTimeoutInSeconds", connect_secs)?;
    if answer_secs == 0 {
        return Err(ServiceError::invalid("responseTimeoutInSeconds must be more than 0"));
    }
    wait_until_callable(&app, &device, Duration::from_secs(connect_secs)).await;
    let payload = on_one_line(requested.payload.as_deref().map_or("null", RawValue::get));
    let payload = payload.map_err(|problem| ServiceError::invalid(format!("payload: {problem}")))?;
    let payload = Bytes::from(payload);
    let (time_ms, began, request) = (clock::now_ms(), Instant::now(), CallRecord::beginning(&payload));
    let called = app.handles.delivery.call(&device, &name, payload, Duration::from_secs(answer_secs)).await;
    let result = match &called {
        Ok(answer) => CallResult::Answered { status: answer.status, payload: CallRecord::beginning(&answer.payload) },
        Err(error) => CallResult::Failed(error.to_string()),
    };
    let number = getrandom::u64().map_err(|error| ServiceError::invalid(error.to_string()))?;
    app.handles.store.submit_unawaited(Entry::Called(vec![CallRecord {
        id: format!("api.{number:016x}"),
        cause: caller.cause(),
        device: device.num,
        method: name,
        request,
        time_ms,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        result,
    }]));
    let answer = called?;
    Ok(Json(MethodOut { status: answer.status, payload: json_of(&answer.payload) }))
}

/// Waits until the device accepts calls, or the time is over. A device with an HTTP endpoint accepts calls at any time.
async fn wait_until_callable(app: &App, device: &Device, max: Duration) {
    let until = Instant::now() + max;
    while device.endpoint().is_none()
        && !app.handles.delivery.is_subscribed(device.num, DownlinkKind::Methods)
        && Instant::now() < until
    {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A device may answer with any bytes; those that are not JSON become a string.
fn json_of(payload: &[u8]) -> Box<RawValue> {
    if payload.trim_ascii().is_empty() {
        return raw(&());
    }
    serde_json::from_slice(payload).unwrap_or_else(|_| raw(&String::from_utf8_lossy(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_digits_and_what_is_not_json_is_a_string() {
        for (payload, expect) in [
            (r#"{"n":12345678901234567890123,"e":1e400}"#, r#"{"n":12345678901234567890123,"e":1e400}"#),
            (" ", "null"),
            ("ok", r#""ok""#),
        ] {
            assert_eq!(json_of(payload.as_bytes()).get(), expect);
        }
    }
}
