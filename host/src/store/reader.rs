//! Reads beside the writers, each call on a connection of its own kind. Blocking: callers move it off the event path.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Error,
    docs::{CommandDoc, ConfigVersion, StateVersion},
    documents, log,
    schema::{self, File},
};
use crate::model::{CallRecord, CommandStatus, DeadLetter, DeviceNum, Entry, Seq};

/// One commit of the log.
#[derive(Debug)]
pub struct LogRow {
    pub row: i64,
    pub entries: Vec<Entry>,
}

/// Some rows in order, and where to go on.
#[derive(Debug, Default)]
pub struct LogPage {
    pub rows: Vec<LogRow>,
    /// The row to read from next.
    pub next: i64,
}

#[derive(Debug)]
pub(super) struct Reader {
    log: Mutex<Connection>,
    state: Mutex<Connection>,
}

impl Reader {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            log: Mutex::new(schema::open_reader(folder, File::Log)?),
            state: Mutex::new(schema::open_reader(folder, File::State)?),
        })
    }

    /// Rows from `from` on, until about `bytes` of bodies are read. An empty page = the end.
    pub(super) fn log_page(&self, from: i64, bytes: usize) -> Result<LogPage, Error> {
        let db = self.log.lock();
        let mut statement = db.prepare_cached("SELECT id, body FROM log WHERE id >= ?1 ORDER BY id LIMIT 10000")?;
        let mut rows = statement.query([from])?;
        let mut page = LogPage { rows: Vec::new(), next: from };
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let body = row.get_ref(1)?.as_blob().map_err(|e| Error::Sqlite(e.to_string()))?;
            page.rows.push(LogRow { row: id, entries: log::decode(id, body)? });
            page.next = id + 1;
            read += body.len();
            if read >= bytes {
                break;
            }
        }
        Ok(page)
    }

    /// At most `rows` rows before `before`, newest first.
    pub(super) fn log_back(&self, before: i64, rows: usize) -> Result<Vec<LogRow>, Error> {
        let db = self.log.lock();
        let mut statement = db.prepare_cached("SELECT id, body FROM log WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
        let mut found = statement.query(params![before, rows])?;
        let mut page = Vec::new();
        while let Some(row) = found.next()? {
            let id = row.get(0)?;
            let body = row.get_ref(1)?.as_blob().map_err(|e| Error::Sqlite(e.to_string()))?;
            page.push(LogRow { row: id, entries: log::decode(id, body)? });
        }
        Ok(page)
    }

    /// The row in which the event stands, or the first one after it; none past the end.
    pub(super) fn row_of(&self, seq: Seq) -> Result<Option<i64>, Error> {
        log::first_row(&self.log.lock(), |last, _| last >= seq)
    }

    /// The last row that lies wholly before `seq` and before the byte offset, so that it may be trimmed.
    pub(super) fn trimmable(&self, seq: Seq, keep_bytes: u64, applied: i64) -> Result<Option<i64>, Error> {
        let db = self.log.lock();
        let end = log::end(&db)?;
        let needed = log::first_row(&db, |last, offset| last >= seq || offset + keep_bytes >= end.offset)?;
        Ok(needed.map(|row| (row - 1).min(applied)).filter(|row| *row > 0))
    }

    pub(super) fn applied(&self) -> Result<i64, Error> {
        documents::applied(&self.state.lock())
    }

    /// Newest first.
    pub(super) fn configs(&self, device: DeviceNum, limit: usize) -> Result<Vec<ConfigVersion>, Error> {
        let db = self.state.lock();
        let mut statement =
            db.prepare_cached("SELECT * FROM config WHERE device = ?1 ORDER BY version DESC LIMIT ?2")?;
        let rows = statement.query_map(params![device.0, limit], documents::config_version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Newest first.
    pub(super) fn states(&self, device: DeviceNum, limit: usize) -> Result<Vec<StateVersion>, Error> {
        let db = self.state.lock();
        let mut statement =
            db.prepare_cached("SELECT * FROM state WHERE device = ?1 ORDER BY version DESC LIMIT ?2")?;
        let rows = statement.query_map(params![device.0, limit], documents::state_version)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Newest first.
    pub(super) fn commands(&self, device: DeviceNum, id: Option<&str>, limit: usize) -> Result<Vec<CommandDoc>, Error> {
        let db = self.state.lock();
        let mut statement = db.prepare_cached(
            "SELECT device, id, subfolder, payload, ttl_ms, status, created_ms, changed_ms, cause FROM command
             WHERE device = ?1 AND (?2 IS NULL OR id = ?2) ORDER BY num DESC LIMIT ?3",
        )?;
        let rows = statement.query_map(params![device.0, id, limit], |r| {
            Ok(CommandDoc {
                device: DeviceNum(r.get(0)?),
                id: r.get(1)?,
                subfolder: r.get(2)?,
                payload: r.get::<_, Vec<u8>>(3)?.into(),
                ttl_ms: r.get(4)?,
                status: documents::parsed(&r.get::<_, String>(5)?, status)?,
                created_ms: r.get(6)?,
                changed_ms: r.get(7)?,
                cause: documents::from_json(&r.get::<_, String>(8)?)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// By its id alone.
    pub(super) fn command(&self, id: &str) -> Result<Option<CommandDoc>, Error> {
        let device: Option<u64> = {
            let db = self.state.lock();
            // Reads the index of (device, id) from end to end.
            let mut statement = db.prepare_cached("SELECT device FROM command WHERE id = ?1")?;
            statement.query_row([id], |r| r.get(0)).optional()?
        };
        let Some(device) = device else { return Ok(None) };
        Ok(self.commands(DeviceNum(device), Some(id), 1)?.pop())
    }

    /// A method call of an operator.
    pub(super) fn call(&self, id: &str) -> Result<Option<CallRecord>, Error> {
        let db = self.state.lock();
        let body = db.query_row("SELECT body FROM call WHERE id = ?1", [id], |r| r.get::<_, Vec<u8>>(0)).optional()?;
        body.map(|body| documents::call(&body)).transpose()
    }

    /// In order of their ids, after `after`.
    pub(super) fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let db = self.state.lock();
        let mut statement = db.prepare_cached("SELECT body FROM dead_letter WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let bodies = statement.query_map(params![after, limit], |r| r.get::<_, Vec<u8>>(0))?;
        bodies.map(|body| documents::dead_letter(&body?)).collect()
    }

    pub(super) fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, Error> {
        let db = self.state.lock();
        let body =
            db.query_row("SELECT body FROM dead_letter WHERE id = ?1", [id], |r| r.get::<_, Vec<u8>>(0)).optional()?;
        body.map(|body| documents::dead_letter(&body)).transpose()
    }
}

fn status(text: &str) -> Result<CommandStatus, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}
