//! Decides from the journal and `state.db` whether the store can be opened. It changes nothing. A refusal has the reason and what to do
//! about it.

use std::path::Path;

use super::{Error, documents, loaded::Loaded, loading, schema};
use switchbox_journal::{
    FOLDER, Files,
    inspect::{self, Inspection},
    segment::Segment,
};

/// What the operator can do about damage.
const HELP: &str = "`switchbox check` shows all that is damaged, `switchbox repair` (or `switchbox serve --repair`) continues without it \
                    and moves it aside, `switchbox restore` brings a backup back (docs/operations.md)";
/// Bytes of the journal that are decoded at once.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A store that can be opened.
pub(super) struct Decided {
    /// The files of the journal.
    pub(super) inspection: Inspection,
    /// The row up to which the documents have got.
    pub(super) applied: i64,
    /// All documents.
    pub(super) loaded: Loaded,
}

/// Reads the journal and `state.db`.
///
/// # Errors
///
/// The store cannot be opened; says why, and what to do about it.
pub(super) fn decide(data: &Path) -> Result<Decided, Error> {
    let mut inspection = inspect::inspect(&data.join(FOLDER))?;
    if let Some(damage) = &inspection.damage {
        return Err(Error::Damaged(format!("{damage}; {HELP}")));
    }
    let documents = read_documents(data)?;
    let (start, end) = (inspection.start(), inspection.end());
    let applied = documents.applied;
    let file = |segment: Option<&Segment>| {
        segment.map_or_else(|| inspection.folder.clone(), |segment| segment.path().to_owned()).display().to_string()
    };
    if applied > end.row {
        let (last, used) = (file(inspection.segments.back()), inspection.segments.back().map_or(0, |last| last.used()));
        return Err(Error::Damaged(format!(
            "{last}: the journal ends with row {} at byte {used}, but state.db knows rows up to {applied}: the end of the journal is damaged, \
             or files of it are missing; {HELP}",
            end.row
        )));
    }
    if start.row > applied {
        let first = file(inspection.segments.front());
        let known = if documents.exists { format!("knows rows up to {applied}") } else { "is missing".into() };
        return Err(Error::Damaged(format!(
            "{first}: the journal begins with row {}, but state.db {known}: it is older than the journal, and what is between them (devices, \
             credentials, configs) is missing; `switchbox restore` brings a backup back, `switchbox repair --without-journal` continues with \
             what state.db has and moves the journal aside (docs/operations.md)",
            start.row + 1
        )));
    }
    decode(&mut inspection, applied)?;
    Ok(Decided { inspection, applied, loaded: documents.loaded })
}

/// Checks that the rows can be decoded that the documents do not contain, because they are replayed.
fn decode(inspection: &mut Inspection, applied: i64) -> Result<(), Error> {
    let Some(files) = Files::of(std::mem::take(&mut inspection.segments)) else { return Ok(()) };
    let mut from = applied + 1;
    loop {
        let page = files.page(from, PAGE_BYTES).map_err(|error| {
            Error::Damaged(format!(
                "{}: {error}; was it written by a newer switchbox? {HELP}",
                inspection.folder.display()
            ))
        })?;
        if page.rows.is_empty() {
            break;
        }
        from = page.next;
    }
    inspection.segments = files.into_segments();
    Ok(())
}

/// The content of `state.db`.
#[derive(Default)]
pub(super) struct Documents {
    pub(super) exists: bool,
    /// The row up to which the documents have got.
    pub(super) applied: i64,
    pub(super) loaded: Loaded,
}

/// Reads `state.db`, which no host may be using.
pub(super) fn read_documents(data: &Path) -> Result<Documents, Error> {
    let with_help = |error| match error {
        Error::Damaged(text) => Error::Damaged(format!("{text}; {HELP}")),
        other => other,
    };
    let Some(db) = schema::open_unchanged(data).map_err(with_help)? else { return Ok(Documents::default()) };
    let damaged = |error: Error| {
        Error::Damaged(format!(
            "{}: {error}; `switchbox check` looks at all of it, {HELP}",
            schema::path(data).display()
        ))
    };
    let applied = documents::applied(&db).map_err(damaged)?;
    let loaded = loading::load(&db).map_err(damaged)?;
    Ok(Documents { exists: true, applied, loaded })
}
