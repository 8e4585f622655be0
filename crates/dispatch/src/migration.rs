//! Brings a plugin's state to the schema of the version that comes into force. The plugin handles no event meanwhile, and the writes
//! are one entry of the journal, after which the version is switched: all of it happens, or nothing.

use std::sync::Arc;

use super::{
    context::Context,
    host::PluginHost,
    prepare::Error,
    runner::{Paused, Runner},
    version::Version,
};
use switchbox_dry_run::own_state::OwnState;
use switchbox_model::{
    Entry, PluginName,
    lifecycle::{Identity, Migration, PluginChange, RolledBack},
    limits::{self, plugin_names as names},
};
use switchbox_plugin_runtime::{Component, HostCalls, KvChange, Schemas, Setup, Step};
use switchbox_support::clock;

/// Characters that are kept of a rollback's error.
pub(super) const ERROR_CHARS: usize = 1_000;

/// What keeps the plugin's state in a schema of its own: a component with its settings.
#[derive(Clone, Copy)]
pub(super) struct StateOf<'a> {
    pub(super) component: &'a Component,
    pub(super) setup: &'a Arc<Setup>,
    pub(super) schemas: &'a Schemas,
}

impl<'a> From<&'a Version> for StateOf<'a> {
    fn from(version: &'a Version) -> Self {
        Self { component: &version.component, setup: &version.setup, schemas: &version.description.state }
    }
}

/// The component that brings the state from the schema `stored` to that of `to`, and what it is asked for. Returns `None` if the
/// schemas are the same. `running`: the version in force.
///
/// # Errors
///
/// A text that says why the state cannot be brought there.
pub(super) fn step(
    stored: u32,
    running: Option<&Version>,
    to: StateOf<'_>,
) -> Result<Option<(Component, Arc<Setup>, Step)>, String> {
    let new_schema = to.schemas.current;
    if new_schema == stored {
        return Ok(None);
    }
    if new_schema > stored {
        return Ok(Some((to.component.clone(), to.setup.clone(), Step::Up { from: stored })));
    }
    let Some(running) = running.filter(|running| running.schema() == stored) else {
        return Err(format!(
            "the state has schema {stored}, and no version that keeps it so is running; only such a version can bring it down to {new_schema}"
        ));
    };
    running.description.state.may_go_down_to(new_schema)?;
    Ok(Some((running.component.clone(), running.setup.clone(), Step::Down { to: new_schema })))
}

/// Asks the component for the writes that bring the state, as `host` shows it, to the other schema. Writes nothing.
///
/// # Errors
///
/// The component refuses, traps, or exceeds a limit.
pub(super) async fn writes(
    name: &PluginName,
    host: Arc<dyn HostCalls>,
    (component, setup, step): (Component, Arc<Setup>, Step),
) -> Result<Vec<KvChange>, String> {
    let migrated = component.migrate(setup, host, step).await.map_err(|error| error.to_string())?;
    for line in &migrated.logs {
        tracing::info!(target: "plugin", plugin = %name, "{line}");
    }
    Ok(migrated.writes)
}

/// The text of an error: the state stays in the schema `stored`.
fn failure_text(stored: u32, to: u32, why: &str) -> String {
    format!("the state stays in schema {stored} and is not brought to {to}: {why}")
}

/// Brings the state to the schema of `to`, which comes into force next. While the result exists, the plugin handles no event.
/// Returns `None` if there is nothing to do.
///
/// # Errors
///
/// A text that says why the state cannot be brought there. The state is unchanged.
pub(super) async fn bring_to_schema(
    context: &Arc<Context>,
    name: &PluginName,
    runner: Option<&Arc<Runner>>,
    to: &Version,
    reason: Reason,
) -> Result<Option<Paused>, Error> {
    let state = context.kv.get_or_create(name);
    let stored = state.data.lock().schema();
    if stored == to.schema() {
        return Ok(None);
    }
    let error = |why: String| Error::Migration(failure_text(stored, to.schema(), &why));
    let running = runner.map(|runner| runner.version());
    let step = step(stored, running.as_deref(), to.into()).map_err(error)?;
    let paused = match runner {
        None => None,
        Some(runner) => Some(Paused::begin(runner, limits::MIGRATION_WAIT).await.ok_or_else(|| {
            runner.counters.limit(names::MIGRATION_WAIT);
            let (limit, most) = (names::MIGRATION_WAIT, limits::MIGRATION_WAIT);
            error(format!("the limit \"{limit}\" is reached: an event is still handled after {most:?}"))
        })?),
    };
    let _order = state.order.lock().await;
    if state.data.lock().schema() != stored {
        return Err(error("it was deleted or migrated meanwhile".into()));
    }
    let is_empty = state.data.lock().bytes() == 0;
    let changes = match step.filter(|_| !is_empty) {
        Some(step) => writes(name, PluginHost::for_start_check(context), step).await.map_err(error)?,
        None => Vec::new(),
    };
    let planned = state.data.lock().plan(&changes);
    let planned = planned.map_err(|conflict| error(conflict.to_string()))?;
    let Reason { identity, rolled_back } = reason;
    let (schema, count) = (to.schema(), planned.len());
    let migration = Migration { schema, writes: planned.clone(), identity: identity.clone(), rolled_back };
    let change = Box::new(PluginChange::Migrated(migration));
    context.store.call(Entry::Plugin { plugin: name.clone(), change }).await?;
    if identity.is_some() {
        context.lifecycles.lock().change(name, |lifecycle| lifecycle.identity = identity);
    }
    state.data.lock().apply_migration(schema, &planned);
    tracing::info!(plugin = %name, "the state was brought from schema {stored} to {schema}: {count} keys were written");
    Ok(paused)
}

