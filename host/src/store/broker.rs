//! The broker's documents: sessions that outlive their connections, what waits for them, retained messages. Changes are
//! folded before they are written: a message that its client has acknowledged by then is never written at all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    documents::{each, from_json, json, raise_meta, read_meta},
    retained::{self, RetainedFold},
};
use crate::model::broker::{
    BrokerChange, MessageNum, Recipient, SessionKey, SessionNum, StoredMessage, StoredSubscription, StoredWill,
};

const LAST_SESSION: &str = "last_session";
const LAST_MESSAGE: &str = "last_message";

/// A session as it was when the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDoc {
    pub num: SessionNum,
    pub key: SessionKey,
    pub expiry_secs: u32,
    /// When its connection ended; none: it was connected.
    pub left_ms: Option<u64>,
    /// The newest message that the client had seen when it left.
    pub sent: MessageNum,
    /// From which on it may not have seen them either.
    pub in_doubt_from: Option<MessageNum>,
    pub will: Option<Box<StoredWill>>,
    pub subscriptions: Vec<(Arc<str>, StoredSubscription)>,
    /// In order.
    pub queue: Vec<QueuedDoc>,
    /// QoS 2 packet identifiers of the client.
    pub received: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedDoc {
    pub num: MessageNum,
    pub message: Arc<StoredMessage>,
    pub recipient: Recipient,
    /// The client has it; PUBREL is to be sent.
    pub held: bool,
}

/// All of it, as it stands in `state.db`.
#[derive(Debug, Default)]
pub struct BrokerDocs {
    pub sessions: Vec<SessionDoc>,
    pub retained: Vec<StoredMessage>,
    pub last_session: u64,
    pub last_message: u64,
}

/// What waits for one session.
struct Queued {
    recipient: Recipient,
    held: bool,
}

/// Changes that are not written yet.
#[derive(Default)]
pub(super) struct BrokerFold {
    /// Of sessions, in the order in which they came.
    others: Vec<BrokerChange>,
    /// With how many of `queued` are of it.
    messages: BTreeMap<MessageNum, (StoredMessage, usize)>,
    queued: BTreeMap<(SessionNum, MessageNum), Queued>,
    held: Vec<(SessionNum, MessageNum)>,
    gone: Vec<(SessionNum, MessageNum)>,
    retained: RetainedFold,
    last_message: u64,
}

impl BrokerFold {
    pub(super) fn add(&mut self, change: BrokerChange) {
        match change {
            BrokerChange::Published { num, message, retained, to } => self.published(num, message, retained, to),
            BrokerChange::Gone { session, nums } => {
                for num in nums {
                    match self.queued.remove(&(session, num)) {
                        Some(_) => self.let_go(num),
                        None => self.gone.push((session, num)),
                    }
                }
            }
            BrokerChange::Held { session, num } => match self.queued.get_mut(&(session, num)) {
                Some(queued) => queued.held = true,
                None => self.held.push((session, num)),
            },
            BrokerChange::Ended { session } => {
                let all = (session, MessageNum(0))..=(session, MessageNum(u64::MAX));
                let waiting: Vec<_> = self.queued.range(all).map(|(key, _)| *key).collect();
                for key in waiting {
                    self.queued.remove(&key);
                    self.let_go(key.1);
                }
                self.others.push(change);
            }
            BrokerChange::RetainedExpired { topics, time_ms } => {
                topics.into_iter().for_each(|topic| self.retained.expired(topic, time_ms));
            }
            other => self.others.push(other),
        }
    }

    fn published(&mut self, num: MessageNum, message: StoredMessage, retained: bool, to: Vec<Recipient>) {
        self.last_message = self.last_message.max(num.0);
        if retained {
            self.retained.published(num, &message);
        }
        if !to.is_empty() {
            self.messages.insert(num, (message, to.len()));
        }
        for recipient in to {
            self.queued.insert((recipient.session, num), Queued { recipient, held: false });
        }
    }

