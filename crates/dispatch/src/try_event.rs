//! Tries a plugin on one event. A separate instance handles the event; its reads are real, and its effects are shown but not
//! carried out. Nothing changes: only this execution sees its writes of state, and methods are not called.

use std::sync::Arc;

use super::{
    host::PluginHost,
    manager::Manager,
    migration::{self, StateOf},
    prepare::{Component, Error},
};
use switchbox_dry_run::{
    approval,
    call::HostCall,
    effect::{EffectLine, OutcomeLine, effects_of},
    event::{EventLine, SandboxEvent},
    live::{GrantCheck, LiveWorld, MethodAnswer},
    recorder::Recorder,
};
use switchbox_model::{InvalidName, PluginName};
use switchbox_plugin_runtime::{
    Call, CallError, EffectiveGrants, GrantPatterns, Limits, PluginSettings, Schemas, Setup, Triggers, Verdict,
    reaches, schema,
};

/// The plugin and the event to try.
#[derive(Debug)]
pub struct TryRequest {
    pub event: EventLine,
    /// The component to try. Is `None` if it is the one in force.
    pub component: Option<Component>,
    /// The settings to try. Is `None` if they are those in force, or the component's defaults if no plugin of that name runs.
    pub settings: Option<PluginSettings>,
    /// The answers of devices to method calls.
    pub methods: Vec<MethodAnswer>,
}

/// The result of the execution.
#[derive(Debug)]
pub struct TryResult {
    pub digest: String,
    pub event: EventLine,
    /// Whether the plugin's triggers match the event.
    pub triggered: bool,
    /// Whether the event's device is registered; also true if it has no device.
    pub registered: bool,
    pub outcome: OutcomeLine,
    pub effects: Vec<EffectLine>,
    /// Why the effects would wait for an operator's approval. `None` if they would not.
    pub approval: Option<String>,
    pub calls: Vec<HostCall>,
    pub logs: Vec<String>,
    pub grants: Vec<GrantCheck>,
    /// Guest time in microseconds.
    pub guest_us: u64,
    /// Bytes of the instance's memory after the event.
    pub memory_bytes: usize,
    pub limits_hit: Vec<String>,
}

/// Why a plugin cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    #[error("plugin {0} is not running; give a component to try instead")]
    NotRunning(PluginName),
    #[error("{0}")]
    Name(#[from] InvalidName),
    #[error(transparent)]
    Prepare(#[from] Error),
}

/// What is needed to start an instance.
struct InstanceParts {
    component: switchbox_plugin_runtime::Component,
    setup: Arc<Setup>,
    triggers: Triggers,
    schemas: Schemas,
}

impl Manager {
    /// Handles the event in a separate instance, and discards its effects.
    pub async fn try_event(&self, name: &PluginName, request: TryRequest) -> Result<TryResult, TryError> {
        let _one_of_few = self.tries.acquire().await;
        let TryRequest { event, component, settings, methods } = request;
        let event = event.nth(1);
        let SandboxEvent { event: sandbox_event, device, attempt } = event.for_sandbox(name)?;
        let InstanceParts { component, setup, triggers, schemas } =
            self.instance_parts(name, component, settings).await?;
        let running = self.routes.runner(name).map(|runner| runner.version());
        let to = StateOf { component: &component, setup: &setup, schemas: &schemas };
        let state_copy = migration::copy(&self.context, name, running.as_deref(), to).await;
        let state_copy = state_copy.map_err(|why| TryError::Prepare(Error::Migration(why)))?;
        let live = LiveWorld::new(PluginHost::for_start_check(&self.context), methods);
        let live = Arc::new(live.with_state(state_copy));
        let recorder = Arc::new(Recorder::new(live.clone()));
        let started = component.start_at(setup.clone(), recorder.clone(), sandbox_event.time_ms).await;
        let mut instance = started.map_err(|error| TryError::Prepare(self.count_panic_of(error)))?;
        // Calls that the instance made while it started do not belong to the event.
        let mut start_calls = recorder.take();
        let call = Call { event: &sandbox_event, device: device.as_ref(), attempt };
        let execution = instance.handle(call).await;
        let recorded_calls = recorder.take();
        start_calls.names.extend(recorded_calls.names);
        let id = device.as_ref().map_or("", |device| device.id.as_str());
        let registry = &self.context.registry;
        let effects = effects_of(&execution, &|num| start_calls.names.get(num));
        let is_done = matches!(execution.verdict, Verdict::Done);
        Ok(TryResult {
            digest: component.digest().to_owned(),
            triggered: reaches(&triggers, &sandbox_event.data, id),
            registered: device.as_ref().is_none_or(|device| registry.find(device).is_some()),
            outcome: OutcomeLine::of(&execution.verdict),
            approval: approval::why(&effects, &setup.limits).filter(|_| is_done),
            effects,
            calls: recorded_calls.calls,
            grants: live.grants(),
            guest_us: u64::try_from(execution.guest_time.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: instance.memory_bytes(),
            limits_hit: execution.limits_hit.iter().map(ToString::to_string).collect(),
            logs: execution.logs,
            event,
        })
    }

    /// Component and settings of the request, or those in force.
    async fn instance_parts(
        &self,
        name: &PluginName,
        component: Option<Component>,
        settings: Option<PluginSettings>,
    ) -> Result<InstanceParts, TryError> {
        let version = self.routes.runner(name).map(|runner| runner.version());
        let component = match (component, &version) {
            (Some(component), _) => self.compiler.compile(component.bytes).await?,
            (None, Some(version)) => version.component.clone(),
            (None, None) => return Err(TryError::NotRunning(name.clone())),
        };
        let (text, granted, limits, triggers) = match (settings, &version) {
            (Some(settings), _) => parts(settings),
            (None, Some(version)) => {
                let triggers = version.triggers_set.then(|| version.trigger_list.clone());
                let Setup { settings, limits, .. } = &*version.setup;
                (settings.clone(), version.granted.clone(), limits.clone(), triggers)
            }
            (None, None) => parts(PluginSettings::default()),
        };
        let described = component.describe(&text, &limits).await;
        let description = described.map_err(|error| TryError::Prepare(self.count_panic_of(error)))?;
        let invalid = |text| TryError::Prepare(Error::Settings(text));
        schema::check_text(&description.schema, &text).map_err(invalid)?;
        let grants = EffectiveGrants::new(&description.grants, granted.as_ref()).map_err(invalid)?;
        let triggers = Triggers::new(triggers.as_ref().unwrap_or(&description.triggers)).map_err(invalid)?;
        let setup = Setup { name: name.clone(), settings: text, limits, grants };
        Ok(InstanceParts { component, setup: Arc::new(setup), triggers, schemas: description.state })
    }

    fn count_panic_of(&self, error: CallError) -> Error {
        if let CallError::Panicked { what, panic } = &error {
            self.context.supervisor.count_panic(what, panic);
        }
        error.into()
    }
}

/// The text of the settings for the component, the grants, the limits and the triggers of a settings file.
type Parts = (String, Option<GrantPatterns>, Limits, Option<Vec<switchbox_plugin_runtime::Trigger>>);

fn parts(settings: PluginSettings) -> Parts {
    let text = settings.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
    (text, settings.grants, settings.limits, settings.triggers)
}
