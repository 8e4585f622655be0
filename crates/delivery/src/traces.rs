//! Reports the ends of effects to the tracer, if traces are on, and gets from it the `traceparent` that is sent with them.

use std::sync::Arc;

use switchbox_core::ingest::EndedCommand;
use switchbox_model::{Cause, CommandStatus, DeviceName, EffectKey, Message};
use switchbox_store::ConfigVersion;
use switchbox_support::metrics::Metrics;
use switchbox_telemetry::{EffectId, Ended, OperatorEffect, TraceId, Tracer, Traces};

use super::link::Outbound;

/// Ends the span of a config that the device has acknowledged. Returns its trace if it has a span.
pub(super) fn config_acknowledged(metrics: &Metrics, device: &DeviceName, config: &ConfigVersion) -> Option<TraceId> {
    let traces = metrics.traces.on().filter(|traces| may_trace(traces, config))?;
    let key = config.cause.effect_key();
    traces.ended(Ended {
        effect: of_config(key.as_ref(), config),
        device,
        config: Some(config.version),
        from_ms: Some(config.time_ms),
        status: CommandStatus::Acknowledged.as_str(),
        is_error: false,
    })
}

/// Ends the spans of commands.
pub(super) fn commands_ended(metrics: &Metrics, device: &DeviceName, status: CommandStatus, ended: &[EndedCommand]) {
    let Some(traces) = metrics.traces.on() else { return };
    let is_error = matches!(status, CommandStatus::Expired | CommandStatus::Rejected);
    for command in ended.iter().filter(|command| is_error || traces.may_trace_effect(&command.id)) {
        let key = command.id.parse::<EffectKey>().ok();
        let effect = of_command(key.as_ref(), &command.id);
        traces.ended(Ended { effect, device, config: None, from_ms: None, status: status.as_str(), is_error });
    }
}

/// Whether an acknowledged config may be part of a trace.
fn may_trace(traces: &Traces, config: &ConfigVersion) -> bool {
    match &config.cause {
        Cause::Plugin { seq, .. } => traces.may_trace(*seq),
        Cause::Api { .. } => true,
    }
}

/// `key`: the key of a plugin's effect.
fn of_config<'a>(key: Option<&'a EffectKey>, config: &ConfigVersion) -> EffectId<'a> {
    let operator_effect = || OperatorEffect::Config { device: config.device, time_ms: config.time_ms };
    key.map_or_else(|| EffectId::Operator(operator_effect()), EffectId::Plugin)
}

fn of_command<'a>(key: Option<&'a EffectKey>, id: &'a str) -> EffectId<'a> {
    key.map_or(EffectId::Operator(OperatorEffect::Command { id }), EffectId::Plugin)
}

/// The `traceparent` of a delivery to a device. `None` if traces are off, or the delivery belongs to no trace.
#[must_use]
pub fn traceparent(tracer: &Tracer, outbound: &Outbound) -> Option<String> {
    let traces = tracer.on()?;
    match outbound {
        Outbound::Config(config) => {
            if !may_trace(traces, config) {
                return None;
            }
            let key = config.cause.effect_key();
            traces.traceparent(of_config(key.as_ref(), config))
        }
        Outbound::Command(command) => {
            if !traces.may_trace_effect(&command.id) {
                return None;
            }
            let key = command.id.parse::<EffectKey>().ok();
            traces.traceparent(of_command(key.as_ref(), &command.id))
        }
        Outbound::Method(call) => traces.method_traceparent(call.rid),
    }
}

/// The message that a plugin published as this effect, with `traceparent` among its user properties.
pub(super) fn published(tracer: &Tracer, id: &str, message: Arc<Message>) -> Arc<Message> {
    let traces = tracer.on().filter(|traces| traces.may_trace_effect(id));
    let key = traces.and_then(|traces| Some((traces, id.parse::<EffectKey>().ok()?)));
    let Some(property) = key.and_then(|(traces, key)| traces.property(&key)) else { return message };
    let mut message = Arc::unwrap_or_clone(message);
    message.properties.get_or_insert_default().user.push(property);
    Arc::new(message)
}
