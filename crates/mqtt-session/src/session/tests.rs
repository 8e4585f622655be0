//! The session's exchanges, step by step.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use super::*;

pub(super) type S = Session<u64>;

impl Deliverable for u64 {
    fn size(&self) -> usize {
        100
    }

    /// The hundreds say which device.
    fn replaces(&self, older: &Self) -> bool {
        self / 100 == older / 100
    }

    fn compare_version(&self, other: &Self) -> Option<Ordering> {
        self.replaces(other).then(|| self.cmp(other))
    }

    /// From 900 on it is obsolete.
    fn obsolete_at(&self) -> Option<Instant> {
        (*self >= 900).then(|| Instant::now().checked_sub(Duration::from_secs(1)).unwrap())
    }
}

pub(super) fn item(qos: QoS, text: &'static str) -> Item<u64> {
    Item { qos, body: Body::message(Arc::new(Message::new("t", text))), journaled: None }
}

pub(super) fn delivery(version: u64) -> Item<u64> {
    Item { qos: QoS::AtLeastOnce, body: Body::Device(version), journaled: None }
}

/// All that is to be written, abbreviated: `p1` PUBLISH with id 1, `d1` the same with DUP, `p0` QoS 0, `ack:1`, `rel1` …
pub(super) fn written(session: &mut S) -> Vec<String> {
    let mut written = Vec::new();
    while let Some(frame) = session.next(Instant::now()) {
        written.push(in_short(&frame));
    }
    written
}

pub(super) fn in_short(frame: &OutgoingPacket<u64>) -> String {
    match frame {
        OutgoingPacket::Ack(ack) => match ack.kind {
            AckKind::PubAck => format!("ack{}", ack.id),
            AckKind::PubRec => format!("rec{}", ack.id),
            AckKind::PubRel => format!("rel{}", ack.id),
            AckKind::PubComp => format!("comp{}", ack.id),
        },
        OutgoingPacket::Publish { id, dup, item } => {
            let kind = if *dup { "d" } else { "p" };
            match item.body {
                Body::Device(version) => format!("{kind}{id}=v{version}"),
                Body::Message { .. } => format!("{kind}{id}"),
            }
        }
    }
}

fn release(session: &mut S, id: u16) {
    let ack = session.pubrel(id);
    session.ack(ack);
}

/// What is written down under this number.
fn journaled(session: &mut S, qos: QoS, num: u64) -> Item<u64> {
    let Item { body, .. } = item(qos, "x");
    let Body::Message { message, .. } = &body else { panic!("no message") };
    let id = session.reserve(message).unwrap();
    Item { qos, body, journaled: Some(Journaled { num: MessageNum(num), id }) }
}

#[test]
fn the_window_holds_back_and_an_acknowledgement_lets_go() {
    let mut session = S::new();
    session.connect(2);
    for _ in 0..3 {
        session.offer(item(QoS::AtLeastOnce, "x"));
    }
    session.offer(item(QoS::AtMostOnce, "x"));
    assert_eq!(written(&mut session), ["p1", "p2"]);
    assert!(session.puback(9).is_none());
    assert!(session.puback(2).is_some());
    assert_eq!(written(&mut session), ["p3", "p0"]);
    assert!(session.puback(2).is_none());
}

#[test]
fn what_is_in_flight_is_sent_again_with_dup_and_in_order() {
    let mut session = S::new();
    session.connect(10);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
        session.offer(item(qos, "x"));
    }
    assert_eq!(written(&mut session), ["p1", "p2", "p3"]);
    session.pubrec(2, false);
    assert_eq!(written(&mut session), ["rel2"]);
    session.disconnect();
    session.offer(item(QoS::AtLeastOnce, "y"));
    session.connect(10);
    assert_eq!(written(&mut session), ["d1", "rel2", "d3", "p4"]);
    assert!(session.pubcomp(2));
    assert!(!session.pubcomp(2));
}

