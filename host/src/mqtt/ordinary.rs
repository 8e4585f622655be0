//! A client's messages on ordinary topics: delivered at once to those for whom nothing is written down, and acknowledged
//! when what must be written down is durable. Never writes to the socket.

use std::sync::Arc;

use super::{connection::Connection, end::End, hub::Hub, inbound::Batch};
use crate::{
    model::{
        Message,
        broker::{BrokerChange, SessionNum},
    },
    session::{Ack, AckKind},
    store,
    topics::{Pending, Subscriber as _},
};

/// Acknowledgements that go to the log together, at most.
const MOST_ACKS: usize = 256;
/// Bytes that go to the log together, about.
const MOST_BYTES: usize = 1024 * 1024;

/// Messages that are acknowledged together.
#[derive(Default)]
pub(super) struct Ordinary {
    pub(super) pending: Pending,
    acks: Vec<Ack>,
    /// QoS 2 ids among them.
    received: Vec<u16>,
}

impl Ordinary {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.acks.is_empty()
    }

    /// To be acknowledged when what is pending is durable.
    pub(super) fn push(&mut self, ack: Ack) {
        self.received.extend((ack.kind == AckKind::PubRec).then_some(ack.id));
        self.acks.push(ack);
    }

    fn is_full(&self) -> bool {
        self.acks.len() >= MOST_ACKS || self.pending.bytes() >= MOST_BYTES
    }
}

impl<H: Hub> Connection<H> {
    pub(super) async fn publish_ordinary(
        &mut self,
        message: Message,
        ack: Option<Ack>,
        batch: &mut Batch,
    ) -> Result<(), End> {
        let event = self.presence.shared.hub.topic_event(&message);
        let message = Arc::new(message);
        let from = Some(self.presence.mailbox.id());
        let waiting = self.presence.shared.topics.deliver(&message, from, &mut batch.ordinary.pending);
        if !waiting.is_empty() {
            // Those who are full may be waiting for what is pending.
            self.submit(batch).await?;
            Box::pin(self.presence.shared.topics.wait(&message, waiting, &mut batch.ordinary.pending)).await;
        }
        if let Some(event) = event {
            self.submit(batch).await?;
            return self.submit_topic(event, ack).await;
        }
        let Some(ack) = ack else { return Ok(()) };
        if ack.kind == AckKind::PubRec
            && let Some(session) = self.durable_session()
        {
            batch.ordinary.pending.push(BrokerChange::Received { session, id: ack.id });
        }
        if batch.ordinary.is_empty() {
            return self.acknowledge_now(ack);
        }
        batch.ordinary.push(ack);
        if batch.ordinary.is_full() { self.submit(batch).await } else { Ok(()) }
    }

    /// The session's number in the log, where it outlives the connection.
    pub(super) fn durable_session(&self) -> Option<SessionNum> {
        let state = self.presence.mailbox.lock();
        state.record.filter(|_| state.durable)
    }

    /// What comes later is acknowledged behind it, also where it has no acknowledgement of its own.
    pub(super) async fn submit_ordinary(&mut self, ordinary: Ordinary) -> Result<(), End> {
        if ordinary.is_empty() {
            return Ok(());
        }
        let Ordinary { pending, acks, received } = ordinary;
        let mailbox = self.presence.mailbox.clone();
        let generation = self.generation;
        let (id, unacknowledged) = {
            let mut state = mailbox.lock();
            (state.session.ack_later(acks), state.session.unacknowledged())
        };
        let done = move |result: Result<(), store::Error>| {
            mailbox.done(generation, id, &received, result.map_err(Into::into));
        };
        Box::pin(self.presence.shared.topics.keep(pending, done)).await;
        self.check_receive_maximum(unacknowledged)
    }

    /// QoS 2 events of the device: their ids are written behind them, so that a crash between the two repeats an event and
    /// loses none.
    pub(super) fn note_received(&self, received: &[u16]) {
        if let Some(session) = self.durable_session().filter(|_| !received.is_empty()) {
            let changes = received.iter().map(|id| BrokerChange::Received { session, id: *id }).collect();
            self.presence.shared.topics.keeper().keep_soon(changes, Box::new(|_| ()));
        }
    }
}
