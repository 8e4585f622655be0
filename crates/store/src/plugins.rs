//! The statements for the lifecycle of plugins: which exist, which are off, and what is deleted with them.

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    columns::{for_each_row, from_json, meta, plugin_name, set_meta, to_json},
    docs::PluginLifecycleDoc,
    timers,
};
use switchbox_model::{
    PluginName,
    lifecycle::{Identity, Migration, PluginChange, RolledBack},
};

pub(super) fn write(tx: &Transaction<'_>, plugin: &PluginName, change: &PluginChange) -> Result<(), Error> {
    let name = plugin.as_str();
    match change {
        PluginChange::On { from, identity } => {
            tx.execute("INSERT OR REPLACE INTO plugin (name, from_seq) VALUES (?1, ?2)", params![name, from.0])?;
            write_identity(tx, name, identity)?;
            tx.execute("UPDATE plugin_life SET off_ms = NULL, removed = 0 WHERE name = ?1", [name])?;
        }
        PluginChange::Upgraded { identity } => write_identity(tx, name, identity)?,
        PluginChange::Off { time_ms, removed, .. } => {
            tx.execute("DELETE FROM plugin WHERE name = ?1", [name])?;
            // A plugin that was disabled and is removed now counts from now.
            tx.execute(
                "INSERT INTO plugin_life (name, off_ms, removed) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET off_ms = excluded.off_ms, removed = excluded.removed",
                params![name, time_ms, removed],
            )?;
        }
        PluginChange::Deleted => {
            for statement in [
                "DELETE FROM plugin WHERE name = ?1",
                "DELETE FROM plugin_life WHERE name = ?1",
                "DELETE FROM kv WHERE plugin = ?1",
            ] {
                tx.execute(statement, [name])?;
            }
            tx.execute("DELETE FROM meta WHERE key = ?1", [schema_key(name)])?;
            timers::delete_all(tx, plugin)?;
        }
        PluginChange::RolledBack(rolled_back) => write_rolled_back(tx, name, rolled_back.as_ref())?,
        // The plugin's writes of its state are documents of their own.
        PluginChange::Migrated(Migration { schema, identity, rolled_back, .. }) => {
            set_meta(tx, &schema_key(name), (*schema).into())?;
            if let Some(identity) = identity {
                write_identity(tx, name, identity)?;
            }
            if rolled_back.is_some() {
                write_rolled_back(tx, name, rolled_back.as_ref())?;
            }
        }
    }
    Ok(())
}

/// The key in `meta` of the schema of a plugin's state.
fn schema_key(plugin: &str) -> String {
    format!("state_schema/{plugin}")
}

fn write_rolled_back(tx: &Transaction<'_>, name: &str, rolled_back: Option<&RolledBack>) -> Result<(), Error> {
    let text = rolled_back.map(to_json).transpose()?;
    tx.execute(
        "INSERT INTO plugin_life (name, taken_back) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET taken_back = excluded.taken_back",
        params![name, text],
    )?;
    Ok(())
}

fn write_identity(tx: &Transaction<'_>, name: &str, Identity { kind, digest }: &Identity) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO plugin_life (name, kind, digest) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, digest = excluded.digest",
        params![name, kind, digest],
    )?;
    Ok(())
}

/// A plugin that went off in the future, as the clock is now, went off now.
pub(super) fn clock_set(tx: &Transaction<'_>, now_ms: u64) -> Result<(), Error> {
    tx.execute("UPDATE plugin_life SET off_ms = ?1 WHERE off_ms > ?1", [now_ms])?;
    Ok(())
}

pub(super) fn load(db: &Connection) -> Result<Vec<PluginLifecycleDoc>, Error> {
    let mut docs = Vec::new();
    for_each_row(db, "SELECT name, kind, digest, off_ms, removed, taken_back FROM plugin_life", |r| {
        let identity = match (r.get::<_, Option<String>>(1)?, r.get::<_, Option<String>>(2)?) {
            (Some(kind), Some(digest)) => Some(Identity { kind, digest }),
            _ => None,
        };
        docs.push(PluginLifecycleDoc {
            plugin: plugin_name(&r.get::<_, String>(0)?)?,
            identity,
            off_ms: r.get(3)?,
            removed: r.get(4)?,
            rolled_back: r.get::<_, Option<String>>(5)?.map(|text| from_json(&text)).transpose()?,
            schema: 0,
        });
        Ok(())
    })?;
    for life in &mut docs {
        life.schema = u32::try_from(meta(db, &schema_key(life.plugin.as_str()))?).unwrap_or(u32::MAX);
    }
    Ok(docs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        docs::{Doc, KvDoc},
        documents, loading,
        schema::open_writer,
        write_batch::WriteBatch,
    };
    use switchbox_model::Seq;

    fn apply(db: &Connection, docs: Vec<Doc>) {
        let mut gathered = WriteBatch::default();
        docs.into_iter().for_each(|doc| gathered.add(doc));
        documents::commit(db, &gathered).unwrap();
    }

    #[test]
    fn what_is_deleted_takes_its_state_along_also_what_is_not_written_yet() {
        let folder = tempfile::tempdir().unwrap();
        let db = open_writer(folder.path()).unwrap();
        let [gone, other] = ["gone", "other"].map(|name| PluginName::new(name).unwrap());
        let write = |plugin: &PluginName, key: &str| {
            Doc::Kv(KvDoc { plugin: plugin.clone(), key: key.into(), value: Some("x".into()), revision: 1 })
        };
        let lifecycle = |change| Doc::PluginLifecycle { plugin: gone.clone(), change };
        let identity = Identity { kind: "k".into(), digest: "d".into() };
        apply(&db, vec![lifecycle(PluginChange::On { from: Seq(3), identity }), write(&gone, "a"), write(&other, "a")]);
        let off = PluginChange::Off { time_ms: 7, removed: true, due_again: vec![] };
        apply(&db, vec![write(&gone, "b"), lifecycle(off)]);
        let lifecycles = load(&db).unwrap();
        assert_eq!((lifecycles.len(), lifecycles[0].off_ms, lifecycles[0].removed), (1, Some(7), true));
        apply(&db, vec![write(&gone, "c"), lifecycle(PluginChange::Deleted), write(&gone, "of the next")]);
        let loaded = loading::load(&db).unwrap();
        let mut keys: Vec<_> = loaded.kv.iter().map(|kv| (kv.plugin.as_str(), kv.key.as_str())).collect();
        keys.sort_unstable();
        assert_eq!(keys, [("gone", "of the next"), ("other", "a")]);
        assert!(loaded.lifecycles.is_empty() && loaded.plugins.is_empty());
    }
}
