//! Compares the session with a simple model: for any input in any order, both must write the same packets and give the same
//! answers.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use proptest::{collection::vec, prelude::*, test_runner::Config};

use super::{tests::S, *};

/// What happens to a session. The numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// Messages of this QoS and this many bytes arrive for the client.
    Offer {
        qos: QoS,
        count: usize,
        bytes: usize,
    },
    /// A message gets its place before it is written down.
    Reserve {
        qos: QoS,
    },
    /// One of those is written down, or could not be.
    Keep(usize),
    GiveBack(usize),
    /// The connection writes this many frames.
    Write(usize),
    /// The client acknowledges something that was sent to it, or has not been.
    PubAck(usize),
    PubRec {
        at: usize,
        refused: bool,
    },
    PubComp(usize),
    /// The client sends a QoS 2 message, or its PUBREL.
    Receive(u16),
    Release(u16),
    /// A batch with an acknowledgement of QoS 1, that becomes durable later.
    Later(u16),
    Durable(usize),
    /// The connection ends, and another one begins with this receive maximum.
    Reconnect(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let qos = || prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let exchanged = prop_oneof![Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)];
    let large = limits::SESSION_QUEUE_BYTES / 3;
    prop_oneof![
        6 => qos().prop_map(|qos| Step::Offer { qos, count: 1, bytes: 1 }),
        1 => (qos(), 1_usize..limits::SESSION_QUEUE).prop_map(|(qos, count)| Step::Offer { qos, count, bytes: 1 }),
        1 => qos().prop_map(move |qos| Step::Offer { qos, count: 1, bytes: large }),
        3 => exchanged.prop_map(|qos| Step::Reserve { qos }),
        3 => any::<usize>().prop_map(Step::Keep),
        1 => any::<usize>().prop_map(Step::GiveBack),
        6 => (1_usize..60).prop_map(Step::Write),
        4 => any::<usize>().prop_map(Step::PubAck),
        4 => (any::<usize>(), prop::bool::weighted(0.2)).prop_map(|(at, refused)| Step::PubRec { at, refused }),
        4 => any::<usize>().prop_map(Step::PubComp),
        3 => (1_u16..5).prop_map(Step::Receive),
        2 => (1_u16..5).prop_map(Step::Release),
        2 => (1_u16..9).prop_map(Step::Later),
        3 => any::<usize>().prop_map(Step::Durable),
        1 => prop_oneof![1_u16..5, Just(u16::MAX)].prop_map(Step::Reconnect),
    ]
}

/// A message on its way to the client, by the number in its payload.
#[derive(Debug, Clone)]
struct Waiting {
    num: u64,
    qos: QoS,
    size: usize,
    journaled: Option<u16>,
}

#[derive(Debug)]
struct ModelInFlight {
    id: u16,
    message: Waiting,
    /// PUBREC came.
    released: bool,
}

#[derive(Debug, Default)]
struct Model {
    window: usize,
    queue: VecDeque<Waiting>,
    in_flight: Vec<ModelInFlight>,
    /// How many of those were written on this connection.
    written: usize,
    /// Places that are logged, by their identifiers.
    reserved: BTreeMap<u16, Waiting>,
    /// What is written first; nothing of a batch that is not durable, or of later ones, is written.
    acks: VecDeque<(Option<u64>, Ack)>,
    /// QoS 2 of the client: whether it was acknowledged.
    received: HashMap<u16, bool>,
    /// Positions of batches that are not durable, each with the QoS 2 message in it.
    batches: VecDeque<(u64, Option<u16>)>,
    /// Of the last batch.
    position: u64,
    finished: Vec<u64>,
}

/// What is written, in short.
#[derive(Debug, PartialEq)]
enum Wrote {
    Ack(AckKind, u16, u8),
    Publish { num: u64, dup: bool },
}

impl Model {
    fn bytes(&self) -> usize {
        self.queue.iter().chain(self.reserved.values()).map(|message| message.size).sum()
    }

    fn has_room(&self, size: usize) -> bool {
        self.queue.len() + self.reserved.len() < limits::SESSION_QUEUE
            && self.bytes() + size <= limits::SESSION_QUEUE_BYTES
    }

