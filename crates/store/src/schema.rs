//! The tables of `state.db`, and how the file is opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::Error;
use switchbox_support::threads;

/// The version of `state.db`, in the file's `user_version`.
const VERSION: i64 = 1;

/// Its tables. A later version adds a step that makes them of those of the version before (ARCHITECTURE.md, "Formats"); this text
/// then stays as it is.
const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

    CREATE TABLE registry (
        name TEXT PRIMARY KEY, spec TEXT NOT NULL, created_ms INTEGER NOT NULL, revision INTEGER NOT NULL)
        STRICT, WITHOUT ROWID;
    CREATE TABLE service (
        name TEXT PRIMARY KEY, spec TEXT NOT NULL, password TEXT, created_ms INTEGER NOT NULL,
        revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE device (
        num INTEGER PRIMARY KEY, registry TEXT NOT NULL, id TEXT NOT NULL, spec TEXT NOT NULL, password TEXT,
        created_ms INTEGER NOT NULL, revision INTEGER NOT NULL, seen_ms INTEGER, heartbeat_ms INTEGER,
        config_sent_ms INTEGER, config_acknowledged_ms INTEGER, connected INTEGER, error TEXT, gateway_access TEXT,
        commands_in_doubt INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE binding (
        gateway INTEGER NOT NULL, device INTEGER NOT NULL, PRIMARY KEY (gateway, device)) STRICT, WITHOUT ROWID;
    CREATE INDEX binding_device ON binding (device);
    CREATE TABLE method_endpoint (device INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

    CREATE TABLE config (
        device INTEGER NOT NULL, version INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
        cause TEXT NOT NULL, acknowledged_ms INTEGER, PRIMARY KEY (device, version)) STRICT, WITHOUT ROWID;
    CREATE TABLE state (
        device INTEGER NOT NULL, version INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (device, version)) STRICT, WITHOUT ROWID;
    CREATE TABLE command (
        device INTEGER NOT NULL, num INTEGER NOT NULL, id TEXT NOT NULL, subfolder TEXT NOT NULL,
        payload BLOB NOT NULL, properties TEXT, ttl_ms INTEGER NOT NULL, expires_ms INTEGER, verdict TEXT,
        status TEXT NOT NULL, created_ms INTEGER NOT NULL, sent_ms INTEGER, settled_ms INTEGER,
        cause TEXT NOT NULL) STRICT;
    CREATE UNIQUE INDEX command_num ON command (device, num);
    CREATE UNIQUE INDEX command_id ON command (id, device);
    CREATE INDEX command_due ON command (expires_ms) WHERE settled_ms IS NULL;
    CREATE TABLE call (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;

    CREATE TABLE plugin (name TEXT PRIMARY KEY, from_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE plugin_life (
        name TEXT PRIMARY KEY, kind TEXT, digest TEXT, off_ms INTEGER, removed INTEGER NOT NULL DEFAULT 0,
        taken_back TEXT) STRICT, WITHOUT ROWID;
    CREATE TABLE kv (
        plugin TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
        PRIMARY KEY (plugin, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE timer (
        plugin TEXT NOT NULL, name TEXT NOT NULL, schedule TEXT NOT NULL, payload BLOB NOT NULL,
        due_ms INTEGER NOT NULL, set_by TEXT, PRIMARY KEY (plugin, name)) STRICT, WITHOUT ROWID;
    CREATE TABLE outgoing (
        num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL) STRICT;
    CREATE TABLE dead_letter (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE kept (
        num INTEGER PRIMARY KEY, seq INTEGER NOT NULL, plugin TEXT NOT NULL, attempt INTEGER NOT NULL,
        -- 1: a document is there because of it
        referenced INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL, came_of TEXT,
        UNIQUE (seq, plugin, attempt)) STRICT;

    CREATE TABLE session (
        num INTEGER PRIMARY KEY, key TEXT NOT NULL, expiry_secs INTEGER NOT NULL, left_ms INTEGER,
        sent INTEGER NOT NULL DEFAULT 0, in_doubt_from INTEGER, will BLOB) STRICT;
    CREATE TABLE subscription (
        session INTEGER NOT NULL, filter TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (session, filter))
        STRICT, WITHOUT ROWID;
    CREATE TABLE message (num INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE queued (
        session INTEGER NOT NULL, message INTEGER NOT NULL, held INTEGER NOT NULL, recipient BLOB NOT NULL,
        PRIMARY KEY (session, message)) STRICT, WITHOUT ROWID;
    CREATE INDEX queued_message ON queued (message);
    CREATE TABLE received (session INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (session, id))
        STRICT, WITHOUT ROWID;
    -- Where the topic is the row's key, a row of 1 KiB takes a page of 4. Without a body: the topic was cleared.
    CREATE TABLE retained (topic TEXT PRIMARY KEY, num INTEGER NOT NULL, body BLOB NOT NULL, owner TEXT NOT NULL) STRICT;
    CREATE INDEX retained_cleared ON retained (num) WHERE length(body) = 0;";

const FILE: &str = "state.db";
/// SQLite's own small steps, a few hundred nanoseconds each at most.
const STEPS_BETWEEN_YIELDS: i32 = 50;
/// Pages of 4 KiB that a transaction has in memory. What is more goes to the write-ahead log at once.
const CACHE_PAGES: i32 = 128;

/// Statements of the writer that stay prepared: those of the usual documents, and of reads of what is not committed.
const STATEMENTS: usize = 32;

/// Opens the file for its one writer, and makes it where it is new.
pub(super) fn open_writer(folder: &Path) -> Result<Connection, Error> {
    let path = folder.join(FILE);
    let problem = |e: rusqlite::Error| Error::Open { path: path.display().to_string(), problem: e.to_string() };
    let mut db = Connection::open(&path).map_err(problem)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(problem)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(problem)?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(problem)?;
    // A file of its own for what does not fit would be opened when descriptors may be short.
    db.pragma_update(None, "temp_store", "MEMORY").map_err(problem)?;
    make(&mut db, &path)?;
    // The handler yields to other work during a transaction of many rows. At the commit no more is left to write than the cache holds.
    db.progress_handler(STEPS_BETWEEN_YIELDS, Some(progress)).map_err(problem)?;
    db.pragma_update(None, "cache_size", CACHE_PAGES).map_err(problem)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Opens the file to read it while no host runs, without changing a byte of it or beside it. Returns `None` if there is none.
pub(super) fn open_unchanged(folder: &Path) -> Result<Option<Connection>, Error> {
    let path = path(folder);
    let problem = |e: &dyn std::fmt::Display| Error::Open { path: path.display().to_string(), problem: e.to_string() };
    let length = |path: &Path| fs::metadata(path).map(|found| found.len());
    match length(&path) {
        Ok(0) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|e| problem(&e))?,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = length(&path.with_extension("db-wal")).is_ok_and(|length| length > 0);
    let db = if has_log {
        // This way of locking keeps the index of the write-ahead log in memory, not in a file.
        Connection::open_with_flags_and_vfs(&path, flags, c"unix-excl")
    } else {
        // Opening a database without a write-ahead log would create one.
        Connection::open_with_flags(uri(&path), flags | OpenFlags::SQLITE_OPEN_URI)
    };
    let db = db.map_err(|e| problem(&e))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "temp_store", "MEMORY").map_err(|e| problem(&e))?;
    // 0: interrupted while it was made.
    Ok((version(&db, &path)? == VERSION).then_some(db))
}

/// [`VERSION`], or 0 for a file that was not made yet.
fn version(db: &Connection, path: &Path) -> Result<i64, Error> {
    match db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| unreadable(path, &e))? {
        found @ (0 | VERSION) => Ok(found),
        found => Err(Error::OtherVersion { path: path.display().to_string(), found, known: VERSION }),
    }
}

/// The first read of the file failed: its bytes are damaged, or it cannot be read at all.
fn unreadable(path: &Path, error: &rusqlite::Error) -> Error {
    let path = path.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::Damaged(format!("{path}: {error}")),
        _ => Error::Open { path, problem: error.to_string() },
    }
}

/// What SQLite finds wrong with the file. Returns `None` if there is no file.
pub(super) fn integrity(folder: &Path) -> Result<Option<Vec<String>>, Error> {
    let Some(db) = open_unchanged(folder)? else { return Ok(None) };
    let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(Some(if found == ["ok"] { Vec::new() } else { found }))
}

/// The URI of the file. `immutable` promises SQLite that the file does not change meanwhile.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    let encoded = path.as_os_str().as_bytes().iter().fold(String::new(), |mut uri, byte| {
        if plain(*byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02x}"));
        }
        uri
    });
    format!("file:{encoded}?immutable=1")
}

fn progress() -> bool {
    threads::yield_if_due();
    false
}

/// Opens the file for reading beside its writer.
pub(super) fn open_reader(folder: &Path) -> Result<Connection, Error> {
    let path = folder.join(FILE);
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|e| Error::Open { path: path.display().to_string(), problem: e.to_string() })?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// Makes the tables where there are none.
fn make(db: &mut Connection, path: &Path) -> Result<(), Error> {
    if version(db, path)? == 0 {
        let tx = db.transaction()?;
        tx.execute_batch(TABLES)?;
        tx.pragma_update(None, "user_version", VERSION)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        open_writer(folder.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open_writer(folder.path()).unwrap_err();
        assert!(matches!(error, Error::OtherVersion { found: 99, known: VERSION, .. }), "{error}");
        assert!(error.to_string().contains("start the version that wrote it"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.db"), "certainly no database, and longer than a header of one hundred bytes, which is what it takes to be looked at").unwrap();
        let error = open_writer(folder.path()).unwrap_err();
        assert!(error.to_string().contains("state.db"), "{error}");
        let error = open_unchanged(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)) && error.to_string().contains("state.db"), "{error}");
    }
}
