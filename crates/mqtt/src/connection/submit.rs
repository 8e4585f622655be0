//! Submits a client's events to the journal. Waiting for room in the journal's queue slows a fast client down. Does not write to the
//! socket.

use std::time::Instant;

use crate::{
    connection::{
        Connection,
        batch::{InboundBatch, weight},
    },
    end::ConnectionEnd,
    mailbox::Close,
    presence::Presence,
};
use switchbox_core::ingest::{self, EventBatch, NewEvent, OnCommit, QueuePermit, QueuePosition};
use switchbox_model::{Entry, limits};
use switchbox_mqtt_codec::packet::{Ack, AckKind};

impl Connection {
    /// Submits the batch to the journal.
    pub(crate) async fn submit(&mut self, batch: &mut InboundBatch) -> Result<(), ConnectionEnd> {
        // Packets that are read after the wait for room get a new time.
        batch.now = None;
        let events = self.submit_events(batch).await;
        if batch.ordinary.is_empty() {
            return events;
        }
        // Submitted also if there was no room for the events, because subscribers may have the messages already. Boxed: this future would
        // enlarge every connection's task.
        let ordinary = std::mem::take(&mut batch.ordinary);
        events.and(Box::pin(self.submit_ordinary(ordinary, None)).await)
    }

    /// Waits for room in the journal's queue, which slows a fast client down. If the connection has to end instead, the events are not
    /// accepted, and the client still has them.
    async fn submit_events(&mut self, batch: &mut InboundBatch) -> Result<(), ConnectionEnd> {
        // Every event of QoS 1 or 2 has an acknowledgement: the others are of QoS 0.
        let has_droppable = batch.events.len() != batch.acks.len();
        let permit = if has_droppable { self.reserve_or_drop(batch).await? } else { None };
        if batch.events.is_empty() {
            return Ok(());
        }
        let ordinary = std::mem::take(&mut batch.ordinary);
        let InboundBatch { device, events, acks, received, bytes, .. } =
            std::mem::replace(batch, InboundBatch { ordinary, ..InboundBatch::default() });
        let Some(device) = device.or_else(|| self.presence.device.clone()) else { return Ok(()) };
        let permit = match permit {
            Some(permit) => permit,
            None => self.reserve(bytes).await?,
        };
        let (device, permit, on_commit) = (Some(&device), Some(permit), self.on_commit(&acks, bytes));
        let batch = EventBatch { device, events, permit, on_commit, ..EventBatch::default() };
        let submitted = self.presence.shared.host.ingest.append(batch, Entry::of_events);
        let result = self.queue_acks(submitted, bytes, acks);
        self.record_received(&received);
        result
    }

    /// Reserves room for a batch that has events of QoS 0. Without room it drops those, so that events with an acknowledgement
    /// have it. Returns `None` if the caller still has to reserve room for the events of QoS 1 and 2.
    async fn reserve_or_drop(&mut self, batch: &mut InboundBatch) -> Result<Option<QueuePermit>, ConnectionEnd> {
        let permit = self.reserve_droppable(batch.bytes).await?;
        if permit.is_some() {
            return Ok(permit);
        }
        let count_before = batch.events.len();
        batch.events.retain(|event| event.durable);
        batch.bytes = batch.events.iter().map(|event| weight(&event.data)).sum();
        self.count_dropped(count_before - batch.events.len());
        Ok(None)
    }

    /// Counts dropped events of QoS 0. Logs the first time of a connection.
    fn count_dropped(&mut self, events: usize) {
        self.presence.shared.metrics.limit_by(limits::names::JOURNAL_QUEUE_QOS0, events as u64);
        if !std::mem::replace(&mut self.drops_logged, true) {
            let limit = "journal_queue_qos0";
            tracing::warn!(client = %self.presence.mailbox.name, limit, "events of QoS 0 are dropped: the journal's queue is full");
        }
    }

