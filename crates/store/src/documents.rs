//! The statements that write documents, and those that load all of them at start.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    Error, broker, commands,
    dead_letters::DeadLetterFold,
    docs::{
        ConfigVersion, DeviceDoc, Doc, KvDoc, Loaded, OutgoingDoc, PluginDoc, RegistryDoc, Seen, ServiceDoc,
        StateVersion,
    },
    materialise::WriteBatch,
    plugins, retention, timers,
};
use switchbox_model::{
    CallRecord, DeadLetter, DeviceId, DeviceName, DeviceNum, PluginName, QoS, RegistryName, Seq, ServiceName,
    limits::{CALLS_KEPT, VERSIONS_KEPT},
    registry::PasswordHash,
};

const APPLIED: &str = "applied";
const LOW_WATER: &str = "low_water";
const LAST_DEVICE: &str = "last_device";
const LAST_REVISION: &str = "last_revision";
const LAST_DEAD_LETTER: &str = "last_dead_letter";

/// Writes the batch in one transaction.
pub(super) fn write(db: &mut Connection, batch: &WriteBatch, low_water: Option<Seq>) -> Result<(), Error> {
    let tx = db.transaction()?;
    for doc in &batch.others {
        write_one(&tx, doc)?;
    }
    for device in &batch.settled {
        commands::forget_old(&tx, *device)?;
    }
    for versions in batch.configs.values() {
        write_configs(&tx, versions)?;
    }
    for ((device, version), time_ms) in &batch.config_acks {
        tx.prepare_cached("UPDATE config SET acknowledged_ms = ?3 WHERE device = ?1 AND version = ?2")?
            .execute(params![device.0, version, time_ms])?;
    }
    for versions in batch.states.values() {
        write_states(&tx, versions)?;
    }
    for (device, seen) in &batch.seen {
        write_seen(&tx, *device, seen)?;
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
    write_outgoing(&tx, batch)?;
    batch.broker.write(&tx)?;
    write_dead_letters(&tx, &batch.dead_letters)?;
    if batch.row > 0 {
        set_meta(&tx, APPLIED, u64::try_from(batch.row).unwrap_or(0))?;
    }
    if let Some(Seq(seq)) = low_water {
        set_meta(&tx, LOW_WATER, seq)?;
    }
    tx.commit()?;
    Ok(())
}

/// The row of the log up to which the documents have got.
pub(super) fn applied(db: &Connection) -> Result<i64, Error> {
    Ok(i64::try_from(meta(db, APPLIED)?).unwrap_or(0))
}

pub(super) fn last_dead_letter(db: &Connection) -> Result<u64, Error> {
    meta(db, LAST_DEAD_LETTER)
}

fn meta(db: &Connection, key: &str) -> Result<u64, Error> {
    Ok(db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()?.unwrap_or(0))
}

fn set_meta(tx: &Transaction<'_>, key: &str, value: u64) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute(params![key, value])?;
    Ok(())
}

/// 0 where it was never written.
pub(super) fn read_meta(db: &Connection, key: &str) -> Result<u64, Error> {
    meta(db, key)
}

/// Never lowers it.
pub(super) fn raise_meta(tx: &Transaction<'_>, key: &str, value: u64) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute(params![key, value])?;
    Ok(())
}

fn write_one(tx: &Transaction<'_>, doc: &Doc) -> Result<(), Error> {
    match doc {
        Doc::Registry(registry) => {
            tx.prepare_cached(
                "INSERT INTO registry (name, created_ms, spec, revision) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, revision = excluded.revision",
            )?
            .execute(params![
                registry.name.as_str(),
                registry.created_ms,
                json(&registry.spec)?,
                registry.revision
            ])?;
            raise_meta(tx, LAST_REVISION, registry.revision)?;
        }
        Doc::RegistryGone { name } => {
            tx.execute("DELETE FROM registry WHERE name = ?1", [name.as_str()])?;
        }
        Doc::Service(service) => {
            tx.prepare_cached(
                "INSERT OR REPLACE INTO service (name, spec, password, created_ms, revision) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                service.name.as_str(),
                json(&service.spec)?,
                service.password.as_ref().map(|hash| &hash.0),
                service.created_ms,
                service.revision
            ])?;
            raise_meta(tx, LAST_REVISION, service.revision)?;
        }
        Doc::ServiceGone { name } => {
            tx.execute("DELETE FROM service WHERE name = ?1", [name.as_str()])?;
        }
        Doc::Device(device) => write_device(tx, device)?,
        Doc::DeviceGone { num } => delete_device(tx, *num)?,
        Doc::Bound { gateway, device } => {
            tx.prepare_cached("INSERT OR IGNORE INTO binding (gateway, device) VALUES (?1, ?2)")?
                .execute([gateway.0, device.0])?;
        }
        Doc::Unbound { gateway, device } => {
            tx.prepare_cached("DELETE FROM binding WHERE gateway = ?1 AND device = ?2")?
                .execute([gateway.0, device.0])?;
        }
        Doc::Endpoint { device, endpoint: Some(endpoint) } => {
            tx.prepare_cached("INSERT OR REPLACE INTO method_endpoint (device, body) VALUES (?1, ?2)")?
                .execute(params![device.0, json(endpoint)?])?;
        }
        Doc::Endpoint { device, endpoint: None } => {
            tx.prepare_cached("DELETE FROM method_endpoint WHERE device = ?1")?.execute([device.0])?;
        }
        Doc::Command(command) => commands::write(tx, command)?,
        Doc::CommandSent { device, num, time_ms } => commands::write_sent(tx, *device, *num, *time_ms)?,
        Doc::CommandSettled { device, num, status, time_ms } => {
            commands::write_settled(tx, *device, *num, *status, *time_ms)?;
        }
        Doc::CommandsInDoubt { device, upto } => commands::write_in_doubt(tx, *device, *upto)?,
        Doc::Plugin(PluginDoc { plugin, from }) => {
            tx.execute(
                "INSERT OR REPLACE INTO plugin (name, from_seq) VALUES (?1, ?2)",
                params![plugin.as_str(), from.0],
            )?;
        }
        Doc::PluginGone { plugin } => {
            tx.execute("DELETE FROM plugin WHERE name = ?1", [plugin.as_str()])?;
            timers::delete_all(tx, plugin)?;
        }
        Doc::PluginLife { plugin, change } => plugins::write(tx, plugin, change)?,
        Doc::ClockSet { time_ms } => {
            commands::clock_set(tx, *time_ms)?;
            plugins::clock_set(tx, *time_ms)?;
            broker::clock_set(tx, *time_ms)?;
        }
        Doc::Timer(doc) => timers::write(tx, doc)?,
        Doc::TimerGone { plugin, name } => timers::delete(tx, plugin, name)?,
        Doc::DeviceError { device, error } => {
            tx.prepare_cached("UPDATE device SET error = ?2 WHERE num = ?1")?
                .execute(params![device.0, json(error)?])?;
        }
        Doc::GatewayAccessed { device, access } => {
            tx.prepare_cached("UPDATE device SET gateway_access = ?2 WHERE num = ?1")?
                .execute(params![device.0, json(access)?])?;
        }
        Doc::Call(call) => write_call(tx, call)?,
        // Folded by `WriteBatch`.
        Doc::Config(_) | Doc::ConfigAcknowledged { .. } | Doc::State(_) | Doc::Seen { .. } | Doc::Kv(_) => {}
        Doc::Outgoing(_) | Doc::OutgoingGone { .. } | Doc::Broker(_) => {}
        Doc::DeadLetter(_) | Doc::DeadLetterGone { .. } => {}
    }
    Ok(())
}

