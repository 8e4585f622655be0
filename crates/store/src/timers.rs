//! The statements for the plugins' timers.

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    columns::{from_json, plugin_name},
    docs::TimerDoc,
};
use switchbox_model::{PluginName, timer::Timer};

pub(super) fn write(tx: &Transaction<'_>, TimerDoc { plugin, timer, by }: &TimerDoc) -> Result<(), Error> {
    let schedule = serde_json::to_string(&timer.schedule).map_err(|e| Error::Sqlite(e.to_string()))?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO timer (plugin, name, schedule, payload, due_ms, set_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        plugin.as_str(),
        timer.name,
        schedule,
        timer.payload.as_ref(),
        timer.due_ms,
        by.as_ref().map(ToString::to_string)
    ])?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, plugin: &PluginName, name: &str) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM timer WHERE plugin = ?1 AND name = ?2")?.execute(params![plugin.as_str(), name])?;
    Ok(())
}

pub(super) fn delete_all(tx: &Transaction<'_>, plugin: &PluginName) -> Result<(), Error> {
    tx.execute("DELETE FROM timer WHERE plugin = ?1", [plugin.as_str()])?;
    Ok(())
}

pub(super) fn load(db: &Connection) -> Result<Vec<TimerDoc>, Error> {
    let mut statement = db.prepare("SELECT plugin, name, schedule, payload, due_ms, set_by FROM timer")?;
    let docs = statement.query_map([], |r| {
        let timer = Timer {
            name: r.get(1)?,
            schedule: from_json(&r.get::<_, String>(2)?)?,
            payload: r.get::<_, Vec<u8>>(3)?.into(),
            due_ms: r.get(4)?,
        };
        let by = r.get::<_, Option<String>>(5)?.and_then(|by| by.parse().ok());
        Ok(TimerDoc { plugin: plugin_name(&r.get::<_, String>(0)?)?, timer, by })
    })?;
    Ok(docs.collect::<Result<_, _>>()?)
}