#[test]
fn a_smaller_receive_maximum_holds_back_what_is_sent_again() {
    let mut session = S::new();
    session.connect(10);
    for _ in 0..4 {
        session.offer(item(QoS::AtLeastOnce, "x"));
    }
    assert_eq!(written(&mut session), ["p1", "p2", "p3", "p4"]);
    session.disconnect();
    session.offer(item(QoS::AtLeastOnce, "y"));
    session.connect(2);
    assert_eq!(written(&mut session), ["d1", "d2"]);
    session.puback(1);
    assert_eq!(written(&mut session), ["d3"]);
    for id in [2, 3] {
        session.puback(id);
    }
    assert_eq!(written(&mut session), ["d4", "p5"]);
}

#[test]
fn each_publish_of_the_client_counts_once_until_its_exchange_is_over() {
    let mut session = S::new();
    session.connect(10);
    session.ack(Ack::new(AckKind::PubAck, 1));
    session.receive(2);
    session.ack(Ack::new(AckKind::PubRec, 2));
    assert_eq!(session.unacknowledged(), 2);
    written(&mut session);
    assert_eq!(session.unacknowledged(), 1);
    release(&mut session, 2);
    assert_eq!(session.unacknowledged(), 1);
    written(&mut session);
    assert_eq!(session.unacknowledged(), 0);
}

#[test]
fn what_another_member_may_have_is_given_back_at_the_end() {
    let mut session = S::new();
    session.connect(2);
    let shared = |qos, text| Item {
        qos,
        body: Body::matched(Arc::new(Message::new("t", text)), false, vec![], Some("s".into())),
        journaled: None,
    };
    session.offer(shared(QoS::AtLeastOnce, "sent once or twice"));
    session.offer(shared(QoS::ExactlyOnce, "perhaps there"));
    session.offer(item(QoS::AtLeastOnce, "its own"));
    session.offer(shared(QoS::ExactlyOnce, "never sent"));
    assert_eq!(written(&mut session), ["p1", "p2"]);
    let texts: Vec<_> = session.end().into_iter().map(|shared| shared.message.payload.clone()).collect();
    assert_eq!(texts, ["sent once or twice", "never sent"]);
}

#[test]
fn a_disconnect_keeps_qos_1_and_2_alone() {
    let mut session = S::new();
    session.connect(1);
    session.offer(item(QoS::AtLeastOnce, "1"));
    session.offer(delivery(1));
    assert_eq!(written(&mut session), ["p1"]);
    session.offer(item(QoS::AtMostOnce, "0"));
    session.offer(item(QoS::ExactlyOnce, "2"));
    session.offer_latest(delivery(2));
    session.disconnect();
    assert_eq!(session.queued(), 1);
    session.connect(10);
    assert_eq!(written(&mut session), ["d1", "p2"]);
}

#[test]
fn only_the_newest_config_waits_when_the_window_is_full() {
    let mut session = S::new();
    session.connect(2);
    for version in 1..=5 {
        session.offer_latest(delivery(version));
    }
    assert_eq!(written(&mut session), ["p1=v1", "p2=v2"]);
    assert_eq!(session.puback(1).unwrap().body, Body::Device(1));
    assert_eq!(written(&mut session), ["p3=v5"]);
    session.puback(2);
    session.offer_latest(delivery(6));
    assert_eq!(written(&mut session), ["p4=v6"]);
}

#[test]
fn a_full_queue_says_so() {
    let mut session = S::new();
    for _ in 0..limits::SESSION_QUEUE {
        assert_eq!(session.offer(item(QoS::AtMostOnce, "x")), OfferResult::Taken);
    }
    assert_eq!(session.offer(item(QoS::AtMostOnce, "x")), OfferResult::Full);
    let mut session = S::new();
    let big = Arc::new(Message::new("t", vec![0; limits::SESSION_QUEUE_BYTES]));
    let big = Item { qos: QoS::AtMostOnce, body: Body::message(big), journaled: None };
    assert_eq!(session.offer(big), OfferResult::Full);
}

