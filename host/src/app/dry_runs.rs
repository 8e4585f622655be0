//! Tries, recordings and shadows of plugins, between the words of the admin API and those of `dispatch`.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use switchbox_admin::DryRunError;
use switchbox_admin_api::{
    Approval, CanaryPluginRequest, Int64, PluginCanary, PluginRecording, PluginShadow, RecordPluginRequest,
    ShadowExample, ShadowPluginRequest, Time, TryMethodAnswer, TryPluginRequest, TryPluginResponse,
};
use switchbox_dispatch::{
    CanaryRequest, Component, RecordError, RecordRequest, ShadowError, ShadowRequest, ShadowStatus, TryError,
    TryRequest, TryResult,
};
use switchbox_dry_run::{effect::OutcomeLine, event::EventLine, live::MethodAnswer, payload::Payload, sink::Status};
use switchbox_model::{DeviceName, Event, PluginName};
use switchbox_plugin_runtime::{CanaryStatus, PluginSettings};

/// What `dispatch` is to try.
pub(super) fn request(
    request: TryPluginRequest,
    from_journal: Option<(Event, Option<DeviceName>)>,
) -> Result<TryRequest, DryRunError> {
    let TryPluginRequest { event, component, settings, method_answers, .. } = request;
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
        let matching = result.grants.iter().filter(|grant| grant.granted == granted);
        matching.map(|grant| format!("{} {}", grant.capability.as_str(), grant.target)).collect()
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
        approval: result.approval,
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

pub(super) fn record_request(request: RecordPluginRequest) -> RecordRequest {
    let RecordPluginRequest { seconds, bytes, mask } = request;
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

pub(super) fn shadow_request(request: ShadowPluginRequest) -> Result<ShadowRequest, DryRunError> {
    let ShadowPluginRequest { component, settings, share } = request;
    let settings = settings.map(|text| PluginSettings::parse(&text)).transpose();
    let settings = settings.map_err(|error| DryRunError::Invalid(format!("settings: {error}")))?;
    let component = component.map(|component| Component { origin: "the candidate".into(), bytes: component.0 });
    Ok(ShadowRequest { component, settings, share })
}

pub(super) fn canary_request(request: CanaryPluginRequest) -> Result<CanaryRequest, DryRunError> {
    let CanaryPluginRequest { component, settings, share, devices } = request;
    let settings = match settings {
        None => None,
        Some(text) => match PluginSettings::parse(&text) {
            Ok(settings) => Some((settings, text)),
            Err(error) => return Err(DryRunError::Invalid(format!("settings: {error}"))),
        },
    };
    let component = component.map(|component| Component { origin: "the candidate".into(), bytes: component.0 });
    Ok(CanaryRequest { component, settings, share, devices })
}

pub(super) fn canary(status: CanaryStatus) -> PluginCanary {
    PluginCanary {
        digest: status.digest,
        since: Time(status.since_ms),
        ended_time: status.ended.as_ref().map(|end| Time(end.time_ms)),
        ended_by_guard: status.ended.as_ref().is_some_and(|end| end.by_guard),
        ended_by_event: status.ended.as_ref().and_then(|end| end.event).map(|event| Int64(event.0)),
        ended: status.ended.map(|end| end.why),
        share: status.share,
        devices: status.devices,
        events: Int64(status.events),
        traps: Int64(status.traps),
        errors: Int64(status.errors),
        dead_letters: Int64(status.dead_letters),
        median_micros: Int64(status.median_us),
        in_force_median_micros: Int64(status.in_force_median_us),
    }
}

pub(super) fn not_shadowed(error: &ShadowError) -> DryRunError {
    let text = error.to_string();
    match error {
        ShadowError::Invalid(_) => DryRunError::Invalid(text),
        ShadowError::NotRunning(_)
        | ShadowError::AlreadyRunning(_)
        | ShadowError::HasCanary(_)
        | ShadowError::TooMany
        | ShadowError::NeedsConsent
        | ShadowError::Prepare(_) => DryRunError::Refused(text),
    }
}

pub(super) fn shadow(status: ShadowStatus) -> PluginShadow {
    let ShadowStatus { digest, since_ms, share, dropped, queued, ended, report } = status;
    let mean = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX) / report.events.max(1);
    let example = |example: &switchbox_dry_run::shadow_report::Example| ShadowExample {
        event: Int64(example.event),
        device: example.device.clone(),
        kind: example.kind.clone(),
        differs: example.differs.clone(),
    };
    PluginShadow {
        digest,
        since: Time(since_ms),
        ended,
        share,
        events: Int64(report.events),
        equal: Int64(report.equal),
        different: Int64(report.different),
        only_old: Int64(report.only_old),
        only_new: Int64(report.only_new),
        errors: Int64(report.errors),
        dropped: Int64(dropped),
        queued: Int64(queued as u64),
        old_micros: Int64(mean(report.old_time)),
        new_micros: Int64(mean(report.new_time)),
        memory_bytes: Int64(report.memory_bytes as u64),
        examples: report.examples.iter().map(example).collect(),
        kinds: report.kinds,
    }
}

pub(super) fn approval(waiting: switchbox_dispatch::Approval) -> Approval {
    Approval {
        id: waiting.id(),
        plugin: waiting.plugin.to_string(),
        event: Int64(waiting.seq.0),
        device: Some(waiting.device).filter(|device| !device.is_empty()),
        digest: waiting.digest,
        since: Time(waiting.since_ms),
        why: waiting.why,
        targets: waiting.targets,
        effects: waiting.effects.iter().map(object).collect(),
        effect_count: waiting.effect_count,
    }
}