    fn is_taken(&self, id: u16) -> bool {
        let journaled = self.queue.iter().filter_map(|message| message.journaled).any(|taken| taken == id);
        journaled || self.reserved.contains_key(&id) || self.in_flight.iter().any(|sent| sent.id == id)
    }

    /// What is to be written next. A PUBLISH for the first time gets its identifier from the session.
    fn next(&mut self) -> Option<Wrote> {
        if let Some((None, _)) = self.acks.front() {
            return self.acks.pop_front().map(|(_, ack)| Wrote::Ack(ack.kind, ack.id, ack.reason));
        }
        if self.written < self.in_flight.len().min(self.window) {
            let ModelInFlight { id, message, released } = &self.in_flight[self.written];
            self.written += 1;
            let again = Wrote::Publish { num: message.num, dup: true };
            return Some(if *released { Wrote::Ack(AckKind::PubRel, *id, 0) } else { again });
        }
        let first = self.queue.front()?;
        if first.qos != QoS::AtMostOnce && self.in_flight.len() >= self.window {
            return None;
        }
        let message = self.queue.pop_front()?;
        let num = message.num;
        if message.qos != QoS::AtMostOnce {
            self.in_flight.push(ModelInFlight { id: 0, message, released: false });
            self.written = self.in_flight.len();
        }
        Some(Wrote::Publish { num, dup: false })
    }

    fn end(&mut self, id: u16, released: bool) -> Option<u64> {
        let at = self.in_flight.iter().position(|sent| sent.id == id && sent.released == released)?;
        self.written -= usize::from(at < self.written);
        let sent = self.in_flight.remove(at);
        self.finished.extend(sent.message.journaled.map(|_| sent.message.num));
        Some(sent.message.num)
    }

    fn ready(&mut self, batch: u64) -> bool {
        let mut here = false;
        for (of, _) in self.acks.iter_mut().filter(|(of, _)| *of == Some(batch)) {
            (*of, here) = (None, true);
        }
        here
    }
}

/// Both, and what the next message gets as its number.
struct Pair {
    session: S,
    model: Model,
    next: u64,
}

fn item(num: u64, qos: QoS, bytes: usize) -> Item<u64> {
    let mut payload = num.to_be_bytes().to_vec();
    payload.resize(8 + bytes, 0);
    let message = Arc::new(Message { qos, ..Message::new("t", payload) });
    Item { qos, body: Body::message(message), journaled: None }
}

fn num(item: &Item<u64>) -> u64 {
    let Body::Message { message, .. } = &item.body else { panic!("no message") };
    u64::from_be_bytes(message.payload[..8].try_into().unwrap())
}

