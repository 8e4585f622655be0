//! Reads from the store while it is written: of the documents, what is committed. The calls block, so callers run them on other threads than
//! those of events.

use std::{path::Path, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, params};

use super::{
    Error, documents,
    kept::{self, KeptRecord},
    schema,
};
use switchbox_journal::{Files, JournalPage, JournalRow, OldestFiles};
use switchbox_model::{Seq, limits};

/// Bytes that one read of the journal's past takes.
const READ_BYTES: usize = limits::ADMIN_PAGE_BYTES;

#[derive(Debug)]
pub(super) struct Reader {
    journal: Arc<Files>,
    state: Mutex<Connection>,
}

impl Reader {
    pub(super) fn open(folder: &Path, journal: Arc<Files>) -> Result<Self, Error> {
        Ok(Self { journal, state: Mutex::new(schema::open_reader(folder)?) })
    }

    /// Rows from `from` on, until about `bytes` of bodies are read. An empty page = the end.
    pub(super) fn journal_page(&self, from: i64, bytes: usize) -> Result<JournalPage, Error> {
        Ok(self.journal.page(from, bytes)?)
    }

    /// At most `rows` rows before `before`, newest first, and not many more bytes of them than are read at a time, but at least
    /// one. Is empty if the beginning was reached.
    pub(super) fn journal_back(&self, before: i64, rows: usize) -> Result<Vec<JournalRow>, Error> {
        Ok(self.journal.back_page(before, rows, READ_BYTES)?)
    }

    /// For reading more than one thing of the documents.
    pub(super) fn documents(&self) -> MutexGuard<'_, Connection> {
        self.state.lock()
    }

    /// The files up to the one that ends with `row`.
    pub(super) fn oldest_files(&self, row: i64) -> Option<OldestFiles> {
        self.journal.oldest(row)
    }

    /// Kept records, which outlive the journal, each with its number, newest first, before the number: at most `limit`, and not many more bytes than are
    /// read at once, but at least one where there is one.
    pub(super) fn kept_before(&self, num: i64, limit: usize) -> Result<Vec<(i64, KeptRecord)>, Error> {
        let db = self.state.lock();
        let mut statement =
            db.prepare_cached("SELECT num, body, came_of FROM kept WHERE num < ?1 ORDER BY num DESC LIMIT ?2")?;
        let mut rows = statement.query(params![num, limit])?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()?.filter(|_| bytes < READ_BYTES) {
            let (body, by): (Vec<u8>, Option<String>) = (row.get(1)?, row.get(2)?);
            bytes += body.len();
            found.push((row.get(0)?, kept::read(&body, by.as_deref())?));
        }
        Ok(found)
    }

    /// The last row of the journal and the last event in it or before it.
    pub(super) fn journal_end(&self) -> (i64, Seq) {
        let end = self.journal.end();
        (end.row, end.last_seq)
    }

    /// Bytes of the journal from this row on, or a little more.
    pub(super) fn journal_bytes_from(&self, row: i64) -> u64 {
        self.journal.bytes_from(row)
    }

    /// The row that contains the event, or the first one after it. Returns `None` past the end.
    pub(super) fn row_of(&self, seq: Seq) -> Result<Option<i64>, Error> {
        Ok(self.journal.row_of(seq)?)
    }

    /// The last row that lies wholly before `seq` and before the bytes to keep, so that it may be trimmed.
    pub(super) fn trimmable(&self, seq: Seq, keep_bytes: u64, applied: i64) -> Option<i64> {
        self.journal.trimmable(seq, keep_bytes, applied)
    }

    pub(super) fn applied(&self) -> Result<i64, Error> {
        documents::applied(&self.state.lock())
    }
}
