//! What the API needs of the plugins, as a trait that the part running them implements.

use std::{future::Future, path::PathBuf, pin::Pin};

use bytes::Bytes;

use switchbox_admin_api::{
    Approval, Builtin, CanaryPluginRequest, Plugin, PluginCanary, PluginRecording, PluginShadow, PluginVersion,
    RecordPluginRequest, ShadowPluginRequest, TryPluginRequest, TryPluginResponse,
};
use switchbox_model::{DeviceName, Event, PluginName};
use switchbox_plugin_model::{PluginSettings, Subject};

/// A future in a box, so that the trait can be an object.
pub type PluginFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The interface to the dispatcher, which runs plugins.
pub trait Plugins: Send + Sync {
    /// In order of their names. With a subject, each says which of its triggers and grants match it.
    fn list(&self, of: Option<Subject>) -> PluginFuture<'_, Vec<Plugin>>;
    /// The plugins that are part of the host, in order of their names.
    fn builtins(&self) -> Vec<Builtin>;
    fn get(&self, name: &PluginName) -> PluginFuture<'_, Option<Plugin>>;
    /// The versions of a plugin that have run, the newest in force first.
    fn versions(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginVersion>>;
    /// The component of the version with this number, if the host keeps it.
    /// The rule in JavaScript that the component of this version was made of.
    fn version_script(&self, name: &PluginName, number: u64) -> PluginFuture<'_, std::io::Result<Option<Vec<u8>>>>;
    fn version_component(&self, name: &PluginName, number: u64) -> PluginFuture<'_, std::io::Result<Option<Vec<u8>>>>;
    /// Checks the settings file against the settings schema of the component that runs. `Err` says what is wrong. Another component
    /// than the running one is not checked.
    fn check_settings(&self, name: &PluginName, file: &PluginSettings) -> Result<(), String>;
    /// Whether the version that runs can bring the plugin's state to the schema of this one. The error is the reason.
    fn check_rollback(&self, name: &PluginName, to: &PluginVersion) -> Result<(), String>;
    /// Deletes the state and the timers of a plugin whose files are gone.
    fn delete_kept(&self, name: &PluginName) -> PluginFuture<'_, Result<(), DeleteError>>;
    /// Hands the event of a dead letter to its plugin again, when its queue has room; the letter goes when the event is
    /// handled.
    fn redrive(&self, id: u64) -> PluginFuture<'_, Result<(), RedriveError>>;
    /// Runs an event in an instance of its own, without carrying out any effect. `from_journal` is the event that the request names by its
    /// number, and its device.
    fn try_event(
        &self,
        name: &PluginName,
        request: TryPluginRequest,
        from_journal: Option<(Event, Option<DeviceName>)>,
    ) -> PluginFuture<'_, Result<TryPluginResponse, DryRunError>>;
    /// Begins to record a plugin.
    fn record(&self, name: &PluginName, request: RecordPluginRequest) -> Result<PluginRecording, DryRunError>;
    /// Returns `None` if there is no recording.
    fn stop_recording(&self, name: &PluginName) -> Option<PluginRecording>;
    /// Begins to run a candidate beside a plugin, of which nothing is carried out.
    fn shadow(
        &self,
        name: &PluginName,
        request: ShadowPluginRequest,
    ) -> PluginFuture<'_, Result<PluginShadow, DryRunError>>;
    /// Returns `None` if there is no shadow.
    fn shadow_status(&self, name: &PluginName) -> Option<PluginShadow>;
    /// Returns `None` if there is no shadow.
    fn stop_shadow(&self, name: &PluginName) -> Option<PluginShadow>;
    /// Starts a canary, or changes the devices of the running one.
    fn canary(
        &self,
        name: &PluginName,
        request: CanaryPluginRequest,
    ) -> PluginFuture<'_, Result<PluginCanary, DryRunError>>;
    /// The canary that runs, if there is one, and the last that have ended, newest first.
    fn canaries(&self, name: &PluginName) -> PluginFuture<'_, Vec<PluginCanary>>;
    /// Returns `None` if there is no canary.
    fn abort_canary(&self, name: &PluginName) -> Option<PluginCanary>;
    /// The component and the settings file that put the canary in force; each is `None` if it is in force already. Returns `None`
    /// if no canary is running.
    fn canary_files(&self, name: &PluginName) -> Option<(Option<Bytes>, Option<String>)>;
    /// Effects that wait for an operator's approval, oldest first.
    fn approvals(&self) -> Vec<Approval>;
    /// Commits the effects that wait under this id.
    fn approve(&self, id: &str, caller: &str) -> PluginFuture<'_, Result<(), ApprovalError>>;
    /// Drops the effects that wait under this id; their event becomes a dead letter.
    fn reject(&self, id: &str, caller: &str, reason: &str) -> PluginFuture<'_, Result<(), ApprovalError>>;
    /// Begins to make a recording of the executions in the journal that ended at this time or later, milliseconds since the Unix epoch.
    /// `mask`: patterns of keys to mask, beside the host's own.
    fn journal_recording(
        &self,
        name: &PluginName,
        since_ms: u64,
        mask: Vec<String>,
    ) -> PluginFuture<'_, Result<Box<dyn RecordingPieces>, DryRunError>>;
    /// Where the plugin's newest recording is, or would be.
    fn recording_file(&self, name: &PluginName) -> PathBuf;
}

/// A recording that is made piece by piece.
pub trait RecordingPieces: Send {
    /// The next lines. Returns `None` after the last one. The error says why it ends early.
    fn next(&mut self) -> PluginFuture<'_, Result<Option<Bytes>, String>>;
}

/// Why a plugin is not tried, or not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DryRunError {
    /// The plugin, the component or what was asked for does not allow it.
    #[error("{0}")]
    Refused(String),
    /// What was given is wrong.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    #[error("dead letter {0} does not exist")]
    NotFound(u64),
    #[error("plugin {0} is not running; the dead letter stays")]
    NotRunning(String),
    #[error("dead letter {0} is being driven again already")]
    UnderWay(u64),
    #[error("{0}")]
    Failed(String),
}

/// Why an operator's decision on waiting effects is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Failed(String),
}

/// Why what a removed plugin kept is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("{0}")]
    Installed(String),
    #[error("{0}")]
    NothingKept(String),
    #[error("{0}")]
    Failed(String),
}
