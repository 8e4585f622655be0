//! Errors of loading or starting a component. The texts are for the component's author.

use super::limits::names;
use switchbox_model::limits::LimitName;

/// The engine itself cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the WebAssembly engine cannot be made: {0}")]
    Engine(String),
    #[error("the compile cache {path} cannot be made: {source}")]
    Cache { path: String, source: std::io::Error },
}

/// This host cannot run the component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("this is not a component: {0}")]
    NotAComponent(String),
    /// `why` says what the host accepts instead.
    #[error("the component imports {name}, {why}")]
    Import { name: String, why: String },
    #[error("the component does not export {expected}: {found}")]
    Export { expected: &'static str, found: String },
    #[error("the component has {bytes} bytes; the limit \"{}\" is {limit}", names::COMPONENT_BYTES)]
    TooLarge { bytes: usize, limit: usize },
    #[error("the component has {found} {what}; the limit \"{limit}\" is {most}")]
    TooMuch { what: &'static str, limit: LimitName, found: usize, most: usize },
    #[error("the component does not compile: {0}")]
    Compile(String),
}

/// A component's `describe` or `start` failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The guest's own text about its settings.
    #[error("the plugin does not start: {0}")]
    Refused(String),
    /// A trap or a limit, named in the text.
    #[error("{text}")]
    Failed { text: String, limit: Option<LimitName> },
    /// The host itself panicked during the call.
    #[error("the host panicked in {what} of the component: {panic}")]
    Panicked { what: &'static str, panic: String },
    /// The guest's own text about the plugin's state.
    #[error("the state is not migrated: {0}")]
    NotMigrated(String),
    /// The description cannot be used.
    #[error("the component's description is wrong: {0}")]
    Description(String),
    /// All of the pool's instances are in use.
    #[error("the limit \"{limit}\" is reached: {0}", limit = names::INSTANCES)]
    PoolExhausted(String),
}

impl CallError {
    /// The limit that was hit.
    #[must_use]
    pub fn limit(&self) -> Option<LimitName> {
        match self {
            Self::Failed { limit, .. } => *limit,
            Self::PoolExhausted(_) => Some(names::INSTANCES),
            Self::Refused(_) | Self::Panicked { .. } | Self::NotMigrated(_) | Self::Description(_) => None,
        }
    }
}
