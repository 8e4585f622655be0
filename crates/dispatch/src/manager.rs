//! Which plugins there are: takes new components and settings, tries them, and puts them in force between two events.
//! Whatever ran before keeps running when the new one is not good.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::{
    Handle,
    backlog::CatchUp,
    catch_up,
    context::Context,
    lifecycle::{self, Lifecycles},
    prepare::{Compiler, Component, Error, Prepared, version_id},
    recovery::Recovery,
    routes::Routes,
    runner::{Runner, Starts},
    status::PluginState,
    version::Version,
    worker,
};
use switchbox_model::{
    Entry, PluginName, Seq,
    lifecycle::{Identity, PluginChange},
};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::{CallError, Description, PluginSettings, WasmEngine};
use switchbox_store as store;
use switchbox_store::Loaded;
use switchbox_support::{clock, log_limit::LogLimits};

#[derive(Default)]
pub(super) struct Slot {
    pub(super) state: Option<PluginState>,
    pub(super) origin: Option<String>,
    pub(super) error: Option<String>,
    /// What it asks for, while it waits for consent.
    pub(super) asked: Option<Description>,
}

/// The set of plugins. Changes of one plugin are made one after the other, by the watcher of the folder; those of different
/// plugins may be made at the same time.
pub struct Manager {
    pub(super) context: Arc<Context>,
    pub(super) routes: Arc<Routes>,
    compiler: Compiler,
    pub(super) slots: Mutex<BTreeMap<PluginName, Slot>>,
    /// Of lines that a plugin's files are no good, by what is wrong with them.
    log_limits: LogLimits<(PluginName, String)>,
    /// Held while a change of the plugin is made.
    changing: Mutex<BTreeMap<PluginName, Arc<tokio::sync::Mutex<()>>>>,
    /// All files of the folder were looked at once.
    pub(super) looked: AtomicBool,
}

impl Manager {
    /// Takes up what was left when the host stopped. The store must be running.
    pub async fn recover(
        dispatch: &Handle,
        engine: WasmEngine,
        loaded: &mut Loaded,
        consent: bool,
    ) -> Result<Self, store::Error> {
        let context = dispatch.context.clone();
        let boot = Seq(context.store.next_seq().0.saturating_sub(1));
        let _ = context.boot.set(boot);
        context.kv.load(&loaded.kv);
        context.timers.load(&loaded.timers);
        *context.lifecycles.lock() = Lifecycles::load(std::mem::take(&mut loaded.lifecycles));
        let left = Recovery::read(&context.store, &loaded.plugins, loaded.low_water, &context.timers).await?;
        *context.recovery.lock() = left;
        let manager = Self {
            context,
            routes: dispatch.routes.clone(),
            compiler: Compiler::new(engine, consent),
            slots: Mutex::default(),
            log_limits: LogLimits::new(10),
            changing: Mutex::default(),
            looked: AtomicBool::new(false),
        };
        manager.clock_set().await?;
        Ok(manager)
    }

    /// Puts a plugin's component and settings in force, or says why not; what ran before keeps running then.
    pub async fn upsert(&self, name: &PluginName, component: Component, settings: PluginSettings) -> Result<(), Error> {
        let _one_at_a_time = self.lock(name).await;
        let origin = component.origin.clone();
        let id = version_id(&component.bytes, &settings);
        if !settings.enabled {
            self.turn_off(name, false).await?;
            // Who switches it on again wants it tried again.
            self.forget_taken_back(name, "").await?;
            self.note(name, |slot| {
                *slot = Slot { state: Some(PluginState::Disabled), origin: Some(origin), ..Slot::default() }
            });
            tracing::info!(plugin = %name, "disabled");
            return Ok(());
        }
        let version = match self.compiler.prepare(&self.context, name, component, &settings, id).await {
            Ok(Prepared::Version(version)) => *version,
            Ok(Prepared::Asks(description)) => return self.wait_for_consent(name, origin, *description).await,
            Err(error) => {
                if let Error::Call(CallError::Panicked { what, panic }) = &error {
                    self.context.vital.count_panic(what, panic);
                }
                self.broken(name, &error.to_string());
                return Err(error);
            }
        };
        let identity =
            Identity { kind: lifecycle::kind(&version.description.name), digest: version.digest.to_string() };
        self.end_another(name, &identity).await?;
        tracing::info!(plugin = %name, digest = %version.digest, component = %origin, "in force");
        let starts = version.triggers.sees_timers().then(|| started_as(&version.digest, &version.setup.settings));
        self.put_in_force(name, version, identity).await?;
        if let Some(version) = starts {
            self.start_timer(name, version).await?;
        }
        let running = Slot { state: Some(PluginState::Running), origin: Some(origin), ..Slot::default() };
        self.note(name, |slot| *slot = running);
        Ok(())
    }

