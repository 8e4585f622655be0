//! Test cases as files: the events that a plugin gets, the world in which it gets them, and what it is expected to do. Runs a case
//! in the sandbox of a host, with its grants and limits; reads and writes no files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    call::HostCall,
    compare::{self, EffectDifference},
    effect::{EffectLine, OutcomeLine, effects_of},
    event::{EventLine, SandboxEvent},
    recorder::Recorder,
    world::{CaseWorld, WorldLine},
};
use switchbox_model::{EventData, InvalidName, PluginName};
use switchbox_plugin_runtime::{
    Call, CallError, Component, EffectiveGrants, PluginSettings, Setup, Triggers, host::Host,
};

/// A case, as `NAME.json` describes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The plugin's own settings, in the place of those of its settings file.
    #[serde(default)]
    pub settings: Option<Value>,
    #[serde(default)]
    pub world: WorldLine,
    pub events: Vec<EventLine>,
}

/// The result of one event of a case: an element of `NAME.expected.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventResult {
    /// `None` if the plugin's triggers do not match the event; it is not handled then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeLine>,
    #[serde(default)]
    pub effects: Vec<EffectLine>,
    /// The methods that were called, with their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<HostCall>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Component(#[from] CallError),
    #[error("{0}")]
    Name(#[from] InvalidName),
    #[error("{0}")]
    Settings(String),
}

/// Runs a case. Returns the result of each event, in order.
///
/// # Errors
///
/// The component does not start with these settings, or a device's name is not valid.
pub async fn run(
    component: &Component,
    name: &PluginName,
    settings: &PluginSettings,
    case: Case,
) -> Result<Vec<EventResult>, Error> {
    let own = case.settings.as_ref().or(settings.settings.as_ref());
    let text = own.map_or_else(|| "{}".to_owned(), ToString::to_string);
    let description = component.describe(&text).await?;
    let grants = EffectiveGrants::new(&description.grants, settings.grants.as_ref()).map_err(Error::Settings)?;
    let triggers = settings.triggers.as_ref().unwrap_or(&description.triggers);
    let triggers = Triggers::new(triggers).map_err(Error::Settings)?;
    let setup = Setup { name: name.clone(), settings: text, limits: settings.limits.clone(), grants };
    let setup = Arc::new(setup);
    let world = Arc::new(CaseWorld::new(case.world)?);
    let recorder = Arc::new(Recorder::new(world.clone()));
    let host: Arc<dyn Host> = recorder.clone();
    let (mut instance, mut actual) = (None, Vec::new());
    for (number, event) in (1..).zip(case.events) {
        let SandboxEvent { event: sandbox_event, device, attempt } = event.nth(number).for_sandbox(name)?;
        let id = device.as_ref().map_or("", |device| device.id.as_str());
        // A plugin sees its own timers, whatever its triggers are.
        let is_timer = matches!(sandbox_event.data, EventData::Timer { .. });
        if !is_timer && !triggers.match_event(&sandbox_event.data, id) {
            actual.push(EventResult { outcome: None, effects: Vec::new(), methods: Vec::new() });
            continue;
        }
        let running = match instance.take().filter(|good: &switchbox_plugin_runtime::Instance| !good.poisoned()) {
            Some(good) => good,
            None => component.start_at(setup.clone(), host.clone(), sandbox_event.time_ms).await?,
        };
        let _ = recorder.take();
        let running = instance.insert(running);
        let execution = running.handle(Call { event: &sandbox_event, device: device.as_ref(), attempt }).await;
        world.apply(&execution);
        let methods = recorder.take().calls.into_iter().filter(|call| matches!(call, HostCall::Method { .. }));
        actual.push(EventResult {
            outcome: Some(OutcomeLine::of(&execution.verdict)),
            effects: effects_of(&execution, &|num| world.name(num)),
            methods: methods.collect(),
        });
    }
    Ok(actual)
}

/// The differences between the results and the expected ones; empty if there are none. JSON payloads are compared as JSON.
#[must_use]
pub fn differences(expected: &[EventResult], actual: &[EventResult]) -> Vec<String> {
    let mut found = Vec::new();
    for at in 0..expected.len().max(actual.len()) {
        let number = at + 1;
        match (expected.get(at), actual.get(at)) {
            (Some(expected), Some(actual)) => compare_event(number, expected, actual, &mut found),
            (Some(_), None) => found.push(format!("event {number}: it is expected, and the case has no such event")),
            (None, _) => found.push(format!("event {number}: nothing is said of what is expected")),
        }
    }
    found
}

fn compare_event(number: usize, expected: &EventResult, actual: &EventResult, found: &mut Vec<String>) {
    let outcome =
        |actual: &EventResult| actual.outcome.as_ref().map_or_else(|| "not seen".to_owned(), OutcomeLine::to_text);
    if expected.outcome != actual.outcome {
        found.push(format!("event {number}: expected {}, was {}", outcome(expected), outcome(actual)));
    }
    let equal = |wanted: &EffectLine, got: &EffectLine| wanted.readable() == got.readable();
    for EffectDifference { number: effect, was, is } in compare::effects_by(&expected.effects, &actual.effects, equal) {
        let shown = |effect: Option<EffectLine>| effect.map_or_else(|| "none".to_owned(), |effect| effect.to_text());
        found.push(format!("event {number}, effect {effect}: expected {}, was {}", shown(was), shown(is)));
    }
    if expected.methods != actual.methods {
        let text = |call: &HostCall| serde_json::to_string(call).unwrap_or_default();
        let calls = |actual: &EventResult| actual.methods.iter().map(text).collect::<Vec<_>>().join(", ");
        found.push(format!("event {number}: expected the calls [{}], were [{}]", calls(expected), calls(actual)));
    }
}

/// The results as the text of `NAME.expected.json`.
#[must_use]
pub fn golden(actual: &[EventResult]) -> String {
    let readable = |actual: &EventResult| {
        let mut line = serde_json::to_value(actual).unwrap_or_default();
        if let Some(effects) = line.get_mut("effects") {
            *effects = actual.effects.iter().map(EffectLine::readable).collect();
        }
        line
    };
    let lines: Vec<Value> = actual.iter().map(readable).collect();
    format!("{:#}\n", Value::Array(lines))
}

#[cfg(test)]
mod tests;
