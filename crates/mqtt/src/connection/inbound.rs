//! What a client's packets do: events to the journal, messages to the topics, acknowledgements to the session. Runs of
//! events go to the journal as one batch. Never writes to the socket.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    bridge,
    connection::{Connection, client_publish::Ordinary},
    content::{Content, Refusal, content, within},
    dialect::iot_core::{self, Refused},
    end::{End, Presence},
    gateway::delivery::Receipts,
    hub::{Hub, Online},
    mailbox::Close,
};
use switchbox_auth as auth;
use switchbox_core::{
    ingest::{self, Done, NewEvent},
    registry::Device,
};
use switchbox_model::{
    EventData, Message, QoS,
    broker::BrokerChange,
    limits,
    registry::{DeviceError, ErrorKind},
};
use switchbox_mqtt_codec::{
    encode,
    fault::{Fault, reason},
    packet::{Ack, AckKind, Disconnect, Packet, Publish, Version},
};
use switchbox_mqtt_session::session;
use switchbox_support::{clock, scheduling};

/// Events of one device that go to the journal together.
#[derive(Default)]
pub(crate) struct Batch {
    /// None: the client's own.
    of: Option<Arc<Device>>,
    events: Vec<NewEvent>,
    acks: Vec<Ack>,
    /// QoS 2 ids among them.
    received: Vec<u16>,
    bytes: usize,
    /// Publishes that were read with it: so many events may come.
    publishes: usize,
    /// What is not an event of the device's.
    pub(crate) ordinary: Ordinary,
}

/// What a publish comes to.
enum Action {
    Event(EventData),
    Message(Message),
    Answer {
        rid: u64,
        status: u16,
        payload: Bytes,
    },
    /// Under `/devices/`, and not the client's own, or where a gateway may not publish: for who is a gateway.
    Elsewhere(Publish),
    /// Acknowledged, and nothing more.
    LeaveOut,
    Refuse(Refusal),
}

impl<H: Hub> Connection<H> {
    pub(crate) async fn process(&mut self, packets: Vec<Packet>) -> Result<(), End> {
        let publishes = packets.iter().filter(|packet| matches!(packet, Packet::Publish(_))).count();
        let mut batch = Batch { publishes, ..Batch::default() };
        let mut receipts = Receipts::default();
        self.presence.shared.metrics.publishes_in.inc_by(publishes as u64);
        let result = self.process_each(packets, &mut batch, &mut receipts).await;
        self.acknowledged(receipts);
        // What came before a wrong packet counts.
        self.submit(&mut batch).await?;
        result
    }

    async fn process_each(
        &mut self,
        packets: Vec<Packet>,
        batch: &mut Batch,
        receipts: &mut Receipts,
    ) -> Result<(), End> {
        for packet in packets {
            scheduling::yield_if_due();
            // What came before may have waited for others.
            self.revalidate_if_requested()?;
            match packet {
                Packet::Publish(publish) => self.publish(publish, batch).await?,
                Packet::Ack { kind, id, reason } => self.acknowledge((kind, id, reason), receipts, batch),
                Packet::Ping => {
                    if let Some(device) = &self.presence.device {
                        device.heard(clock::now_ms());
                    }
                    self.unsent.extend_from_slice(encode::PINGRESP);
                }
                Packet::Subscribe(subscribe) => {
                    self.submit(batch).await?;
                    // Rare, and large: no connection shall have room for it all the time.
                    Box::pin(self.subscribe(*subscribe)).await?;
                }
                Packet::Unsubscribe { id, filters } => {
                    self.submit(batch).await?;
                    Box::pin(self.unsubscribe(id, &filters)).await?;
                }
                Packet::Disconnect(disconnect) => return Err(self.disconnect(&disconnect)),
            }
        }
        Ok(())
    }

