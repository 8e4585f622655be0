//! The statements that write documents.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::Serialize;

use super::{
    Error, broker,
    columns::{
        APPLIED, LAST_DEAD_LETTER, LAST_REVISION, LOW_WATER, QUEUE_LIMIT, decode_dead_letter, execute, meta,
        raise_meta, set_meta, to_json,
    },
    commands,
    dead_letters::DeadLetterFold,
    devices,
    docs::{Doc, RegistryDoc, ServiceDoc},
    kept, plugins, timers,
    write_batch::WriteBatch,
};
use switchbox_model::{CallRecord, Seq, enrollment::Enrollment, limits::CALLS_KEPT, registry::RegistrySpec};

/// Writes the batch in a separate transaction.
pub(super) fn commit(db: &Connection, batch: &WriteBatch) -> Result<(), Error> {
    let tx = db.unchecked_transaction()?;
    write(&tx, batch)?;
    Ok(tx.commit()?)
}

/// Writes the batch, and the row up to which the documents have got with it.
pub(super) fn write(tx: &Transaction<'_>, batch: &WriteBatch) -> Result<(), Error> {
    let mut before_clock_set = batch.before_clock_set.iter();
    for doc in &batch.others {
        if let Doc::ClockSet { .. } = doc {
            before_clock_set.next().map_or(Ok(()), |broker| broker.write(tx))?;
        }
        write_one(tx, doc)?;
    }
    for device in &batch.settled {
        commands::forget_old(tx, *device)?;
    }
    for versions in batch.configs.values() {
        devices::write_configs(tx, versions)?;
    }
    for ((device, version), time_ms) in &batch.config_acks {
        tx.prepare_cached(
            "UPDATE config SET acknowledged_ms = ?3 WHERE device = ?1 AND version = ?2 AND acknowledged_ms IS NULL",
        )?
        .execute(params![device.0, version, time_ms])?;
    }
    for versions in batch.states.values() {
        devices::write_states(tx, versions)?;
    }
    for (device, seen) in &batch.seen {
        devices::write_seen(tx, *device, seen)?;
    }
    for kv in batch.kv.values() {
        match &kv.value {
            Some(value) => tx
                .prepare_cached("INSERT OR REPLACE INTO kv (plugin, key, value, revision) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![kv.plugin.as_str(), kv.key, value.as_ref(), kv.revision])?,
            None => tx
                .prepare_cached("DELETE FROM kv WHERE plugin = ?1 AND key = ?2")?
                .execute(params![kv.plugin.as_str(), kv.key])?,
        };
    }
    write_outgoing(tx, batch)?;
    batch.broker.write(tx)?;
    write_dead_letters(tx, &batch.dead_letters)?;
    if batch.row > 0 {
        set_meta(tx, APPLIED, u64::try_from(batch.row).unwrap_or(0))?;
    }
    Ok(())
}

/// All events before this one are handled.
pub(super) fn write_low_water(tx: &Transaction<'_>, Seq(seq): Seq) -> Result<(), Error> {
    set_meta(tx, LOW_WATER, seq)
}

/// The row of the journal up to which the documents have got.
pub(super) fn applied(db: &Connection) -> Result<i64, Error> {
    Ok(i64::try_from(meta(db, APPLIED)?).unwrap_or(0))
}

/// The highest id that a dead letter ever had.
pub(super) fn last_dead_letter(db: &Connection) -> Result<u64, Error> {
    meta(db, LAST_DEAD_LETTER)
}

fn write_one(tx: &Transaction<'_>, doc: &Doc) -> Result<(), Error> {
    match doc {
        Doc::Registry(registry) => write_registry(tx, registry),
        Doc::RegistryGone { name } => execute(tx, "DELETE FROM registry WHERE name = ?1", [name.as_str()]),
        Doc::Service(service) => write_service(tx, service),
        Doc::ServiceGone { name } => execute(tx, "DELETE FROM service WHERE name = ?1", [name.as_str()]),
        Doc::Device(_)
        | Doc::DeviceGone { .. }
        | Doc::Bound { .. }
        | Doc::Unbound { .. }
        | Doc::Endpoint { .. }
        | Doc::DeviceError { .. }
        | Doc::GatewayAccessed { .. } => devices::write(tx, doc),
        Doc::Command(command) => commands::write(tx, command),
        Doc::CommandSent { device, num, time_ms } => commands::write_sent(tx, *device, *num, *time_ms),
        Doc::CommandSettled { device, num, status, time_ms } => {
            commands::write_settled(tx, *device, *num, *status, *time_ms)
        }
        Doc::CommandsInDoubt { device, upto } => commands::write_in_doubt(tx, *device, *upto),
        Doc::PluginLifecycle { plugin, change } => plugins::write(tx, plugin, change),
        Doc::ClockSet { time_ms } => {
            commands::clock_set(tx, *time_ms)?;
            plugins::clock_set(tx, *time_ms)?;
            broker::clock_set(tx, *time_ms)
        }
        Doc::Timer(doc) => timers::write(tx, doc),
        Doc::TimerGone { plugin, name } => timers::delete(tx, plugin, name),
        Doc::QueueLimit { commands } => set_meta(tx, QUEUE_LIMIT, *commands),
        Doc::Call(call) => write_call(tx, call),
        // Folded by `WriteBatch`.
        Doc::Config(_) | Doc::ConfigAcknowledged { .. } | Doc::State(_) | Doc::LastSeen { .. } | Doc::Kv(_) => Ok(()),
        Doc::Outgoing(_) | Doc::OutgoingGone { .. } | Doc::Broker(_) => Ok(()),
        Doc::DeadLetter(_) | Doc::DeadLetterGone { .. } => Ok(()),
    }
}

/// The JSON of a registry's column `spec`: the fields of the spec, and the enrolments beside them.
#[derive(Serialize)]
struct RegistryColumn<'a> {
    #[serde(flatten)]
    spec: &'a RegistrySpec,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    enrollments: &'a BTreeMap<String, Enrollment>,
}

