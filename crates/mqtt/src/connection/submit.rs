//! Hands a client's events to the journal, where that has room: waiting for it is what slows a fast client down. Never writes to the
//! socket.

use std::time::Instant;

use crate::{
    connection::{
        Connection,
        batch::{Batch, weight},
    },
    end::ConnectionEnd,
    mailbox::Close,
    presence::Presence,
};
use switchbox_core::ingest::{self, EventsCommitted, NewEvent, QueuePermit};
use switchbox_model::limits;
use switchbox_mqtt_codec::packet::Ack;

impl Connection {
    /// Hands the batch to the journal.
    pub(crate) async fn submit(&mut self, batch: &mut Batch) -> Result<(), ConnectionEnd> {
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
    async fn submit_events(&mut self, batch: &mut Batch) -> Result<(), ConnectionEnd> {
        let permit = self.reserve_or_drop(batch).await?;
        if batch.events.is_empty() {
            return Ok(());
        }
        let ordinary = std::mem::take(&mut batch.ordinary);
        let Batch { of, events, acks, received, bytes, .. } =
            std::mem::replace(batch, Batch { ordinary, ..Batch::default() });
        let Some(device) = of.or_else(|| self.presence.device.clone()) else { return Ok(()) };
        let permit = match permit {
            Some(permit) => permit,
            None => self.reserve(bytes).await?,
        };
        let (done, in_quota) = self.when_durable(acks, received.clone(), bytes);
        self.presence.shared.hub.ingest.submit(&device, events, permit, done);
        self.note_received(&received);
        in_quota
    }

    /// Room for a batch with events of QoS 0. Under overload these go first, so that there is room for others: then, and where
    /// there are none, there is none yet for the rest.
    async fn reserve_or_drop(&mut self, batch: &mut Batch) -> Result<Option<QueuePermit>, ConnectionEnd> {
        // All others have an acknowledgement.
        if batch.events.len() == batch.acks.len() {
            return Ok(None);
        }
        let permit = self.reserve_droppable(batch.bytes).await?;
        if permit.is_some() {
            return Ok(permit);
        }
        let before = batch.events.len();
        batch.events.retain(|event| event.durable);
        batch.bytes = batch.events.iter().map(|event| weight(&event.data)).sum();
        self.count_dropped(before - batch.events.len());
        Ok(None)
    }

    fn count_dropped(&mut self, events: usize) {
        self.presence.shared.metrics.limit_by(limits::names::JOURNAL_QUEUE_QOS0, events as u64);
        if !std::mem::replace(&mut self.drops_logged, true) {
            let limit = "journal_queue_qos0";
            tracing::warn!(client = %self.presence.mailbox.name, limit, "events of QoS 0 are dropped: the journal's queue is full");
        }
    }

    /// Hands a message of QoS 0 that triggers plugins to the journal, where that has room to spare.
    pub(crate) async fn submit_droppable(&mut self, event: NewEvent) -> Result<(), ConnectionEnd> {
        let bytes = weight(&event.data);
        let Some(permit) = self.reserve_droppable(bytes).await? else {
            self.count_dropped(1);
            return Ok(());
        };
        let (done, in_quota) = self.when_durable(Vec::new(), Vec::new(), bytes);
        self.presence.shared.hub.ingest.submit_topic(event, Vec::new(), Some(permit), done);
        in_quota
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<QueuePermit, ConnectionEnd> {
        let Presence { cpu_budget, shared, .. } = &self.presence;
        cpu_budget.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.ingest.reserve(bytes, self.class)).await?.map_err(closed)
    }

    async fn reserve_droppable(&self, bytes: usize) -> Result<Option<QueuePermit>, ConnectionEnd> {
        let Presence { cpu_budget, shared, .. } = &self.presence;
        cpu_budget.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.ingest.reserve_droppable(bytes, self.class)).await?.map_err(closed)
    }

    /// What to do when the journal has the events, and whether the client keeps to its window.
    fn when_durable(
        &self,
        acks: Vec<Ack>,
        received: Vec<u16>,
        bytes: usize,
    ) -> (EventsCommitted, Result<(), ConnectionEnd>) {
        let mailbox = self.presence.mailbox.clone();
        mailbox.submitted(bytes);
        if acks.is_empty() {
            return (Box::new(move |_| mailbox.written(bytes)), Ok(()));
        }
        let (acknowledge, in_quota) = self.acknowledge_later(acks, received);
        let done = move |result| {
            mailbox.written(bytes);
            acknowledge(result);
        };
        (Box::new(done), in_quota)
    }

    /// The same, also where nothing is to be acknowledged: what comes later is acknowledged behind it.
    pub(crate) fn acknowledge_later(
        &self,
        acks: Vec<Ack>,
        received: Vec<u16>,
    ) -> (impl FnOnce(Result<(), ingest::Error>) + Send + use<>, Result<(), ConnectionEnd>) {
        let mailbox = self.presence.mailbox.clone();
        let connection_epoch = self.connection_epoch;
        let (id, unacknowledged) = {
            let mut state = mailbox.lock();
            (state.session.ack_later(acks), state.session.unacknowledged())
        };
        let done = move |result| mailbox.done(connection_epoch, id, &received, result);
        (done, self.check_receive_maximum(unacknowledged))
    }
}

fn closed(error: ingest::Error) -> ConnectionEnd {
    ConnectionEnd::Closed(Close::Administrative(error.to_string()))
}
