//! Installs and updates plugins: checks a new component with its settings and activates it between two events. If the new version
//! is not usable, the previous one keeps running.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{
    Handle,
    backlog::CatchUp,
    canary_end, catch_up,
    context::Context,
    lifecycle::{self, Lifecycles, OffReason},
    migration::{self, Reason},
    prepare::{Compiler, Component, Error, Prepared, PreviousVersion, version_id},
    recovery::Recovery,
    routes::Routes,
    runner::{Runner, TaskSpawners},
    status::PluginState,
    stored_windows::GuardWindow,
    version::Version,
    worker,
};
use switchbox_model::{
    Entry, PluginName, Seq,
    lifecycle::{Identity, PluginChange},
    limits::LimitName,
};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::{CallError, Description, PluginSettings, WasmEngine};
use switchbox_store as store;
use switchbox_store::Loaded;
use switchbox_support::{clock, log_limit::LogLimits};

/// Plugins that are tried on an event at the same time; others wait.
const MAX_CONCURRENT_TRIES: usize = 4;

/// The plugin that the folder has under one name, whether it runs or not.
#[derive(Default)]
pub(super) struct InstalledPlugin {
    pub(super) state: Option<PluginState>,
    /// `builtin:NAME` or the component's path.
    pub(super) origin: Option<String>,
    /// When the version of its files came into force, milliseconds since the Unix epoch. `None` if that does not run.
    pub(super) in_force_ms: Option<u64>,
    /// Why the plugin's files are not used.
    pub(super) error: Option<String>,
    /// The description with the grants that it asks for, while it waits for consent.
    pub(super) waiting_description: Option<Description>,
    /// The limits that kept its files from being used, and how often. Other changes of the plugin keep them.
    limits_hit: BTreeMap<LimitName, u64>,
}

impl InstalledPlugin {
    /// Adds them to those that its executions hit.
    pub(super) fn add_limits_to(&self, hits: &mut BTreeMap<String, u64>) {
        for (limit, times) in &self.limits_hit {
            *hits.entry(limit.to_string()).or_default() += times;
        }
    }
}

/// The set of plugins. Changes of one plugin are made one after the other, by the watcher of the folder. Changes of different
/// plugins may run at the same time.
pub struct Manager {
    pub(super) context: Arc<Context>,
    pub(super) routes: Arc<Routes>,
    pub(super) compiler: Compiler,
    /// The folder of recordings.
    pub(super) recordings: PathBuf,
    /// Permits for trying plugins on events.
    pub(super) tries: Semaphore,
    pub(super) installed: Mutex<BTreeMap<PluginName, InstalledPlugin>>,
    /// Limits the log lines that a plugin's files are broken, by plugin and error.
    log_limits: LogLimits<(PluginName, String)>,
    /// A plugin's lock is held while the plugin is changed.
    change_locks: Mutex<BTreeMap<PluginName, Arc<tokio::sync::Mutex<()>>>>,
    /// The first scan of the folder is complete.
    pub(super) folder_scanned: AtomicBool,
}

impl Manager {
    /// Restores the state that the plugins had when the host stopped. The store must be running.
    pub async fn recover(
        dispatch: &Handle,
        engine: WasmEngine,
        loaded: &mut Loaded,
        consent: bool,
        recordings: PathBuf,
    ) -> Result<Self, store::Error> {
        let context = dispatch.context.clone();
        let boot = Seq(context.store.next_seq().0.saturating_sub(1));
        let _ = context.boot.set(boot);
        context.kv.load(&loaded.kv, &loaded.lifecycles);
        context.timers.load(&loaded.timers);
        *context.lifecycles.lock() = Lifecycles::load(std::mem::take(&mut loaded.lifecycles));
        let recovery = Recovery::read(&context.store, &loaded.plugins, loaded.low_water, &context.timers).await?;
        *context.recovery.lock() = recovery;
        let manager = Self {
            context,
            routes: dispatch.routes.clone(),
            compiler: Compiler::new(engine, consent),
            recordings,
            tries: Semaphore::new(MAX_CONCURRENT_TRIES),
            installed: Mutex::default(),
            log_limits: LogLimits::new(10),
            change_locks: Mutex::default(),
            folder_scanned: AtomicBool::new(false),
        };
        manager.clock_set().await?;
        Ok(manager)
    }