fn write_registry(tx: &Transaction<'_>, registry: &RegistryDoc) -> Result<(), Error> {
    let statement = "INSERT INTO registry (name, created_ms, spec, revision) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, revision = excluded.revision";
    let RegistryDoc { name, spec, enrollments, created_ms, revision } = registry;
    let column = RegistryColumn { spec, enrollments };
    execute(tx, statement, params![name.as_str(), created_ms, to_json(&column)?, revision])?;
    raise_meta(tx, LAST_REVISION, *revision)
}

fn write_service(tx: &Transaction<'_>, service: &ServiceDoc) -> Result<(), Error> {
    let statement =
        "INSERT OR REPLACE INTO service (name, spec, password, created_ms, revision) VALUES (?1, ?2, ?3, ?4, ?5)";
    let ServiceDoc { name, spec, password, created_ms, revision } = service;
    let password = password.as_ref().map(|hash| &hash.0);
    execute(tx, statement, params![name.as_str(), to_json(spec)?, password, created_ms, revision])?;
    raise_meta(tx, LAST_REVISION, *revision)
}

fn write_dead_letters(
    tx: &Transaction<'_>,
    DeadLetterFold { unwritten, removed, last_id }: &DeadLetterFold,
) -> Result<(), Error> {
    for id in removed {
        let mut statement = tx.prepare_cached("SELECT body FROM dead_letter WHERE id = ?1")?;
        let body: Option<Vec<u8>> = statement.query_row([id], |r| r.get(0)).optional()?;
        if let Some(dead_letter) = body.map(|body| decode_dead_letter(&body)).transpose()? {
            kept::put_event(tx, dead_letter.event)?;
        }
        tx.prepare_cached("DELETE FROM dead_letter WHERE id = ?1")?.execute([id])?;
    }
    for dead_letter in unwritten.values() {
        let body = postcard::to_stdvec(dead_letter).map_err(|e| Error::Sqlite(e.to_string()))?;
        tx.prepare_cached("INSERT OR REPLACE INTO dead_letter (id, body) VALUES (?1, ?2)")?
            .execute(params![dead_letter.id, body])?;
    }
    last_id.map_or(Ok(()), |last_id| set_meta(tx, LAST_DEAD_LETTER, last_id))
}

fn write_outgoing(tx: &Transaction<'_>, batch: &WriteBatch) -> Result<(), Error> {
    for m in &batch.outgoing {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO outgoing (id, topic, payload, qos, retain) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![m.id, m.topic, m.payload.as_ref(), m.qos as u8, m.retain])?;
    }
    for id in &batch.outgoing_gone {
        tx.prepare_cached("DELETE FROM outgoing WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

/// Writes a method call, and deletes the oldest beyond [`CALLS_KEPT`].
fn write_call(tx: &Transaction<'_>, call: &CallRecord) -> Result<(), Error> {
    let body = postcard::to_stdvec(call).map_err(|e| Error::Sqlite(e.to_string()))?;
    tx.prepare_cached("INSERT OR REPLACE INTO call (id, body) VALUES (?1, ?2)")?.execute(params![call.id, body])?;
    tx.prepare_cached("DELETE FROM call WHERE num <= (SELECT max(num) FROM call) - ?1")?.execute([CALLS_KEPT])?;
    Ok(())
}
