//! The tables of `state.db`, and how an older file becomes a newer one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::Error;
use switchbox_support::scheduling;

/// One step each; the file's `user_version` says how many it has taken. Never edit a step that was released: add one.
const STEPS: &[&str] = &[
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE registry (name TEXT PRIMARY KEY, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE device (
        num INTEGER PRIMARY KEY, registry TEXT NOT NULL, id TEXT NOT NULL, spec TEXT NOT NULL,
        created_ms INTEGER NOT NULL, seen_ms INTEGER) STRICT;
    CREATE TABLE config (
        device INTEGER NOT NULL, version INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
        cause TEXT NOT NULL, acknowledged_ms INTEGER, PRIMARY KEY (device, version)) STRICT, WITHOUT ROWID;
    CREATE TABLE state (
        device INTEGER NOT NULL, version INTEGER NOT NULL, time_ms INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (device, version)) STRICT, WITHOUT ROWID;
    CREATE TABLE command (
        num INTEGER PRIMARY KEY, device INTEGER NOT NULL, id TEXT NOT NULL, subfolder TEXT NOT NULL,
        payload BLOB NOT NULL, ttl_ms INTEGER NOT NULL, status TEXT NOT NULL, created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL, cause TEXT NOT NULL, UNIQUE (device, id)) STRICT;
    CREATE INDEX command_open ON command (device, num) WHERE status IN ('queued', 'sent');
    CREATE TABLE kv (
        plugin TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
        PRIMARY KEY (plugin, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE plugin (name TEXT PRIMARY KEY, from_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letter (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;",
    "CREATE TABLE outgoing (
        num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
        qos INTEGER NOT NULL, retain INTEGER NOT NULL) STRICT;",
    "ALTER TABLE registry ADD COLUMN spec TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE binding (
        gateway INTEGER NOT NULL, device INTEGER NOT NULL, PRIMARY KEY (gateway, device)) STRICT, WITHOUT ROWID;
    CREATE INDEX binding_device ON binding (device);",
    "CREATE TABLE call (num INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;",
    "CREATE TABLE kept (
        num INTEGER PRIMARY KEY, seq INTEGER NOT NULL, plugin TEXT NOT NULL, attempt INTEGER NOT NULL,
        -- 1: a document is there because of it
        referenced INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL, UNIQUE (seq, plugin, attempt)) STRICT;",
    "ALTER TABLE device ADD COLUMN password TEXT;",
    COMMAND_QUEUES,
    "CREATE TABLE session (
        num INTEGER PRIMARY KEY, key TEXT NOT NULL, expiry_secs INTEGER NOT NULL, left_ms INTEGER,
        sent INTEGER NOT NULL DEFAULT 0, will BLOB) STRICT;
    CREATE TABLE subscription (
        session INTEGER NOT NULL, filter TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (session, filter)) STRICT, WITHOUT ROWID;
    CREATE TABLE message (num INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE queued (
        session INTEGER NOT NULL, message INTEGER NOT NULL, held INTEGER NOT NULL, recipient BLOB NOT NULL,
        PRIMARY KEY (session, message)) STRICT, WITHOUT ROWID;
    CREATE INDEX queued_message ON queued (message);
    CREATE TABLE received (session INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (session, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE retained (topic TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    "CREATE TABLE service (
        name TEXT PRIMARY KEY, spec TEXT NOT NULL, password TEXT, created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;",
    TIMERS,
    "CREATE TABLE method_endpoint (device INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;",
    "ALTER TABLE device ADD COLUMN heartbeat_ms INTEGER;
    ALTER TABLE device ADD COLUMN config_sent_ms INTEGER;
    ALTER TABLE device ADD COLUMN config_acknowledged_ms INTEGER;
    ALTER TABLE device ADD COLUMN connected INTEGER;
    UPDATE device SET config_acknowledged_ms =
        (SELECT max(acknowledged_ms) FROM config WHERE config.device = device.num);",
    "ALTER TABLE timer ADD COLUMN set_by TEXT;
    ALTER TABLE kept ADD COLUMN came_of TEXT;",
    "ALTER TABLE device ADD COLUMN error TEXT;",
    "ALTER TABLE device ADD COLUMN commands_in_doubt INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE device ADD COLUMN gateway_access TEXT;",
    "ALTER TABLE session ADD COLUMN in_doubt_from INTEGER;",
    // Without a body: the topic was cleared.
    "ALTER TABLE retained ADD COLUMN num INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX retained_cleared ON retained (num) WHERE length(body) = 0;",
    // Where the topic is the row's key, a row of 1 KiB takes a page of 4.
    "ALTER TABLE retained RENAME TO retained_before;
    DROP INDEX retained_cleared;
    CREATE TABLE retained (topic TEXT PRIMARY KEY, num INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
    INSERT INTO retained SELECT topic, num, body FROM retained_before ORDER BY topic;
    DROP TABLE retained_before;
    CREATE INDEX retained_cleared ON retained (num) WHERE length(body) = 0;",
    "ALTER TABLE retained ADD COLUMN owner TEXT;",
    "CREATE TABLE plugin_life (
        name TEXT PRIMARY KEY, kind TEXT, digest TEXT, off_ms INTEGER, removed INTEGER NOT NULL DEFAULT 0,
        taken_back TEXT) STRICT, WITHOUT ROWID;",
    "ALTER TABLE registry ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE device ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE service ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;",
];

/// Commands wait for their device: numbered within it, each status with its time, found by when their time is over.
const COMMAND_QUEUES: &str = "ALTER TABLE command RENAME TO command_before;
    DROP INDEX command_open;
    CREATE TABLE command (
        device INTEGER NOT NULL, num INTEGER NOT NULL, id TEXT NOT NULL, subfolder TEXT NOT NULL,
        payload BLOB NOT NULL, ttl_ms INTEGER NOT NULL, expires_ms INTEGER, verdict TEXT, status TEXT NOT NULL,
        created_ms INTEGER NOT NULL, sent_ms INTEGER, settled_ms INTEGER, cause TEXT NOT NULL) STRICT;
    INSERT INTO command SELECT device, num, id, subfolder, payload, ttl_ms, NULL, NULL, status, created_ms,
        CASE status WHEN 'sent' THEN changed_ms END, CASE WHEN status NOT IN ('queued', 'sent') THEN changed_ms END,
        cause FROM command_before;
    DROP TABLE command_before;
    CREATE UNIQUE INDEX command_num ON command (device, num);
    CREATE UNIQUE INDEX command_id ON command (id, device);
    CREATE INDEX command_due ON command (expires_ms) WHERE settled_ms IS NULL;";

const TIMERS: &str = "CREATE TABLE timer (
        plugin TEXT NOT NULL, name TEXT NOT NULL, schedule TEXT NOT NULL, payload BLOB NOT NULL, due_ms INTEGER NOT NULL,
        PRIMARY KEY (plugin, name)) STRICT, WITHOUT ROWID;";

const FILE: &str = "state.db";
/// SQLite's own small steps, a few hundred nanoseconds each at most.
const STEPS_BETWEEN_YIELDS: i32 = 50;
/// Pages of 4 KiB that a transaction has in memory. What is more goes to the write-ahead log at once.
const CACHE_PAGES: i32 = 128;

/// Opens the file for its one writer and brings it to the newest schema.
pub(super) fn open_writer(folder: &Path) -> Result<Connection, Error> {
    let path = folder.join(FILE);
    let problem = |e: rusqlite::Error| Error::Open { path: path.display().to_string(), problem: e.to_string() };
    let mut db = Connection::open(&path).map_err(problem)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(problem)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(problem)?;
    db.pragma_update(None, "wal_autocheckpoint", 4_000).map_err(problem)?;
    // A file of its own for what does not fit would be opened when descriptors may be short.
    db.pragma_update(None, "temp_store", "MEMORY").map_err(problem)?;
    migrate(&mut db, STEPS, &path.display().to_string())?;
    // A transaction of many rows lets others go on between them. What is left for the commit is no more than the cache holds.
    db.progress_handler(STEPS_BETWEEN_YIELDS, Some(progress)).map_err(problem)?;
    db.pragma_update(None, "cache_size", CACHE_PAGES).map_err(problem)?;
    Ok(db)
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// The file as it is.
pub(super) struct Unchanged {
    pub(super) db: Connection,
    /// It has the newest schema.
    pub(super) is_current: bool,
}

/// Opens the file to read it while no host runs, without changing a byte of it or beside it. Returns `None` if there is none.
pub(super) fn open_unchanged(folder: &Path) -> Result<Option<Unchanged>, Error> {
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
        // Where there is no write-ahead log, one would be made.
        Connection::open_with_flags(uri(&path), flags | OpenFlags::SQLITE_OPEN_URI)
    };
    let db = db.map_err(|e| problem(&e))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "temp_store", "MEMORY").map_err(|e| problem(&e))?;
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| problem(&e))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { path: path.display().to_string(), found, known });
    }
    // Interrupted while it was made.
    let is_new = found == 0;
    Ok((!is_new).then_some(Unchanged { db, is_current: found == known }))
}