#[test]
fn what_expired_is_not_sent() {
    let mut session = S::new();
    let message = Arc::new(Message { expires: Some(Instant::now()), ..Message::new("t", "x") });
    session.offer(Item { qos: QoS::AtLeastOnce, body: Body::message(message), journaled: None });
    session.offer(item(QoS::AtLeastOnce, "x"));
    assert_eq!(written(&mut session), ["p1"]);
}

#[test]
fn what_expired_gives_up_its_place_in_a_full_queue() {
    let mut session = S::new();
    let now = Instant::now();
    let soon = now + Duration::from_secs(1);
    for num in 0..limits::SESSION_QUEUE as u64 {
        let mut item = journaled(&mut session, QoS::AtLeastOnce, num);
        let Body::Message { message, .. } = &mut item.body else { panic!("no message") };
        let expires = [None, Some(soon), Some(soon + Duration::from_secs(1)), Some(soon)][num as usize % 4];
        *message = Arc::new(Message { expires, ..(**message).clone() });
        session.offer_journaled(item);
    }
    assert!(!session.has_room(1));
    assert_eq!(session.purge(now), 0);
    assert!(session.take_finished().is_empty());
    let half = limits::SESSION_QUEUE / 2;
    assert_eq!(session.purge(soon), half as u64);
    assert!(session.take_finished().iter().all(|num| num.0 % 2 == 1));
    assert_eq!((session.queued(), session.ids.len()), (half, half));
    assert_eq!(session.queued_bytes(), session.queue.iter().map(Item::size).sum::<usize>());
    // There is nothing to look for until the next of them runs out of time.
    assert_eq!(session.expires_from, Some(soon + Duration::from_secs(1)));
    assert_eq!(session.purge(soon + Duration::from_secs(9)), half as u64 / 2);
    assert_eq!(session.expires_from, None);
}

#[test]
fn a_qos_2_message_is_taken_once() {
    let mut session = S::new();
    assert_eq!(session.receive(7), PublishReceipt::New);
    assert_eq!(session.receive(7), PublishReceipt::Waiting);
    session.ack(Ack::new(AckKind::PubRec, 7));
    assert_eq!(session.receive(7), PublishReceipt::Again);
    release(&mut session, 7);
    release(&mut session, 7);
    assert_eq!(written(&mut session), ["rec7", "comp7", "comp7"]);
    assert_eq!(session.receive(7), PublishReceipt::New);
    session.unreceive(7);
    assert_eq!(session.receive(7), PublishReceipt::New);
}

#[test]
fn a_qos_2_message_that_becomes_durable_on_a_later_connection_is_acknowledged_there() {
    let mut session = S::new();
    session.connect(10);
    session.receive(7);
    session.ack_at(QueuePosition(3), vec![Ack::new(AckKind::PubAck, 6), Ack::new(AckKind::PubRec, 7)]);
    session.disconnect();
    session.connect(10);
    assert_eq!(session.receive(7), PublishReceipt::Waiting);
    session.commit(QueuePosition(2));
    assert_eq!(written(&mut session), [""; 0]);
    session.commit(QueuePosition(3));
    assert_eq!(written(&mut session), ["rec7"]);
}

#[test]
fn a_qos_2_message_that_was_not_accepted_is_accepted_from_the_next_connection() {
    let mut session = S::new();
    session.connect(10);
    session.receive(7);
    session.disconnect();
    session.connect(10);
    assert_eq!(session.receive(7), PublishReceipt::New);
}

#[test]
fn acknowledgements_that_do_not_fit_the_exchange_change_nothing() {
    let mut session = S::new();
    session.connect(10);
    session.offer(item(QoS::AtLeastOnce, "1"));
    session.offer(item(QoS::ExactlyOnce, "2"));
    assert_eq!(written(&mut session), ["p1", "p2"]);
    assert!(session.pubrec(1, false).is_none());
    assert!(session.puback(2).is_none());
    assert!(!session.pubcomp(2));
    assert!(session.pubrec(99, false).is_none());
    assert_eq!(written(&mut session), ["rel99"]);
    assert!(session.pubrec(2, true).is_some());
    assert!(session.puback(1).is_some());
}

