//! What MQTT over WebSocket has beside the stream of bytes: the HTTP request that it begins with, and the close frame. Pure.

pub(super) mod upgrade;

pub use self::upgrade::Origins;
use switchbox_mqtt_codec::fault::{Fault, reason};
pub(super) use switchbox_transport::websocket::frames::{Failure, status};

/// Why the host closes a connection, for its close frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing<'a> {
    pub(super) status: u16,
    pub(super) text: &'a str,
}

/// The close frame for a fault that ended the connection.
pub(super) fn closing(fault: &Fault) -> Closing<'_> {
    let status = match fault.reason {
        reason::MALFORMED | reason::PROTOCOL => status::PROTOCOL,
        reason::TOO_LARGE => status::TOO_BIG,
        _ => status::POLICY,
    };
    Closing { status, text: &fault.text }
}
