//! The log's rows: one row a commit, all entries of the batch in it.

use rusqlite::{Connection, OptionalExtension, params};

use super::Error;
use crate::model::{Entry, Seq};

/// How a row's body is encoded: postcard, one entry after the other.
const FORMAT: u8 = 1;

/// The end of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    pub row: i64,
    pub last_seq: Seq,
    pub offset: u64,
}

/// Starts a row's body.
pub(super) fn begin(body: &mut Vec<u8>) {
    body.clear();
    body.push(FORMAT);
}

/// Adds an entry to a row's body.
pub(super) fn encode(entry: &Entry, body: &mut Vec<u8>) -> Result<(), Error> {
    postcard::to_io(entry, body).map(drop).map_err(|e| Error::Sqlite(format!("an entry cannot be encoded: {e}")))
}

/// Reads a row's body.
pub(super) fn decode(row: i64, body: &[u8]) -> Result<Vec<Entry>, Error> {
    let corrupt = |problem: String| Error::Corrupt { row, problem };
    let Some((&FORMAT, mut rest)) = body.split_first() else {
        return Err(corrupt("unknown format".into()));
    };
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, after) = postcard::take_from_bytes(rest).map_err(|e| corrupt(e.to_string()))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// The last event among the entries.
pub(super) fn last_seq(entry: &Entry) -> Option<Seq> {
    match entry {
        Entry::Events(events) => events.last().map(|e| e.seq),
        _ => None,
    }
}

pub(super) fn end(db: &Connection) -> Result<End, Error> {
    let end = db
        .query_row("SELECT id, last_seq, end_offset FROM log ORDER BY id DESC LIMIT 1", [], |row| {
            Ok(End { row: row.get(0)?, last_seq: Seq(row.get(1)?), offset: row.get(2)? })
        })
        .optional()?;
    Ok(end.unwrap_or_default())
}

/// Appends one row in a transaction of its own.
pub(super) fn append(db: &Connection, end: End, body: &[u8]) -> Result<(), Error> {
    db.prepare_cached("INSERT INTO log (id, last_seq, end_offset, body) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        end.row,
        end.last_seq.0,
        end.offset,
        body
    ])?;
    Ok(())
}

/// The first row for which `reached` holds of (last_seq, end_offset), both of which only grow. None = no row.
pub(super) fn first_row(db: &Connection, reached: impl Fn(Seq, u64) -> bool) -> Result<Option<i64>, Error> {
    let bounds: (Option<i64>, Option<i64>) = db.query_row(
        "SELECT (SELECT id FROM log ORDER BY id LIMIT 1), (SELECT id FROM log ORDER BY id DESC LIMIT 1)",
        [],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )?;
    let (Some(mut low), Some(newest)) = bounds else { return Ok(None) };
    let mut high = newest + 1;
    let mut lookup = db.prepare_cached("SELECT last_seq, end_offset FROM log WHERE id = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let (seq, offset) = lookup.query_row([middle], |r| Ok((Seq(r.get(0)?), r.get(1)?)))?;
        if reached(seq, offset) { high = middle } else { low = middle + 1 }
    }
    Ok((low <= newest).then_some(low))
}

/// Deletes at most `limit` rows up to and with `row`, never the newest.
pub(super) fn trim(db: &Connection, row: i64, limit: u32) -> Result<usize, Error> {
    Ok(db
        .prepare_cached(
            "DELETE FROM log WHERE id <= ?1 AND id < (SELECT max(id) FROM log)
             AND id < (SELECT min(id) FROM log) + ?2",
        )?
        .execute(params![row, limit])?)
}
