//! A device's connection as delivery sees it: what is sent over it, and what is reported back.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use switchbox_model::Property;
use switchbox_store::ConfigVersion;

/// A delivery to a device. Its connection encodes it as a packet. It is moved from queue to queue and kept until it is acknowledged, so it is
/// small and shares its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// The device's config document. A link whose in-flight window is full keeps only the newest one waiting.
    Config(Arc<ConfigVersion>),
    Command(Arc<OutboundCommand>),
    Method(Arc<OutboundCall>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundCommand {
    /// The command's number among those of its device.
    pub num: u64,
    pub id: Arc<str>,
    pub subfolder: Box<str>,
    pub payload: Bytes,
    pub properties: Box<[Property]>,
    /// Whether the command was sent before, perhaps on another connection.
    pub again: bool,
    /// The command is not sent after this time. The task that ends due commands ends it.
    pub expires: Option<Instant>,
}

/// A method call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundCall {
    /// Unique among the device's calls in progress.
    pub rid: u64,
    pub name: Box<str>,
    pub payload: Bytes,
    /// The caller waits until then, so the call is not sent after that.
    pub expires: Instant,
}

impl Outbound {
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        match self {
            Self::Config(config) => &config.payload,
            Self::Command(command) => &command.payload,
            Self::Method(call) => &call.payload,
        }
    }
}

impl From<OutboundCommand> for Outbound {
    fn from(command: OutboundCommand) -> Self {
        Self::Command(Arc::new(command))
    }
}

impl From<OutboundCall> for Outbound {
    fn from(call: OutboundCall) -> Self {
        Self::Method(Arc::new(call))
    }
}

/// A device's connection. Called on the thread that has the journal's writer, and from plugins, so its methods must not block.
pub trait Link: Send + Sync {
    /// Queues the delivery without waking the connection: the caller calls [`Link::wake`] afterwards. Returns false if the queue is full
    /// (the link counts that) or the connection is closing.
    fn queue(&self, item: Outbound) -> bool;
    /// Wakes the connection's task for what was queued.
    fn wake(&self);
    /// Queues the delivery and wakes the connection.
    fn deliver(&self, item: Outbound) -> bool {
        let taken = self.queue(item);
        self.wake();
        taken
    }
    /// Returns true if the device acknowledges its commands: it subscribes to them with QoS 1.
    fn confirms_commands(&self) -> bool {
        true
    }
    /// Checks that the device can read a method call with this payload. The error says why not.
    fn check_call(&self, _payload: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }
    /// Whether the link is that of an attached device, over its gateway's connection.
    fn is_gateway(&self) -> bool {
        false
    }
    /// Returns true if the queue is short enough that a new delivery is sent soon.
    fn has_room(&self) -> bool {
        true
    }
    /// Ends the connection; `reason` goes to the log (and the MQTT 5 reason string).
    fn close(&self, reason: &str);
}

/// The kinds of deliveries to a device. A device subscribes to each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DownlinkKind {
    Config,
    Commands,
    Methods,
}

/// The outcome of a delivery: it was written to the socket, acknowledged by PUBACK (never for QoS 0), or refused.
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
    /// Refused by a reason code, or too large for the device.
    MethodRefused {
        rid: u64,
    },
}
