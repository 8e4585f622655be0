//! Writes and loads the broker's documents. Changes are folded before they are written: a message that its client has acknowledged by then
//! is never written.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    broker_docs::{BrokerDocs, QueuedDoc, SessionDoc},
    columns::{for_each_row, from_blob, from_json, meta, raise_meta, to_blob, to_json},
    expiry,
    retained::{self, RetainedFold},
};
use switchbox_model::broker::{
    BrokerChange, MessageNum, Owner, Recipient, SessionNum, StoredMessage, StoredSubscription,
};

const LAST_SESSION: &str = "last_session";
const LAST_MESSAGE: &str = "last_message";

/// A message that waits for one session.
struct Queued {
    recipient: Recipient,
    /// The client has answered it with PUBREC: it has the message, and PUBREL is to be sent.
    held: bool,
}

/// Changes that are not written yet.
#[derive(Default)]
pub(super) struct BrokerFold {
    /// All other changes, which are of sessions, in the order in which they came.
    session_changes: Vec<BrokerChange>,
    /// Each message, with the number of its entries in `queued`.
    messages: BTreeMap<MessageNum, (StoredMessage, usize)>,
    queued: BTreeMap<(SessionNum, MessageNum), Queued>,
    /// Messages that are written already and now held.
    held: Vec<(SessionNum, MessageNum)>,
    /// Messages that are written already and now finished.
    finished: Vec<(SessionNum, MessageNum)>,
    retained: RetainedFold,
    /// The highest number of a message; 0 if none was published.
    last_message: u64,
}

impl BrokerFold {
    pub(super) fn add(&mut self, change: BrokerChange) {
        match change {
            BrokerChange::Published { num, message, retained, to } => self.published(num, message, retained, to),
            BrokerChange::MessagesFinished { session, nums } => {
                for num in nums {
                    match self.queued.remove(&(session, num)) {
                        Some(_) => self.release_message(num),
                        None => self.finished.push((session, num)),
                    }
                }
            }
            BrokerChange::PubRecReceived { session, num } => match self.queued.get_mut(&(session, num)) {
                Some(queued) => queued.held = true,
                None => self.held.push((session, num)),
            },
            BrokerChange::Ended { session } => {
                let of_session = (session, MessageNum(0))..=(session, MessageNum(u64::MAX));
                let waiting: Vec<_> = self.queued.range(of_session).map(|(key, _)| *key).collect();
                for key in waiting {
                    self.queued.remove(&key);
                    self.release_message(key.1);
                }
                self.session_changes.push(change);
            }
            BrokerChange::RetainedExpired { topics, time_ms } => {
                topics.into_iter().for_each(|topic| self.retained.expired(topic, time_ms));
            }
            other => self.session_changes.push(other),
        }
    }

    fn published(&mut self, num: MessageNum, message: StoredMessage, retained: Option<Owner>, to: Vec<Recipient>) {
        self.last_message = self.last_message.max(num.0);
        if let Some(owner) = retained {
            self.retained.published(num, &message, owner);
        }
        if !to.is_empty() {
            self.messages.insert(num, (message, to.len()));
        }
        for recipient in to {
            self.queued.insert((recipient.session, num), Queued { recipient, held: false });
        }
    }

    /// One recipient fewer needs the message.
    fn release_message(&mut self, num: MessageNum) {
        let Some((_, queued)) = self.messages.get_mut(&num) else { return };
        *queued -= 1;
        if *queued == 0 {
            self.messages.remove(&num);
        }
    }