fn write_device(tx: &Transaction<'_>, device: &DeviceDoc) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO device (num, registry, id, spec, created_ms, password, revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (num) DO UPDATE SET spec = excluded.spec, password = excluded.password, revision = excluded.revision",
    )?
    .execute(params![
        device.num.0,
        device.name.registry.as_str(),
        device.name.id.as_str(),
        json(&device.spec)?,
        device.created_ms,
        device.password.as_ref().map(|hash| &hash.0),
        device.revision,
    ])?;
    raise_meta(tx, LAST_REVISION, device.revision)?;
    raise_meta(tx, LAST_DEVICE, device.num.0)
}

fn write_seen(tx: &Transaction<'_>, device: DeviceNum, seen: &Seen) -> Result<(), Error> {
    let Seen { event_ms, heartbeat_ms, config_sent_ms, config_acknowledged_ms, connected } = seen;
    tx.prepare_cached(
        "UPDATE device SET seen_ms = coalesce(?2, seen_ms), heartbeat_ms = coalesce(?3, heartbeat_ms),
         config_sent_ms = coalesce(?4, config_sent_ms), config_acknowledged_ms = coalesce(?5, config_acknowledged_ms),
         connected = coalesce(?6, connected) WHERE num = ?1",
    )?
    .execute(params![device.0, event_ms, heartbeat_ms, config_sent_ms, config_acknowledged_ms, connected])?;
    Ok(())
}

fn delete_device(tx: &Transaction<'_>, num: DeviceNum) -> Result<(), Error> {
    for statement in [
        "DELETE FROM device WHERE num = ?1",
        "DELETE FROM config WHERE device = ?1",
        "DELETE FROM state WHERE device = ?1",
        "DELETE FROM command WHERE device = ?1",
        "DELETE FROM binding WHERE device = ?1",
        "DELETE FROM method_endpoint WHERE device = ?1",
    ] {
        tx.prepare_cached(statement)?.execute([num.0])?;
    }
    Ok(())
}

