//! Loads all documents that the host keeps in memory, at its start.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::Connection;
use serde::Deserialize;

use super::{
    Error, broker,
    columns::{
        LAST_DEAD_LETTER, LAST_DEVICE, LAST_REVISION, LOW_WATER, QUEUE_LIMIT, config_version, decode_dead_letter,
        for_each_row, from_json, meta, parsed, plugin_name, registry_name, state_version,
    },
    commands,
    docs::{DeviceDoc, KvDoc, LastSeen, OutgoingDoc, PluginDoc, RegistryDoc, ServiceDoc},
    loaded::Loaded,
    plugins, timers,
};
use switchbox_model::{
    DeviceId, DeviceName, DeviceNum, QoS, Seq, ServiceName, enrollment::Enrollment, registry::PasswordHash,
};

pub(super) fn load(db: &Connection) -> Result<Loaded, Error> {
    let mut loaded = Loaded {
        last_device: meta(db, LAST_DEVICE)?,
        last_revision: meta(db, LAST_REVISION)?,
        last_dead_letter: meta(db, LAST_DEAD_LETTER)?,
        queue_limit: meta(db, QUEUE_LIMIT)?,
        low_water: Seq(meta(db, LOW_WATER)?),
        broker: broker::load(db)?,
        timers: timers::load(db)?,
        lifecycles: plugins::load(db)?,
        ..Loaded::default()
    };
    load_registries_and_services(db, &mut loaded)?;
    load_devices(db, &mut loaded)?;
    load_newest_versions(db, &mut loaded)?;
    load_plugins(db, &mut loaded)?;
    commands::load(db, &mut loaded)?;
    load_outgoing(db, &mut loaded)?;
    Ok(loaded)
}

/// What a registry's column contains besides the fields of the spec.
#[derive(Deserialize)]
struct Enrollments {
    #[serde(default)]
    enrollments: BTreeMap<String, Enrollment>,
}

/// Registries, and the accounts of programs.
fn load_registries_and_services(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    for_each_row(db, "SELECT name, spec, created_ms, revision FROM registry", |r| {
        let name = registry_name(&r.get::<_, String>(0)?)?;
        let text = r.get::<_, String>(1)?;
        let spec = from_json(&text)?;
        let Enrollments { enrollments } = from_json(&text)?;
        let (created_ms, revision) = (r.get(2)?, r.get(3)?);
        loaded.registries.push(RegistryDoc { name, spec, enrollments: enrollments.into(), created_ms, revision });
        Ok(())
    })?;
    for_each_row(db, "SELECT name, spec, password, created_ms, revision FROM service", |r| {
        loaded.services.push(Arc::new(ServiceDoc {
            name: parsed(&r.get::<_, String>(0)?, |t| ServiceName::new(t).map_err(|e| e.to_string()))?,
            spec: from_json(&r.get::<_, String>(1)?)?,
            password: r.get::<_, Option<String>>(2)?.map(|hash| PasswordHash(hash.into())),
            created_ms: r.get(3)?,
            revision: r.get(4)?,
        }));
        Ok(())
    })
}

/// Devices, which gateways they are bound to, and where their methods are called.
fn load_devices(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    for_each_row(db, "SELECT gateway, device FROM binding", |r| {
        loaded.bindings.push((DeviceNum(r.get(0)?), DeviceNum(r.get(1)?)));
        Ok(())
    })?;
    for_each_row(db, "SELECT device, body FROM method_endpoint", |r| {
        loaded.endpoints.push((DeviceNum(r.get(0)?), from_json(&r.get::<_, String>(1)?)?));
        Ok(())
    })?;
    let devices = "SELECT num, registry, id, spec, created_ms, seen_ms, password, heartbeat_ms, config_sent_ms,
        config_acknowledged_ms, connected, error, gateway_access, revision FROM device ORDER BY num";
    for_each_row(db, devices, |r| {
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
        let seen = LastSeen {
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
    })
}

/// The newest config and the newest state of each device.
fn load_newest_versions(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    for_each_row(
        db,
        "SELECT c.* FROM config c JOIN (SELECT device, max(version) v FROM config GROUP BY device) n ON c.device = n.device AND c.version = n.v",
        |r| {
            loaded.configs.push(config_version(r)?);
            Ok(())
        },
    )?;
    for_each_row(
        db,
        "SELECT s.* FROM state s JOIN (SELECT device, max(version) v FROM state GROUP BY device) n ON s.device = n.device AND s.version = n.v",
        |r| {
            loaded.states.push(state_version(r)?);
            Ok(())
        },
    )
}

/// The plugins, their state, and the numbers of their dead letters.
fn load_plugins(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    for_each_row(db, "SELECT plugin, key, value, revision FROM kv", |r| {
        loaded.kv.push(KvDoc {
            plugin: plugin_name(&r.get::<_, String>(0)?)?,
            key: r.get(1)?,
            value: r.get::<_, Option<Vec<u8>>>(2)?.map(Into::into),
            revision: r.get(3)?,
        });
        Ok(())
    })?;
    for_each_row(db, "SELECT body FROM dead_letter ORDER BY id", |r| {
        if let Ok(dead_letter) = decode_dead_letter(&r.get::<_, Vec<u8>>(0)?) {
            loaded.dead_letters.push((dead_letter.plugin, dead_letter.id));
        }
        Ok(())
    })?;
    for_each_row(db, "SELECT name, from_seq FROM plugin", |r| {
        loaded.plugins.push(PluginDoc { plugin: plugin_name(&r.get::<_, String>(0)?)?, from: Seq(r.get(1)?) });
        Ok(())
    })
}

/// Messages of plugins that are not known to have been given to their subscribers.
fn load_outgoing(db: &Connection, loaded: &mut Loaded) -> Result<(), Error> {
    for_each_row(db, "SELECT id, topic, payload, qos, retain FROM outgoing ORDER BY num", |r| {
        loaded.outgoing.push(OutgoingDoc {
            id: r.get(0)?,
            topic: r.get(1)?,
            payload: r.get::<_, Vec<u8>>(2)?.into(),
            qos: QoS::of(r.get(3)?).unwrap_or_default(),
            retain: r.get(4)?,
        });
        Ok(())
    })
}
