//! Test cases as files: the events that a plugin gets, the world in which it gets them, and what it is expected to do. Runs a case
//! in the sandbox of a host, with its grants and limits; reads and writes no files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    call::HostCall,
    effect::{EffectLine, OutcomeLine, effects_of},
    event::{EventLine, Told},
    recorder::Recorder,
    world::{World, WorldLine},
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

/// What came of one event of a case: a line of `NAME.expected.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Came {
    /// Absent: the plugin's triggers do not match the event, so it did not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeLine>,
    #[serde(default)]
    pub effects: Vec<EffectLine>,
    /// Methods that were called, with their answers.
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

/// Runs a case: what came of each event, in their order.
///
/// # Errors
///
/// The component does not start with these settings, or a name is none of a device.
pub async fn run(
    component: &Component,
    name: &PluginName,
    settings: &PluginSettings,
    case: Case,
) -> Result<Vec<Came>, Error> {
    let own = case.settings.as_ref().or(settings.settings.as_ref());
    let text = own.map_or_else(|| "{}".to_owned(), ToString::to_string);
    let description = component.describe(&text).await?;
    let grants = EffectiveGrants::new(&description.grants, settings.grants.as_ref()).map_err(Error::Settings)?;
    let triggers = settings.triggers.as_ref().unwrap_or(&description.triggers);
    let triggers = Triggers::new(triggers).map_err(Error::Settings)?;
    let setup = Setup { name: name.clone(), settings: text, limits: settings.limits.clone(), grants };
    let setup = Arc::new(setup);
    let world = Arc::new(World::new(case.world)?);
    let recorder = Arc::new(Recorder::new(world.clone()));
    let host: Arc<dyn Host> = recorder.clone();
    let (mut instance, mut came) = (None, Vec::new());
    for (number, event) in (1..).zip(case.events) {
        let Told { event: told, device, attempt } = event.nth(number).told(name)?;
        let id = device.as_ref().map_or("", |device| device.id.as_str());
        // A plugin sees its own timers, whatever its triggers are.
        let is_timer = matches!(told.data, EventData::Timer { .. });
        if !is_timer && !triggers.match_event(&told.data, id) {
            came.push(Came { outcome: None, effects: Vec::new(), methods: Vec::new() });
            continue;
        }
        let running = match instance.take().filter(|good: &switchbox_plugin_runtime::Instance| !good.poisoned()) {
            Some(good) => good,
            None => component.start_at(setup.clone(), host.clone(), told.time_ms).await?,
        };
        let _ = recorder.take();
        let running = instance.insert(running);
        let execution = running.handle(Call { event: &told, device: device.as_ref(), attempt }).await;
        world.apply(&execution);
        let methods = recorder.take().calls.into_iter().filter(|call| matches!(call, HostCall::Method { .. }));
        came.push(Came {
            outcome: Some(OutcomeLine::of(&execution.verdict)),
            effects: effects_of(&execution, &|num| world.name(num)),
            methods: methods.collect(),
        });
    }
    Ok(came)
}

/// How what came differs from what was expected; nothing: it does not. JSON payloads are compared as JSON.
#[must_use]
pub fn differences(expected: &[Came], came: &[Came]) -> Vec<String> {
    let mut found = Vec::new();
    for at in 0..expected.len().max(came.len()) {
        let number = at + 1;
        match (expected.get(at), came.get(at)) {
            (Some(expected), Some(came)) => one(number, expected, came, &mut found),
            (Some(_), None) => found.push(format!("event {number}: it is expected, and the case has no such event")),
            (None, _) => found.push(format!("event {number}: nothing is said of what is expected")),
        }
    }
    found
}

fn one(number: usize, expected: &Came, came: &Came, found: &mut Vec<String>) {
    let outcome = |came: &Came| came.outcome.as_ref().map_or_else(|| "not seen".to_owned(), OutcomeLine::shown);
    if expected.outcome != came.outcome {
        found.push(format!("event {number}: expected {}, was {}", outcome(expected), outcome(came)));
    }
    for at in 0..expected.effects.len().max(came.effects.len()) {
        let (wanted, got) = (expected.effects.get(at), came.effects.get(at));
        if wanted.map(EffectLine::readable) == got.map(EffectLine::readable) {
            continue;
        }
        let shown = |effect: Option<&EffectLine>| effect.map_or_else(|| "none".to_owned(), EffectLine::shown);
        found.push(format!("event {number}, effect {}: expected {}, was {}", at + 1, shown(wanted), shown(got)));
    }
    if expected.methods != came.methods {
        let text = |call: &HostCall| serde_json::to_string(call).unwrap_or_default();
        let calls = |came: &Came| came.methods.iter().map(text).collect::<Vec<_>>().join(", ");
        found.push(format!("event {number}: expected the calls [{}], were [{}]", calls(expected), calls(came)));
    }
}

/// What came, as the text of `NAME.expected.json`.
#[must_use]
pub fn golden(came: &[Came]) -> String {
    let readable = |came: &Came| {
        let mut line = serde_json::to_value(came).unwrap_or_default();
        if let Some(effects) = line.get_mut("effects") {
            *effects = came.effects.iter().map(EffectLine::readable).collect();
        }
        line
    };
    let lines: Vec<Value> = came.iter().map(readable).collect();
    format!("{:#}\n", Value::Array(lines))
}

#[cfg(test)]
mod tests;
