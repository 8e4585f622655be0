//! The retained messages among the broker's documents. Publishers that race for a topic may come in another order than that in
//! which the host took their messages: the number decides.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{
    Error,
    columns::{blob, each, from_blob, from_json, json},
    expiry,
};
use switchbox_model::broker::{MessageNum, Owner, RetainedDoc, StoredMessage};

/// That a topic was cleared is known for so many messages, so that an older one that comes late does not fill it again.
pub(super) const CLEARED_FOR: u64 = 10_000;

/// Changes that are not written yet.
#[derive(Default)]
pub(super) struct RetainedFold {
    /// None: it clears the topic. In order, so that what is written together lies together: else each row costs a page.
    newest: BTreeMap<Arc<str>, (MessageNum, Option<StoredMessage>)>,
    /// Of messages among these; the others are everyone's.
    owners: HashMap<MessageNum, Owner>,
    /// Topics whose retained message, if it stands there already, may have run out of time by then.
    expired: HashMap<Arc<str>, u64>,
}

impl RetainedFold {
    pub(super) fn published(&mut self, num: MessageNum, message: &StoredMessage) {
        let newest = self.newest.entry(message.topic.clone()).or_default();
        if num >= newest.0 {
            *newest = (num, (!message.payload.is_empty()).then(|| message.clone()));
        }
    }

    pub(super) fn owned(&mut self, num: MessageNum, owner: Owner) {
        self.owners.insert(num, owner);
    }

    pub(super) fn expired(&mut self, topic: Arc<str>, time_ms: u64) {
        match self.newest.get_mut(&topic) {
            Some((_, kept)) => *kept = kept.take().filter(|message| !message.is_expired(time_ms)),
            None => {
                let known = self.expired.entry(topic).or_default();
                *known = time_ms.max(*known);
            }
        }
    }

    /// `last_message`: the newest number of all messages, 0 where none came.
    pub(super) fn write(&self, tx: &Transaction<'_>, last_message: u64) -> Result<(), Error> {
        for (topic, time_ms) in &self.expired {
            forget_expired(tx, topic, *time_ms)?;
        }
        for (topic, (num, message)) in &self.newest {
            let body = message.as_ref().map_or_else(|| Ok(Vec::new()), blob)?;
            tx.prepare_cached(
                "INSERT INTO retained (topic, num, body, owner) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (topic) DO UPDATE SET num = excluded.num, body = excluded.body, owner = excluded.owner
                 WHERE excluded.num >= num",
            )?
            .execute(params![topic, num.0, body, self.owners.get(num).map(json).transpose()?])?;
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
        tx.prepare_cached("DELETE FROM retained WHERE topic = ?1")?.execute([topic])?;
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
    each(db, "SELECT body, owner FROM retained WHERE length(body) > 0", |r| {
        let message = from_blob(&r.get::<_, Vec<u8>>(0)?)?;
        let owner = r.get::<_, Option<String>>(1)?.map(|owner| from_json(&owner)).transpose()?.unwrap_or_default();
        retained.push(RetainedDoc { message, owner });
        Ok(())
    })?;
    Ok(retained)
}