#[test]
fn packet_ids_wrap_round_and_skip_those_in_use() {
    let mut session = S::new();
    session.connect(2);
    session.offer(item(QoS::AtLeastOnce, "x"));
    assert_eq!(written(&mut session), ["p1"]);
    for _ in 0..u16::MAX - 1 {
        session.offer(item(QoS::AtLeastOnce, "x"));
        let Some(OutgoingPacket::Publish { id, .. }) = session.next(Instant::now()) else { panic!("nothing to send") };
        assert_ne!(id, 0);
        assert!(session.puback(id).is_some());
    }
    session.offer(item(QoS::AtLeastOnce, "x"));
    assert_eq!(written(&mut session), ["p2"]);
}

#[test]
fn a_recorded_span_has_its_id_before_it_ends_and_records_its_end() {
    let mut session = S::new();
    session.connect(10);
    let (first, second) = (journaled(&mut session, QoS::AtLeastOnce, 1), journaled(&mut session, QoS::ExactlyOnce, 2));
    session.offer(item(QoS::AtLeastOnce, "not written down"));
    assert_eq!(written(&mut session), ["p3"]);
    session.offer_journaled(first);
    session.offer_journaled(second);
    assert_eq!(written(&mut session), ["p1", "p2"]);
    assert_eq!(session.newest_sent(), MessageNum(2));
    assert!(session.take_progress().is_empty());
    session.puback(1);
    session.pubrec(2, false);
    assert!(written(&mut session).is_empty(), "PUBREL before it is durable");
    let progress = session.take_progress();
    assert_eq!(
        (progress.finished, progress.pubrec_received),
        (vec![MessageNum(1)], vec![Journaled { num: MessageNum(2), id: 2 }])
    );
    session.pubcomp(2);
    assert_eq!(session.take_progress().finished, [MessageNum(2)]);
    let message = Arc::new(Message { expires: Some(Instant::now()), ..Message::new("t", "x") });
    let id = session.reserve(&message).unwrap();
    let body = Body::message(message);
    session.offer_journaled(Item {
        qos: QoS::AtLeastOnce,
        body,
        journaled: Some(Journaled { num: MessageNum(3), id }),
    });
    assert!(written(&mut session).is_empty());
    assert_eq!(session.take_progress().finished, [MessageNum(3)]);
}

#[test]
fn a_place_that_is_kept_counts_as_taken() {
    let mut session = S::new();
    let places: Vec<_> =
        (0..limits::SESSION_QUEUE).map(|n| journaled(&mut session, QoS::AtLeastOnce, n as u64)).collect();
    assert_eq!(session.offer(item(QoS::AtMostOnce, "x")), OfferResult::Full);
    assert_eq!(session.reserve(&Message::new("t", "x")), None);
    let ids: HashSet<_> = places.iter().filter_map(|item| item.journaled).map(|journaled| journaled.id).collect();
    assert_eq!(ids.len(), limits::SESSION_QUEUE);
    places.into_iter().for_each(|item| session.offer_journaled(item));
    assert_eq!(session.queued(), limits::SESSION_QUEUE);
    session.connect(1);
    session.next(Instant::now());
    assert_eq!(session.offer(item(QoS::AtMostOnce, "x")), OfferResult::Taken);
}

#[test]
fn what_the_client_may_not_have_any_more_is_not_sent_again_and_shared_messages_are_given_back() {
    let mut session = S::new();
    session.connect(1);
    let of = |topic: &str, shared: Option<&str>| {
        let (message, shared) = (Arc::new(Message::new(topic, "x")), shared.map(Into::into));
        Item { qos: QoS::AtLeastOnce, body: Body::matched(message, false, vec![], shared), journaled: None }
    };
    for item in [of("secret", None), of("secret", Some("$share/g/secret")), of("news", None)] {
        session.offer(item);
    }
    session.offer(delivery(1));
    assert_eq!(written(&mut session), ["p1"]);
    session.disconnect();
    session.connect(9);
    let left = session.revoke(|message| &*message.topic == "news");
    assert_eq!(left.iter().map(|shared| &*shared.filter).collect::<Vec<_>>(), ["$share/g/secret"]);
    assert_eq!((written(&mut session), session.queued_bytes()), (vec!["p2".to_owned()], 0));
    let journaled = journaled(&mut session, QoS::AtLeastOnce, 7);
    session.offer_journaled(journaled);
    assert!(session.revoke(|_| false).is_empty());
    assert_eq!(session.take_progress().finished, [MessageNum(7)]);
}

