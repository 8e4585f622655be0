//! Shadows of plugins: a candidate (another component, or other settings) sees the events of the plugin in force, in an instance
//! and with a state of its own. Its effects are not carried out, but compared with those of the plugin in force.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    host::PluginHost,
    manager::Manager,
    migration,
    prepare::{Component, Error, Prepared, version_id, version_id_of},
    runner::Runner,
    shadow::{ObservedEvent, SHARE_SCALE, Shadow},
    version::Version,
};
use switchbox_dry_run::{
    effect::{OutcomeLine, lines},
    forked::ForkedWorld,
    method_calls,
    own_state::OwnState,
    shadow_report::{ExecutionSummary, ShadowReport},
};
use switchbox_model::{DeviceName, Event, EventData, JournaledDigest, PluginName, Seq, limits, limits::names};
use switchbox_plugin_runtime::{Call, Instance, PluginSettings};
use switchbox_support::clock;

/// How often a shadow checks for due timers that only the candidate has.
const TICK: Duration = Duration::from_secs(1);
/// A timer that both versions have fires for the plugin in force within this time.
const GRACE_MS: u64 = 5_000;

/// The candidate, and the share of devices that it sees.
#[derive(Debug, Default)]
pub struct ShadowRequest {
    /// The component. Is `None` if it is the one in force.
    pub component: Option<Component>,
    /// The settings. Is `None` if they are those in force.
    pub settings: Option<PluginSettings>,
    /// The share of all devices, more than 0 and at most 1. Is `None` if it handles those of all devices.
    pub share: Option<f64>,
}

/// The status and the results of a shadow.
#[derive(Debug, Clone)]
pub struct ShadowStatus {
    /// `sha256:…` of the candidate.
    pub digest: String,
    pub since_ms: u64,
    /// The share of all devices.
    pub share: f64,
    /// Events that were dropped because its queue was full.
    pub dropped: u64,
    /// Events in its queue.
    pub queued: usize,
    /// Why the shadow ended. `None` if it is running.
    pub ended: Option<String>,
    pub report: ShadowReport,
}

/// Why a shadow or a canary does not start.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    #[error("plugin {0} is not running")]
    NotRunning(PluginName),
    #[error("plugin {0} has a shadow already")]
    AlreadyRunning(PluginName),
    #[error(
        "plugin {0} has a canary already; without a component and settings, its devices are changed; `switchbox plugin canary {0} --abort` ends it"
    )]
    HasCanary(PluginName),
    #[error("the limit \"{}\" is reached: {} plugins have a shadow", names::SHADOWS, limits::SHADOWS)]
    TooMany,
    #[error("{0}")]
    Invalid(String),
    #[error("the candidate asks for grants, and its settings have no [grants]")]
    NeedsConsent,
    #[error(transparent)]
    Prepare(#[from] Error),
}

impl Manager {
    /// Starts a candidate beside the plugin in force. It replaces a shadow that has ended.
    pub async fn shadow(&self, name: &PluginName, request: ShadowRequest) -> Result<ShadowStatus, ShadowError> {
        let runner = self.routes.runner(name).ok_or_else(|| ShadowError::NotRunning(name.clone()))?;
        let share = checked_share(request.share)?;
        let in_force = runner.version();
        let candidate = self.candidate(name, &in_force, request.component, request.settings).await?;
        let _one_at_a_time = self.tries.acquire().await;
        let has_shadow = |runner: &Arc<Runner>| runner.shadow().is_some();
        if has_shadow(&runner) {
            return Err(ShadowError::AlreadyRunning(name.clone()));
        }
        if self.routes.table().iter().filter(|runner| has_shadow(runner)).count() >= limits::SHADOWS {
            self.context.metrics.limit(names::SHADOWS);
            return Err(ShadowError::TooMany);
        }
        let (shadow, queue) = Shadow::new(in_force, candidate, share);
        let state_copy = attach(&runner, &shadow).await;
        runner.versions.recheck_instances();
        self.context.spawn(run(runner.clone(), shadow.clone(), state_copy, queue));
        Ok(status(&shadow))
    }

