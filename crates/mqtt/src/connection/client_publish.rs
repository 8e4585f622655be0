//! A client's messages on ordinary topics. Subscribers that need no journaling get them at once; PUBACK or PUBREC is sent when the changes
//! of the others are durable. Does not write to the socket.

use std::{sync::Arc, time::Instant};

use crate::{
    connection::{
        Connection,
        batch::{InboundBatch, Ordinary, weight},
        revalidate::split_end,
    },
    content::PublishRefusal,
    end::ConnectionEnd,
    presence::Presence,
    session_key,
};
use switchbox_core::ingest::{self, NewEvent, OnCommit};
use switchbox_model::{
    Message,
    broker::{BrokerChange, Owner, SessionNum},
};
use switchbox_mqtt_codec::{
    fault::reason,
    packet::{Ack, AckKind, Version},
};
use switchbox_mqtt_session::{
    session::ClientProgress,
    topics::{Publisher, Subscriber as _, SubscriberDelivery},
};
use switchbox_pubsub::{entry_of, now};

const NOT_RETAINED: PublishRefusal =
    PublishRefusal::new(reason::QUOTA, "there is no room for one more retained message of this client");

impl Connection {
    /// Delivers a message on an ordinary topic, and acknowledges it at once or with the batch.
    pub(crate) async fn publish_ordinary(
        &mut self,
        message: Message,
        ack: Option<Ack>,
        batch: &mut InboundBatch,
    ) -> Result<(), ConnectionEnd> {
        let publisher = self.publisher(message.retain, ack.is_some());
        let Presence { shared, .. } = &self.presence;
        let event = shared.host.ingest.topic_event(&message);
        let message = Arc::new(message);
        let now = *batch.now.get_or_insert_with(now);
        let delivered = shared.topics.deliver(&message, &publisher, &mut batch.ordinary.pending, now);
        let Ok(waiting) = delivered else {
            self.submit(batch).await?;
            return self.refuse(&message.topic, &NOT_RETAINED, ack);
        };
        // In the same entry as the deliveries, so that after a crash a copy that the client sends again is recognised.
        if let Some(Ack { kind: AckKind::PubRec, id, .. }) = ack
            && let Some(session) = self.durable_session()
        {
            batch.ordinary.pending.push(BrokerChange::PublishReceived { session, id });
        }
        match (ack, event) {
            (None, None) => Ok(()),
            (None, Some(event)) => Box::pin(self.publish_droppable(event, batch)).await,
            (Some(ack), event) if event.is_some() || !waiting.is_empty() => {
                Box::pin(self.publish_slowly(message, waiting, event, ack, batch)).await
            }
            (Some(ack), _) if batch.ordinary.is_empty() => self.acknowledge_now(ack),
            (Some(ack), _) => {
                batch.ordinary.push(ack);
                if batch.ordinary.is_full() { self.submit(batch).await } else { Ok(()) }
            }
        }
    }

    /// The client as the publisher of a message. The owner of the quota is looked up for retained messages only.
    fn publisher(&mut self, retains: bool, is_acknowledged: bool) -> Publisher {
        // A client without this state has never waited, so its budget is full.
        let waits = self.slow_state.as_mut().is_none_or(|slow| !slow.wait_budget.remaining(Instant::now()).is_zero());
        let Presence { auth_context, mailbox, .. } = &self.presence;
        let owner = if retains { session_key::of_retained(auth_context) } else { Owner::default() };
        let reads_refusals = is_acknowledged && self.peer.version == Version::V5;
        Publisher { subscriber: Some(mailbox.id()), owner, reads_refusals, waits }
    }

    /// Publishes a message that triggers plugins, or for which a subscriber's queue is full.
    async fn publish_slowly(
        &mut self,
        message: Arc<Message>,
        waiting: Vec<SubscriberDelivery>,
        mut event: Option<NewEvent>,
        ack: Ack,
        batch: &mut InboundBatch,
    ) -> Result<(), ConnectionEnd> {
        let mut result = Ok(());
        if !waiting.is_empty() {
            // A full subscriber may be waiting for deliveries that are pending in this batch.
            result = self.submit_ordinary(std::mem::take(&mut batch.ordinary), event.take()).await;
            let Self { presence: Presence { shared, mailbox, .. }, slow_state, .. } = self;
            let closing = async { drop(mailbox.asked_to_close().await) };
            let budget = &mut slow_state.get_or_insert_default().wait_budget;
            shared.topics.wait(&message, waiting, &mut batch.ordinary.pending, budget, closing).await;
            // The rest of the batch is still processed if the connection is to close now.
            result =
                result.and(mailbox.lock().closing.clone().map_or(Ok(()), |close| Err(ConnectionEnd::Closed(close))));
            result = result.and(self.check_end(Instant::now()));
        }
        batch.ordinary.push(ack);
        if event.is_some() {
            result = result.and(self.submit_ordinary(std::mem::take(&mut batch.ordinary), event).await);
        }
        result
    }

