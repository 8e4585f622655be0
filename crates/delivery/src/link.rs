//! A device's connection as delivery sees it: what goes over it, and what is told of it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use switchbox_model::Property;

/// Something for a device, to be turned into packets by its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The device's config document. Only the newest matters: a link whose in-flight window is full keeps at most one
    /// waiting, the newest.
    Config { version: u64, payload: Bytes },
    Command {
        /// Its number among those of its device.
        num: u64,
        id: Arc<str>,
        subfolder: Arc<str>,
        payload: Bytes,
        /// `None`: it has none.
        properties: Option<Arc<[Property]>>,
        /// It was sent before, perhaps on another connection.
        again: bool,
        /// After this it is not sent any more; the timer ends it.
        expires: Option<Instant>,
    },
    /// `rid` is unique among the device's calls under way.
    /// After `expires` nobody waits for its answer: it is not sent then.
    Method { rid: u64, name: Arc<str>, payload: Bytes, expires: Instant },
}

/// A device's connection, as delivery sees it. Called from the journal's writer thread and from plugins: must not block.
pub trait Link: Send + Sync {
    /// Queues it; [`Link::wake`] is to follow. False when its queue is full (counted there) or it is closing.
    fn queue(&self, item: Outbound) -> bool;
    /// The connection learns that something is queued.
    fn wake(&self);
    /// As [`Link::queue`], and the connection learns of it at once.
    fn deliver(&self, item: Outbound) -> bool {
        let taken = self.queue(item);
        self.wake();
        taken
    }
    /// The device acknowledges the commands that it gets: its subscription has not QoS 0.
    fn confirms_commands(&self) -> bool {
        true
    }
    /// What is given now is sent soon.
    fn has_room(&self) -> bool {
        true
    }
    /// Ends the connection; `reason` goes to the log (and the MQTT 5 reason string).
    fn close(&self, reason: &str);
}

/// What a device can subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DownlinkKind {
    Config,
    Commands,
    Methods,
}

/// What was written to a device's socket, what it acknowledged (its PUBACK; for QoS 0 deliveries nothing), or cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryReport {
    ConfigSent,
    CommandSent {
        num: u64,
    },
    /// Refused by a reason code, or too large for the device.
    ConfigRefused {
        version: u64,
    },
    ConfigAcknowledged {
        version: u64,
    },
    CommandAcknowledged {
        num: u64,
        id: Arc<str>,
    },
    /// Refused by a reason code, or too large for the device.
    CommandRefused {
        num: u64,
        id: Arc<str>,
    },
}