    async fn publish(&mut self, mut publish: Publish, batch: &mut Batch) -> Result<(), End> {
        self.resolve_alias(&mut publish)?;
        if publish.qos == QoS::ExactlyOnce && !self.receive(publish.id) {
            return Ok(());
        }
        let ack = acknowledgement(publish.qos, publish.id);
        let (qos, id) = (publish.qos, publish.id);
        let topic = publish.topic.clone();
        match self.action(publish) {
            Action::Event(data) => {
                if !batch.takes_own() {
                    self.submit(batch).await?;
                }
                batch.push(data, qos, ack);
                return Ok(());
            }
            Action::Message(message) => {
                if !batch.events.is_empty() {
                    self.submit(batch).await?;
                }
                return self.publish_ordinary(message, ack, batch).await;
            }
            Action::Answer { rid, status, payload } => {
                self.submit(batch).await?;
                self.presence.mailbox.answered(rid);
                if let Some(online) = &self.presence.online {
                    online.answer(rid, status, payload);
                }
            }
            Action::Elsewhere(publish) => return Box::pin(self.publish_elsewhere(publish, ack, batch)).await,
            Action::LeaveOut => self.submit(batch).await?,
            Action::Refuse(refusal) => {
                self.submit(batch).await?;
                if self.is_gateway() {
                    return self.refuse_gateways_own(&topic, id, &refusal, ack);
                }
                return self.refuse(&topic, &refusal, ack);
            }
        }
        match ack {
            Some(ack) => self.acknowledge_now(ack),
            None => Ok(()),
        }
    }