    pub(super) fn write(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        for change in &self.session_changes {
            write_session(tx, change)?;
        }
        for (num, (message, _)) in &self.messages {
            tx.prepare_cached("INSERT OR REPLACE INTO message (num, body) VALUES (?1, ?2)")?
                .execute(params![num.0, to_blob(message)?])?;
        }
        for ((session, num), queued) in &self.queued {
            // A session that has ended meanwhile gets no messages any more.
            tx.prepare_cached(
                "INSERT OR REPLACE INTO queued (session, message, held, recipient)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM session WHERE num = ?1)",
            )?
            .execute(params![session.0, num.0, queued.held, to_blob(&queued.recipient)?])?;
        }
        for num in self.messages.keys() {
            forget_unqueued(tx, *num)?;
        }
        for (session, num) in &self.held {
            tx.prepare_cached("UPDATE queued SET held = 1 WHERE session = ?1 AND message = ?2")?
                .execute([session.0, num.0])?;
        }
        for (session, num) in &self.finished {
            tx.prepare_cached("DELETE FROM queued WHERE session = ?1 AND message = ?2")?.execute([session.0, num.0])?;
            forget_unqueued(tx, *num)?;
        }
        if self.last_message > 0 {
            raise_meta(tx, LAST_MESSAGE, self.last_message)?;
        }
        self.retained.write(tx, meta(tx, LAST_MESSAGE)?)
    }
}

/// Deletes a message that waits for no session.
fn forget_unqueued(tx: &Transaction<'_>, num: MessageNum) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM message WHERE num = ?1 AND NOT EXISTS (SELECT 1 FROM queued WHERE message = ?1)")?
        .execute([num.0])?;
    Ok(())
}

fn write_session(tx: &Transaction<'_>, change: &BrokerChange) -> Result<(), Error> {
    match change {
        BrokerChange::SessionOpened { session, key, expiry_secs } => {
            tx.prepare_cached("INSERT OR REPLACE INTO session (num, key, expiry_secs) VALUES (?1, ?2, ?3)")?
                .execute(params![session.0, to_json(key)?, expiry_secs])?;
            raise_meta(tx, LAST_SESSION, session.0)?;
        }
        BrokerChange::Resumed { session, expiry_secs } => {
            tx.prepare_cached("UPDATE session SET expiry_secs = ?2, left_ms = NULL, will = NULL WHERE num = ?1")?
                .execute(params![session.0, expiry_secs])?;
        }
        BrokerChange::Disconnected { session, time_ms, expiry_secs, sent, in_doubt_from, will } => {
            tx.prepare_cached(
                "UPDATE session SET expiry_secs = ?2, left_ms = ?3, sent = ?4, in_doubt_from = ?5,
                 will = CASE ?6 WHEN 1 THEN will END
                 WHERE num = ?1",
            )?
            .execute(params![
                session.0,
                expiry_secs,
                time_ms,
                sent.0,
                in_doubt_from.map(|num| num.0),
                will
            ])?;
        }
        BrokerChange::Ended { session } => end_session(tx, *session)?,
        BrokerChange::Will { session, will } => {
            let will = will.as_ref().map(to_blob).transpose()?;
            tx.prepare_cached("UPDATE session SET will = ?2 WHERE num = ?1")?.execute(params![session.0, will])?;
        }
        BrokerChange::Subscribed { session, filter, subscription } => {
            tx.prepare_cached("INSERT OR REPLACE INTO subscription (session, filter, body) VALUES (?1, ?2, ?3)")?
                .execute(params![session.0, filter, to_blob(subscription)?])?;
        }
        BrokerChange::Unsubscribed { session, filter } => {
            tx.prepare_cached("DELETE FROM subscription WHERE session = ?1 AND filter = ?2")?
                .execute(params![session.0, filter])?;
        }
        BrokerChange::PublishReceived { session, id } => {
            tx.prepare_cached("INSERT OR IGNORE INTO received (session, id) VALUES (?1, ?2)")?
                .execute(params![session.0, id])?;
        }
        BrokerChange::PubRelReceived { session, id } => {
            tx.prepare_cached("DELETE FROM received WHERE session = ?1 AND id = ?2")?
                .execute(params![session.0, id])?;
        }
        // Folded.
        BrokerChange::Published { .. }
        | BrokerChange::MessagesFinished { .. }
        | BrokerChange::PubRecReceived { .. }
        | BrokerChange::RetainedExpired { .. } => {}
    }
    Ok(())
}

