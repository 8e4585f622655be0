//! Which plugins there are: takes new components and settings, tries them, and puts them in force between two events.
//! Whatever ran before keeps running when the new one is not good.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Handle,
    context::Context,
    guard::Paces,
    queue::Job,
    recovery::Left,
    routes::Table,
    runner::{Lag, Runner, Version},
    status::{PluginState, PluginStatus, Totals},
};
use crate::{
    clock,
    model::{Entry, PluginName, Seq},
    plugin::{self, CallError, Description, Engine, Grants, LoadError, PluginSettings, Setup, Triggers, futile},
    store::{self, Loaded},
};

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
struct Slot {
    state: Option<PluginState>,
    origin: Option<String>,
    error: Option<String>,
    /// What it asks for, while it waits for consent.
    asked: Option<Description>,
}

/// A component that was compiled, asked and tried.
enum Prepared {
    Version(Box<Version>),
    /// It asks for something, and nobody has said that it may.
    Asks(Box<Description>),
}

/// The set of plugins. One call at a time: whoever watches the folder makes them one after the other.
pub struct Manager {
    context: Arc<Context>,
    engine: Engine,
    slots: Mutex<BTreeMap<PluginName, Slot>>,
    /// A plugin whose settings say nothing of grants waits, unless its component asks for nothing.
    consent: bool,
}

impl Manager {
    /// Takes up what was left when the host stopped. The store must be running.
    pub async fn recover(
        dispatch: &Handle,
        engine: Engine,
        loaded: &Loaded,
        consent: bool,
    ) -> Result<Self, store::Error> {
        let context = dispatch.context.clone();
        let boot = Seq(context.store.next_seq().0.saturating_sub(1));
        let _ = context.boot.set(boot);
        context.kv.load(&loaded.kv);
        context.timers.load(&loaded.timers);
        let left = Left::read(&context.store, &loaded.plugins, loaded.low_water).await?;
        *context.left.lock() = left;
        Ok(Self { context, engine, slots: Mutex::default(), consent })
    }