#[test]
fn the_newest_of_each_device_waits_for_the_window() {
    let mut session = S::new();
    session.connect(1);
    for version in [1, 2, 101, 3, 102, 201] {
        session.offer_latest(delivery(version));
    }
    assert_eq!(written(&mut session), ["p1=v1"]);
    for (id, expect) in [(1, "p2=v3"), (2, "p3=v102"), (3, "p4=v201")] {
        session.puback(id);
        assert_eq!(written(&mut session), [expect]);
    }
}

#[test]
fn what_was_not_sent_yet_can_be_removed() {
    let mut session = S::new();
    session.connect(1);
    session.offer(delivery(1));
    assert_eq!(written(&mut session), ["p1=v1"]);
    session.offer(delivery(102));
    session.offer(delivery(2));
    session.offer_latest(delivery(103));
    session.withdraw(|version| version / 100 == 1);
    session.puback(1);
    assert_eq!((written(&mut session), session.queued_bytes()), (vec!["p2=v2".to_owned()], 0));
}

#[test]
fn an_acknowledgement_finds_what_waits_for_it() {
    use AckKind::{PubAck, PubComp, PubRec, PubRel};
    use Expected::{Nothing, OtherKind, Yes};
    let mut session = S::new();
    session.connect(9);
    session.offer(item(QoS::AtLeastOnce, "x"));
    session.offer(item(QoS::ExactlyOnce, "x"));
    session.offer(item(QoS::ExactlyOnce, "x"));
    assert_eq!(written(&mut session), ["p1", "p2", "p3"]);
    session.pubrec(3, false);
    session.receive(1);
    for (id, expect) in [
        (1, [Yes, OtherKind, OtherKind, Yes]),
        (2, [OtherKind, Yes, OtherKind, Nothing]),
        (3, [OtherKind, Yes, Yes, Nothing]),
        (4, [Nothing; 4]),
    ] {
        assert_eq!([PubAck, PubRec, PubComp, PubRel].map(|kind| session.expects(kind, id)), expect, "{id}");
    }
}

#[test]
fn what_is_suspended_keeps_its_packet_identifier_and_has_no_place_in_the_window() {
    let mut session = S::new();
    session.connect(2);
    for version in [100, 200] {
        session.offer(delivery(version));
    }
    assert_eq!(written(&mut session), ["p1=v100", "p2=v200"]);
    session.disconnect();
    session.connect(2);
    [1, 2].into_iter().for_each(|id| session.suspend(id));
    // As if all identifiers had been used.
    session.last_id = 0;
    for version in [300, 400] {
        session.offer(delivery(version));
    }
    assert_eq!(written(&mut session), ["p3=v300", "p4=v400"]);
    assert!(session.puback(1).is_none(), "nothing was sent under it on this connection");
    session.resume_suspended(2, true);
    session.resume_suspended(1, false);
    assert_eq!(written(&mut session), [""; 0], "the window is full");
    assert!(session.puback(3).is_some());
    assert_eq!(written(&mut session), ["d2=v200"]);
    assert!(session.puback(2).is_some() && session.deliveries_suspended().is_empty());
}

#[test]
fn no_more_is_suspended_than_may_be_in_flight() {
    let mut session = S::new();
    session.connect(limits::IN_FLIGHT);
    for version in 1..=u64::from(limits::IN_FLIGHT) + 5 {
        session.offer(delivery(version));
        written(&mut session);
        session.deliveries_in_flight().into_iter().for_each(|(id, _)| session.suspend(id));
    }
    let suspended = session.deliveries_suspended();
    assert_eq!(suspended.len(), usize::from(limits::IN_FLIGHT));
    assert_eq!(suspended.first().unwrap().1, 6);
}
