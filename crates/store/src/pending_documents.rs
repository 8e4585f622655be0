//! Changes of documents that are not committed yet: they are gathered, written into an open transaction when a read has to show them, and
//! committed together. A read so sees all that came before it, and costs neither a commit nor a sync.
//!
//! `state.db` never gets ahead of the journal: the journal is synced up to the last row of the transaction before the commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use rusqlite::{Connection, Transaction};

use super::{Error, docs::Doc, documents, queries::DocumentRead, write_batch::WriteBatch};
use switchbox_journal::Files;
use switchbox_model::Seq;

/// The changes that are not committed yet.
pub(super) struct PendingDocuments<'a> {
    db: &'a Connection,
    journal: &'a Files,
    /// Changes that are not written yet.
    batch: WriteBatch,
    /// The open transaction; it contains the changes of `written`. `None` if nothing is written.
    transaction: Option<Transaction<'a>>,
    /// The changes in the transaction, to write them again if SQLite rolls it back.
    written: Vec<WriteBatch>,
    /// How many changes `written` has.
    written_changes: usize,
    /// When the first of the changes came.
    since: Option<Instant>,
}

impl<'a> PendingDocuments<'a> {
    pub(super) fn new(db: &'a Connection, journal: &'a Files) -> Self {
        let (batch, written) = (WriteBatch::default(), Vec::new());
        Self { db, journal, batch, transaction: None, written, written_changes: 0, since: None }
    }

    /// Adds the documents of the journal up to and including this row.
    pub(super) fn add(&mut self, row: i64, docs: Vec<Doc>) {
        self.batch.row = row;
        docs.into_iter().for_each(|doc| self.batch.add(doc));
        self.since.get_or_insert_with(Instant::now);
    }

    /// When the first of the changes came. `None` if there are none.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// How many changes there are.
    pub(super) fn changes(&self) -> usize {
        self.batch.changes + self.written_changes
    }

    /// Runs the read. It sees all changes, and commits none. An error of the read itself goes to its caller.
    pub(super) fn read(&mut self, read: DocumentRead) -> Result<(), Error> {
        self.write()?;
        // After a panic of the read its caller gets the error that the store is closed.
        let _ = catch_unwind(AssertUnwindSafe(|| read(self.db)));
        self.restore()
    }

    /// Writes the changes of `batch` into the transaction.
    fn write(&mut self) -> Result<(), Error> {
        if self.batch.row == 0 {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        documents::write(self.begin()?, &batch)?;
        self.written_changes += batch.changes;
        self.written.push(batch);
        Ok(())
    }

    /// The open transaction, or a new one.
    fn begin(&mut self) -> Result<&Transaction<'a>, Error> {
        let transaction = match self.transaction.take() {
            Some(transaction) => transaction,
            None => self.db.unchecked_transaction()?,
        };
        Ok(self.transaction.insert(transaction))
    }

    /// SQLite rolls the transaction back by itself when a statement fails in certain ways, also one that only reads (no memory, an error of
    /// the disk). What was in the transaction is then written again.
    fn restore(&mut self) -> Result<(), Error> {
        if self.transaction.is_none() || !self.db.is_autocommit() {
            return Ok(());
        }
        self.transaction = None;
        tracing::warn!(
            batches = self.written.len(),
            "a read made SQLite roll back documents that were not committed; they are written again"
        );
        let transaction = self.db.unchecked_transaction()?;
        self.written.iter().try_for_each(|batch| documents::write(&transaction, batch))?;
        self.transaction = Some(transaction);
        Ok(())
    }

    /// Commits all changes. `low_water`: all events before it are handled, which is stored with them.
    pub(super) fn commit(&mut self, low_water: Option<Seq>) -> Result<(), Error> {
        self.write()?;
        if let Some(low_water) = low_water {
            documents::write_low_water(self.begin()?, low_water)?;
        }
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        // What is committed may contain no row that the journal could lose.
        let row = self.written.last().map_or(0, |batch| batch.row);
        self.journal.sync(row).map_err(|e| switchbox_journal::Error::Write(e.to_string()))?;
        transaction.commit()?;
        self.written.clear();
        (self.written_changes, self.since) = (0, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