    /// Puts a plugin's component and settings in force, or says why not; what ran before keeps running then.
    pub async fn upsert(&self, name: &PluginName, component: Component, settings: PluginSettings) -> Result<(), Error> {
        let origin = component.origin.clone();
        if !settings.enabled {
            self.end(name).await?;
            self.note(name, |slot| {
                *slot = Slot { state: Some(PluginState::Disabled), origin: Some(origin), ..Slot::default() }
            });
            tracing::info!(plugin = %name, "disabled");
            return Ok(());
        }
        let version = match self.prepare(name, component, &settings).await {
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
        tracing::info!(plugin = %name, digest = %version.digest, component = %origin, "in force");
        let starts = version.triggers.sees_timers().then(|| started_as(&version.digest, &version.setup.settings));
        self.put_in_force(name, version).await?;
        if let Some(version) = starts {
            self.start_timer(name, version).await?;
        }
        let running = Slot { state: Some(PluginState::Running), origin: Some(origin), ..Slot::default() };
        self.note(name, |slot| *slot = running);
        Ok(())
    }

    /// It sees no events until its settings have grants; those that come meanwhile are not for it.
    async fn wait_for_consent(&self, name: &PluginName, origin: String, asked: Description) -> Result<(), Error> {
        self.end(name).await?;
        let state = Some(PluginState::WaitingForConsent);
        self.note(name, |slot| *slot = Slot { state, origin: Some(origin), asked: Some(asked), error: None });
        tracing::warn!(plugin = %name, "waits for consent to what it asks for: `switchbox plugin grant {name}`, or [grants] in its settings");
        Ok(())
    }

    /// The plugin's files are no good; `error` says why.
    pub fn broken(&self, name: &PluginName, error: &str) {
        let running = self.context.runner(name).is_some();
        tracing::error!(plugin = %name, "{error}{}", if running { "; the version before keeps running" } else { "" });
        self.note(name, |slot| {
            slot.error = Some(error.to_owned());
            slot.state = Some(if running { PluginState::Running } else { PluginState::Broken });
        });
    }

    /// The plugin's files are gone.
    pub async fn remove(&self, name: &PluginName) -> Result<(), Error> {
        self.end(name).await?;
        self.slots.lock().remove(name);
        tracing::info!(plugin = %name, "removed");
        Ok(())
    }

    /// All files of the folder were looked at: a plugin that was there before and is not now is gone. One whose files are
    /// broken, or `unready`, keeps its place in the journal until they are mended.
    pub async fn first_look_done(&self, unready: &[PluginName]) -> Result<(), Error> {
        let gone = {
            let slots = self.slots.lock();
            self.context.left.lock().rest(|name| slots.contains_key(name) || unready.contains(name))
        };
        for plugin in gone {
            self.gone(plugin).await?;
        }
        Ok(())
    }

    /// A plugin is gone for good, and its timers with it.
    async fn gone(&self, plugin: PluginName) -> Result<(), store::Error> {
        let timers = self.context.timers.hold(&plugin).await;
        self.context.store.call(Entry::PluginRemoved { plugin }).await?;
        timers.forget();
        Ok(())
    }

    fn note(&self, name: &PluginName, change: impl FnOnce(&mut Slot)) {
        change(self.slots.lock().entry(name.clone()).or_default());
    }

    /// Compiles, asks and tries, without touching what runs.
    async fn prepare(
        &self,
        name: &PluginName,
        component: Component,
        settings: &PluginSettings,
    ) -> Result<Prepared, Error> {
        let component = self.engine.load(component.bytes).await?;
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

    async fn put_in_force(&self, name: &PluginName, version: Version) -> Result<(), Error> {
        if let Some(runner) = self.context.runner(name) {
            runner.replace(version);
            self.context.changed();
            return Ok(());
        }
        let left = self.context.left.lock().resume(name);
        let (cursor, handled) = match left {
            Some(left) => left,
            None => {
                let from = self.context.store.next_seq();
                self.context.left.lock().hold(name.clone(), from);
                self.context.store.call(Entry::PluginAdded { plugin: name.clone(), from }).await?;
                (from, std::collections::HashSet::new())
            }
        };
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
        // Whoever asked for the table before this had its event's number already: that event is read from the log.
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

    async fn end(&self, name: &PluginName) -> Result<(), Error> {
        let ended = {
            let mut table = self.context.table.write();
            let (ended, runners): (Vec<_>, Vec<_>) = table.runners.iter().cloned().partition(|r| r.name == *name);
            *table = Arc::new(Table { runners });
            ended
        };
        self.context.changed();
        let was_left = self.context.left.lock().forget(name);
        for runner in &ended {
            runner.stop().await;
        }
        if was_left || !ended.is_empty() {
            self.gone(name.clone()).await?;
        }
        Ok(())
    }

    /// Gives the event of a dead letter to its plugin again, when its queue has room; the letter goes when the event is
    /// handled.
    pub async fn redrive(&self, id: u64) -> Result<(), RedriveError> {
        let store = &self.context.store;
        let letter = store.dead_letter(id).await?.ok_or(RedriveError::NoSuchLetter)?;
        let not_running = || RedriveError::NotRunning(letter.plugin.clone());
        let runner = self.context.runner(&letter.plugin).ok_or_else(not_running)?;
        if !runner.has_room().await {
            return Err(not_running());
        }
        if !runner.claim_letter(id) {
            return Err(RedriveError::UnderWay);
        }
        // Somebody else's claim may have ended, and the letter gone, since it was read.
        let Some(letter) = store.dead_letter(id).await? else {
            runner.release_letter(id);
            return Err(RedriveError::NoSuchLetter);
        };
        let device = letter.event.device.and_then(|num| self.context.registry.get(num));
        let job = Job { event: letter.event, device, attempt: 1, letter: Some(id) };
        if runner.redrive(job) { Ok(()) } else { Err(RedriveError::NotRunning(letter.plugin)) }
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
            totals: runner.as_ref().map_or_else(Totals::default, |runner| runner.counters.totals()),
        }
    }
}

/// Stands for a component with these settings.
fn started_as(digest: &str, settings: &str) -> String {
    plugin::digest(format!("{digest}\n{settings}").as_bytes())
}
