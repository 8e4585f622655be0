//! The statements that read single documents. Those of commands are in `commands.rs`.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Error, columns,
    docs::{ConfigVersion, StateVersion},
    kept::{self, KeptRecord},
};
use switchbox_model::{CallRecord, DeadLetter, DeviceNum, Seq, limits::ADMIN_PAGE_BYTES};

/// A read that the materialiser's thread runs on its connection, which has what is not committed yet. Other documents are not written
/// meanwhile, so it reads a bounded number of rows.
pub(super) type DocumentRead = Box<dyn FnOnce(&Connection) + Send>;

/// The kept records of an event, which outlive the journal.
pub(super) fn kept(db: &Connection, seq: Seq) -> Result<Vec<KeptRecord>, Error> {
    let mut statement = db.prepare_cached("SELECT body, came_of FROM kept WHERE seq = ?1 ORDER BY num")?;
    let rows = statement.query_map([seq.0], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, Option<String>>(1)?)))?;
    rows.map(|row| row.map_err(Error::from).and_then(|(body, by)| kept::read(&body, by.as_deref()))).collect()
}

/// Newest first.
pub(super) fn configs(db: &Connection, device: DeviceNum, limit: usize) -> Result<Vec<ConfigVersion>, Error> {
    let mut statement = db.prepare_cached("SELECT * FROM config WHERE device = ?1 ORDER BY version DESC LIMIT ?2")?;
    let rows = statement.query_map(params![device.0, limit], columns::config_version)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Newest first.
pub(super) fn states(db: &Connection, device: DeviceNum, limit: usize) -> Result<Vec<StateVersion>, Error> {
    let mut statement = db.prepare_cached("SELECT * FROM state WHERE device = ?1 ORDER BY version DESC LIMIT ?2")?;
    let rows = statement.query_map(params![device.0, limit], columns::state_version)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A method call of an operator.
pub(super) fn call(db: &Connection, id: &str) -> Result<Option<CallRecord>, Error> {
    let body = db.query_row("SELECT body FROM call WHERE id = ?1", [id], |r| r.get::<_, Vec<u8>>(0)).optional()?;
    body.map(|body| columns::decode_call(&body)).transpose()
}

/// In order of their ids, after `after`: at most `limit`, and not many more bytes than are read at once, but at least one
/// where there is one.
pub(super) fn dead_letters(db: &Connection, after: u64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
    let mut statement = db.prepare_cached("SELECT body FROM dead_letter WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut bodies = statement.query(params![after, limit])?;
    let (mut dead_letters, mut bytes) = (Vec::new(), 0);
    while let Some(row) = bodies.next()?.filter(|_| bytes < ADMIN_PAGE_BYTES) {
        let body: Vec<u8> = row.get(0)?;
        bytes += body.len();
        dead_letters.push(columns::decode_dead_letter(&body)?);
    }
    Ok(dead_letters)
}

pub(super) fn dead_letter(db: &Connection, id: u64) -> Result<Option<DeadLetter>, Error> {
    let body =
        db.query_row("SELECT body FROM dead_letter WHERE id = ?1", [id], |r| r.get::<_, Vec<u8>>(0)).optional()?;
    body.map(|body| columns::decode_dead_letter(&body)).transpose()
}