    fn let_go(&mut self, num: MessageNum) {
        let Some((_, queued)) = self.messages.get_mut(&num) else { return };
        *queued -= 1;
        if *queued == 0 {
            self.messages.remove(&num);
        }
    }

    pub(super) fn write(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        for change in &self.others {
            write_session(tx, change)?;
        }
        for (num, (message, _)) in &self.messages {
            tx.prepare_cached("INSERT OR REPLACE INTO message (num, body) VALUES (?1, ?2)")?
                .execute(params![num.0, blob(message)?])?;
        }
        for ((session, num), queued) in &self.queued {
            // A session that ended meanwhile gets nothing any more.
            tx.prepare_cached(
                "INSERT OR REPLACE INTO queued (session, message, held, recipient)
                 SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM session WHERE num = ?1)",
            )?
            .execute(params![session.0, num.0, queued.held, blob(&queued.recipient)?])?;
        }
        for num in self.messages.keys() {
            forget_unqueued(tx, *num)?;
        }
        for (session, num) in &self.held {
            tx.prepare_cached("UPDATE queued SET held = 1 WHERE session = ?1 AND message = ?2")?
                .execute([session.0, num.0])?;
        }
        for (session, num) in &self.gone {
            tx.prepare_cached("DELETE FROM queued WHERE session = ?1 AND message = ?2")?.execute([session.0, num.0])?;
            forget_unqueued(tx, *num)?;
        }
        self.retained.write(tx, self.last_message)?;
        if self.last_message > 0 {
            raise_meta(tx, LAST_MESSAGE, self.last_message)?;
        }
        Ok(())
    }
}

fn forget_unqueued(tx: &Transaction<'_>, num: MessageNum) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM message WHERE num = ?1 AND NOT EXISTS (SELECT 1 FROM queued WHERE message = ?1)")?
        .execute([num.0])?;
    Ok(())
}

