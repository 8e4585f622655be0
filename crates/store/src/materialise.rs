//! The materialiser thread: gathers changes of documents and writes them to `state.db` in large transactions, off the path of the
//! acknowledgement. It also runs the reads that have to show what it has not committed yet.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    Error,
    docs::Doc,
    kept::{self, KeptChange},
    pending_documents::PendingDocuments,
    queries::DocumentRead,
};
use switchbox_journal::Files;
use switchbox_model::Seq;

/// How long a change may wait for more.
const GATHER: Duration = Duration::from_millis(250);
/// How long the thread is parked after it took changes: no caller waits for them, and waking it for each batch of the journal costs the
/// writer more than the batch is worth here. A read unparks it.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes that are written without waiting for more.
const GATHER_DOCS: usize = 20_000;

/// What the thread does next.
pub(super) enum MaterialiserRequest {
    /// Write the changes that the rows up to and including this one make.
    Docs { row: i64, docs: Vec<Doc> },
    /// Write the kept records, then send `done`.
    Keep { change: Box<KeptChange>, done: tokio::sync::oneshot::Sender<()> },
    /// Read the documents with all that was requested before.
    Read(DocumentRead),
    /// Commit all changes, then send `done`. `low_water`: all events before it are handled.
    Flush { done: tokio::sync::oneshot::Sender<()>, low_water: Option<Seq> },
}

/// The thread: runs until the writer ends. `fatal` is called if `state.db` cannot be written.
pub(super) fn run(
    db: Connection,
    journal: &Files,
    work: &Receiver<MaterialiserRequest>,
    keep_executions_bytes: u64,
    fatal: &dyn Fn(&Error),
) {
    let mut pending = PendingDocuments::new(&db, journal);
    let mut pauses = false;
    loop {
        let result = match next(work, pending.since(), pauses) {
            Ok(request) => {
                pauses = matches!(request, MaterialiserRequest::Docs { .. });
                serve(&db, &mut pending, request, keep_executions_bytes)
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = result.and_then(|()| commit_if_due(&mut pending)) {
            return fatal(&error);
        }
    }
    if let Err(error) = pending.commit(None) {
        fatal(&error);
    }
    // SQLite does this by itself only when no reader is left.
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "state.db keeps its write-ahead log");
    }
}

/// Takes the next request. If none is queued, waits for one, after [`PAUSE`] if `pauses`; no longer than until the changes that have waited
/// since `since` are due.
fn next(
    work: &Receiver<MaterialiserRequest>,
    since: Option<Instant>,
    pauses: bool,
) -> Result<MaterialiserRequest, RecvTimeoutError> {
    match work.try_recv() {
        Ok(work) => return Ok(work),
        Err(TryRecvError::Empty) if pauses => thread::park_timeout(PAUSE),
        Err(_) => {}
    }
    work.recv_timeout(since.map_or(Duration::from_secs(3600), |since| GATHER.saturating_sub(since.elapsed())))
}

fn serve(
    db: &Connection,
    pending: &mut PendingDocuments<'_>,
    request: MaterialiserRequest,
    keep_executions_bytes: u64,
) -> Result<(), Error> {
    match request {
        MaterialiserRequest::Docs { row, docs } => pending.add(row, docs),
        MaterialiserRequest::Read(read) => pending.read(read)?,
        MaterialiserRequest::Keep { change, done } => {
            // The kept records are written in a separate transaction.
            pending.commit(None)?;
            kept::write(db, &change, keep_executions_bytes)?;
            let _ = done.send(());
        }
        MaterialiserRequest::Flush { done, low_water } => {
            pending.commit(low_water)?;
            let _ = done.send(());
        }
    }
    Ok(())
}

fn commit_if_due(pending: &mut PendingDocuments<'_>) -> Result<(), Error> {
    let is_due = pending.since().is_some_and(|since| since.elapsed() >= GATHER) || pending.changes() >= GATHER_DOCS;
    if is_due { pending.commit(None) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
