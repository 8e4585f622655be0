//! What a version of a recording is replayed with: a component, its settings, grants, limits and triggers.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;

use crate::{
    event::SandboxEvent,
    offline::{self, Sandbox},
    recording::{TriggersLine, VersionLine},
};
use switchbox_model::PluginName;
use switchbox_plugin_runtime::{
    CallError, Component, Description, EffectiveGrants, PluginSettings, Setup, Triggers, reaches, schema,
};

/// The components to replay a recording with.
pub enum Components {
    /// This one, for all versions.
    One(Component),
    /// Each version's own, if it can be found.
    Recorded(RecordedComponents),
}

/// Finds and loads the component of each version.
pub struct RecordedComponents {
    sandbox: Sandbox,
    find: Box<FindComponent>,
    loaded: HashMap<String, Component>,
}

/// Returns the bytes of a plugin's component with a digest, or `None` if they are not here.
type FindComponent = dyn FnMut(&str, &str) -> Option<Bytes>;

impl RecordedComponents {
    /// `find`: returns the bytes of a plugin's component with a digest, or `None` if they are not here.
    ///
    /// # Errors
    ///
    /// This machine cannot run components.
    pub fn new(find: impl FnMut(&str, &str) -> Option<Bytes> + 'static) -> Result<Self, offline::Error> {
        Ok(Self { sandbox: Sandbox::new()?, find: Box::new(find), loaded: HashMap::new() })
    }

    async fn component(&mut self, plugin: &str, digest: &str) -> Result<Option<Component>, offline::Error> {
        if let Some(loaded) = self.loaded.get(digest) {
            return Ok(Some(loaded.clone()));
        }
        let Some(bytes) = (self.find)(plugin, digest) else { return Ok(None) };
        let component = self.sandbox.load(bytes).await?;
        self.loaded.insert(digest.to_owned(), component.clone());
        Ok(Some(component))
    }
}

impl Components {
    /// The component for versions with the digest.
    pub(crate) async fn component(&mut self, plugin: &str, digest: &str) -> Result<Option<Component>, offline::Error> {
        match self {
            Self::One(component) => Ok(Some(component.clone())),
            Self::Recorded(recorded) => recorded.component(plugin, digest).await,
        }
    }
}

/// Why a version cannot be replayed with a component and settings.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    #[error("{0}")]
    Component(#[from] CallError),
    /// A host would refuse them.
    #[error("{0}")]
    Settings(String),
}

/// A version that is replayed.
pub(crate) struct ReplayVersion {
    pub(crate) component: Component,
    pub(crate) setup: Arc<Setup>,
    /// It may read other devices than the recorded version.
    pub(crate) other_reads: bool,
    /// Is `None` if the triggers are those of the recorded version, which got all recorded events.
    triggers: Option<Triggers>,
}

impl ReplayVersion {
    /// `new`: settings that replace the recorded ones.
    pub(crate) async fn new(
        plugin: &PluginName,
        component: Component,
        new: Option<&PluginSettings>,
        line: &VersionLine,
    ) -> Result<Self, VersionError> {
        let (settings, granted, limits) = match new {
            Some(new) => {
                let text = new.settings.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string);
                (text, &new.grants, &new.limits)
            }
            None => (line.settings.clone(), &line.granted, &line.limits),
        };
        let description = component.describe(&settings, limits).await?;
        let same_component = component.digest() == line.digest;
        // Masks may be no values that the schema allows. A host accepted the recorded settings for the recorded component.
        if new.is_some() || !(same_component || line.masked) {
            schema::check_text(&description.schema, &settings).map_err(VersionError::Settings)?;
        }
        let triggers =
            triggers(line, (new, &settings), &description, same_component).map_err(VersionError::Settings)?;
        let grants = EffectiveGrants::new(&description.grants, granted.as_ref()).map_err(VersionError::Settings)?;
        // Lists contain only what the recorded plugin was allowed to read.
        let other_reads = description.grants != line.asks || *granted != line.granted;
        let setup = Setup { name: plugin.clone(), settings, limits: limits.clone(), grants };
        Ok(Self { component, setup: Arc::new(setup), other_reads, triggers })
    }

    /// Whether its triggers match the event.
    pub(crate) fn gets(&self, SandboxEvent { event, device, .. }: &SandboxEvent) -> bool {
        let id = device.as_ref().map_or("", |device| device.id.as_str());
        self.triggers.as_ref().is_none_or(|triggers| reaches(triggers, &event.data, id))
    }
}

/// Returns `None` if they are those of the recorded version, or if the recording of an earlier host does not say which it had.
fn triggers(
    line: &VersionLine,
    (new, settings): (Option<&PluginSettings>, &str),
    description: &Description,
    same_component: bool,
) -> Result<Option<Triggers>, String> {
    let triggers_line = match (new, &line.triggers) {
        (Some(new), _) => TriggersLine::of(new.triggers.as_deref()),
        (None, Some(recorded)) => recorded.clone(),
        (None, None) => return Ok(None),
    };
    // Those that a component describes may depend on its settings.
    let same_description = triggers_line != TriggersLine::Component || settings == line.settings;
    if same_component && same_description && line.triggers.as_ref() == Some(&triggers_line) {
        return Ok(None);
    }
    let list = match &triggers_line {
        TriggersLine::Component => &description.triggers,
        TriggersLine::Settings(list) => list,
    };
    Triggers::new(list).map(Some)
}
