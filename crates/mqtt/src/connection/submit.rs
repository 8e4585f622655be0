//! Hands a client's events to the journal, where that has room: waiting for it is what slows a fast client down. Never writes to the
//! socket.

use std::time::Instant;

use crate::{
    connection::{
        Connection,
        batch::{Batch, weight},
    },
    end::End,
    mailbox::Close,
    presence::Presence,
};
use switchbox_core::ingest::{self, Done, NewEvent, QueuePermit};
use switchbox_model::limits;
use switchbox_mqtt_codec::packet::Ack;

impl Connection {
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
        self.presence.shared.hub.ingest.submit(&device, events, room, done);
        self.note_received(&received);
        within
    }

    /// Room for a batch with events of QoS 0. Under overload these go first, so that there is room for others: then, and where
    /// there are none, there is none yet for the rest.
    async fn shed(&mut self, batch: &mut Batch) -> Result<Option<QueuePermit>, End> {
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
        self.presence.shared.hub.ingest.submit_topic(event, Vec::new(), Some(room), done);
        within
    }

    pub(crate) async fn reserve(&self, bytes: usize) -> Result<QueuePermit, End> {
        let Presence { share, shared, .. } = &self.presence;
        share.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.ingest.reserve(bytes, self.lane)).await?.map_err(closed)
    }

    async fn spare(&self, bytes: usize) -> Result<Option<QueuePermit>, End> {
        let Presence { share, shared, .. } = &self.presence;
        share.writes(bytes, Instant::now());
        self.or_revoked(shared.hub.ingest.reserve_droppable(bytes, self.lane)).await?.map_err(closed)
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
    ) -> (impl FnOnce(Result<(), ingest::Error>) + Send + use<>, Result<(), End>) {
        let mailbox = self.presence.mailbox.clone();
        let generation = self.generation;
        let (id, unacknowledged) = {
            let mut state = mailbox.lock();
            (state.session.ack_later(acks), state.session.unacknowledged())
        };
        let done = move |result| mailbox.done(generation, id, &received, result);
        (done, self.check_receive_maximum(unacknowledged))
    }
}

fn closed(error: ingest::Error) -> End {
    End::Closed(Close::Asked(error.to_string()))
}
