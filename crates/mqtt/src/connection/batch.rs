//! Packets of a client that are journaled together: a run of events of one device, or messages on ordinary topics, with the
//! acknowledgements that are sent when they are durable. Pure.

use std::sync::Arc;

use switchbox_core::{ingest::NewEvent, registry::Device};
use switchbox_model::{EventData, broker::ClockReading};
use switchbox_mqtt_codec::packet::{Ack, AckKind};
use switchbox_mqtt_session::topics::PendingChanges;

/// Acknowledgements that wait for one entry of the journal at most.
const MAX_ACKS: usize = 256;
/// Bytes of one entry of the journal, roughly.
const MAX_BYTES: usize = 1024 * 1024;

/// Events of one device that are journaled together, or messages on ordinary topics.
#[derive(Default)]
pub(crate) struct InboundBatch {
    /// The device of the events. `None` if it is the client itself.
    pub(super) device: Option<Arc<Device>>,
    pub(super) events: Vec<NewEvent>,
    /// The acknowledgements that wait for the events.
    pub(super) acks: Vec<Ack>,
    /// The packet identifiers of the events of QoS 2.
    pub(super) received: Vec<u16>,
    /// Bytes that the events take up in the journal's queue, roughly.
    pub(super) bytes: usize,
    /// How many PUBLISH packets were read together: the capacity to reserve.
    pub(super) publishes: usize,
    /// Messages on ordinary topics.
    pub(super) ordinary: Ordinary,
    /// The time of the batch's messages on ordinary topics: when the first was processed. `None` if there was none.
    pub(super) now: Option<ClockReading>,
}

/// Changes by messages on ordinary topics, and the acknowledgements that wait for them.
#[derive(Default)]
pub(super) struct Ordinary {
    pub(super) pending: PendingChanges,
    pub(super) acks: Vec<Ack>,
}

impl InboundBatch {
    /// Returns true if an event of the client's own device can be added.
    pub(super) fn accepts_own_event(&self) -> bool {
        self.device.is_none() && self.ordinary.is_empty()
    }

    /// Returns true if an event of this attached device can be added.
    pub(crate) fn accepts_event_of(&self, device: &Arc<Device>) -> bool {
        let is_same_device = self.device.as_ref().is_some_and(|current| current.num == device.num);
        (is_same_device || self.events.is_empty()) && self.ordinary.is_empty()
    }

    /// Adds an event of an attached device. [`Self::accepts_event_of`] must have returned true.
    pub(crate) fn push_event_of(&mut self, device: Arc<Device>, event: NewEvent, ack: Option<Ack>) {
        self.device = Some(device);
        self.push(event, ack);
    }

    /// Adds an event, and the acknowledgement that is sent when it is durable.
    pub(super) fn push(&mut self, event: NewEvent, ack: Option<Ack>) {
        if self.events.is_empty() {
            self.events.reserve(self.publishes);
            self.acks.reserve(self.publishes);
        }
        self.bytes += weight(&event.data);
        self.events.push(event);
        self.received.extend(ack.iter().filter(|ack| ack.kind == AckKind::PubRec).map(|ack| ack.id));
        self.acks.extend(ack);
    }
}

impl Ordinary {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.acks.is_empty()
    }

    /// Adds an acknowledgement that is sent when the pending changes are durable.
    pub(super) fn push(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    pub(super) fn is_full(&self) -> bool {
        self.acks.len() >= MAX_ACKS || self.pending.bytes() >= MAX_BYTES
    }
}

/// Bytes that an event takes up in the journal's queue, roughly.
pub(super) fn weight(data: &EventData) -> usize {
    const OVERHEAD: usize = 64;
    data.payload().len() + data.subfolder().len() + OVERHEAD
}