fn end_session(tx: &Transaction<'_>, session: SessionNum) -> Result<(), Error> {
    let mut waiting = tx.prepare_cached("SELECT message FROM queued WHERE session = ?1")?;
    let waiting: Vec<u64> = waiting.query_map([session.0], |r| r.get(0))?.collect::<Result<_, _>>()?;
    for statement in [
        "DELETE FROM queued WHERE session = ?1",
        "DELETE FROM subscription WHERE session = ?1",
        "DELETE FROM received WHERE session = ?1",
        "DELETE FROM session WHERE num = ?1",
    ] {
        tx.prepare_cached(statement)?.execute([session.0])?;
    }
    for num in waiting {
        forget_unqueued(tx, MessageNum(num))?;
    }
    Ok(())
}

/// The wall clock was set: no message has more time left than its whole life, and no client left in the future.
pub(super) fn clock_set(tx: &Transaction<'_>, now_ms: u64) -> Result<(), Error> {
    tx.execute("UPDATE session SET left_ms = ?1 WHERE left_ms > ?1", [now_ms])?;
    expiry::clamp(tx, now_ms, "SELECT num, body FROM message", "UPDATE message SET body = ?2 WHERE num = ?1")?;
    retained::clock_set(tx, now_ms)
}

/// Loads all documents of the broker.
pub(super) fn load(db: &Connection) -> Result<BrokerDocs, Error> {
    let mut docs = BrokerDocs {
        last_session: meta(db, LAST_SESSION)?,
        last_message: meta(db, LAST_MESSAGE)?,
        ..BrokerDocs::default()
    };
    let mut indices = HashMap::new();
    let sessions = "SELECT num, key, expiry_secs, left_ms, sent, will, in_doubt_from FROM session ORDER BY num";
    for_each_row(db, sessions, |r| {
        let num = SessionNum(r.get(0)?);
        indices.insert(num, docs.sessions.len());
        docs.sessions.push(SessionDoc {
            num,
            key: from_json(&r.get::<_, String>(1)?)?,
            expiry_secs: r.get(2)?,
            left_ms: r.get(3)?,
            sent: MessageNum(r.get(4)?),
            in_doubt_from: r.get::<_, Option<u64>>(6)?.map(MessageNum),
            will: r.get::<_, Option<Vec<u8>>>(5)?.map(|body| from_blob(&body)).transpose()?,
            subscriptions: Vec::new(),
            queue: Vec::new(),
            received: Vec::new(),
        });
        Ok(())
    })?;

    let mut sessions = docs.sessions;
    let mut change_session = |num: u64, change: &mut dyn FnMut(&mut SessionDoc)| {
        indices.get(&SessionNum(num)).and_then(|index| sessions.get_mut(*index)).map(change);
    };
    for_each_row(db, "SELECT session, filter, body FROM subscription", |r| {
        let (filter, subscription): (Arc<str>, StoredSubscription) = (r.get(1)?, from_blob(&r.get::<_, Vec<u8>>(2)?)?);
        change_session(r.get(0)?, &mut |session| session.subscriptions.push((filter.clone(), subscription.clone())));
        Ok(())
    })?;
    for_each_row(db, "SELECT session, id FROM received", |r| {
        let id = r.get(1)?;
        change_session(r.get(0)?, &mut |session| session.received.push(id));
        Ok(())
    })?;
    let mut messages = HashMap::new();
    for_each_row(db, "SELECT num, body FROM message", |r| {
        messages.insert(r.get::<_, u64>(0)?, Arc::new(from_blob::<StoredMessage>(&r.get::<_, Vec<u8>>(1)?)?));
        Ok(())
    })?;
    for_each_row(db, "SELECT session, message, held, recipient FROM queued ORDER BY session, message", |r| {
        let num: u64 = r.get(1)?;
        let Some(message) = messages.get(&num).cloned() else { return Ok(()) };
        let recipient = from_blob(&r.get::<_, Vec<u8>>(3)?)?;
        let queued = QueuedDoc { num: MessageNum(num), message, recipient, held: r.get(2)? };
        change_session(r.get(0)?, &mut |session| session.queue.push(queued.clone()));
        Ok(())
    })?;
    docs.sessions = sessions;
    docs.retained = retained::load(db)?;
    Ok(docs)
}

#[cfg(test)]
mod tests;
