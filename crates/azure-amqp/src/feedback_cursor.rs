//! The read position of each registry's feedback and file notifications. Only one link at a time reads either of a registry; other
//! links wait. What readers have accepted is stored in a file, so that it is not sent again after a restart.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fs, io,
    path::PathBuf,
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;

use crate::event_selection::EventSelection;
use switchbox_model::{RegistryName, Seq};
use switchbox_support::log_limit::SiteLimit;

/// At most ten such lines a minute are logged; the others are counted.
static NOT_STORED: SiteLimit = SiteLimit::new(10);

/// The next event, and the journal row from which to look for it.
pub(crate) type Position = (Seq, i64);

/// The read position of one registry.
#[derive(Default)]
pub(crate) struct FeedbackCursor {
    /// Is `None` before the first read.
    pub(crate) next: Option<Position>,
    /// Records that were read and that no reader has accepted yet.
    pub(crate) waiting: Vec<Value>,
}

/// The read positions of all registries. Cheap to clone.
#[derive(Clone)]
pub(crate) struct FeedbackCursors(Arc<Inner>);

struct Inner {
    cursors: Mutex<Cursors>,
    /// What the file has, by registry and kind.
    stored: Mutex<BTreeMap<String, (u64, i64)>>,
    file: PathBuf,
}

type Cursors = HashMap<(RegistryName, EventSelection), Arc<tokio::sync::Mutex<FeedbackCursor>>>;

impl FeedbackCursors {
    /// A file that cannot be read counts as empty: then the last hour is sent again.
    pub(crate) fn open(file: PathBuf) -> Self {
        let stored = match fs::read(&file).map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(stored)) => stored,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            unreadable => {
                let why = unreadable.map_or_else(|error| error.to_string(), |_| "it is not JSON of positions".into());
                tracing::warn!(file = %file.display(), why, "feedback of the last hour is sent again: its position cannot be read");
                BTreeMap::new()
            }
        };
        Self(Arc::new(Inner { cursors: Mutex::default(), stored: Mutex::new(stored), file }))
    }

    pub(crate) fn of(
        &self,
        registry: &RegistryName,
        selection: EventSelection,
    ) -> Arc<tokio::sync::Mutex<FeedbackCursor>> {
        match self.0.cursors.lock().entry((registry.clone(), selection)) {
            Entry::Occupied(place) => place.get().clone(),
            Entry::Vacant(place) => {
                let stored = self.0.stored.lock().get(&key(registry, selection)).copied();
                let next = stored.map(|(seq, row)| (Seq(seq), row));
                place.insert(Arc::new(tokio::sync::Mutex::new(FeedbackCursor { next, waiting: Vec::new() }))).clone()
            }
        }
    }

    /// All records before this position were accepted. Blocks while the file is written.
    pub(crate) fn store(&self, registry: &RegistryName, selection: EventSelection, (seq, row): Position) {
        let mut stored = self.0.stored.lock();
        stored.insert(key(registry, selection), (seq.0, row));
        let written = serde_json::to_vec(&*stored).map_err(io::Error::from).and_then(|text| {
            let beside = self.0.file.with_extension("new");
            fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.0.file))
        });
        if let Err(error) = written
            && let Some(more) = NOT_STORED.allow()
        {
            tracing::warn!(%error, "the position of feedback was not stored: after a restart some is sent again{more}");
        }
    }
}

fn key(registry: &RegistryName, selection: EventSelection) -> String {
    let kind = if selection == EventSelection::FileUploads { "files" } else { "commands" };
    format!("{registry} {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_accepted_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("feedback.json");
        let hall = RegistryName::default_registry();
        let next = async |cursors: &FeedbackCursors, selection| cursors.of(&hall, selection).lock().await.next;
        let first = FeedbackCursors::open(file.clone());
        assert_eq!(next(&first, EventSelection::CommandEnds).await, None);
        first.store(&hall, EventSelection::CommandEnds, (Seq(7), 3));
        first.store(&hall, EventSelection::FileUploads, (Seq(9), 4));
        let second = FeedbackCursors::open(file.clone());
        assert_eq!(next(&second, EventSelection::CommandEnds).await, Some((Seq(7), 3)));
        assert_eq!(next(&second, EventSelection::FileUploads).await, Some((Seq(9), 4)));
        fs::write(&file, "no JSON").unwrap();
        assert_eq!(next(&FeedbackCursors::open(file), EventSelection::CommandEnds).await, None);
    }
}