fn write_session(tx: &Transaction<'_>, change: &BrokerChange) -> Result<(), Error> {
    match change {
        BrokerChange::Opened { session, key, expiry_secs } => {
            tx.prepare_cached("INSERT OR REPLACE INTO session (num, key, expiry_secs) VALUES (?1, ?2, ?3)")?
                .execute(params![session.0, json(key)?, expiry_secs])?;
            raise_meta(tx, LAST_SESSION, session.0)?;
        }
        BrokerChange::Resumed { session, expiry_secs } => {
            tx.prepare_cached("UPDATE session SET expiry_secs = ?2, left_ms = NULL, will = NULL WHERE num = ?1")?
                .execute(params![session.0, expiry_secs])?;
        }
        BrokerChange::Left { session, time_ms, expiry_secs, sent, will } => {
            tx.prepare_cached(
                "UPDATE session SET expiry_secs = ?2, left_ms = ?3, sent = ?4, in_doubt_from = NULL,
                 will = CASE ?5 WHEN 1 THEN will END
                 WHERE num = ?1",
            )?
            .execute(params![session.0, expiry_secs, time_ms, sent.0, will])?;
        }
        BrokerChange::InDoubt { session, from } => {
            tx.prepare_cached("UPDATE session SET in_doubt_from = ?2 WHERE num = ?1")?.execute([session.0, from.0])?;
        }
        BrokerChange::Ended { session } => end_session(tx, *session)?,
        BrokerChange::Will { session, will } => {
            let will = will.as_ref().map(blob).transpose()?;
            tx.prepare_cached("UPDATE session SET will = ?2 WHERE num = ?1")?.execute(params![session.0, will])?;
        }
        BrokerChange::Subscribed { session, filter, subscription } => {
            tx.prepare_cached("INSERT OR REPLACE INTO subscription (session, filter, body) VALUES (?1, ?2, ?3)")?
                .execute(params![session.0, filter, blob(subscription)?])?;
        }
        BrokerChange::Unsubscribed { session, filter } => {
            tx.prepare_cached("DELETE FROM subscription WHERE session = ?1 AND filter = ?2")?
                .execute(params![session.0, filter])?;
        }
        BrokerChange::Received { session, id } => {
            tx.prepare_cached("INSERT OR IGNORE INTO received (session, id) VALUES (?1, ?2)")?
                .execute(params![session.0, id])?;
        }
        BrokerChange::Released { session, id } => {
            tx.prepare_cached("DELETE FROM received WHERE session = ?1 AND id = ?2")?
                .execute(params![session.0, id])?;
        }
        // Folded.
        BrokerChange::Published { .. }
        | BrokerChange::Gone { .. }
        | BrokerChange::Held { .. }
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

pub(super) fn load(db: &Connection) -> Result<BrokerDocs, Error> {
    let mut docs = BrokerDocs {
        last_session: read_meta(db, LAST_SESSION)?,
        last_message: read_meta(db, LAST_MESSAGE)?,
        ..BrokerDocs::default()
    };
    let mut at = HashMap::new();
    each(db, "SELECT num, key, expiry_secs, left_ms, sent, will, in_doubt_from FROM session ORDER BY num", |r| {
        let num = SessionNum(r.get(0)?);
        at.insert(num, docs.sessions.len());
        docs.sessions.push(SessionDoc {
            num,
            key: from_json(&r.get::<_, String>(1)?)?,
            expiry_secs: r.get(2)?,
            left_ms: r.get(3)?,
            sent: MessageNum(r.get(4)?),
            in_doubt_from: r.get::<_, Option<u64>>(6)?.map(MessageNum),
            will: r.get::<_, Option<Vec<u8>>>(5)?.map(|body| parsed(&body)).transpose()?,
            subscriptions: Vec::new(),
            queue: Vec::new(),
            received: Vec::new(),
        });
        Ok(())
    })?;
    let mut sessions = docs.sessions;
    let mut with = |num: u64, act: &mut dyn FnMut(&mut SessionDoc)| {
        at.get(&SessionNum(num)).and_then(|at| sessions.get_mut(*at)).map(act);
    };
    each(db, "SELECT session, filter, body FROM subscription", |r| {
        let (filter, subscription): (Arc<str>, StoredSubscription) = (r.get(1)?, parsed(&r.get::<_, Vec<u8>>(2)?)?);
        with(r.get(0)?, &mut |session| session.subscriptions.push((filter.clone(), subscription.clone())));
        Ok(())
    })?;
    each(db, "SELECT session, id FROM received", |r| {
        let id = r.get(1)?;
        with(r.get(0)?, &mut |session| session.received.push(id));
        Ok(())
    })?;
    let mut messages = HashMap::new();
    each(db, "SELECT num, body FROM message", |r| {
        messages.insert(r.get::<_, u64>(0)?, Arc::new(parsed::<StoredMessage>(&r.get::<_, Vec<u8>>(1)?)?));
        Ok(())
    })?;
    each(db, "SELECT session, message, held, recipient FROM queued ORDER BY session, message", |r| {
        let num: u64 = r.get(1)?;
        let Some(message) = messages.get(&num).cloned() else { return Ok(()) };
        let recipient = parsed(&r.get::<_, Vec<u8>>(3)?)?;
        let queued = QueuedDoc { num: MessageNum(num), message, recipient, held: r.get(2)? };
        with(r.get(0)?, &mut |session| session.queue.push(queued.clone()));
        Ok(())
    })?;
    docs.sessions = sessions;
    docs.retained = retained::load(db)?;
    Ok(docs)
}

pub(super) fn blob<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    postcard::to_stdvec(value).map_err(|e| Error::Sqlite(e.to_string()))
}

pub(super) fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> rusqlite::Result<T> {
    let failed =
        |e: postcard::Error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(e));
    postcard::from_bytes(body).map_err(failed)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::retained::CLEARED_FOR, *};
    use crate::{
        model::{QoS, broker::SubscriptionKind},
        store::schema,
    };

    const ONE: SessionNum = SessionNum(1);
    const TWO: SessionNum = SessionNum(2);

    fn message(payload: &'static str) -> StoredMessage {
        let payload = Bytes::from_static(payload.as_bytes());
        let qos = QoS::AtLeastOnce;
        StoredMessage { topic: "t".into(), payload, qos, retain: false, expires_ms: None, properties: None }
    }

    fn published(num: u64, retained: bool, to: &[SessionNum]) -> BrokerChange {
        let to = to.iter().map(|session| Recipient {
            session: *session,
            id: 1,
            qos: QoS::AtLeastOnce,
            retain: false,
            ids: vec![],
            shared: None,
        });
        BrokerChange::Published { num: MessageNum(num), message: message("x"), retained, to: to.collect() }
    }

    fn opened(session: SessionNum) -> BrokerChange {
        BrokerChange::Opened { session, key: SessionKey::Client(format!("c{}", session.0).into()), expiry_secs: 9 }
    }

    fn write(db: &mut Connection, changes: Vec<BrokerChange>) {
        let mut fold = BrokerFold::default();
        changes.into_iter().for_each(|change| fold.add(change));
        let tx = db.transaction().unwrap();
        fold.write(&tx).unwrap();
        tx.commit().unwrap();
    }

    /// Each list of changes is folded and written by itself.
    fn after(batches: Vec<Vec<BrokerChange>>) -> (BrokerDocs, u64) {
        let folder = tempfile::tempdir().unwrap();
        let mut db = schema::open_writer(folder.path()).unwrap();
        batches.into_iter().for_each(|changes| write(&mut db, changes));
        let messages = db.query_row("SELECT count(*) FROM message", [], |r| r.get(0)).unwrap();
        (load(&db).unwrap(), messages)
    }

    fn queued(docs: &BrokerDocs) -> Vec<Vec<u64>> {
        docs.sessions.iter().map(|session| session.queue.iter().map(|queued| queued.num.0).collect()).collect()
    }

    #[test]
    fn a_message_is_kept_while_a_session_waits_for_it_however_the_changes_are_written() {
        let changes = vec![
            opened(ONE),
            opened(TWO),
            published(5, false, &[ONE, TWO]),
            published(6, false, &[TWO]),
            published(7, false, &[ONE]),
            BrokerChange::Gone { session: ONE, nums: vec![MessageNum(5)] },
            BrokerChange::Held { session: TWO, num: MessageNum(6) },
            BrokerChange::Ended { session: ONE },
            published(8, false, &[ONE]),
        ];
        for batches in [vec![changes.clone()], changes.into_iter().map(|change| vec![change]).collect()] {
            let (docs, messages) = after(batches);
            assert_eq!(queued(&docs), [[5, 6]]);
            assert_eq!(messages, 2);
            assert!(docs.sessions[0].queue[1].held && !docs.sessions[0].queue[0].held);
            assert_eq!((docs.last_session, docs.last_message), (2, 8));
        }
    }

    /// The topic's, or the one that clears it.
    fn retained(num: u64, payload: &'static str) -> BrokerChange {
        BrokerChange::Published { num: MessageNum(num), message: message(payload), retained: true, to: vec![] }
    }

    #[test]
    fn of_retained_messages_that_raced_the_newest_stays_in_whatever_order_they_came() {
        for (changes, stays) in [
            ([retained(2, "new"), retained(1, "old")], Some("new")),
            ([retained(2, ""), retained(1, "old")], None),
            ([retained(2, "new"), retained(1, "")], Some("new")),
        ] {
            let expected: Vec<_> = stays.map(message).into_iter().collect();
            assert_eq!(after(vec![changes.to_vec()]).0.retained, expected, "{changes:?}");
            let one_by_one = changes.iter().map(|change| vec![change.clone()]).collect();
            assert_eq!(after(one_by_one).0.retained, expected, "{changes:?}, written one by one");
        }
    }

    #[test]
    fn that_a_topic_was_cleared_is_not_kept_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = schema::open_writer(folder.path()).unwrap();
        for (change, rows) in [
            (retained(1, "x"), 1),
            (retained(2, ""), 1),
            (published(2 + CLEARED_FOR, false, &[]), 1),
            (published(3 + CLEARED_FOR, false, &[]), 0),
        ] {
            write(&mut db, vec![change]);
            assert_eq!(db.query_row("SELECT count(*) FROM retained", [], |r| r.get::<_, u64>(0)).unwrap(), rows);
        }
    }

    #[test]
    fn the_last_retained_message_stays_and_an_empty_one_clears() {
        let empty = retained(2, "");
        assert_eq!(after(vec![vec![published(1, true, &[])]]).0.retained, [message("x")]);
        assert!(after(vec![vec![published(1, true, &[]), empty.clone()]]).0.retained.is_empty());
        assert!(after(vec![vec![published(1, true, &[])], vec![empty]]).0.retained.is_empty());
    }

    #[test]
    fn a_retained_message_goes_when_it_ran_out_of_time_and_no_newer_one_with_it() {
        let retained = |expires_ms| {
            let message = StoredMessage { expires_ms, ..message("x") };
            BrokerChange::Published { num: MessageNum(1), message, retained: true, to: vec![] }
        };
        let expired = BrokerChange::RetainedExpired { topics: vec!["other".into(), "t".into()], time_ms: 100 };
        for (changes, stays) in [
            (vec![retained(Some(100)), expired.clone()], false),
            (vec![retained(Some(101)), expired.clone()], true),
            (vec![retained(None), expired.clone()], true),
            (vec![retained(Some(9)), expired.clone(), retained(Some(200))], true),
            (vec![retained(Some(9)), retained(Some(200)), expired.clone()], true),
            (vec![retained(Some(9)), expired.clone(), expired.clone()], false),
        ] {
            let one_by_one = changes.iter().map(|change| vec![change.clone()]).collect();
            assert_eq!(after(vec![changes.clone()]).0.retained.len(), usize::from(stays), "{changes:?}");
            assert_eq!(after(one_by_one).0.retained.len(), usize::from(stays), "{changes:?}");
        }
    }

    #[test]
    fn a_session_keeps_its_subscriptions_its_will_and_what_it_received() {
        let subscription = StoredSubscription {
            kind: SubscriptionKind::Topic,
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: false,
            id: Some(7),
        };
        let subscribed = |filter: &str| BrokerChange::Subscribed {
            session: ONE,
            filter: filter.into(),
            subscription: subscription.clone(),
        };
        let will = StoredWill { message: message("gone"), delay_secs: 5, expiry_secs: None };
        let left = |will| BrokerChange::Left { session: ONE, time_ms: 99, expiry_secs: 8, sent: MessageNum(4), will };
        let mut changes = vec![
            opened(ONE),
            subscribed("a"),
            subscribed("b"),
            BrokerChange::Unsubscribed { session: ONE, filter: "b".into() },
            BrokerChange::Received { session: ONE, id: 1 },
            BrokerChange::Received { session: ONE, id: 2 },
            BrokerChange::Released { session: ONE, id: 1 },
            BrokerChange::Will { session: ONE, will: Some(Box::new(will.clone())) },
            left(true),
        ];
        let session = after(vec![changes.clone()]).0.sessions.remove(0);
        assert_eq!(session.subscriptions, [("a".into(), subscription.clone())]);
        assert_eq!((session.received, session.will), (vec![2], Some(Box::new(will))));
        assert_eq!((session.left_ms, session.expiry_secs, session.sent), (Some(99), 8, MessageNum(4)));
        changes.push(BrokerChange::InDoubt { session: ONE, from: MessageNum(3) });
        changes.push(BrokerChange::Resumed { session: ONE, expiry_secs: 7 });
        let session = after(vec![changes.clone()]).0.sessions.remove(0);
        assert_eq!(session.in_doubt_from, Some(MessageNum(3)));
        changes.extend([left(true), BrokerChange::Resumed { session: ONE, expiry_secs: 7 }]);
        let session = after(vec![changes]).0.sessions.remove(0);
        assert_eq!((session.left_ms, session.expiry_secs, session.will), (None, 7, None));
        assert_eq!(session.in_doubt_from, None);
        assert!(after(vec![vec![opened(ONE), left(false)]]).0.sessions[0].will.is_none());
    }
}