    /// Activates a plugin's component and settings. On an error the previous version keeps running. `previous`: the version that ran
    /// before the host was restarted, which comes back if this one violates its guard.
    pub async fn upsert(
        &self,
        name: &PluginName,
        component: Component,
        settings: PluginSettings,
        previous: Option<PreviousVersion>,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.lock(name).await;
        let origin = component.origin.clone();
        let id = version_id(&component.bytes, &settings);
        if !settings.enabled {
            return self.disable(name, origin).await;
        }
        let version = match self.compiler.prepare(&self.context, name, component, &settings, id).await {
            Ok(Prepared::Version(version)) => *version,
            Ok(Prepared::NeedsConsent(description)) => return self.wait_for_consent(name, origin, *description).await,
            Err(error) => {
                self.count_panic(&error);
                self.mark_broken(name, &error.to_string());
                return Err(error);
            }
        };
        let identity =
            Identity { kind: lifecycle::kind(&version.description.name), digest: version.digest.to_string() };
        self.delete_predecessor(name, &identity).await?;
        let runner = self.routes.runner(name);
        let _changing = match &runner {
            Some(runner) => Some(runner.changing.lock().await),
            None => None,
        };
        let reason = Reason { identity: Some(identity.clone()), rolled_back: None };
        let migrated = migration::bring_to_schema(&self.context, name, runner.as_ref(), &version, reason).await;
        let _paused = migrated.inspect_err(|error| self.mark_broken(name, &error.to_string()))?;
        let digest = version.digest.clone();
        let start_version =
            version.triggers.sees_timers().then(|| start_version_id(&version.digest, &version.setup.settings));
        let previous = match previous {
            Some(previous) => self.prepare_previous(name, previous).await,
            None => None,
        };
        let in_force_ms = Some(self.activate(name, version, identity, previous).await?);
        tracing::info!(plugin = %name, %digest, component = %origin, "in force");
        if let Some(version) = start_version {
            self.start_timer(name, version).await?;
        }
        let (state, origin) = (Some(PluginState::Running), Some(origin));
        let running = InstalledPlugin { state, origin, in_force_ms, ..InstalledPlugin::default() };
        self.update(name, |plugin| *plugin = running);
        Ok(())
    }

    async fn disable(&self, name: &PluginName, origin: String) -> Result<(), Error> {
        self.switch_off(name, OffReason::Disabled).await?;
        // A version that was rolled back is tried again after the plugin was disabled and enabled.
        self.forget_rolled_back(name, "").await?;
        let (state, origin) = (Some(PluginState::Disabled), Some(origin));
        self.update(name, |plugin| *plugin = InstalledPlugin { state, origin, ..InstalledPlugin::default() });
        tracing::info!(plugin = %name, "disabled");
        Ok(())
    }

    /// Stops the plugin until its settings have grants. It does not get the events of that time later.
    async fn wait_for_consent(
        &self,
        name: &PluginName,
        origin: String,
        waiting_description: Description,
    ) -> Result<(), Error> {
        self.switch_off(name, OffReason::NeedsConsent).await?;
        let state = Some(PluginState::WaitingForConsent);
        self.update(name, |plugin| {
            *plugin = InstalledPlugin {
                state,
                origin: Some(origin),
                waiting_description: Some(waiting_description),
                ..InstalledPlugin::default()
            };
        });
        tracing::warn!(plugin = %name, "waits for an operator's consent to the grants that it asks for: `switchbox plugin grant {name}`, or [grants] in its settings");
        Ok(())
    }

    fn count_panic(&self, error: &Error) {
        if let Error::Call(CallError::Panicked { what, panic }) = error {
            self.context.supervisor.count_panic(what, panic);
        }
    }

    /// The plugin's files cannot be used; `error` says why. A limit that it names is counted.
    pub fn mark_broken(&self, name: &PluginName, error: &str) {
        let is_running = self.routes.runner(name).is_some();
        if let Some(more) = self.log_limits.allow((name.clone(), error.to_owned()), Instant::now()) {
            let consequence = if is_running { "; the version before keeps running" } else { "" };
            tracing::error!(plugin = %name, "{error}{consequence}{more}");
        }
        self.update(name, |plugin| {
            if let Some(limit) = LimitName::named_in(error) {
                *plugin.limits_hit.entry(limit).or_default() += 1;
            }
            plugin.error = Some(error.to_owned());
            plugin.state = Some(if is_running { PluginState::Running } else { PluginState::Broken });
        });
    }

    /// Removes compiled code that no plugin uses. Does nothing while another change is made: that one calls this too.
    pub async fn prune_after_change(&self) {
        let busy = self.change_locks.lock().values().any(|lock| lock.try_lock().is_err());
        if !busy && self.folder_scanned.load(Ordering::Relaxed) {
            self.prune_compiled().await;
        }
    }

    /// Removes the compiled code of components that no plugin runs or ran last, and that none of them may need at the next start.
    pub(super) async fn prune_compiled(&self) {
        let mut used: HashSet<_> = self.context.lifecycles.lock().digests();
        used.extend(self.routes.table().iter().flat_map(|runner| runner.digests()));
        self.compiler.retain_compiled(used).await;
    }

    /// Waits until no change of the plugin is being made. While the guard exists, no other is begun.
    pub(super) async fn lock(&self, name: &PluginName) -> OwnedMutexGuard<()> {
        let lock = self.change_locks.lock().entry(name.clone()).or_default().clone();
        lock.lock_owned().await
    }