    /// Prepares a version that is not put in force. A component or settings that are not given are those of `in_force`; one of both has to be
    /// given.
    pub(super) async fn candidate(
        &self,
        name: &PluginName,
        in_force: &Version,
        component: Option<Component>,
        settings: Option<PluginSettings>,
    ) -> Result<Arc<Version>, ShadowError> {
        if component.is_none() && settings.is_none() {
            return Err(ShadowError::Invalid("name another component, other settings, or both".into()));
        }
        let settings = settings.unwrap_or_else(|| in_force.files.clone());
        let (compiled, id) = match component {
            Some(component) => {
                let id = version_id(&component.bytes, &settings);
                (self.compiler.compile(component.bytes).await?, id)
            }
            None => (in_force.component.clone(), version_id_of(&in_force.digest, &settings)),
        };
        match self.compiler.check(&self.context, name, compiled, &settings, id).await? {
            Prepared::Version(mut version) => {
                // Only what a canary does is written to the journal.
                version.journaled_as = JournaledDigest::of_canary(&version.digest);
                Ok(Arc::from(version))
            }
            Prepared::NeedsConsent(_) => Err(ShadowError::NeedsConsent),
        }
    }

    /// Ends the plugin's shadow. Returns `None` if it has had none since it was started.
    pub fn stop_shadow(&self, name: &PluginName) -> Option<ShadowStatus> {
        let runner = self.routes.runner(name)?;
        let shadow = runner.last_shadow()?;
        shadow.end("stopped");
        runner.versions.recheck_instances();
        Some(status(&shadow))
    }

