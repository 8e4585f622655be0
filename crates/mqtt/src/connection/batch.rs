//! What of a client's packets goes to the journal together: a run of events of one device, and messages on ordinary topics with what
//! is to be acknowledged when they are durable. Pure.

use std::sync::Arc;

use switchbox_core::{ingest::NewEvent, registry::Device};
use switchbox_model::{EventData, QoS};
use switchbox_mqtt_codec::packet::{Ack, AckKind};
use switchbox_mqtt_session::topics::PendingChanges;

/// Acknowledgements that go to the journal together, at most.
const MOST_ACKS: usize = 256;
/// Bytes that go to the journal together, about.
const MOST_BYTES: usize = 1024 * 1024;

/// Events of one device that go to the journal together.
#[derive(Default)]
pub(crate) struct Batch {
    /// None: the client's own.
    pub(super) of: Option<Arc<Device>>,
    pub(super) events: Vec<NewEvent>,
    pub(super) acks: Vec<Ack>,
    /// QoS 2 ids among them.
    pub(super) received: Vec<u16>,
    pub(super) bytes: usize,
    /// Publishes that were read with it: so many events may come.
    pub(super) publishes: usize,
    /// What is not an event of the device's.
    pub(super) ordinary: Ordinary,
}

/// Messages that are acknowledged together.
#[derive(Default)]
pub(super) struct Ordinary {
    pub(super) pending: PendingChanges,
    pub(super) acks: Vec<Ack>,
}

impl Batch {
    /// An event of the client's own can be added.
    pub(super) fn takes_own(&self) -> bool {
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

    pub(super) fn push(&mut self, data: EventData, qos: QoS, ack: Option<Ack>) {
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

impl Ordinary {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.acks.is_empty()
    }

    /// To be acknowledged when what is pending is durable.
    pub(super) fn push(&mut self, ack: Ack) {
        self.acks.push(ack);
    }

    pub(super) fn is_full(&self) -> bool {
        self.acks.len() >= MOST_ACKS || self.pending.bytes() >= MOST_BYTES
    }
}

/// What an event takes up in the journal's queue, about.
pub(super) fn weight(data: &EventData) -> usize {
    const OVERHEAD: usize = 64;
    data.payload().len() + data.subfolder().len() + OVERHEAD
}
