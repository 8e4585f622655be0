//! Prepares a plugin's files: compiles the component, calls `describe`, and checks that an instance starts. Does not change which
//! plugins run.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    context::Context, host::PluginHost, loop_guard::TokenRates, stored_windows::GuardWindow, version::Version,
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime as plugin;
use switchbox_plugin_runtime::{
    CallError, Description, EffectiveGrants, LoadError, PluginSettings, Setup, Triggers, WasmEngine, ineffective,
    schema,
};
use switchbox_store as store;

/// Why a plugin's new files are not active.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Settings(String),
    /// The plugin's state cannot be brought to the schema of the new version.
    #[error("{0}")]
    Migration(String),
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

/// The version that ran before the one that comes into force, when the host has been restarted in between.
#[derive(Debug)]
pub struct PreviousVersion {
    pub component: Component,
    pub settings: PluginSettings,
    /// Is `None` if the version that comes into force has not run yet.
    pub window: Option<GuardWindow>,
}

/// A component that was compiled, described and started once.
pub(super) enum Prepared {
    Version(Box<Version>),
    /// The plugin asks for grants that no operator has consented to.
    NeedsConsent(Box<Description>),
}

/// Components of at least so many bytes are large: one is compiled at a time.
const LARGE_BYTES: usize = 2 * 1024 * 1024;
/// Other components that are compiled at the same time.
const COMPILED_TOGETHER: usize = 4;

/// Compiles and checks components.
pub(super) struct Compiler {
    engine: WasmEngine,
    /// A plugin without grants in its settings waits for consent, unless its component asks for none.
    consent: bool,
    /// Permits for compiling large components, and all others.
    large: Semaphore,
    others: Semaphore,
}

impl Compiler {
    pub(super) fn new(engine: WasmEngine, consent: bool) -> Self {
        Self { engine, consent, large: Semaphore::new(1), others: Semaphore::new(COMPILED_TOGETHER) }
    }

    /// Removes the compiled code of all components but these.
    pub(super) async fn retain_compiled(&self, used: HashSet<String>) {
        let engine = self.engine.clone();
        // A failure costs only space on the disk.
        let _ = tokio::task::spawn_blocking(move || engine.retain_compiled(&used)).await;
    }

    /// Compiles the component, calls `describe` and starts an instance. Does not change which plugins run.
    pub(super) async fn prepare(
        &self,
        context: &Arc<Context>,
        name: &PluginName,
        component: Component,
        settings: &PluginSettings,
        id: String,
    ) -> Result<Prepared, Error> {
        let component = self.compile(component.bytes).await?;
        self.check(context, name, component, settings, id).await
    }

    /// As [`Compiler::prepare`], for a component that is compiled already.
    pub(super) async fn check(
        &self,
        context: &Arc<Context>,
        name: &PluginName,
        component: plugin::Component,
        settings: &PluginSettings,
        id: String,
    ) -> Result<Prepared, Error> {
        let text = settings.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
        let description = component.describe(&text, &settings.limits).await?;
        if let Some(settings) = &settings.settings {
            schema::check(&description.schema, settings).map_err(Error::Settings)?;
        }
        let triggers = settings.triggers.as_deref().unwrap_or(&description.triggers);
        let triggers = Triggers::new(triggers).map_err(Error::Settings)?;
        if self.consent && settings.grants.is_none() && !description.grants.is_empty() {
            return Ok(Prepared::NeedsConsent(Box::new(description)));
        }
        let grants = EffectiveGrants::new(&description.grants, settings.grants.as_ref()).map_err(Error::Settings)?;
        let setup = Arc::new(Setup { name: name.clone(), settings: text, limits: settings.limits.clone(), grants });
        // Checked here, so that a component that does not start never replaces one that does.
        drop(component.start(setup.clone(), PluginHost::for_start_check(context)).await?);
        let digest: Arc<str> = component.digest().into();
        let trigger_list = settings.triggers.clone().unwrap_or_else(|| description.triggers.clone());
        let token_rates = TokenRates::new(&settings.limits);
        let granted = settings.grants.as_ref();
        let version = Version {
            component,
            journaled_as: Arc::clone(&digest),
            digest,
            id,
            setup,
            triggers,
            grants_in_force: ineffective::in_force(&description.grants, granted),
            warnings: ineffective::warnings(&description.grants, granted, &trigger_list),
            trigger_list,
            description,
            granted: settings.grants.clone(),
            triggers_set: settings.triggers.is_some(),
            token_rates,
            guard: settings.guard.clone(),
            files: settings.clone(),
            behaviour: Mutex::default(),
        };
        for warning in &version.warnings {
            tracing::warn!(plugin = %name, "{warning}");
        }
        Ok(Prepared::Version(Box::new(version)))
    }

    /// Compiles a component. Large ones are compiled one at a time and apart, so that small ones never wait for them.
    pub(super) async fn compile(&self, bytes: Bytes) -> Result<plugin::Component, Error> {
        let permits = if bytes.len() >= LARGE_BYTES { &self.large } else { &self.others };
        let _permit = permits.acquire().await;
        Ok(plugin::Component::load(&self.engine, bytes).await?)
    }
}

/// An id of a component with its whole settings file.
#[must_use]
pub fn version_id(component: &[u8], settings: &PluginSettings) -> String {
    version_id_of(&plugin::digest(component), settings)
}

/// As [`version_id`], for a component whose digest is known.
pub(super) fn version_id_of(digest: &str, settings: &PluginSettings) -> String {
    let settings = serde_json::to_string(settings).unwrap_or_default();
    plugin::digest(format!("{digest}\n{settings}").as_bytes())
}
