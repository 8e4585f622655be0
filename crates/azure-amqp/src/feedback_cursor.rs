//! How far the feedback of each registry was told. One link at a time has the place of a registry; the others wait.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;

use switchbox_model::{RegistryName, Seq};

/// Where a reader has got.
#[derive(Default)]
pub(crate) struct FeedbackCursor {
    /// The next event, and the row of the log to look for it from on. `None`: nobody has read yet.
    pub(crate) next: Option<(Seq, i64)>,
    /// What was read, and not accepted yet.
    pub(crate) waiting: Vec<Value>,
}

/// The places of all registries that have feedback read. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct FeedbackCursors(Arc<Mutex<HashMap<RegistryName, Arc<tokio::sync::Mutex<FeedbackCursor>>>>>);

impl FeedbackCursors {
    pub(crate) fn of(&self, registry: &RegistryName) -> Arc<tokio::sync::Mutex<FeedbackCursor>> {
        match self.0.lock().entry(registry.clone()) {
            Entry::Occupied(place) => place.get().clone(),
            Entry::Vacant(place) => place.insert(Arc::default()).clone(),
        }
    }
}