    /// It sees no events until its settings have grants; those that come meanwhile are not for it.
    async fn wait_for_consent(&self, name: &PluginName, origin: String, asked: Description) -> Result<(), Error> {
        self.turn_off(name, false).await?;
        let state = Some(PluginState::WaitingForConsent);
        self.note(name, |slot| *slot = Slot { state, origin: Some(origin), asked: Some(asked), error: None });
        tracing::warn!(plugin = %name, "waits for consent to what it asks for: `switchbox plugin grant {name}`, or [grants] in its settings");
        Ok(())
    }

    /// The plugin's files are no good; `error` says why.
    pub fn broken(&self, name: &PluginName, error: &str) {
        let running = self.routes.runner(name).is_some();
        if let Some(more) = self.log_limits.note((name.clone(), error.to_owned()), Instant::now()) {
            let keeps = if running { "; the version before keeps running" } else { "" };
            tracing::error!(plugin = %name, "{error}{keeps}{more}");
        }
        self.note(name, |slot| {
            slot.error = Some(error.to_owned());
            slot.state = Some(if running { PluginState::Running } else { PluginState::Broken });
        });
    }

    /// A change was made: the compiled code that no plugin uses any more goes, unless another change is being made, which sees to
    /// it then.
    pub async fn tidy_after_change(&self) {
        let busy = self.changing.lock().values().any(|lock| lock.try_lock().is_err());
        if !busy && self.looked.load(Ordering::Relaxed) {
            self.tidy_compiled().await;
        }
    }

    /// Lets go of the compiled code of components that no plugin runs or ran last.
    pub(super) async fn tidy_compiled(&self) {
        let mut used: HashSet<_> = self.context.lifecycles.lock().digests();
        used.extend(self.routes.table().iter().map(|runner| runner.version().digest.to_string()));
        self.compiler.retain_compiled(used).await;
    }

    /// Waits until no change of the plugin is being made.
    pub(super) async fn lock(&self, name: &PluginName) -> OwnedMutexGuard<()> {
        let lock = self.changing.lock().entry(name.clone()).or_default().clone();
        lock.lock_owned().await
    }

    pub(super) fn note(&self, name: &PluginName, change: impl FnOnce(&mut Slot)) {
        change(self.slots.lock().entry(name.clone()).or_default());
    }

    async fn put_in_force(&self, name: &PluginName, version: Version, identity: Identity) -> Result<(), Error> {
        if let Some(runner) = self.routes.runner(name) {
            let known = self.context.lifecycles.lock().get(name).and_then(|lifecycle| lifecycle.identity.clone());
            if known.as_ref() != Some(&identity) {
                self.change(name, PluginChange::Upgraded { identity: identity.clone() }).await?;
                self.context.lifecycles.lock().change(name, |lifecycle| lifecycle.identity = Some(identity));
            }
            self.forget_taken_back(name, &version.id).await?;
            runner.versions.replace(version);
            self.context.changed();
            return Ok(());
        }
        let left = self.context.recovery.lock().resume(name);
        let known = self
            .context
            .lifecycles
            .lock()
            .get(name)
            .is_some_and(|lifecycle| lifecycle.off_ms.is_none() && lifecycle.identity.as_ref() == Some(&identity));
        let (cursor, handled) = match left {
            Some((cursor, handled)) if known => (cursor, handled),
            left => {
                let next = self.context.store.next_seq();
                let (from, handled) = left.unwrap_or_else(|| (next, std::collections::HashSet::new()));
                self.context.recovery.lock().hold(name.clone(), from);
                self.change(name, PluginChange::On { from, identity: identity.clone() }).await?;
                self.context.lifecycles.lock().change(name, |lifecycle| {
                    (lifecycle.identity, lifecycle.off_ms, lifecycle.removed) = (Some(identity), None, false);
                });
                (from, handled)
            }
        };
        self.forget_taken_back(name, &version.id).await?;
        let catch_up = CatchUp { from: Seq(0), cursor, newest: Seq(u64::MAX), handled };
        let starts = Starts { worker: worker::start, catch_up: catch_up::start };
        let runner = Runner::new(name.clone(), self.context.clone(), version, catch_up, starts);
        self.routes.add(runner.clone());
        self.context.recovery.lock().forget(name);
        self.context.timers.resume(name);
        // A reader that asked for the table before this had its event's number already: that event is read from the log.
        runner.begin();
        Ok(())
    }

    /// Tells a plugin that sees timers that it is new, or that its component or settings changed; once for each.
    async fn start_timer(&self, name: &PluginName, version: String) -> Result<(), Error> {
        let timers = self.context.timers.hold(name).await;
        if timers.started(&version) {
            return Ok(());
        }
        let time_ms = clock::now_ms();
        let entry = Entry::PluginStarts { plugin: name.clone(), version: version.clone(), time_ms };
        self.context.store.call(entry).await?;
        timers.start(version, time_ms);
        Ok(())
    }
}

/// Stands for a component with the settings that are its own.
fn started_as(digest: &str, settings: &str) -> String {
    plugin::digest(format!("{digest}\n{settings}").as_bytes())
}
