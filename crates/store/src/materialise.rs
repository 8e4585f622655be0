//! The materialiser thread: gathers changes of documents and writes them to `state.db` in large transactions, off the path of the
//! acknowledgement.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    Error,
    docs::Doc,
    documents,
    kept::{self, KeptChange},
    write_batch::WriteBatch,
};
use switchbox_journal::Files;
use switchbox_model::Seq;

/// How long a change may wait for more.
const GATHER: Duration = Duration::from_millis(250);
/// How long the thread sleeps after it took changes: no caller waits for them, and waking it for each batch of the journal costs the
/// writer more than the batch is worth here.
const PAUSE: Duration = Duration::from_millis(5);
/// Changes that are written without waiting for more.
const GATHER_DOCS: usize = 20_000;

pub(super) enum MaterialiserRequest {
    /// The documents of the journal up to and including this row.
    Docs { row: i64, docs: Vec<Doc> },
    /// Write this, then call back.
    Keep { change: Box<KeptChange>, done: tokio::sync::oneshot::Sender<()> },
    /// Write what there is, then call back.
    Flush { done: tokio::sync::oneshot::Sender<()>, low_water: Option<Seq> },
}

pub(super) fn run(
    mut db: Connection,
    journal: &Files,
    work: &Receiver<MaterialiserRequest>,
    keep_executions_bytes: u64,
    fatal: &dyn Fn(&Error),
) {
    let mut batch = WriteBatch::default();
    let mut since: Option<Instant> = None;
    let mut pauses = false;
    loop {
        let mut flush = None;
        match next(work, since, std::mem::take(&mut pauses)) {
            Ok(MaterialiserRequest::Docs { row, docs }) => {
                batch.row = row;
                docs.into_iter().for_each(|doc| batch.add(doc));
                since.get_or_insert_with(Instant::now);
                pauses = true;
            }
            Ok(MaterialiserRequest::Keep { change, done }) => {
                match kept::write(&mut db, &change, keep_executions_bytes) {
                    Ok(()) => drop(done.send(())),
                    Err(error) => return fatal(&error),
                }
            }
            Ok(MaterialiserRequest::Flush { done, low_water }) => flush = Some((done, low_water)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                finish(&mut db, journal, &batch, fatal);
                return;
            }
        }
        let due = since.is_some_and(|s| s.elapsed() >= GATHER) || batch.changes >= GATHER_DOCS;
        if due || flush.is_some() {
            let low_water = flush.as_ref().and_then(|(_, low_water)| *low_water);
            if let Err(error) = write(&mut db, journal, &std::mem::take(&mut batch), low_water) {
                fatal(&error);
                return;
            }
            since = None;
            if let Some((done, _)) = flush {
                let _ = done.send(());
            }
        }
    }
}

/// Takes what is queued; otherwise waits, after [`PAUSE`] if `pauses`.
fn next(
    work: &Receiver<MaterialiserRequest>,
    since: Option<Instant>,
    pauses: bool,
) -> Result<MaterialiserRequest, RecvTimeoutError> {
    match work.try_recv() {
        Ok(work) => return Ok(work),
        Err(TryRecvError::Empty) if pauses => thread::sleep(PAUSE),
        Err(_) => {}
    }
    work.recv_timeout(since.map_or(Duration::from_secs(3600), |since| GATHER.saturating_sub(since.elapsed())))
}

/// Syncs the journal up to the row of the batch, then writes the documents, so that these contain no row that the journal could lose.
fn write(db: &mut Connection, journal: &Files, batch: &WriteBatch, low_water: Option<Seq>) -> Result<(), Error> {
    journal.sync(batch.row).map_err(|e| switchbox_journal::Error::Write(e.to_string()))?;
    documents::write(db, batch, low_water)
}

fn finish(db: &mut Connection, journal: &Files, batch: &WriteBatch, fatal: &dyn Fn(&Error)) {
    if let Err(error) = write(db, journal, batch, None) {
        fatal(&error);
    }
    // SQLite does this by itself only when no reader is left.
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::debug!(%error, "state.db keeps its write-ahead log");
    }
}
