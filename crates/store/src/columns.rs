//! Conversion of values in columns of `state.db`, and the numbers of its table `meta`. All files with statements use it.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Error,
    docs::{ConfigVersion, StateVersion},
};
use switchbox_model::{CallRecord, DeadLetter, DeviceNum, PluginName, RegistryName};

// Keys of `meta`.
pub(super) const APPLIED: &str = "applied";
pub(super) const LOW_WATER: &str = "low_water";
pub(super) const LAST_DEVICE: &str = "last_device";
pub(super) const LAST_REVISION: &str = "last_revision";
pub(super) const QUEUE_LIMIT: &str = "queue_limit";
pub(super) const LAST_DEAD_LETTER: &str = "last_dead_letter";

/// Runs the statement, which stays prepared.
pub(super) fn execute(tx: &Transaction<'_>, statement: &str, values: impl rusqlite::Params) -> Result<(), Error> {
    tx.prepare_cached(statement)?.execute(values)?;
    Ok(())
}

/// A number of the table `meta`; 0 if it was never written.
pub(super) fn meta(db: &Connection, key: &str) -> Result<u64, Error> {
    Ok(db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()?.unwrap_or(0))
}

pub(super) fn set_meta(tx: &Transaction<'_>, key: &str, value: u64) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute(params![key, value])?;
    Ok(())
}

/// As [`set_meta`], but never lowers the number.
pub(super) fn raise_meta(tx: &Transaction<'_>, key: &str, value: u64) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute(params![key, value])?;
    Ok(())
}

pub(super) fn decode_call(body: &[u8]) -> Result<CallRecord, Error> {
    postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a method call cannot be read: {e}")))
}

/// The content of a text column.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Sqlite(e.to_string()))
}

/// Reads a text column that holds JSON, or a name that was checked when it was written.
pub(super) fn parsed<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> rusqlite::Result<T> {
    parse(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into()))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    parsed(text, |t| serde_json::from_str(t).map_err(|e| e.to_string()))
}

/// The content of a column `body`.
pub(super) fn to_blob<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(value).map_err(|e| Error::Sqlite(e.to_string()))
}

pub(super) fn from_blob<T: serde::de::DeserializeOwned>(body: &[u8]) -> rusqlite::Result<T> {
    let failed =
        |e: postcard::Error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(e));
    postcard::from_bytes(body).map_err(failed)
}

/// Runs the statement, which takes no parameters, and calls `take` for each row.
pub(super) fn for_each_row(
    db: &Connection,
    statement: &str,
    mut take: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), Error> {
    let mut statement = db.prepare(statement)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

pub(super) fn registry_name(text: &str) -> rusqlite::Result<RegistryName> {
    parsed(text, |t| RegistryName::new(t).map_err(|e| e.to_string()))
}

pub(super) fn plugin_name(text: &str) -> rusqlite::Result<PluginName> {
    parsed(text, |t| PluginName::new(t).map_err(|e| e.to_string()))
}

/// Columns in the table's order.
pub(super) fn config_version(r: &rusqlite::Row<'_>) -> rusqlite::Result<ConfigVersion> {
    Ok(ConfigVersion {
        device: DeviceNum(r.get(0)?),
        version: r.get(1)?,
        time_ms: r.get(2)?,
        payload: r.get::<_, Vec<u8>>(3)?.into(),
        cause: from_json(&r.get::<_, String>(4)?)?,
        acknowledged_ms: r.get(5)?,
    })
}

/// Columns in the table's order.
pub(super) fn state_version(r: &rusqlite::Row<'_>) -> rusqlite::Result<StateVersion> {
    Ok(StateVersion {
        device: DeviceNum(r.get(0)?),
        version: r.get(1)?,
        time_ms: r.get(2)?,
        payload: r.get::<_, Vec<u8>>(3)?.into(),
    })
}

pub(super) fn decode_dead_letter(body: &[u8]) -> Result<DeadLetter, Error> {
    postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a dead letter cannot be read: {e}")))
}
