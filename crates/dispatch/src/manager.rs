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

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{
    Handle,
    context::Context,
    guard::Paces,
    life::{self, Lives},
    recovery::Left,
    routes::Table,
    runner::{Lag, Runner, Version},
    status::{PluginState, PluginStatus, Totals},
};
use switchbox_model::{
    Entry, PluginName, Seq,
    life::{Identity, PluginChange},
};
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::{
    CallError, Description, Engine, Grants, LoadError, PluginSettings, Setup, Triggers, futile,
};
use switchbox_store as store;
use switchbox_store::Loaded;
use switchbox_support::{clock, log_limit::LogLimits};

/// Why a plugin's new files are not in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Settings(String),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why the event of a dead letter is not given to its plugin again.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error("the dead letter does not exist")]
    NoSuchLetter,
    #[error("it is under way already")]
    UnderWay,
    #[error("plugin {0} is not running")]
    NotRunning(PluginName),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A component's bytes and where they are from.
#[derive(Debug, Clone)]
pub struct Component {
    /// `builtin:NAME` or the file's path.
    pub origin: String,
    pub bytes: Bytes,
}

#[derive(Default)]
pub(super) struct Slot {
    state: Option<PluginState>,
    origin: Option<String>,
    pub(super) error: Option<String>,
    /// What it asks for, while it waits for consent.
    asked: Option<Description>,
}

/// A component that was compiled, asked and tried.
enum Prepared {
    Version(Box<Version>),
    /// It asks for something, and nobody has said that it may.
    Asks(Box<Description>),
}

/// Components of at least so many bytes are large: one is compiled at a time.
const LARGE_BYTES: usize = 2 * 1024 * 1024;
/// Other components that are compiled at the same time.
const COMPILED_TOGETHER: usize = 4;

