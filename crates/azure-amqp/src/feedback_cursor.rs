//! The read position of each registry's feedback and file notifications. Only one link at a time reads either of a registry; other
//! links wait.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::event_selection::EventSelection;
use switchbox_model::{RegistryName, Seq};

/// The read position of one registry.
#[derive(Default)]
pub(crate) struct FeedbackCursor {
    /// The next event, and the journal row from which to look for it. `None` before the first read.
    pub(crate) next: Option<(Seq, i64)>,
    /// Records that were read and that no reader has accepted yet.
    pub(crate) waiting: Vec<Value>,
}

/// The read positions of all registries. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct FeedbackCursors(Arc<Mutex<Cursors>>);

type Cursors = HashMap<(RegistryName, EventSelection), Arc<tokio::sync::Mutex<FeedbackCursor>>>;

impl FeedbackCursors {
    pub(crate) fn of(
        &self,
        registry: &RegistryName,
        selection: EventSelection,
    ) -> Arc<tokio::sync::Mutex<FeedbackCursor>> {
        match self.0.lock().entry((registry.clone(), selection)) {
            Entry::Occupied(place) => place.get().clone(),
            Entry::Vacant(place) => place.insert(Arc::default()).clone(),
        }
    }
}
