//! The commands of `state.db`: the statements that write them, and those that read queues, due ones and outcomes.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{
    Error, columns,
    command_docs::{CommandDoc, CommandFilter, CommandPage, DueCommand},
    loaded::Loaded,
};
use switchbox_model::{
    CommandStatus, DeviceNum,
    limits::{ADMIN_PAGE_BYTES, COMMANDS_KEPT, COMMANDS_READ_BYTES},
};

const COLUMNS: &str = "device, num, id, subfolder, payload, properties, ttl_ms, expires_ms, verdict, status, created_ms, sent_ms, \
                       settled_ms, cause";

pub(super) fn write(tx: &Transaction<'_>, c: &CommandDoc) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO command (device, num, id, subfolder, payload, properties, ttl_ms, expires_ms, verdict,
         status, created_ms, sent_ms, settled_ms, cause)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        c.device.0,
        c.num,
        c.id,
        c.subfolder,
        c.payload.as_ref(),
        (!c.properties.is_empty()).then(|| columns::to_json(&c.properties)).transpose()?,
        c.ttl_ms,
        c.expires_ms.map(sql_ms),
        c.status_at_deadline.map(CommandStatus::as_str),
        c.status.as_str(),
        c.created_ms,
        c.sent_ms,
        c.settled_ms,
        columns::to_json(&c.cause)?
    ])?;
    Ok(())
}

/// SQLite's integers have a sign.
fn sql_ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// The time of the first attempt is kept when a command is sent again. A command of QoS 0 is not acknowledged and has ended before it is
/// sent.
pub(super) fn write_sent(tx: &Transaction<'_>, device: DeviceNum, num: u64, time_ms: u64) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE command SET status = CASE status WHEN 'queued' THEN 'sent' ELSE status END, sent_ms = ?3
         WHERE device = ?1 AND num = ?2 AND sent_ms IS NULL AND status IN ('queued', 'sent-unconfirmed')",
    )?
    .execute(params![device.0, num, time_ms])?;
    Ok(())
}

/// The device may have been sent any of its commands up to this number.
pub(super) fn write_in_doubt(tx: &Transaction<'_>, device: DeviceNum, upto: u64) -> Result<(), Error> {
    tx.prepare_cached("UPDATE device SET commands_in_doubt = ?2 WHERE num = ?1")?.execute(params![device.0, upto])?;
    Ok(())
}

/// No command has more time left than its whole time-to-live.
pub(super) fn clock_set(tx: &Transaction<'_>, now_ms: u64) -> Result<(), Error> {
    tx.execute(
        "UPDATE command SET expires_ms = ?1 + ttl_ms
         WHERE settled_ms IS NULL AND ttl_ms > 0 AND expires_ms > ?1 + ttl_ms",
        [sql_ms(now_ms)],
    )?;
    Ok(())
}

/// The first final status is the only one.
pub(super) fn write_settled(
    tx: &Transaction<'_>,
    device: DeviceNum,
    num: u64,
    status: CommandStatus,
    time_ms: u64,
) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE command SET status = ?3, settled_ms = ?4 WHERE device = ?1 AND num = ?2 AND settled_ms IS NULL",
    )?
    .execute(params![device.0, num, status.as_str(), time_ms])?;
    Ok(())
}

/// Deletes ended commands except for the last [`COMMANDS_KEPT`]. The newest command of a device is always kept, as the next one continues
/// its numbering.
pub(super) fn forget_old(tx: &Transaction<'_>, device: DeviceNum) -> Result<(), Error> {
    tx.prepare_cached(
        "DELETE FROM command WHERE device = ?1 AND settled_ms IS NOT NULL AND num < (
             SELECT num FROM command WHERE device = ?1 AND settled_ms IS NOT NULL
             ORDER BY num DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![device.0, COMMANDS_KEPT - 1])?;
    Ok(())
}

/// Loads which commands are open, of every device that ever had one.
pub(super) fn load(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    columns::for_each_row(db, "SELECT device, num, settled_ms IS NULL FROM command ORDER BY device, num", |r| {
        loaded.commands.entry(DeviceNum(r.get(0)?)).or_default().load(r.get(1)?, r.get(2)?);
        Ok(())
    })
}

fn command(r: &Row<'_>) -> rusqlite::Result<CommandDoc> {
    Ok(CommandDoc {
        device: DeviceNum(r.get(0)?),
        num: r.get(1)?,
        id: r.get(2)?,
        subfolder: r.get(3)?,
        payload: Bytes::from(r.get::<_, Vec<u8>>(4)?),
        properties: r
            .get::<_, Option<String>>(5)?
            .map(|text| columns::from_json(&text))
            .transpose()?
            .unwrap_or_default(),
        ttl_ms: r.get(6)?,
        expires_ms: r.get(7)?,
        status_at_deadline: r.get::<_, Option<String>>(8)?.map(|text| columns::parsed(&text, status)).transpose()?,
        status: columns::parsed(&r.get::<_, String>(9)?, status)?,
        created_ms: r.get(10)?,
        sent_ms: r.get(11)?,
        settled_ms: r.get(12)?,
        cause: columns::from_json(&r.get::<_, String>(13)?)?,
    })
}

