//! The retained messages among the broker's documents. Messages of concurrent publishers of a topic may be written in another order than
//! the host accepted them in, so the message with the highest number is the retained one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    Error,
    columns::{for_each_row, from_blob, from_json, to_blob, to_json},
    expiry,
};
use switchbox_model::broker::{MessageNum, Owner, RetainedDoc, StoredMessage};

/// How many messages later a cleared topic is forgotten. Until then, an older message that comes late does not fill it again.
pub(super) const CLEARED_FOR: u64 = 10_000;

/// Changes that are not written yet.
#[derive(Default)]
pub(super) struct RetainedFold {
    /// In order, so that rows that are written together are stored together; otherwise each row costs a page.
    newest: BTreeMap<Arc<str>, Newest>,
    /// Topics whose stored retained message has expired if it expires before this time, milliseconds since the Unix epoch.
    expired: HashMap<Arc<str>, u64>,
}

/// The newest message of a topic.
#[derive(Default)]
struct Newest {
    num: MessageNum,
    /// `None` when the message cleared the topic or has expired since.
    message: Option<StoredMessage>,
    owner: Owner,
}

impl RetainedFold {
    pub(super) fn published(&mut self, num: MessageNum, message: &StoredMessage, owner: Owner) {
        let newest = self.newest.entry(message.topic.clone()).or_default();
        if num >= newest.num {
            let message = (!message.payload.is_empty()).then(|| message.clone());
            *newest = Newest { num, message, owner };
        }
    }

    pub(super) fn expired(&mut self, topic: Arc<str>, time_ms: u64) {
        if let Some(newest) = self.newest.get_mut(&topic) {
            newest.message = newest.message.take().filter(|message| !message.is_expired(time_ms));
        }
        // The stored message may have a higher number than the one that is not written yet.
        let expired_by = self.expired.entry(topic).or_default();
        *expired_by = time_ms.max(*expired_by);
    }

    /// `last_message`: the newest number of all messages that there ever were, so that how long a cleared topic is known does not
    /// depend on what is written together.
    pub(super) fn write(&self, tx: &Transaction<'_>, last_message: u64) -> Result<(), Error> {
        for (topic, time_ms) in &self.expired {
            forget_expired(tx, topic, *time_ms)?;
        }
        for (topic, Newest { num, message, owner }) in &self.newest {
            let body = message.as_ref().map_or_else(|| Ok(Vec::new()), to_blob)?;
            tx.prepare_cached(
                "INSERT INTO retained (topic, num, body, owner) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (topic) DO UPDATE SET num = excluded.num, body = excluded.body, owner = excluded.owner
                 WHERE excluded.num >= num",
            )?
            .execute(params![topic, num.0, body, to_json(owner)?])?;
        }
        tx.prepare_cached("DELETE FROM retained WHERE length(body) = 0 AND num < ?1")?
            .execute([last_message.saturating_sub(CLEARED_FOR)])?;
        Ok(())
    }
}

fn forget_expired(tx: &Transaction<'_>, topic: &str, time_ms: u64) -> Result<(), Error> {
    let mut find = tx.prepare_cached("SELECT body FROM retained WHERE topic = ?1 AND length(body) > 0")?;
    let message = find.query_row([topic], |r| from_blob::<StoredMessage>(&r.get::<_, Vec<u8>>(0)?)).optional()?;
    if message.is_some_and(|message| message.is_expired(time_ms)) {
        // The row stays with its number and without a message, as if the topic was cleared.
        tx.prepare_cached("UPDATE retained SET body = x'' WHERE topic = ?1")?.execute([topic])?;
    }
    Ok(())
}

/// The wall clock was set.
pub(super) fn clock_set(tx: &Transaction<'_>, now_ms: u64) -> Result<(), Error> {
    let select = "SELECT rowid, body FROM retained WHERE length(body) > 0";
    expiry::clamp(tx, now_ms, select, "UPDATE retained SET body = ?2 WHERE rowid = ?1")
}

pub(super) fn load(db: &Connection) -> Result<Vec<RetainedDoc>, Error> {
    let mut retained = Vec::new();
    for_each_row(db, "SELECT body, owner FROM retained WHERE length(body) > 0", |r| {
        let message = from_blob(&r.get::<_, Vec<u8>>(0)?)?;
        retained.push(RetainedDoc { message, owner: from_json(&r.get::<_, String>(1)?)? });
        Ok(())
    })?;
    Ok(retained)
}