/// The set of plugins. Changes of one plugin are made one after the other, by the watcher of the folder; those of different
/// plugins may be made at the same time.
pub struct Manager {
    pub(super) context: Arc<Context>,
    engine: Engine,
    pub(super) slots: Mutex<BTreeMap<PluginName, Slot>>,
    /// A plugin whose settings say nothing of grants waits, unless its component asks for nothing.
    consent: bool,
    compiling: Semaphore,
    compiling_large: Semaphore,
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
        engine: Engine,
        loaded: &mut Loaded,
        consent: bool,
    ) -> Result<Self, store::Error> {
        let context = dispatch.context.clone();
        let boot = Seq(context.store.next_seq().0.saturating_sub(1));
        let _ = context.boot.set(boot);
        context.kv.load(&loaded.kv);
        context.timers.load(&loaded.timers);
        *context.lives.lock() = Lives::load(std::mem::take(&mut loaded.lives));
        let left = Left::read(&context.store, &loaded.plugins, loaded.low_water, &context.timers).await?;
        *context.left.lock() = left;
        let manager = Self {
            context,
            engine,
            slots: Mutex::default(),
            consent,
            compiling: Semaphore::new(COMPILED_TOGETHER),
            compiling_large: Semaphore::new(1),
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
        let version = match self.prepare(name, component, &settings, id).await {
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
        let identity = Identity { kind: life::kind(&version.description.name), digest: version.digest.to_string() };
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
        let running = self.context.runner(name).is_some();
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
        let mut used: HashSet<_> = self.context.lives.lock().digests();
        let runners = self.context.table.read().clone();
        used.extend(runners.runners.iter().map(|runner| runner.version().digest.to_string()));
        let engine = self.engine.clone();
        // That this fails costs no more than the room on the disk.
        let _ = tokio::task::spawn_blocking(move || engine.retain_compiled(&used)).await;
    }

    /// Waits until no change of the plugin is being made.
    pub(super) async fn lock(&self, name: &PluginName) -> OwnedMutexGuard<()> {
        let lock = self.changing.lock().entry(name.clone()).or_default().clone();
        lock.lock_owned().await
    }

    pub(super) fn note(&self, name: &PluginName, change: impl FnOnce(&mut Slot)) {
        change(self.slots.lock().entry(name.clone()).or_default());
    }

    /// Compiles, asks and tries, without touching what runs.
    async fn prepare(
        &self,
        name: &PluginName,
        component: Component,
        settings: &PluginSettings,
        id: String,
    ) -> Result<Prepared, Error> {
        let component = self.compile(component.bytes).await?;
        let text = settings.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
        let description = component.describe(&text).await?;
        let triggers = settings.triggers.as_deref().unwrap_or(&description.triggers);
        let triggers = Triggers::new(triggers).map_err(Error::Settings)?;
        if self.consent && settings.grants.is_none() && !description.grants.is_empty() {
            return Ok(Prepared::Asks(Box::new(description)));
        }
        let grants = Grants::new(&description.grants, settings.grants.as_ref()).map_err(Error::Settings)?;
        let setup = Arc::new(Setup { name: name.clone(), settings: text, limits: settings.limits.clone(), grants });
        // Tried here, so that a component that does not start never takes the place of one that does.
        drop(component.start(setup.clone(), self.context.plugin_host()).await?);
        let digest = component.digest().into();
        let shown = settings.triggers.clone().unwrap_or_else(|| description.triggers.clone());
        let paces = Paces::new(&settings.limits);
        let granted = settings.grants.as_ref();
        let version = Version {
            component,
            digest,
            id,
            setup,
            triggers,
            grants_in_force: futile::in_force(&description.grants, granted),
            warnings: futile::warnings(&description.grants, granted, &shown),
            shown_triggers: shown,
            description,
            paces,
        };
        for warning in &version.warnings {
            tracing::warn!(plugin = %name, "{warning}");
        }
        Ok(Prepared::Version(Box::new(version)))
    }

    /// Compiles a component, a large one after the other, so that small ones wait for no large one.
    async fn compile(&self, bytes: Bytes) -> Result<plugin::Component, Error> {
        let permits = if bytes.len() >= LARGE_BYTES { &self.compiling_large } else { &self.compiling };
        let _permit = permits.acquire().await;
        Ok(self.engine.load(bytes).await?)
    }

    async fn put_in_force(&self, name: &PluginName, version: Version, identity: Identity) -> Result<(), Error> {
        if let Some(runner) = self.context.runner(name) {
            let known = self.context.lives.lock().get(name).and_then(|life| life.identity.clone());
            if known.as_ref() != Some(&identity) {
                self.change(name, PluginChange::Upgraded { identity: identity.clone() }).await?;
                self.context.lives.lock().change(name, |life| life.identity = Some(identity));
            }
            self.forget_taken_back(name, &version.id).await?;
            runner.replace(version);
            self.context.changed();
            return Ok(());
        }
        let left = self.context.left.lock().resume(name);
        let known = self
            .context
            .lives
            .lock()
            .get(name)
            .is_some_and(|life| life.off_ms.is_none() && life.identity.as_ref() == Some(&identity));
        let (cursor, handled) = match left {
            Some((cursor, handled)) if known => (cursor, handled),
            left => {
                let next = self.context.store.next_seq();
                let (from, handled) = left.unwrap_or_else(|| (next, std::collections::HashSet::new()));
                self.context.left.lock().hold(name.clone(), from);
                self.change(name, PluginChange::On { from, identity: identity.clone() }).await?;
                self.context.lives.lock().change(name, |life| {
                    (life.identity, life.off_ms, life.removed) = (Some(identity), None, false);
                });
                (from, handled)
            }
        };
        self.forget_taken_back(name, &version.id).await?;
        let lag = Lag { cursor, newest: Seq(u64::MAX), handled };
        let runner = Runner::new(name.clone(), self.context.clone(), version, lag);
        {
            let mut table = self.context.table.write();
            let mut runners = table.runners.clone();
            runners.push(runner.clone());
            *table = Arc::new(Table { runners });
        }
        self.context.left.lock().forget(name);
        self.context.changed();
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

    /// Every plugin that there is, in order of the names.
    #[must_use]
    pub fn list(&self) -> Vec<PluginStatus> {
        let slots = self.slots.lock();
        slots.iter().map(|(name, slot)| self.status(name, slot)).collect()
    }

    /// None: there is no such plugin.
    #[must_use]
    pub fn get(&self, name: &PluginName) -> Option<PluginStatus> {
        self.slots.lock().get(name).map(|slot| self.status(name, slot))
    }

    fn status(&self, name: &PluginName, slot: &Slot) -> PluginStatus {
        let runner = self.context.runner(name);
        let version = runner.as_ref().map(|runner| runner.version());
        let description = version.as_ref().map(|version| &version.description).or(slot.asked.as_ref());
        let (queued, lagging) = runner.as_ref().map_or((0, false), |runner| runner.backlog());
        let taken_back = self.context.lives.lock().get(name).and_then(|life| life.taken_back.clone());
        PluginStatus {
            name: name.to_string(),
            state: slot.state.unwrap_or(PluginState::Broken),
            digest: version.as_ref().map(|version| version.digest.to_string()),
            component: slot.origin.clone(),
            triggers: version.as_ref().map(|version| version.shown_triggers.clone()).unwrap_or_default(),
            grants: description.map(|description| description.grants.clone()).unwrap_or_default(),
            grants_in_force: version.as_ref().map(|version| version.grants_in_force.clone()).unwrap_or_default(),
            settings: version.as_ref().map_or_else(|| "{}".into(), |version| version.setup.settings.clone()),
            description: description.cloned(),
            last_error: slot.error.clone().or_else(|| runner.as_ref().and_then(|runner| runner.counters.last_error())),
            queued,
            lagging,
            warnings: {
                let of_files = version.iter().flat_map(|version| version.warnings.iter().cloned());
                of_files.chain(runner.iter().flat_map(|runner| runner.counters.warnings())).collect()
            },
            timers: self.context.timers.count(name),
            next_timer_ms: self.context.timers.next_due_of(name),
            taken_back,
            totals: runner.as_ref().map_or_else(Totals::default, |runner| runner.counters.totals()),
        }
    }
}

/// Stands for a component with all that its settings file says.
#[must_use]
pub fn version_id(component: &[u8], settings: &PluginSettings) -> String {
    let settings = serde_json::to_string(settings).unwrap_or_default();
    plugin::digest(format!("{}\n{settings}", plugin::digest(component)).as_bytes())
}

/// Stands for a component with the settings that are its own.
fn started_as(digest: &str, settings: &str) -> String {
    plugin::digest(format!("{digest}\n{settings}").as_bytes())
}