fn status(text: &str) -> Result<CommandStatus, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// The device's commands, newest first: at most `limit`, and no more once their payloads are larger than a page, so that the last of them shows that
/// there are more.
pub(super) fn list(db: &Connection, device: DeviceNum, filter: &CommandFilter) -> Result<Vec<CommandDoc>, Error> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM command WHERE device = ?1 AND num < ?2 AND (?3 IS NULL OR status = ?3)
         ORDER BY num DESC LIMIT ?4"
    ))?;
    let before = filter.before.map_or(i64::MAX, sql_ms);
    let status_text = filter.status.map(CommandStatus::as_str);
    let mut rows = statement.query(params![device.0, before, status_text, filter.limit])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| bytes <= ADMIN_PAGE_BYTES || found.len() < 2) {
        let doc = command(row)?;
        bytes += doc.payload.len();
        found.push(doc);
    }
    Ok(found)
}

/// The command with this id. `device`: `None` for any device.
pub(super) fn find(db: &Connection, device: Option<DeviceNum>, id: &str) -> Result<Option<CommandDoc>, Error> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM command WHERE id = ?1 AND (?2 IS NULL OR device = ?2)"))?;
    Ok(statement.query_row(params![id, device.map(|device| device.0)], command).optional()?)
}

/// Open commands behind the number `after`, in their order: at most `limit`, and not many more bytes than may be read at once.
pub(super) fn queued(db: &Connection, device: DeviceNum, after: u64, limit: usize) -> Result<CommandPage, Error> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM command WHERE device = ?1 AND num > ?2 AND settled_ms IS NULL ORDER BY num LIMIT ?3"
    ))?;
    let mut rows = statement.query(params![device.0, after, limit])?;
    let mut page = CommandPage { in_doubt: in_doubt(db, device)?, ..CommandPage::default() };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let found = command(row)?;
        bytes += found.payload.len();
        page.commands.push(found);
        if bytes >= COMMANDS_READ_BYTES {
            return Ok(page);
        }
    }
    page.last = page.commands.len() < limit;
    Ok(page)
}

fn in_doubt(db: &Connection, device: DeviceNum) -> Result<u64, Error> {
    let mut statement = db.prepare_cached("SELECT commands_in_doubt FROM device WHERE num = ?1")?;
    Ok(statement.query_row([device.0], |r| r.get(0)).optional()?.unwrap_or(0))
}

/// Open commands of a device behind the number `after`, without their payloads.
pub(super) fn open(db: &Connection, device: DeviceNum, after: u64, limit: usize) -> Result<Vec<DueCommand>, Error> {
    let mut statement = db.prepare_cached(
        "SELECT device, num, id, verdict FROM command WHERE device = ?1 AND num > ?2 AND settled_ms IS NULL
         ORDER BY num LIMIT ?3",
    )?;
    let rows = statement.query_map(params![device.0, after, limit], due_command)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Open commands whose deadline has passed. `with_orphaned`: also those that end with their connection, which a stopped host had.
pub(super) fn due(db: &Connection, now_ms: u64, with_orphaned: bool, limit: usize) -> Result<Vec<DueCommand>, Error> {
    let mut statement = db.prepare_cached(if with_orphaned {
        "SELECT device, num, id, verdict FROM command
         WHERE settled_ms IS NULL AND (expires_ms IS NULL OR expires_ms <= ?1) LIMIT ?2"
    } else {
        "SELECT device, num, id, verdict FROM command
         WHERE settled_ms IS NULL AND expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2"
    })?;
    let rows = statement.query_map(params![sql_ms(now_ms), limit], due_command)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn due_command(r: &Row<'_>) -> rusqlite::Result<DueCommand> {
    let status_at_deadline = r.get::<_, Option<String>>(3)?.map(|text| columns::parsed(&text, status)).transpose()?;
    Ok(DueCommand { device: DeviceNum(r.get(0)?), num: r.get(1)?, id: r.get(2)?, status_at_deadline })
}

/// The next deadline of an open command.
pub(super) fn next_due(db: &Connection) -> Result<Option<u64>, Error> {
    let least = "SELECT min(expires_ms) FROM command WHERE settled_ms IS NULL AND expires_ms IS NOT NULL";
    Ok(db.query_row(least, [], |r| r.get(0))?)
}

#[cfg(test)]
mod tests;
