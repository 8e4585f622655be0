//! What the API needs of the plugins, as a trait that the part running them implements.

use std::{collections::BTreeMap, future::Future, pin::Pin};

use serde::Serialize;

use switchbox_model::PluginName;

/// A future in a box, so that the trait can be an object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Those who run plugins.
pub trait Plugins: Send + Sync {
    /// In order of their names.
    fn list(&self) -> Later<'_, Vec<PluginView>>;
    fn get(&self, name: &PluginName) -> Later<'_, Option<PluginView>>;
    /// The component that ran before the one that runs, which has this digest, when the host has it.
    fn previous(&self, name: &PluginName, digest: &str) -> Later<'_, std::io::Result<Option<Vec<u8>>>>;
    /// Deletes the state and the timers of a plugin whose files are gone.
    fn delete_kept(&self, name: &PluginName) -> Later<'_, Result<(), DeleteError>>;
    /// Hands the event of a dead letter to its plugin again, when its queue has room; the letter goes when the event is
    /// handled.
    fn redrive(&self, id: u64) -> Later<'_, Result<(), RedriveError>>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedriveError {
    #[error("dead letter {0} does not exist")]
    NoSuchLetter(u64),
    #[error("plugin {0} is not running; the dead letter stays")]
    NotRunning(String),
    #[error("dead letter {0} is being driven again already")]
    UnderWay(u64),
    #[error("{0}")]
    Failed(String),
}

/// Why what a removed plugin kept is not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    #[error("{0}")]
    IsThere(String),
    #[error("{0}")]
    NothingKept(String),
    #[error("{0}")]
    Failed(String),
}

/// A version that was taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TakenBackView {
    pub digest: String,
    pub error: String,
    pub time: String,
    /// What ends it.
    pub until: String,
}

/// The timers that a plugin has set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timers {
    pub count: usize,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_time: Option<String>,
}

/// A plugin as the API shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginView {
    pub name: String,
    /// `running`, `disabled`, `broken` or `waiting-for-consent`.
    pub state: String,
    /// `sha256:…` of the component; empty when none was loaded.
    pub digest: String,
    /// The file, or `builtin:…`.
    pub component: String,
    pub version: String,
    pub summary: String,
    /// The settings in force: TOML.
    pub settings: String,
    pub triggers: Vec<String>,
    /// What the component asks for.
    pub grants: Vec<String>,
    /// What is left of that with the settings' `[grants]`: what it may do.
    pub grants_in_force: Vec<String>,
    pub counters: Counters,
    pub timers: Timers,
    pub last_error: Option<String>,
    /// The version that its files say, where that failed and the one before it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBackView>,
    /// By the limit's name: how often it was hit.
    pub limits_hit: BTreeMap<String, u64>,
    /// What an operator should look at, such as plugins that feed each other.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub events: u64,
    pub done: u64,
    pub retried: u64,
    pub rejected: u64,
    pub failed: u64,
    pub dead: u64,
}
