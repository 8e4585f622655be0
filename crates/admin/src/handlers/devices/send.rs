//! Configs and method calls that an operator sends.

use std::time::{Duration, Instant};

use axum::Json;

use crate::{
    app::App,
    convert,
    error::{Error, ErrorStatus},
    gate::AdminPrincipal,
    reply::ApiResult,
};
use switchbox_admin_api::{
    Base64, DeviceConfig, Int64, InvokeMethodRequest, InvokeMethodResponse, ModifyCloudToDeviceConfigRequest,
};
use switchbox_core::{outbox::NewConfig, registry::Device};
use switchbox_model::{
    CallRecord, CallResult, Cause, Entry,
    limits::{self, fields},
};
use switchbox_store::ConfigReply;
use switchbox_support::clock;
use switchbox_telemetry as telemetry;

pub(super) async fn config(
    app: &App,
    device: &Device,
    caller: AdminPrincipal,
    request: ModifyCloudToDeviceConfigRequest,
) -> ApiResult<DeviceConfig> {
    let expected = Some(request.version_to_update.0).filter(|version| *version > 0);
    let cause = Cause::Api { caller: caller.0.clone() };
    let config = NewConfig { payload: request.binary_data.0, expected, force: request.force };
    let ConfigReply { version, unchanged } = app.handles.outbox.set_config(device, config, cause).await?;
    let shown = match device.config().filter(|config| config.version == version) {
        Some(config) => Some(convert::config(&config)),
        // A newer version is in force already.
        None => {
            let versions = app.handles.store.configs(device.num, limits::VERSIONS_KEPT).await?;
            versions.iter().find(|config| config.version == version).map(convert::config)
        }
    };
    let shown = shown.unwrap_or_else(|| DeviceConfig { version: Some(Int64(version)), ..DeviceConfig::default() });
    Ok(Json(DeviceConfig { unchanged: unchanged.then_some(true), ..shown }))
}

/// The id of a command or a call, with which it can be explained.
pub(super) fn new_id() -> Result<String, Error> {
    let number = getrandom::u64().map_err(|e| Error::new(ErrorStatus::Internal, e.to_string()))?;
    Ok(format!("api.{number:016x}"))
}

pub(super) async fn method(
    app: &App,
    device: &Device,
    caller: AdminPrincipal,
    invocation: InvokeMethodRequest,
) -> ApiResult<InvokeMethodResponse> {
    let timeout = invocation.timeout.map_or(Duration::from_millis(limits::METHOD_TIMEOUT_MS), |timeout| timeout.0);
    if timeout.is_zero() {
        return Err(Error::invalid("timeout must be more than 0s").of_field("timeout"));
    }
    let secs = timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0);
    fields::METHOD_TIMEOUT.check("timeout", secs).map_err(|error| Error::from(error).of_field("timeout"))?;
    let (id, time_ms, began) = (new_id()?, clock::now_ms(), Instant::now());
    let request = CallRecord::beginning(&invocation.payload.0);
    let traces = app.handles.counters.traces.on();
    let traced = traces.map(|traces| traces.method(&id));
    let called = app.handles.delivery.call(device, &invocation.method, invocation.payload.0, timeout);
    let called = telemetry::within(traced.as_ref().and_then(telemetry::Call::context), called).await;
    if let (Some(traces), Some(traced)) = (traces, traced) {
        traces.method_ended(traced, id.clone(), &device.name, called.as_ref().err().map(ToString::to_string));
    }
    let record = CallRecord {
        id: id.clone(),
        cause: Cause::Api { caller: caller.0.clone() },
        device: device.num,
        method: invocation.method,
        request,
        time_ms,
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        result: match &called {
            Ok(answer) => {
                CallResult::Answered { status: answer.status, payload: CallRecord::beginning(&answer.payload) }
            }
            Err(error) => CallResult::Failed(error.to_string()),
        },
    };
    app.handles.store.submit_unawaited(Entry::Called(vec![record]));
    tracing::info!(target: "audit", who = caller.0, id, "a method was called");
    let answer = called.map_err(|error| Error::from(error).of_call(&id))?;
    Ok(Json(InvokeMethodResponse { id, status: answer.status, payload: Base64(answer.payload) }))
}
