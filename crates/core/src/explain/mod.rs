//! Why something happened: follows the causes that effects carry back to where they began, and what an event brought about
//! forward to its effects. Reads the journal and the documents; changes nothing.

mod causes;
mod chain;
mod effect_step;
mod format;
mod id;
mod lookup;
mod text;

pub use chain::{
    Branch, ConfigOutcome, ConfigStep, ExecutionStep, Explanation, Gone, PendingApproval, Step, settled_after_ms,
};
pub use id::{FORMS, Id, InvalidId};

use crate::{journal, registry};
use switchbox_model::DeviceName;
use switchbox_store as store;

/// Why there is no explanation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Answers why something happened. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    store: store::Handle,
    journal: journal::Handle,
    registry: registry::Handle,
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle, registry: registry::Handle) -> Self {
        Self { journal: journal::Handle::new(store.clone()), store, registry }
    }

    /// The explanation as text.
    #[must_use]
    pub fn text(&self, explanation: &Explanation) -> String {
        text::render(explanation, &|num| self.registry.get(num).map(|device| device.name.clone()))
    }

    fn missing(what: impl std::fmt::Display) -> Error {
        Error::NotFound(format!("{what} is not known, or no longer kept"))
    }

    fn device(&self, name: &DeviceName) -> Result<std::sync::Arc<registry::Device>, Error> {
        self.registry.find(name).ok_or_else(|| {
            let missing = match self.registry.registry(&name.registry) {
                Some(_) => format!("device {name}"),
                None => format!("registry {}", name.registry),
            };
            Error::NotFound(format!("{missing} does not exist"))
        })
    }
}