fn write_configs<'a>(
    tx: &Transaction<'_>,
    versions: impl IntoIterator<Item = &'a Arc<ConfigVersion>>,
) -> Result<(), Error> {
    let mut newest = None;
    for v in versions {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO config (device, version, time_ms, payload, cause, acknowledged_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            v.device.0,
            v.version,
            v.time_ms,
            v.payload.as_ref(),
            json(&v.cause)?,
            v.acknowledged_ms
        ])?;
        newest = Some((v.device, v.version));
    }
    forget_old(tx, "DELETE FROM config WHERE device = ?1 AND version <= ?2", newest)
}

fn write_states<'a>(tx: &Transaction<'_>, versions: impl IntoIterator<Item = &'a StateVersion>) -> Result<(), Error> {
    let mut newest = None;
    for v in versions {
        tx.prepare_cached("INSERT OR REPLACE INTO state (device, version, time_ms, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![v.device.0, v.version, v.time_ms, v.payload.as_ref()])?;
        newest = Some((v.device, v.version));
    }
    forget_old(tx, "DELETE FROM state WHERE device = ?1 AND version <= ?2", newest)
}

fn forget_old(tx: &Transaction<'_>, statement: &str, newest: Option<(DeviceNum, u64)>) -> Result<(), Error> {
    if let Some((device, version)) = newest {
        let kept = u64::try_from(VERSIONS_KEPT).unwrap_or(u64::MAX);
        tx.prepare_cached(statement)?.execute(params![device.0, version.saturating_sub(kept)])?;
    }
    Ok(())
}

fn write_dead_letters(tx: &Transaction<'_>, DeadLetterFold { new, gone, last }: &DeadLetterFold) -> Result<(), Error> {
    for id in gone {
        let mut statement = tx.prepare_cached("SELECT body FROM dead_letter WHERE id = ?1")?;
        let body: Option<Vec<u8>> = statement.query_row([id], |r| r.get(0)).optional()?;
        if let Some(letter) = body.map(|body| dead_letter(&body)).transpose()? {
            retention::put_event(tx, letter.event)?;
        }
        tx.prepare_cached("DELETE FROM dead_letter WHERE id = ?1")?.execute([id])?;
    }
    for letter in new.values() {
        let body = postcard::to_stdvec(letter).map_err(|e| Error::Sqlite(e.to_string()))?;
        tx.prepare_cached("INSERT OR REPLACE INTO dead_letter (id, body) VALUES (?1, ?2)")?
            .execute(params![letter.id, body])?;
    }
    last.map_or(Ok(()), |last| set_meta(tx, LAST_DEAD_LETTER, last))
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

/// The newest are kept.
fn write_call(tx: &Transaction<'_>, call: &CallRecord) -> Result<(), Error> {
    let body = postcard::to_stdvec(call).map_err(|e| Error::Sqlite(e.to_string()))?;
    tx.prepare_cached("INSERT OR REPLACE INTO call (id, body) VALUES (?1, ?2)")?.execute(params![call.id, body])?;
    tx.prepare_cached("DELETE FROM call WHERE num <= (SELECT max(num) FROM call) - ?1")?.execute([CALLS_KEPT])?;
    Ok(())
}

pub(super) fn call(body: &[u8]) -> Result<CallRecord, Error> {
    postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a method call cannot be read: {e}")))
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::Sqlite(e.to_string()))
}

/// Reads a text column that holds JSON, or a name that was checked when it was written.
pub(super) fn parsed<T>(text: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> rusqlite::Result<T> {
    parse(text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, e.into()))
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    parsed(text, |t| serde_json::from_str(t).map_err(|e| e.to_string()))
}

