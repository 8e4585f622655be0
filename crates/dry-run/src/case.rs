//! Test cases as files: the events that a plugin gets, the world in which it gets them, and what it is expected to do. Runs a case
//! in the sandbox of a host, with its grants and limits; reads and writes no files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    approval,
    call::HostCall,
    compare::{self, EffectDifference},
    effect::{EffectLine, OutcomeLine, effects_of, lines},
    event::{EventLine, SandboxEvent},
    recorder::Recorder,
    world::{CaseWorld, WorldLine},
};
use switchbox_model::{InvalidName, PluginName};
use switchbox_plugin_runtime::{
    Call, CallError, Component, EffectiveGrants, Migrated, PluginSettings, Setup, Step, Triggers, Verdict,
    host::HostCalls, reaches, schema,
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
    /// After the events the state is brought down to this schema.
    #[serde(default, rename = "downTo")]
    pub down_to: Option<u32>,
}

/// The result of one event of a case, or of a migration of the state: an element of `NAME.expected.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventResult {
    /// `None` if the plugin's triggers do not match the event; it is not handled then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeLine>,
    /// `up from 1` or `down to 1`: it is the result of a migration, before the first event or after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<String>,
    #[serde(default)]
    pub effects: Vec<EffectLine>,
    /// The methods that were called, with their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<HostCall>,
    /// Why the effects would wait for an operator's approval. `None` if they would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
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
    let description = component.describe(&text, &settings.limits).await?;
    schema::check_text(&description.schema, &text).map_err(Error::Settings)?;
    let grants = EffectiveGrants::new(&description.grants, settings.grants.as_ref()).map_err(Error::Settings)?;
    let triggers = settings.triggers.as_ref().unwrap_or(&description.triggers);
    let triggers = Triggers::new(triggers).map_err(Error::Settings)?;
    let setup = Setup { name: name.clone(), settings: text, limits: settings.limits.clone(), grants };
    let schemas = &description.state;
    let schema = case.world.state_schema.unwrap_or(schemas.current);
    let run = Run { component, setup: Arc::new(setup), triggers, world: Arc::new(CaseWorld::new(case.world)?) };
    let mut actual = Vec::new();
    if schema > schemas.current {
        let text = format!("world.stateSchema {schema}: the component keeps its state in schema {}", schemas.current);
        return Err(Error::Settings(text));
    }
    if schema < schemas.current {
        actual.push(run.migrate(Step::Up { from: schema }).await);
    }
    actual.extend(run.events(case.events).await?);
    if let Some(to) = case.down_to {
        actual.push(match schemas.may_go_down_to(to) {
            Ok(()) => run.migrate(Step::Down { to }).await,
            Err(why) => migrated(Step::Down { to }, &Verdict::Reject(why), Vec::new()),
        });
    }
    Ok(actual)
}

/// A plugin in the world of a case.
struct Run<'a> {
    component: &'a Component,
    setup: Arc<Setup>,
    triggers: Triggers,
    world: Arc<CaseWorld>,
}

impl Run<'_> {
    async fn events(&self, events: Vec<EventLine>) -> Result<Vec<EventResult>, Error> {
        let recorder = Arc::new(Recorder::new(self.world.clone()));
        let host: Arc<dyn HostCalls> = recorder.clone();
        let (mut instance, mut actual) = (None, Vec::new());
        for (number, event) in (1..).zip(events) {
            let SandboxEvent { event: sandbox_event, device, attempt } =
                event.nth(number).for_sandbox(&self.setup.name)?;
            let id = device.as_ref().map_or("", |device| device.id.as_str());
            if !reaches(&self.triggers, &sandbox_event.data, id) {
                actual.push(EventResult::default());
                continue;
            }
            let running = match instance.take().filter(|usable: &switchbox_plugin_runtime::Instance| !usable.poisoned())
            {
                Some(usable) => usable,
                None => self.component.start_at(self.setup.clone(), host.clone(), sandbox_event.time_ms).await?,
            };
            let _ = recorder.take();
            let running = instance.insert(running);
            let execution = running.handle(Call { event: &sandbox_event, device: device.as_ref(), attempt }).await;
            self.world.apply(&execution);
            let methods = recorder.take().calls.into_iter().filter(|call| matches!(call, HostCall::Method { .. }));
            let effects = effects_of(&execution, &|num| self.world.name(num));
            let is_done = matches!(execution.verdict, Verdict::Done);
            actual.push(EventResult {
                outcome: Some(OutcomeLine::of(&execution.verdict)),
                migration: None,
                approval: approval::why(&effects, &self.setup.limits).filter(|_| is_done),
                effects,
                methods: methods.collect(),
            });
        }
        Ok(actual)
    }

    /// Brings the state to another schema, as the host does when another version comes into force.
    async fn migrate(&self, step: Step) -> EventResult {
        match self.component.migrate(self.setup.clone(), self.world.clone(), step).await {
            Ok(Migrated { writes, .. }) => {
                self.world.write_state(&writes);
                migrated(step, &Verdict::Done, lines(&[], &writes, &|num| self.world.name(num)))
            }
            Err(error) => migrated(step, &Verdict::Reject(error.to_string()), Vec::new()),
        }
    }
}

fn migrated(step: Step, verdict: &Verdict, effects: Vec<EffectLine>) -> EventResult {
    let migration = match step {
        Step::Up { from } => format!("up from {from}"),
        Step::Down { to } => format!("down to {to}"),
    };
    let outcome = Some(OutcomeLine::of(verdict));
    EventResult { outcome, migration: Some(migration), effects, ..EventResult::default() }
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
    if expected.migration != actual.migration {
        let text = |result: &EventResult| result.migration.clone().unwrap_or_else(|| "an event".into());
        found.push(format!("event {number}: expected {}, was {}", text(expected), text(actual)));
    }
    let same_outcome = match (&expected.outcome, &actual.outcome) {
        (Some(expected), Some(actual)) => compare::outcomes(expected, actual).is_none(),
        (expected, actual) => expected == actual,
    };
    if !same_outcome {
        found.push(format!("event {number}: expected {}, was {}", outcome(expected), outcome(actual)));
    }
    if expected.approval != actual.approval {
        let text = |result: &EventResult| result.approval.clone().unwrap_or_else(|| "no approval".into());
        found.push(format!("event {number}: expected {}, was {}", text(expected), text(actual)));
    }
    let equal = |expected_effect: &EffectLine, got: &EffectLine| expected_effect.readable() == got.readable();
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
