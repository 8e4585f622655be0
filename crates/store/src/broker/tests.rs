//! The broker's documents: what changes leave in `state.db`, folded and one by one.

use bytes::Bytes;

use super::{super::retained::CLEARED_FOR, *};
use crate::schema;
use switchbox_model::{
    QoS,
    broker::{Owner, SessionKey, StoredExpiry, StoredWill, SubscriptionKind},
};

const ONE: SessionNum = SessionNum(1);
const TWO: SessionNum = SessionNum(2);

fn message(payload: &'static str) -> StoredMessage {
    let payload = Bytes::from_static(payload.as_bytes());
    let qos = QoS::AtLeastOnce;
    StoredMessage { topic: "t".into(), payload, qos, retain: false, expiry: StoredExpiry::Never, properties: None }
}

fn published(num: u64, is_retained: bool, to: &[SessionNum]) -> BrokerChange {
    let to = to.iter().map(|session| Recipient {
        session: *session,
        id: 1,
        qos: QoS::AtLeastOnce,
        retain: false,
        ids: vec![],
        shared: None,
    });
    let retained = is_retained.then(Owner::default);
    BrokerChange::Published { num: MessageNum(num), message: message("x"), retained, to: to.collect() }
}

fn opened(session: SessionNum) -> BrokerChange {
    BrokerChange::SessionOpened { session, key: SessionKey::Client(format!("c{}", session.0).into()), expiry_secs: 9 }
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

fn messages(docs: &BrokerDocs) -> Vec<StoredMessage> {
    docs.retained.iter().map(|doc| doc.message.clone()).collect()
}

#[test]
fn a_retained_message_has_the_owner_that_published_it_last() {
    let owner = Owner::Service("a".into());
    let (num, message) = (MessageNum(1), message("x"));
    let old = vec![BrokerChange::Published { num, message, retained: Some(owner.clone()), to: vec![] }];
    for (newer, expect) in [(vec![], owner.clone()), (vec![retained(2, "y")], Owner::Everyone)] {
        for batches in [vec![old.clone(), newer.clone()], vec![[old.clone(), newer.clone()].concat()]] {
            assert_eq!(after(batches).0.retained[0].owner, expect, "{newer:?}");
        }
    }
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
        BrokerChange::MessagesFinished { session: ONE, nums: vec![MessageNum(5)] },
        BrokerChange::PubRecReceived { session: TWO, num: MessageNum(6) },
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
    BrokerChange::Published {
        num: MessageNum(num),
        message: message(payload),
        retained: Some(Owner::Everyone),
        to: vec![],
    }
}

#[test]
fn of_retained_messages_that_raced_the_newest_stays_in_whatever_order_they_came() {
    for (changes, stays) in [
        ([retained(2, "new"), retained(1, "old")], Some("new")),
        ([retained(2, ""), retained(1, "old")], None),
        ([retained(2, "new"), retained(1, "")], Some("new")),
    ] {
        let expected: Vec<_> = stays.map(message).into_iter().collect();
        assert_eq!(messages(&after(vec![changes.to_vec()]).0), expected, "{changes:?}");
        let one_by_one = changes.iter().map(|change| vec![change.clone()]).collect();
        assert_eq!(messages(&after(one_by_one).0), expected, "{changes:?}, written one by one");
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
    assert_eq!(messages(&after(vec![vec![published(1, true, &[])]]).0), [message("x")]);
    assert!(after(vec![vec![published(1, true, &[]), empty.clone()]]).0.retained.is_empty());
    assert!(after(vec![vec![published(1, true, &[])], vec![empty]]).0.retained.is_empty());
}

#[test]
fn a_retained_message_goes_when_it_expired_and_no_newer_one_with_it() {
    let retained = |expires_ms: Option<u64>| {
        let expiry = expires_ms.map_or(StoredExpiry::Never, |at_ms| StoredExpiry::At { at_ms, whole_ms: 1_000 });
        let message = StoredMessage { expiry, ..message("x") };
        BrokerChange::Published { num: MessageNum(1), message, retained: Some(Owner::Everyone), to: vec![] }
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
fn an_expired_message_goes_also_if_an_older_one_that_raced_it_is_written_with_its_end() {
    let expiry = StoredExpiry::At { at_ms: 9, whole_ms: 1_000 };
    let newest = StoredMessage { expiry, ..message("new") };
    let newest =
        BrokerChange::Published { num: MessageNum(2), message: newest, retained: Some(Owner::Everyone), to: vec![] };
    let expired = BrokerChange::RetainedExpired { topics: vec!["t".into()], time_ms: 100 };
    let changes = [newest, retained(1, "old"), expired];
    for at in 0..=changes.len() {
        let (first, then) = changes.split_at(at);
        let docs = after(vec![first.to_vec(), then.to_vec()]).0;
        assert_eq!(messages(&docs), [], "written in two parts, the first with {at} changes");
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
    let left = |will, in_doubt_from| {
        let (session, sent) = (ONE, MessageNum(4));
        BrokerChange::Disconnected { session, time_ms: 99, expiry_secs: 8, sent, in_doubt_from, will }
    };
    let mut changes = vec![
        opened(ONE),
        subscribed("a"),
        subscribed("b"),
        BrokerChange::Unsubscribed { session: ONE, filter: "b".into() },
        BrokerChange::PublishReceived { session: ONE, id: 1 },
        BrokerChange::PublishReceived { session: ONE, id: 2 },
        BrokerChange::PubRelReceived { session: ONE, id: 1 },
        BrokerChange::Will { session: ONE, will: Some(Box::new(will.clone())) },
        left(true, Some(MessageNum(3))),
    ];
    let session = after(vec![changes.clone()]).0.sessions.remove(0);
    assert_eq!(session.subscriptions, [("a".into(), subscription.clone())]);
    assert_eq!((session.received, session.will), (vec![2], Some(Box::new(will))));
    assert_eq!((session.left_ms, session.expiry_secs, session.sent), (Some(99), 8, MessageNum(4)));
    changes.push(BrokerChange::Resumed { session: ONE, expiry_secs: 7 });
    let session = after(vec![changes.clone()]).0.sessions.remove(0);
    assert_eq!(session.in_doubt_from, Some(MessageNum(3)));
    changes.extend([left(true, None), BrokerChange::Resumed { session: ONE, expiry_secs: 7 }]);
    let session = after(vec![changes]).0.sessions.remove(0);
    assert_eq!((session.left_ms, session.expiry_secs, session.will), (None, 7, None));
    assert_eq!(session.in_doubt_from, None);
    assert!(after(vec![vec![opened(ONE), left(false, None)]]).0.sessions[0].will.is_none());
}

#[test]
fn after_the_clock_went_back_nothing_is_kept_longer_than_its_whole_life() {
    let folder = tempfile::tempdir().unwrap();
    let mut db = schema::open_writer(folder.path()).unwrap();
    let expiry = |at_ms| StoredExpiry::At { at_ms, whole_ms: 10 };
    let expiring = |change| match change {
        BrokerChange::Published { num, message, retained, to } => {
            BrokerChange::Published { num, message: StoredMessage { expiry: expiry(1_010), ..message }, retained, to }
        }
        other => other,
    };
    let left = |session, time_ms| {
        let (sent, in_doubt_from) = (MessageNum(0), None);
        BrokerChange::Disconnected { session, time_ms, expiry_secs: 9, sent, in_doubt_from, will: false }
    };
    let changes = [opened(ONE), opened(TWO), published(1, true, &[ONE]), published(2, false, &[TWO])];
    write(&mut db, changes.map(expiring).into_iter().chain([left(ONE, 1_000), left(TWO, 90)]).collect());
    for (now_ms, at_ms, left_ms) in [(1_000, 1_010, [1_000, 90]), (100, 110, [100, 90]), (500, 110, [100, 90])] {
        let tx = db.transaction().unwrap();
        clock_set(&tx, now_ms).unwrap();
        tx.commit().unwrap();
        let docs = load(&db).unwrap();
        let queued = docs.sessions.iter().flat_map(|session| &session.queue).map(|queued| queued.message.expiry);
        let retained = docs.retained.iter().map(|doc| doc.message.expiry);
        assert_eq!(queued.chain(retained).collect::<Vec<_>>(), [expiry(at_ms); 3]);
        let left: Vec<_> = docs.sessions.iter().map(|session| session.left_ms).collect();
        assert_eq!(left, left_ms.map(Some));
    }
}