/// A copy of the plugin's state in the schema of `to`, which is not put in force. Returns `None` if it has that schema.
///
/// # Errors
///
/// A text that says why the state cannot be brought there.
pub(super) async fn copy(
    context: &Arc<Context>,
    name: &PluginName,
    running: Option<&Version>,
    to: StateOf<'_>,
) -> Result<Option<OwnState>, String> {
    let state = context.kv.get_or_create(name);
    let error = |why: String| failure_text(state.data.lock().schema(), to.schemas.current, &why);
    let (mut state_copy, stored) = {
        let timers = context.timers.lock(name).await;
        let data = state.data.lock();
        (OwnState::new(data.all().into_iter(), timers.all().into_iter()), data.schema())
    };
    let Some(step) = step(stored, running, to).map_err(error)? else { return Ok(None) };
    if state_copy.is_empty() {
        return Ok(Some(state_copy));
    }
    // The state may be written meanwhile; the copy has then a few of the newer values.
    state_copy.write(&writes(name, PluginHost::for_start_check(context), step).await.map_err(error)?);
    Ok(Some(state_copy))
}

/// Why a version comes into force, for the journal's entry.
pub(super) struct Reason {
    /// The component that comes into force, if its files are new.
    pub(super) identity: Option<Identity>,
    pub(super) rolled_back: Option<RolledBack>,
}

/// What the journal keeps of a rollback by the guard.
pub(super) fn rolled_back(failed: &Version, instead: &Version, error: &str) -> RolledBack {
    RolledBack {
        digest: failed.digest.to_string(),
        version: failed.id.clone(),
        instead: instead.id.clone(),
        error: error.chars().take(ERROR_CHARS).collect(),
        time_ms: clock::now_ms(),
    }
}

/// Makes a rollback part of the plugin's status, and calls `on_rolled_back`. Does not write it to the journal.
pub(super) fn set_rolled_back(runner: &Runner, rolled_back: &RolledBack) {
    let (context, name) = (&runner.context, &runner.name);
    context.lifecycles.lock().change(name, |lifecycle| lifecycle.rolled_back = Some(rolled_back.clone()));
    if let Some(notify) = context.on_rolled_back.get() {
        notify(name, rolled_back);
    }
}

/// The guard rolls `failed` back, and `instead` keeps the state in another schema: brings the state there, then `instead` is in
/// force. If that cannot be, `failed` stays in force, and the reason is recorded.
pub(super) fn roll_back_with_state(runner: &Arc<Runner>, failed: Arc<Version>, instead: Arc<Version>, error: String) {
    let runner = runner.clone();
    let task = {
        let runner = runner.clone();
        async move {
            let _one_at_a_time = runner.changing.lock().await;
            if runner.ending.is_cancelled() || !Arc::ptr_eq(&runner.version(), &failed) {
                return;
            }
            let name = &runner.name;
            let rollback = rolled_back(&failed, &instead, &error);
            let reason = Reason { identity: None, rolled_back: Some(rollback.clone()) };
            match bring_to_schema(&runner.context, name, Some(&runner), &instead, reason).await {
                Ok(_paused) => {
                    runner.versions.back_to(instead);
                    runner.context.routes_changed();
                    set_rolled_back(&runner, &rollback);
                    tracing::error!(
                        plugin = %name, digest = %failed.digest,
                        "the guard rolled the new version back; the previous version runs until the plugin's files change: {error}"
                    );
                }
                Err(why) => {
                    stays_in_force(&runner, &failed, &format!("{error}; it stays in force, because {why}")).await
                }
            }
        }
    };
    runner.context.spawn(task);
}

/// Logs that a version failed its guard and stays in force.
pub(super) fn log_stays(name: &PluginName, failed: &Version, error: &str) {
    tracing::error!(
        plugin = %name, digest = %failed.digest,
        "the guard cannot roll the new version back: {error}; `switchbox plugin disable {name}` stops it"
    );
}

/// Records that a version failed its guard and stays in force.
async fn stays_in_force(runner: &Runner, failed: &Version, error: &str) {
    let name = &runner.name;
    let rollback = rolled_back(failed, failed, error);
    log_stays(name, failed, error);
    let change = Box::new(PluginChange::RolledBack(Some(rollback.clone())));
    // A closed store means that the host is stopping.
    let _ = runner.context.store.call(Entry::Plugin { plugin: name.clone(), change }).await;
    set_rolled_back(runner, &rollback);
}