/// An identifier that something was sent under, or none that is in use.
fn choose(model: &Model, at: usize) -> u16 {
    match model.in_flight.len() {
        0 => 999,
        sent => model.in_flight.get(at % (sent + 1)).map_or(999, |sent| sent.id),
    }
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { session: S::new(), model: Model::default(), next: 1 };
        pair.reconnect(u16::MAX);
        pair
    }

    fn reconnect(&mut self, receive_maximum: u16) {
        let Self { session, model, .. } = self;
        session.disconnect();
        session.connect(receive_maximum);
        model.window = usize::from(receive_maximum.min(limits::IN_FLIGHT));
        model.written = 0;
        model.acks.clear();
        model.queue.retain(|message| message.qos != QoS::AtMostOnce);
        // What is not yet on its way to the journal is sent again by the client.
        let submitted: Vec<_> = model.batches.iter().filter_map(|(_, id)| *id).collect();
        model.received.retain(|id, acknowledged| *acknowledged || submitted.contains(id));
    }

    fn offer(&mut self, qos: QoS, bytes: usize) -> Result<(), TestCaseError> {
        let item = item(self.next, qos, bytes);
        let message = Waiting { num: self.next, qos, size: item.size(), journaled: None };
        let taken = self.model.has_room(message.size);
        prop_assert_eq!(self.session.offer(item), if taken { OfferResult::Taken } else { OfferResult::Full });
        if taken {
            self.model.queue.push_back(message);
        }
        self.next += 1;
        Ok(())
    }

    fn reserve(&mut self, qos: QoS) -> Result<(), TestCaseError> {
        let item = item(self.next, qos, 1);
        let Body::Message { message, .. } = &item.body else { panic!("no message") };
        let waiting = Waiting { num: self.next, qos, size: item.size(), journaled: None };
        let room = self.model.has_room(waiting.size);
        let id = self.session.reserve(message);
        prop_assert_eq!(id.is_some(), room);
        if let Some(id) = id {
            prop_assert!(id != 0 && !self.model.is_taken(id), "the identifier {id} is taken");
            self.model.reserved.insert(id, Waiting { journaled: Some(id), ..waiting });
        }
        self.next += 1;
        Ok(())
    }

    fn take_reserved(&mut self, at: usize) -> Option<(u16, Waiting)> {
        let ids: Vec<_> = self.model.reserved.keys().copied().collect();
        let id = *ids.get(at.checked_rem(ids.len())?)?;
        self.model.reserved.remove(&id).map(|message| (id, message))
    }

    fn write(&mut self) -> Result<bool, TestCaseError> {
        let before = self.model.in_flight.len();
        let expected = self.model.next();
        let frame = self.session.next(Instant::now());
        let (found, id) = match &frame {
            None => (None, 0),
            Some(OutgoingPacket::Ack(ack)) => (Some(Wrote::Ack(ack.kind, ack.id, ack.reason)), 0),
            Some(OutgoingPacket::Publish { id, dup, item }) => {
                (Some(Wrote::Publish { num: num(item), dup: *dup }), *id)
            }
        };
        prop_assert_eq!(&found, &expected);
        if self.model.in_flight.len() > before {
            let journaled = self.model.in_flight[before].message.journaled;
            prop_assert!(
                id != 0 && journaled.map_or_else(|| !self.model.is_taken(id), |journaled| journaled == id),
                "{id}, {journaled:?}"
            );
            self.model.in_flight[before].id = id;
        }
        Ok(found.is_some())
    }

    fn acknowledge(&mut self, kind: AckKind, id: u16, refused: bool) -> Result<(), TestCaseError> {
        let Self { session, model, .. } = self;
        let sent = model.in_flight.iter().find(|sent| sent.id == id);
        let of = sent.map(|sent| (sent.message.qos, sent.released, sent.message.num, sent.message.journaled));
        let found = match kind {
            AckKind::PubAck => session.puback(id).map(|item| num(&item)),
            AckKind::PubRec => session.pubrec(id, refused).map(|item| num(&item)),
            _ => session.pubcomp(id).then_some(0),
        };
        let expected = match (kind, of) {
            (AckKind::PubAck, Some((QoS::AtLeastOnce, ..))) => model.end(id, false),
            (AckKind::PubRec, _) if refused => model.end(id, false),
            (AckKind::PubRec, None) => {
                model.acks.push_back((None, Ack { reason: 0x92, ..Ack::new(AckKind::PubRel, id) }));
                None
            }
            (AckKind::PubRec, Some((QoS::ExactlyOnce, again, num, journaled))) => {
                model.in_flight.iter_mut().filter(|sent| sent.id == id).for_each(|sent| sent.released = true);
                let release = Ack::new(AckKind::PubRel, id);
                let pubrec_received = std::mem::take(&mut session.progress.pubrec_received);
                let pubrec_received: Vec<_> = pubrec_received.into_iter().map(|journaled| journaled.id).collect();
                prop_assert_eq!(pubrec_received, journaled.filter(|_| !again).into_iter().collect::<Vec<_>>());
                if journaled.is_some() && !again {
                    // As if that were durable at once.
                    session.ack(release.clone());
                }
                model.acks.push_back((None, release));
                (!again).then_some(num)
            }
            (AckKind::PubComp, Some(_)) => model.end(id, true).map(|_| 0),
            _ => None,
        };
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn receive(&mut self, id: u16) -> Result<(), TestCaseError> {
        let expected = match self.model.received.get(&id) {
            None => PublishReceipt::New,
            Some(true) => PublishReceipt::Again,
            Some(false) => PublishReceipt::Waiting,
        };
        prop_assert_eq!(self.session.receive(id), expected);
        if expected == PublishReceipt::New {
            let ack = Ack::new(AckKind::PubRec, id);
            self.model.received.insert(id, false);
            self.ack_later(ack, Some(id));
        }
        Ok(())
    }

    fn durable(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.model.batches.len()) else { return };
        let Some((last, _)) = self.model.batches.get(at).copied() else { return };
        self.session.commit(QueuePosition(last));
        for (batch, received) in self.model.batches.drain(..=at).collect::<Vec<_>>() {
            let here = self.model.ready(batch);
            if let Some(id) = received.filter(|id| self.model.received.contains_key(id)) {
                self.model.received.insert(id, true);
                if !here {
                    self.model.acks.push_back((None, Ack::new(AckKind::PubRec, id)));
                }
            }
        }
    }

    fn ack_later(&mut self, ack: Ack, received: Option<u16>) {
        self.model.position += 1;
        let position = self.model.position;
        self.session.ack_at(QueuePosition(position), vec![ack.clone()]);
        self.model.batches.push_back((position, received));
        self.model.acks.push_back((Some(position), ack));
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Offer { qos, count, bytes } => (0..count).try_for_each(|_| self.offer(qos, bytes))?,
            Step::Reserve { qos } => self.reserve(qos)?,
            Step::Keep(at) => {
                if let Some((id, message)) = self.take_reserved(at) {
                    let journaled = Some(Journaled { num: MessageNum(message.num), id });
                    self.session.offer_journaled(Item { journaled, ..item(message.num, message.qos, 1) });
                    self.model.queue.push_back(message);
                }
            }
            Step::GiveBack(at) => {
                if let Some((id, message)) = self.take_reserved(at) {
                    let Item { body: Body::Message { message, .. }, .. } = item(message.num, message.qos, 1) else {
                        panic!("no message")
                    };
                    self.session.unreserve(id, &message);
                }
            }
            Step::Write(count) => {
                let mut left = count;
                while left > 0 && self.write()? {
                    left -= 1;
                }
            }
            Step::PubAck(at) => self.acknowledge(AckKind::PubAck, choose(&self.model, at), false)?,
            Step::PubRec { at, refused } => self.acknowledge(AckKind::PubRec, choose(&self.model, at), refused)?,
            Step::PubComp(at) => self.acknowledge(AckKind::PubComp, choose(&self.model, at), false)?,
            Step::Receive(id) => self.receive(id)?,
            Step::Release(id) => {
                let known = self.model.received.get(&id).is_some_and(|acknowledged| *acknowledged);
                // A client releases what was acknowledged, or an unknown identifier.
                if known || !self.model.received.contains_key(&id) {
                    let ack = self.session.pubrel(id);
                    prop_assert_eq!(ack.reason, if known { 0 } else { 0x92 });
                    self.model.received.remove(&id);
                    self.session.ack(ack.clone());
                    self.model.acks.push_back((None, ack));
                }
            }
            Step::Later(id) => {
                self.ack_later(Ack::new(AckKind::PubAck, id), None);
            }
            Step::Durable(at) => self.durable(at),
            Step::Reconnect(receive_maximum) => self.reconnect(receive_maximum),
        }
        let Self { session, model, .. } = self;
        prop_assert_eq!((session.queued(), session.queued_bytes()), (model.queue.len(), model.bytes()));
        let finished: Vec<_> = session.take_finished().into_iter().map(|MessageNum(num)| num).collect();
        prop_assert_eq!(finished, std::mem::take(&mut model.finished));
        prop_assert!(model.in_flight.len() <= usize::from(limits::IN_FLIGHT), "more than the window is in flight");
        Ok(())
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(40) })]

    #[test]
    fn the_session_does_what_its_model_does(steps in vec(step(), 1..120)) {
        let mut pair = Pair::new();
        for step in steps {
            pair.step(step)?;
        }
        // All that waits is written in the end, once the client acknowledges everything.
        pair.reconnect(u16::MAX);
        while pair.write()? {
            let sent: Vec<_> = pair.model.in_flight.iter().filter(|sent| sent.id != 0).map(|sent| (sent.id, sent.message.qos, sent.released)).collect();
            for (id, qos, released) in sent {
                match (qos, released) {
                    (QoS::AtLeastOnce, _) => pair.acknowledge(AckKind::PubAck, id, false)?,
                    (_, false) => pair.acknowledge(AckKind::PubRec, id, false)?,
                    (_, true) => pair.acknowledge(AckKind::PubComp, id, false)?,
                }
            }
        }
        prop_assert_eq!((pair.model.queue.len(), pair.session.queued()), (0, 0));
    }
}