    /// Journals a delivered message of QoS 0 for the plugins that it triggers, if the journal's queue has room to spare.
    async fn publish_droppable(&mut self, event: NewEvent, batch: &mut InboundBatch) -> Result<(), ConnectionEnd> {
        self.submit(batch).await?;
        self.submit_droppable(event).await
    }

    /// The session's number in the journal, if the session outlives the connection.
    pub(crate) fn durable_session(&self) -> Option<SessionNum> {
        let state = self.presence.mailbox.lock();
        state.session_num.filter(|_| state.durable)
    }

    /// Submits the changes of ordinary messages, with the event of the last one if it triggers plugins. Subscribers have the messages
    /// already, so the changes are submitted also without a permit, when the connection has to end while it waits for one.
    pub(super) async fn submit_ordinary(
        &mut self,
        ordinary: Ordinary,
        event: Option<NewEvent>,
    ) -> Result<(), ConnectionEnd> {
        if ordinary.is_empty() && event.is_none() {
            return Ok(());
        }
        let Ordinary { pending, acks } = ordinary;
        let Some(event) = event else {
            let topics = &self.presence.shared.topics;
            let class = self.class;
            let reserved = async {
                let permit = topics.reserve_for(&pending).await;
                if permit.is_some() {
                    class.leave_disk(pending.bytes()).await;
                }
                permit
            };
            let (permit, may_continue) = split_end(self.or_revoked(reserved).await);
            let position = topics.write_with(permit.flatten(), pending, self.on_commit(&acks, 0));
            return may_continue.and(self.queue_acks(position.ok_or(ingest::Error::Closed), 0, acks));
        };
        let bytes = weight(&event.data) + pending.bytes();
        let (permit, may_continue) = split_end(self.reserve(bytes).await);
        let (changes, on_commit) = entry_of(pending, self.on_commit(&acks, bytes));
        let submitted = self.presence.shared.host.ingest.submit_topic(event, changes, permit, on_commit);
        may_continue.and(self.queue_acks(submitted, bytes, acks))
    }

    /// Journals the packet identifiers of QoS 2 events. They follow the events in the journal, so a crash between the two repeats
    /// an event and loses none.
    pub(crate) fn record_received(&self, received: &[u16]) {
        // The session's lock is taken only if there are any.
        if !received.is_empty()
            && let Some(session) = self.durable_session()
        {
            let changes = received.iter().map(|id| BrokerChange::PublishReceived { session, id: *id }).collect();
            self.presence.shared.topics.session_journal().submit_soon(changes, OnCommit::Nothing);
        }
    }

    /// Journals the client's acknowledgements of journaled messages. PUBREL is sent when its PUBREC is durable.
    pub(crate) fn journal_progress(&self, session: SessionNum, progress: ClientProgress) {
        let session_journal = self.presence.shared.topics.session_journal();
        let ClientProgress { finished, pubrec_received } = progress;
        if !pubrec_received.is_empty() {
            let changes = pubrec_received
                .iter()
                .map(|journaled| BrokerChange::PubRecReceived { session, num: journaled.num })
                .collect();
            let acks: Vec<_> =
                pubrec_received.iter().map(|journaled| Ack::new(AckKind::PubRel, journaled.id)).collect();
            // If the journal is closed, the client sends PUBREC again on its next connection.
            if let Some(position) = session_journal.submit_soon(changes, self.on_commit(&acks, 0)) {
                self.presence.mailbox.lock().session.ack_at(position, acks);
            }
        }
        if !finished.is_empty() {
            session_journal.submit_unawaited(BrokerChange::MessagesFinished { session, nums: finished });
        }
    }
}