    /// Sets or looks up the topic alias.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Fault> {
        let Some(alias) = publish.alias else { return Ok(()) };
        let at = usize::from(alias - 1);
        if alias > limits::TOPIC_ALIASES {
            return Err(Fault::new(reason::TOPIC_ALIAS, "a topic alias over the topic alias maximum"));
        }
        if !publish.topic.is_empty() {
            if self.aliases.len() <= at {
                self.aliases.resize(at + 1, None);
            }
            if let Some(known) = self.aliases.get_mut(at) {
                *known = Some(publish.topic.clone());
            }
            return Ok(());
        }
        let known = self.aliases.get(at).cloned().flatten();
        publish.topic = known.ok_or_else(|| Fault::new(reason::TOPIC_ALIAS, "a topic alias that was never set"))?;
        Ok(())
    }

    /// A QoS 2 message: false when it was here before.
    fn receive(&self, id: u16) -> bool {
        let mut state = self.presence.mailbox.lock();
        match state.session.receive(id) {
            session::Receipt::New => true,
            session::Receipt::Waiting => false,
            session::Receipt::Again => {
                state.session.ack(Ack::new(AckKind::PubRec, id));
                false
            }
        }
    }

    fn action(&self, publish: Publish) -> Action {
        let device = self.presence.device.as_ref().map(|device| &device.name.id);
        let topic = publish.topic.clone();
        let shared = &self.presence.shared;
        match iot_core::publish(device, &topic) {
            iot_core::Publish::Refused(Refused::OtherDevice) | iot_core::Publish::Control(_) => {
                Action::Elsewhere(publish)
            }
            iot_core::Publish::Refused(Refused::Unknown | Refused::Answer) if self.presence.gateway.is_some() => {
                Action::Elsewhere(publish)
            }
            iot_core::Publish::Refused(refused) => Action::Refuse(refused.into()),
            iot_core::Publish::Ordinary => {
                if let Err(denied) = auth::may(&self.presence.auth_context.access, auth::Action::Publish, &topic) {
                    if bridge::is_notification(&topic) {
                        shared.metrics.refuse("bridge notification");
                        return Action::LeaveOut;
                    }
                    if self.presence.gateway.is_some() {
                        return Action::Elsewhere(publish);
                    }
                    return Action::Refuse(Refusal::not_authorised(denied.text()));
                }
                match within(&shared.metrics, publish.payload.len(), shared.options.payloads.message()) {
                    Ok(()) => Action::Message(message(publish)),
                    Err(refusal) => Action::Refuse(refusal),
                }
            }
            meaning => match content(&shared.metrics, &shared.options.payloads, meaning, publish) {
                Ok(Content::Event(data)) => Action::Event(data),
                Ok(Content::Answer { rid, status, payload }) => Action::Answer { rid, status, payload },
                Err(refusal) => Action::Refuse(refusal),
            },
        }
    }

    /// A publish that is not allowed: MQTT 5 has a reason code for it, 3.1.1 only the end of the connection.
    pub(crate) fn refuse(&mut self, topic: &str, refusal: &Refusal, ack: Option<Ack>) -> Result<(), End> {
        self.log_line(("publish", refusal.kind()), topic, &refusal.in_full());
        if self.peer.version == Version::V311 {
            return Err(Fault::new(refusal.reason, refusal.text).into());
        }
        self.acknowledge_refused(refusal, ack)
    }

    /// MQTT 5.
    pub(crate) fn acknowledge_refused(&mut self, refusal: &Refusal, ack: Option<Ack>) -> Result<(), End> {
        let Some(ack) = ack else { return Ok(()) };
        if ack.kind == AckKind::PubRec {
            self.presence.mailbox.lock().session.unreceive(ack.id);
        }
        self.acknowledge_now(Ack { reason: refusal.reason, text: Some(refusal.text), ..ack })
    }

    /// One log line a minute for a client and what it is refused, also where it comes back and asks for it again; all are
    /// counted.
    pub(crate) fn log_refusal(&mut self, what: &'static str, topic: &str, text: &str) {
        self.log_line((what, what), topic, text);
    }

    pub(crate) fn log_line(&mut self, (what, kind): (&'static str, &'static str), topic: &str, text: &str) {
        let Presence { shared, device, mailbox, .. } = &self.presence;
        shared.metrics.refuse(what);
        if let Some(device) = device {
            let (kind, message) = (ErrorKind::PermissionDenied, format!("{topic}: {what} refused: {text}"));
            device.failed(DeviceError { time_ms: clock::now_ms(), kind, message });
        }
        if let Some(more) = shared.client_lines.note((mailbox.name.clone(), kind), Instant::now()) {
            tracing::warn!(client = %mailbox.name, topic, "{what} refused: {text}{more}");
        }
    }

    pub(crate) fn acknowledge_now(&self, ack: Ack) -> Result<(), End> {
        let mut state = self.presence.mailbox.lock();
        state.session.ack(ack);
        self.check_receive_maximum(state.session.unacknowledged())
    }

    pub(crate) fn check_receive_maximum(&self, unacknowledged: usize) -> Result<(), End> {
        if self.peer.version == Version::V5 && unacknowledged > usize::from(limits::RECEIVE_MAXIMUM) {
            return Err(Fault::new(reason::RECEIVE_MAXIMUM, "more publishes under way than the receive maximum").into());
        }
        Ok(())
    }

    /// Hands the batch to the journal.
    pub(crate) async fn submit(&mut self, batch: &mut Batch) -> Result<(), End> {
        let events = self.submit_events(batch).await;
        if batch.ordinary.is_empty() {
            return events;
        }
        // Also where there was no room for the events: others may have it already. Boxed, as no connection shall have room for
        // it all the time.
        let ordinary = std::mem::take(&mut batch.ordinary);
        events.and(Box::pin(self.submit_ordinary(ordinary, None)).await)
    }

    /// Waiting for room in the journal is what slows a fast client down. Where the connection is to end instead, the events are
    /// not accepted: the client has them yet.
    async fn submit_events(&mut self, batch: &mut Batch) -> Result<(), End> {
        let spare = self.shed(batch).await?;
        if batch.events.is_empty() {
            return Ok(());
        }
        let ordinary = std::mem::take(&mut batch.ordinary);
        let Batch { of, events, acks, received, bytes, .. } =
            std::mem::replace(batch, Batch { ordinary, ..Batch::default() });
        let Some(device) = of.or_else(|| self.presence.device.clone()) else { return Ok(()) };
        let room = match spare {
            Some(room) => room,
            None => self.reserve(bytes).await?,
        };
        let (done, within) = self.when_durable(acks, received.clone(), bytes);
        self.presence.shared.hub.submit(&device, events, room, done);
        self.note_received(&received);
        within
    }

    /// Room for a batch with events of QoS 0. Under overload these go first, so that there is room for others: then, and where
    /// there are none, there is none yet for the rest.
    async fn shed(&mut self, batch: &mut Batch) -> Result<Option<H::QueuePermit>, End> {
        // All others have an acknowledgement.
        if batch.events.len() == batch.acks.len() {
            return Ok(None);
        }
        let room = self.spare(batch.bytes).await?;
        if room.is_some() {
            return Ok(room);
        }
        let before = batch.events.len();
        batch.events.retain(|event| event.durable);
        batch.bytes = batch.events.iter().map(|event| weight(&event.data)).sum();
        self.note_shed(before - batch.events.len());
        Ok(None)
    }

    fn note_shed(&mut self, events: usize) {
        self.presence.shared.metrics.limit_by(limits::names::JOURNAL_QUEUE_QOS0, events as u64);
        if !std::mem::replace(&mut self.told_of_shedding, true) {
            let limit = "journal_queue_qos0";
            tracing::warn!(client = %self.presence.mailbox.name, limit, "events of QoS 0 are dropped: the journal's queue is full");
        }
    }

    /// Hands a message of QoS 0 that triggers plugins to the journal, where that has room to spare.
    pub(crate) async fn submit_spare(&mut self, event: NewEvent) -> Result<(), End> {
        let bytes = weight(&event.data);
        let Some(room) = self.spare(bytes).await? else {
            self.note_shed(1);
            return Ok(());
        };
        let (done, within) = self.when_durable(Vec::new(), Vec::new(), bytes);
        self.presence.shared.hub.submit_topic(event, Vec::new(), Some(room), done);
        within
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<H::QueuePermit, End> {
        let Presence { share, shared, .. } = &self.presence;
        share.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.reserve(bytes, self.lane)).await?.map_err(closed)
    }

    async fn spare(&self, bytes: usize) -> Result<Option<H::QueuePermit>, End> {
        let Presence { share, shared, .. } = &self.presence;
        share.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.spare(bytes, self.lane)).await?.map_err(closed)
    }

    /// What to do when the journal has the events, and whether the client keeps to its window.
    fn when_durable(&self, acks: Vec<Ack>, received: Vec<u16>, bytes: usize) -> (Done, Result<(), End>) {
        let mailbox = self.presence.mailbox.clone();
        mailbox.submitted(bytes);
        if acks.is_empty() {
            return (Box::new(move |_| mailbox.written(bytes)), Ok(()));
        }
        let (acknowledge, within) = self.acknowledge_later(acks, received);
        let done = move |result| {
            mailbox.written(bytes);
            acknowledge(result);
        };
        (Box::new(done), within)
    }

    /// The same, also where nothing is to be acknowledged: what comes later is acknowledged behind it.
    pub(crate) fn acknowledge_later(
        &self,
        acks: Vec<Ack>,
        received: Vec<u16>,
    ) -> (impl FnOnce(Result<(), ingest::Error>) + Send + use<H>, Result<(), End>) {
        let mailbox = self.presence.mailbox.clone();
        let generation = self.generation;
        let (id, unacknowledged) = {
            let mut state = mailbox.lock();
            (state.session.ack_later(acks), state.session.unacknowledged())
        };
        let done = move |result| mailbox.done(generation, id, &received, result);
        (done, self.check_receive_maximum(unacknowledged))
    }

    fn acknowledge(&mut self, (kind, id, reason): (AckKind, u16, u8), receipts: &mut Receipts, batch: &mut Batch) {
        if self.presence.gateway.is_some() {
            self.check_expected(kind, id);
        }
        let mut state = self.presence.mailbox.lock();
        let record = state.record.filter(|_| state.durable);
        let session = &mut state.session;
        let item = match kind {
            AckKind::PubAck => session.puback(id),
            AckKind::PubRec => session.pubrec(id, reason >= 0x80),
            AckKind::PubComp => {
                session.pubcomp(id);
                None
            }
            AckKind::PubRel => {
                let ack = session.release(id);
                match record {
                    // The client may use the id for another message as soon as it has PUBCOMP.
                    Some(session) if ack.reason == 0 => {
                        batch.ordinary.pending.push(BrokerChange::Released { session, id });
                        batch.ordinary.push(ack);
                    }
                    _ => session.ack(ack),
                }
                None
            }
        };
        if let Some(item) = item {
            // A refusal is no acknowledgement.
            receipts.add(item, reason < 0x80);
        }
    }

    fn disconnect(&mut self, disconnect: &Disconnect) -> End {
        if let Some(secs) = disconnect.session_expiry_secs {
            if !self.presence.may_keep && secs > 0 {
                return Fault::protocol("a session expiry in DISCONNECT after none in CONNECT").into();
            }
            let secs = secs.min(limits::SESSION_EXPIRY_SECS);
            // Where there was no place for the session, there is none now.
            if !self.presence.session_expiry.is_zero() {
                self.presence.session_expiry = std::time::Duration::from_secs(secs.into());
            }
        }
        End::Disconnected { with_will: disconnect.with_will }
    }
}