/// What SQLite finds wrong with the file. `None` if there is none.
pub(super) fn integrity(folder: &Path) -> Result<Option<Vec<String>>, Error> {
    let Some(Unchanged { db, .. }) = open_unchanged(folder)? else { return Ok(None) };
    let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(Some(if found == ["ok"] { Vec::new() } else { found }))
}

/// Says that nobody changes the file meanwhile.
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
    scheduling::yield_if_due();
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

fn migrate(db: &mut Connection, steps: &[&str], path: &str) -> Result<(), Error> {
    let found: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known });
    }
    for (index, step) in steps.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let tx = db.transaction()?;
        tx.execute_batch(step)?;
        tx.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        open_writer(folder.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open_writer(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("newer switchbox"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state.db"), "certainly no database, and longer than a header of one hundred bytes, which is what it takes to be looked at").unwrap();
        let error = open_writer(folder.path()).unwrap_err();
        assert!(error.to_string().contains("state.db"), "{error}");
    }

    #[test]
    fn retained_messages_of_an_earlier_version_stay() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = Connection::open(folder.path().join(FILE)).unwrap();
        let before = STEPS.iter().position(|step| step.contains("retained_before")).unwrap();
        migrate(&mut db, &STEPS[..before], FILE).unwrap();
        db.execute("INSERT INTO retained (topic, num, body) VALUES ('b', 2, x'01'), ('a', 1, x'')", []).unwrap();
        drop(db);
        let db = open_writer(folder.path()).unwrap();
        let mut rows = db.prepare("SELECT topic, num, body FROM retained ORDER BY topic").unwrap();
        let rows = rows.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        let rows: Vec<(String, u64, Vec<u8>)> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, [("a".to_owned(), 1, vec![]), ("b".to_owned(), 2, vec![1])]);
    }
}