/// Loads what the host keeps in memory.
pub(super) fn load(db: &Connection) -> Result<Loaded, Error> {
    let mut loaded = Loaded {
        last_device: meta(db, LAST_DEVICE)?,
        last_revision: meta(db, LAST_REVISION)?,
        last_dead_letter: meta(db, LAST_DEAD_LETTER)?,
        low_water: Seq(meta(db, LOW_WATER)?),
        broker: broker::load(db)?,
        timers: timers::load(db)?,
        lives: plugins::load(db)?,
        ..Loaded::default()
    };
    each(db, "SELECT name, spec, created_ms, revision FROM registry", |r| {
        let name = registry_name(&r.get::<_, String>(0)?)?;
        let spec = from_json(&r.get::<_, String>(1)?)?;
        loaded.registries.push(RegistryDoc { name, spec, created_ms: r.get(2)?, revision: r.get(3)? });
        Ok(())
    })?;
    each(db, "SELECT name, spec, password, created_ms, revision FROM service", |r| {
        loaded.services.push(Arc::new(ServiceDoc {
            name: parsed(&r.get::<_, String>(0)?, |t| ServiceName::new(t).map_err(|e| e.to_string()))?,
            spec: from_json(&r.get::<_, String>(1)?)?,
            password: r.get::<_, Option<String>>(2)?.map(|hash| PasswordHash(hash.into())),
            created_ms: r.get(3)?,
            revision: r.get(4)?,
        }));
        Ok(())
    })?;
    each(db, "SELECT gateway, device FROM binding", |r| {
        loaded.bindings.push((DeviceNum(r.get(0)?), DeviceNum(r.get(1)?)));
        Ok(())
    })?;
    let devices = "SELECT num, registry, id, spec, created_ms, seen_ms, password, heartbeat_ms, config_sent_ms,
        config_acknowledged_ms, connected, error, gateway_access, revision FROM device ORDER BY num";
    each(db, devices, |r| {
        let device = DeviceDoc {
            num: DeviceNum(r.get(0)?),
            name: DeviceName {
                registry: registry_name(&r.get::<_, String>(1)?)?,
                id: parsed(&r.get::<_, String>(2)?, |t| DeviceId::new(t).map_err(|e| e.to_string()))?,
            },
            spec: from_json(&r.get::<_, String>(3)?)?,
            created_ms: r.get(4)?,
            password: r.get::<_, Option<String>>(6)?.map(|hash| PasswordHash(hash.into())),
            revision: r.get(13)?,
        };
        let seen = Seen {
            event_ms: r.get(5)?,
            heartbeat_ms: r.get(7)?,
            config_sent_ms: r.get(8)?,
            config_acknowledged_ms: r.get(9)?,
            connected: r.get(10)?,
        };
        if let Some(error) = r.get::<_, Option<String>>(11)? {
            loaded.errors.push((device.num, from_json(&error)?));
        }
        if let Some(access) = r.get::<_, Option<String>>(12)? {
            loaded.gateway_accesses.push((device.num, from_json(&access)?));
        }
        loaded.devices.push((device, seen));
        Ok(())
    })?;
    each(
        db,
        "SELECT c.* FROM config c JOIN (SELECT device, max(version) v FROM config GROUP BY device) n ON c.device = n.device AND c.version = n.v",
        |r| {
            loaded.configs.push(config_version(r)?);
            Ok(())
        },
    )?;
    each(
        db,
        "SELECT s.* FROM state s JOIN (SELECT device, max(version) v FROM state GROUP BY device) n ON s.device = n.device AND s.version = n.v",
        |r| {
            loaded.states.push(state_version(r)?);
            Ok(())
        },
    )?;
    each(db, "SELECT plugin, key, value, revision FROM kv", |r| {
        loaded.kv.push(KvDoc {
            plugin: plugin_name(&r.get::<_, String>(0)?)?,
            key: r.get(1)?,
            value: r.get::<_, Option<Vec<u8>>>(2)?.map(Into::into),
            revision: r.get(3)?,
        });
        Ok(())
    })?;
    each(db, "SELECT body FROM dead_letter ORDER BY id", |r| {
        if let Ok(letter) = dead_letter(&r.get::<_, Vec<u8>>(0)?) {
            loaded.dead_letters.push((letter.plugin, letter.id));
        }
        Ok(())
    })?;
    each(db, "SELECT name, from_seq FROM plugin", |r| {
        loaded.plugins.push(PluginDoc { plugin: plugin_name(&r.get::<_, String>(0)?)?, from: Seq(r.get(1)?) });
        Ok(())
    })?;
    commands::load(db, &mut loaded)?;
    each(db, "SELECT device, body FROM method_endpoint", |r| {
        loaded.endpoints.push((DeviceNum(r.get(0)?), from_json(&r.get::<_, String>(1)?)?));
        Ok(())
    })?;
    each(db, "SELECT id, topic, payload, qos, retain FROM outgoing ORDER BY num", |r| {
        loaded.outgoing.push(OutgoingDoc {
            id: r.get(0)?,
            topic: r.get(1)?,
            payload: r.get::<_, Vec<u8>>(2)?.into(),
            qos: QoS::of(r.get(3)?).unwrap_or_default(),
            retain: r.get(4)?,
        });
        Ok(())
    })?;
    Ok(loaded)
}

pub(super) fn each(
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

fn registry_name(text: &str) -> rusqlite::Result<RegistryName> {
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

pub(super) fn dead_letter(body: &[u8]) -> Result<DeadLetter, Error> {
    postcard::from_bytes(body).map_err(|e| Error::Sqlite(format!("a dead letter cannot be read: {e}")))
}