impl Batch {
    /// An event of the client's own can be added.
    fn takes_own(&self) -> bool {
        self.of.is_none() && self.ordinary.is_empty()
    }

    /// An event of this device, which is not the client's own, can be added.
    pub(crate) fn takes_of(&self, device: &Arc<Device>) -> bool {
        let same = self.of.as_ref().is_some_and(|of| of.num == device.num);
        (same || self.events.is_empty()) && self.ordinary.is_empty()
    }

    pub(crate) fn push_of(&mut self, device: Arc<Device>, data: EventData, qos: QoS, ack: Option<Ack>) {
        self.of = Some(device);
        self.push(data, qos, ack);
    }

    fn push(&mut self, data: EventData, qos: QoS, ack: Option<Ack>) {
        if self.events.is_empty() {
            self.events.reserve(self.publishes);
            self.acks.reserve(self.publishes);
        }
        self.bytes += weight(&data);
        self.events.push(NewEvent { durable: qos != QoS::AtMostOnce, data });
        self.received.extend(ack.iter().filter(|ack| ack.kind == AckKind::PubRec).map(|ack| ack.id));
        self.acks.extend(ack);
    }
}

fn closed(error: ingest::Error) -> End {
    End::Closed(Close::Asked(error.to_string()))
}

/// What an event takes up in the journal's queue, about.
pub(crate) fn weight(data: &EventData) -> usize {
    const OVERHEAD: usize = 64;
    data.payload().len() + data.subfolder().len() + OVERHEAD
}

fn acknowledgement(qos: QoS, id: u16) -> Option<Ack> {
    match qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => Some(Ack::new(AckKind::PubAck, id)),
        QoS::ExactlyOnce => Some(Ack::new(AckKind::PubRec, id)),
    }
}

fn message(publish: Publish) -> Message {
    Message {
        topic: publish.topic,
        // A message may stay for long, and would keep all that was read with it.
        payload: Bytes::copy_from_slice(&publish.payload),
        qos: publish.qos,
        retain: publish.retain,
        expires: publish.expiry.map(|expiry| Instant::now() + expiry),
        properties: publish.properties,
    }
}