    /// Submits a message of QoS 0 that triggers plugins, if the journal's queue has room to spare.
    pub(crate) async fn submit_droppable(&mut self, event: NewEvent) -> Result<(), ConnectionEnd> {
        let bytes = weight(&event.data);
        let Some(permit) = self.reserve_droppable(bytes).await? else {
            self.count_dropped(1);
            return Ok(());
        };
        let on_commit = self.on_commit(&[], bytes);
        let submitted = self.presence.shared.host.ingest.submit_topic(event, Vec::new(), Some(permit), on_commit);
        self.queue_acks(submitted, bytes, Vec::new())
    }

    /// Waits for room for this many bytes in the journal's queue, and charges them to the client's budget.
    pub(crate) async fn reserve(&self, bytes: usize) -> Result<QueuePermit, ConnectionEnd> {
        let Presence { cpu_budget, shared, .. } = &self.presence;
        cpu_budget.add_written(bytes, Instant::now());
        let class = self.class;
        let reserved = async move {
            let permit = shared.host.ingest.reserve(bytes, class.queue_share()).await?;
            class.leave_disk(bytes).await;
            Ok::<_, ingest::Error>(permit)
        };
        self.or_revoked(reserved).await?.map_err(closed)
    }

    /// As [`Self::reserve`], for events of QoS 0. `None` if the journal's queue has no room to spare.
    async fn reserve_droppable(&self, bytes: usize) -> Result<Option<QueuePermit>, ConnectionEnd> {
        let Presence { cpu_budget, shared, .. } = &self.presence;
        cpu_budget.add_written(bytes, Instant::now());
        let class = self.class;
        let reserved = async move {
            let permit = shared.host.ingest.reserve_droppable(bytes, class.queue_share()).await?;
            if permit.is_some() {
                class.leave_disk(bytes).await;
            }
            Ok::<_, ingest::Error>(permit)
        };
        self.or_revoked(reserved).await?.map_err(closed)
    }

    /// What follows the commit of a batch of this many bytes: the connection is woken, unless it has nothing to do then. That is so if there
    /// is nothing to acknowledge and the client is still read.
    pub(super) fn on_commit(&self, acks: &[Ack], bytes: usize) -> OnCommit {
        if acks.is_empty() && !self.unwritten.would_fill(bytes) {
            return OnCommit::Nothing;
        }
        OnCommit::Wake(self.presence.mailbox.clone().into())
    }

    /// Queues the acknowledgements of a submitted batch, which are sent when the journal is durable up to the batch's position. Returns an
    /// error if the journal is closed, or if the client has more unacknowledged publishes than its receive maximum.
    pub(super) fn queue_acks(
        &mut self,
        position: Result<QueuePosition, ingest::Error>,
        bytes: usize,
        acks: Vec<Ack>,
    ) -> Result<(), ConnectionEnd> {
        let mut state = self.presence.mailbox.lock();
        let position = match position {
            Ok(position) => position,
            Err(error) => {
                // Without an acknowledgement the client sends the message again on its next connection.
                let received = acks.iter().filter(|ack| ack.kind == AckKind::PubRec);
                received.for_each(|ack| state.session.unreceive(ack.id));
                return Err(closed(error));
            }
        };
        self.unwritten.push(position, bytes);
        state.session.ack_at(position, acks);
        self.check_receive_maximum(state.session.unacknowledged())
    }

    /// Returns an error if the journal failed and submitted events wait for it: they will not be journaled, so they are not acknowledged.
    pub(super) fn check_journal(&self) -> Result<(), ConnectionEnd> {
        let ingest = &self.presence.shared.host.ingest;
        match ingest.failed().filter(|_| self.unwritten.has_uncommitted(ingest.committed())) {
            Some(error) => Err(closed(error)),
            None => Ok(()),
        }
    }
}

fn closed(error: ingest::Error) -> ConnectionEnd {
    ConnectionEnd::Closed(Close::Administrative(error.to_string()))
}
