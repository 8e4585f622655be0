//! Tries and recordings of plugins, between the words of the admin API and those of `dispatch`.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use switchbox_admin::DryRunError;
use switchbox_admin_api::{
    Int64, PluginRecording, RecordPluginRequest, Time, TryMethodAnswer, TryPluginRequest, TryPluginResponse,
};
use switchbox_dispatch::{Component, RecordError, RecordRequest, TryError, TryRequest, TryResult};
use switchbox_dry_run::{effect::OutcomeLine, event::EventLine, live::MethodAnswer, payload::Payload, sink::Status};
use switchbox_model::{DeviceName, Event, PluginName};
use switchbox_plugin_runtime::PluginSettings;

/// What `dispatch` is to try.
pub(super) fn request(
    asked: TryPluginRequest,
    from_journal: Option<(Event, Option<DeviceName>)>,
) -> Result<TryRequest, DryRunError> {
    let TryPluginRequest { event, component, settings, method_answers, .. } = asked;
    let event = match (from_journal, event) {
        (Some((event, device)), _) => EventLine::of(&event, device.as_ref(), 1),
        (None, event) => serde_json::from_value(Value::Object(event.unwrap_or_default()))
            .map_err(|error| DryRunError::Invalid(format!("event: {error}")))?,
    };
    let settings = settings.map(|text| PluginSettings::parse(&text)).transpose();
    let settings = settings.map_err(|error| DryRunError::Invalid(format!("settings: {error}")))?;
    let component = component.map(|component| Component { origin: "the try".into(), bytes: component.0 });
    Ok(TryRequest { event, component, settings, methods: method_answers.into_iter().map(answer).collect() })
}

fn answer(answer: TryMethodAnswer) -> MethodAnswer {
    let TryMethodAnswer { device, method, status, binary_data } = answer;
    let payload = Payload(binary_data.map_or_else(Bytes::new, |data| data.0));
    MethodAnswer { device, method, status: status.unwrap_or(200), payload }
}

pub(super) fn response(name: &PluginName, result: TryResult) -> TryPluginResponse {
    let (outcome, reason) = match result.outcome {
        OutcomeLine::Done => ("done", None),
        OutcomeLine::Retry(text) => ("retry", Some(text)),
        OutcomeLine::Reject(text) => ("reject", Some(text)),
        OutcomeLine::Failed(text) => ("failed", Some(text)),
    };
    let grants = |granted: bool| {
        let asked = result.grants.iter().filter(|asked| asked.granted == granted);
        asked.map(|asked| format!("{} {}", asked.capability.as_str(), asked.target)).collect()
    };
    TryPluginResponse {
        name: name.to_string(),
        digest: result.digest,
        event: object(&result.event),
        triggered: result.triggered,
        registered: result.registered,
        outcome: outcome.into(),
        reason,
        effects: result.effects.iter().map(object).collect(),
        calls: result.calls.iter().map(object).collect(),
        grants_used: grants(true),
        grants_denied: grants(false),
        logs: result.logs,
        guest_micros: Int64(result.guest_us),
        memory_bytes: Int64(result.memory_bytes as u64),
        limits_hit: result.limits_hit,
    }
}

/// All of them are objects.
fn object(line: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(line) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

pub(super) fn not_tried(error: &TryError) -> DryRunError {
    let text = error.to_string();
    match error {
        TryError::NotRunning(_) | TryError::Prepare(_) => DryRunError::Refused(text),
        TryError::Name(_) => DryRunError::Invalid(text),
    }
}

pub(super) fn record_request(asked: RecordPluginRequest) -> RecordRequest {
    let RecordPluginRequest { seconds, bytes, mask } = asked;
    RecordRequest {
        time: seconds.map(|seconds| Duration::from_secs(seconds.0)),
        max_bytes: bytes.map(|bytes| bytes.0),
        mask,
    }
}

pub(super) fn not_recorded(error: &RecordError) -> DryRunError {
    let text = error.to_string();
    match error {
        RecordError::NotRunning(_) | RecordError::UnderWay(_) | RecordError::TooMany => DryRunError::Refused(text),
        RecordError::Invalid(_) => DryRunError::Invalid(text),
        RecordError::Begin(_) => DryRunError::Failed(text),
    }
}

pub(super) fn recording(status: Status) -> PluginRecording {
    let Status { began_ms, until_ms, executions, skipped, bytes, ended } = status;
    PluginRecording {
        since: Time(began_ms),
        until: until_ms.map(Time),
        executions: Int64(executions),
        skipped: Int64(skipped),
        bytes: Int64(bytes),
        ended,
    }
}