    /// Changes what is shown of an installed plugin. Hits of limits are kept.
    pub(super) fn update(&self, name: &PluginName, change: impl FnOnce(&mut InstalledPlugin)) {
        let mut installed = self.installed.lock();
        let plugin = installed.entry(name.clone()).or_default();
        let earlier_hits = std::mem::take(&mut plugin.limits_hit);
        change(plugin);
        for (limit, times) in earlier_hits {
            *plugin.limits_hit.entry(limit).or_default() += times;
        }
    }

    /// Compiles and checks the previous version. Returns `None` if it cannot be used: the new version is not under guard then.
    async fn prepare_previous(
        &self,
        name: &PluginName,
        previous: PreviousVersion,
    ) -> Option<(Version, Option<GuardWindow>)> {
        let PreviousVersion { component, settings, window } = previous;
        let id = version_id(&component.bytes, &settings);
        match self.compiler.prepare(&self.context, name, component, &settings, id).await {
            Ok(Prepared::Version(version)) => Some((*version, window)),
            Ok(Prepared::NeedsConsent(_)) => None,
            Err(error) => {
                tracing::warn!(plugin = %name, %error, "the version is not under guard: the one before it cannot be used");
                None
            }
        }
    }

    /// Puts the version in force: in the plugin's runner, or in a new one if the plugin does not run. `previous`: the version that comes back if
    /// this one violates its guard, and the window of the guard if it had begun before the host was restarted. Returns when it came into force:
    /// no execution of it ended before.
    async fn activate(
        &self,
        name: &PluginName,
        version: Version,
        identity: Identity,
        previous: Option<(Version, Option<GuardWindow>)>,
    ) -> Result<u64, Error> {
        if let Some(runner) = self.routes.runner(name) {
            let last_identity =
                self.context.lifecycles.lock().get(name).and_then(|lifecycle| lifecycle.identity.clone());
            if last_identity.as_ref() != Some(&identity) {
                self.change(name, PluginChange::Upgraded { identity: identity.clone() }).await?;
                self.context.lifecycles.lock().change(name, |lifecycle| lifecycle.identity = Some(identity));
            }
            self.forget_rolled_back(name, &version.id).await?;
            if runner.version().id != version.id {
                canary_end::end(&runner, "another version came into force".into());
            }
            let in_force_ms = clock::now_ms();
            runner.versions.replace(version);
            self.context.routes_changed();
            return Ok(in_force_ms);
        }
        let resumed = self.context.recovery.lock().resume(name);
        let is_unchanged = self
            .context
            .lifecycles
            .lock()
            .get(name)
            .is_some_and(|lifecycle| lifecycle.off_ms.is_none() && lifecycle.identity.as_ref() == Some(&identity));
        let (cursor, handled) = match resumed {
            Some((cursor, handled)) if is_unchanged => (cursor, handled),
            resumed => {
                let next = self.context.store.next_seq();
                let (from, handled) = resumed.unwrap_or_else(|| (next, std::collections::HashSet::new()));
                self.context.recovery.lock().keep_position(name.clone(), from);
                self.change(name, PluginChange::On { from, identity: identity.clone() }).await?;
                self.context.lifecycles.lock().change(name, |lifecycle| {
                    (lifecycle.identity, lifecycle.off_ms, lifecycle.removed) = (Some(identity), None, false);
                    lifecycle.compiled.clear();
                });
                (from, handled)
            }
        };
        self.forget_rolled_back(name, &version.id).await?;
        let catch_up = CatchUp { from: Seq(0), cursor, newest: Seq(u64::MAX), handled };
        let spawners = TaskSpawners { worker: worker::start, catch_up: catch_up::start };
        let runner = Runner::new(name.clone(), self.context.clone(), version, catch_up, spawners);
        if let Some((previous, window)) = previous {
            runner.versions.guard(previous, window);
        }
        let in_force_ms = clock::now_ms();
        self.routes.add(runner.clone());
        self.continue_recording(name);
        self.context.recovery.lock().forget(name);
        self.context.timers.resume(name);
        // An event whose routes were looked up before `add` is in the journal already, and is read from there.
        runner.begin();
        Ok(in_force_ms)
    }

    /// Gives a plugin that sees timers the event that it is new, or that its component or settings changed; once for each version.
    async fn start_timer(&self, name: &PluginName, version: String) -> Result<(), Error> {
        let timers = self.context.timers.lock(name).await;
        if timers.is_started(&version) {
            return Ok(());
        }
        let time_ms = clock::now_ms();
        let entry = Entry::PluginStarts { plugin: name.clone(), version: version.clone(), time_ms };
        self.context.store.call(entry).await?;
        timers.start(version, time_ms);
        Ok(())
    }
}

/// An id of a component with the settings that it is given, for the event that tells it that one of both has changed.
fn start_version_id(digest: &str, settings: &str) -> String {
    plugin::digest(format!("{digest}\n{settings}").as_bytes())
}