    /// The results of the plugin's newest shadow.
    #[must_use]
    pub fn shadow_status(&self, name: &PluginName) -> Option<ShadowStatus> {
        self.routes.runner(name)?.last_shadow().map(|shadow| status(&shadow))
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 10,000")]
pub(super) fn checked_share(share: Option<f64>) -> Result<u64, ShadowError> {
    let share = share.unwrap_or(1.0);
    if !(share > 0.0 && share <= 1.0) {
        return Err(ShadowError::Invalid("a share is more than 0 and at most 1".into()));
    }
    Ok(((share * 10_000.0).round() as u64).clamp(1, SHARE_SCALE))
}

#[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
fn status(shadow: &Shadow) -> ShadowStatus {
    ShadowStatus {
        digest: shadow.candidate.digest.to_string(),
        since_ms: shadow.since_ms,
        share: shadow.share() as f64 / SHARE_SCALE as f64,
        dropped: shadow.dropped(),
        queued: shadow.queued(),
        ended: shadow.ended(),
        report: shadow.report.lock().clone(),
    }
}

/// Attaches the shadow: from here on it gets every committed result. Returns a copy of the plugin's state at this point.
async fn attach(runner: &Arc<Runner>, shadow: &Arc<Shadow>) -> OwnState {
    let state = runner.context.kv.get_or_create(&runner.name);
    let _order = state.order.lock().await;
    let timers = runner.context.timers.lock(&runner.name).await;
    let state_copy = OwnState::new(state.data.lock().all().into_iter(), timers.all().into_iter());
    runner.set_shadow(shadow.clone());
    state_copy
}

/// The task of one shadow.
struct RunningShadow {
    runner: Arc<Runner>,
    shadow: Arc<Shadow>,
    world: Arc<ForkedWorld>,
    instance: Option<Instance>,
    /// The newest event that it has handled.
    last_seq: Seq,
    /// Both versions keep the state in the same schema.
    same_schema: bool,
}

async fn run(
    runner: Arc<Runner>,
    shadow: Arc<Shadow>,
    state_copy: OwnState,
    mut queue: mpsc::Receiver<Box<ObservedEvent>>,
) {
    let live = PluginHost::for_start_check(&runner.context);
    let world = Arc::new(ForkedWorld::new(live, state_copy));
    if let Err(why) = migrate_copy(&runner, &shadow, &world).await {
        shadow.end(&why);
        return runner.versions.recheck_instances();
    }
    let same_schema = shadow.in_force.schema() == shadow.candidate.schema();
    let mut running = RunningShadow { runner, shadow, world, instance: None, last_seq: Seq(0), same_schema };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (ending, stopping) = (running.shadow.ending.clone(), running.runner.ending.clone());
    loop {
        tokio::select! {
            biased;
            () = ending.cancelled() => return,
            () = stopping.cancelled() => return running.shadow.end("the plugin was stopped"),
            seen = queue.recv() => match seen {
                Some(seen) => running.handle(*seen).await,
                None => return,
            },
            _ = tick.tick() => running.fire_own_timers().await,
        }
    }
}

/// Brings the shadow's copy of the state to the schema of the candidate.
async fn migrate_copy(runner: &Runner, shadow: &Shadow, world: &Arc<ForkedWorld>) -> Result<(), String> {
    let in_force = shadow.in_force.as_ref();
    if world.own.lock().is_empty() {
        return Ok(());
    }
    let Some(step) = migration::step(in_force.schema(), Some(in_force), shadow.candidate.as_ref().into())? else {
        return Ok(());
    };
    let writes = migration::writes(&runner.name, world.clone(), step).await?;
    world.own.lock().write(&writes);
    Ok(())
}

impl RunningShadow {
    async fn handle(&mut self, seen: ObservedEvent) {
        self.shadow.dequeued(&seen);
        self.last_seq = seen.event.seq;
        let id = seen.device.as_ref().map_or("", |device| device.id.as_str());
        let wants = match &seen.event.data {
            EventData::Timer { name, .. } => self.world.own.lock().fire(name, seen.event.time_ms),
            data => self.shadow.candidate.triggers.match_event(data.trigger_input(id)),
        };
        let methods = seen.recorded_calls.methods;
        self.world.begin(seen.recorded_calls.calls);
        let candidate_run = if wants {
            self.execute(&seen.event, seen.device.as_ref(), seen.attempt).await
        } else {
            ExecutionSummary::nothing()
        };
        let registry = &self.runner.context.registry;
        let name = |num| registry.get(num).map(|device| device.name.clone());
        // Writes of the state are compared only if both versions keep it in the same form.
        let kv = if self.same_schema { &*seen.kv } else { &[] };
        let in_force_run = ExecutionSummary {
            outcome: seen.outcome,
            effects: lines(&seen.effects, kv, &name),
            calls: methods.as_ref().map(|calls| method_calls::lines(calls, &name)),
            guest_time: Duration::from_micros(seen.guest_us.into()),
            memory_bytes: 0,
        };
        self.shadow.report.lock().add(seen.event.seq.0, id, &in_force_run, &candidate_run);
        tokio::task::yield_now().await;
    }

    async fn execute(&mut self, event: &Event, device: Option<&DeviceName>, attempt: u32) -> ExecutionSummary {
        let candidate = &self.shadow.candidate;
        let started = match self.instance.take().filter(|usable| !usable.poisoned()) {
            Some(usable) => usable,
            None => {
                match candidate.component.start_at(candidate.setup.clone(), self.world.clone(), event.time_ms).await {
                    Ok(instance) => instance,
                    Err(error) => {
                        let outcome = OutcomeLine::Failed(error.to_string());
                        return ExecutionSummary { outcome, ..ExecutionSummary::nothing() };
                    }
                }
            }
        };
        let instance = self.instance.insert(started);
        let execution = instance.handle(Call { event, device, attempt }).await;
        let memory_bytes = instance.memory_bytes();
        let registry = &self.runner.context.registry;
        let name = |num| self.world.name(num).or_else(|| registry.get(num).map(|device| device.name.clone()));
        let kv = if self.same_schema { &*execution.kv } else { &[] };
        let effects = lines(&execution.effects, kv, &name);
        let calls = Some(method_calls::lines(&execution.calls, &name));
        self.world.own.lock().apply(&execution);
        let (outcome, guest_time) = (OutcomeLine::of(&execution.verdict), execution.guest_time);
        ExecutionSummary { outcome, effects, calls, guest_time, memory_bytes }
    }

    /// Fires the timers that only the candidate has.
    async fn fire_own_timers(&mut self) {
        let now_ms = clock::now_ms();
        while let Some(timer) = {
            let own = self.world.own.lock();
            own.overdue(now_ms.saturating_sub(GRACE_MS)).cloned()
        } {
            self.world.own.lock().fire(&timer.name, now_ms);
            self.world.begin(Vec::new());
            let plugin = self.runner.name.to_string();
            let data = EventData::Timer {
                plugin,
                name: timer.name,
                payload: timer.payload,
                due_ms: timer.due_ms,
                late: false,
            };
            let event = Event { seq: self.last_seq, time_ms: now_ms, device: None, durable: true, data };
            let candidate_run = self.execute(&event, None, 1).await;
            self.shadow.report.lock().add(self.last_seq.0, "", &ExecutionSummary::nothing(), &candidate_run);
        }
    }
}
