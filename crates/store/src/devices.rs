//! The statements that write what belongs to a device: the device itself, its bindings, and the versions of its config and state.

use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::{
    Error,
    columns::{LAST_DEVICE, LAST_REVISION, execute, raise_meta, to_json},
    docs::{ConfigVersion, DeviceDoc, Doc, LastSeen, StateVersion},
};
use switchbox_model::{DeviceNum, limits::VERSIONS_KEPT};

/// Writes a change of what belongs to a device, except its versions and commands.
pub(super) fn write(tx: &Transaction<'_>, doc: &Doc) -> Result<(), Error> {
    match doc {
        Doc::Device(device) => write_device(tx, device),
        Doc::DeviceGone { num } => delete_device(tx, *num),
        Doc::Bound { gateway, device } => {
            let statement = "INSERT OR IGNORE INTO binding (gateway, device) VALUES (?1, ?2)";
            execute(tx, statement, [gateway.0, device.0])
        }
        Doc::Unbound { gateway, device } => {
            execute(tx, "DELETE FROM binding WHERE gateway = ?1 AND device = ?2", [gateway.0, device.0])
        }
        Doc::Endpoint { device, endpoint: Some(endpoint) } => {
            let statement = "INSERT OR REPLACE INTO method_endpoint (device, body) VALUES (?1, ?2)";
            execute(tx, statement, params![device.0, to_json(endpoint)?])
        }
        Doc::Endpoint { device, endpoint: None } => {
            execute(tx, "DELETE FROM method_endpoint WHERE device = ?1", [device.0])
        }
        Doc::DeviceError { device, error } => {
            execute(tx, "UPDATE device SET error = ?2 WHERE num = ?1", params![device.0, to_json(error)?])
        }
        Doc::GatewayAccessed { device, access } => {
            execute(tx, "UPDATE device SET gateway_access = ?2 WHERE num = ?1", params![device.0, to_json(access)?])
        }
        _ => Ok(()),
    }
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
        to_json(&device.spec)?,
        device.created_ms,
        device.password.as_ref().map(|hash| &hash.0),
        device.revision,
    ])?;
    raise_meta(tx, LAST_REVISION, device.revision)?;
    raise_meta(tx, LAST_DEVICE, device.num.0)
}

pub(super) fn write_seen(tx: &Transaction<'_>, device: DeviceNum, seen: &LastSeen) -> Result<(), Error> {
    let LastSeen { event_ms, heartbeat_ms, config_sent_ms, config_acknowledged_ms, connected } = seen;
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

/// Writes versions of one device's config, in ascending order.
pub(super) fn write_configs<'a>(
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
            to_json(&v.cause)?,
            v.acknowledged_ms
        ])?;
        newest = Some((v.device, v.version));
    }
    forget_old(tx, "DELETE FROM config WHERE device = ?1 AND version <= ?2", newest)
}

/// Writes versions of one device's state, in ascending order.
pub(super) fn write_states<'a>(
    tx: &Transaction<'_>,
    versions: impl IntoIterator<Item = &'a StateVersion>,
) -> Result<(), Error> {
    let mut newest = None;
    for v in versions {
        tx.prepare_cached("INSERT OR REPLACE INTO state (device, version, time_ms, payload) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![v.device.0, v.version, v.time_ms, v.payload.as_ref()])?;
        newest = Some((v.device, v.version));
    }
    forget_old(tx, "DELETE FROM state WHERE device = ?1 AND version <= ?2", newest)
}

/// Deletes the versions that are more than [`VERSIONS_KEPT`] older than the newest.
fn forget_old(tx: &Transaction<'_>, statement: &str, newest: Option<(DeviceNum, u64)>) -> Result<(), Error> {
    if let Some((device, version)) = newest {
        let kept = u64::try_from(VERSIONS_KEPT).unwrap_or(u64::MAX);
        tx.prepare_cached(statement)?.execute(params![device.0, version.saturating_sub(kept)])?;
    }
    Ok(())
}
