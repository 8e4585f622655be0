//! Commands as they stand in `state.db`, and what is asked for among them.

use bytes::Bytes;

use switchbox_model::{CommandStatus, DeviceNum, Property, cause::Cause};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandDoc {
    pub device: DeviceNum,
    /// Its place among the device's commands.
    pub num: u64,
    pub id: String,
    pub subfolder: String,
    pub payload: Bytes,
    /// As those of an event.
    pub properties: Vec<Property>,
    pub ttl_ms: u64,
    /// When its time is over; none = with the connection that it was sent on.
    pub expires_ms: Option<u64>,
    /// What becomes of it when its time is over, unless `Expired`.
    pub verdict: Option<CommandStatus>,
    pub status: CommandStatus,
    pub created_ms: u64,
    /// When it was first sent.
    pub sent_ms: Option<u64>,
    /// When it got its final status.
    pub settled_ms: Option<u64>,
    pub cause: Cause,
}

impl CommandDoc {
    /// When it got the status that it has.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.settled_ms.or(self.sent_ms).unwrap_or(self.created_ms)
    }
}

/// Which of a device's commands.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// Only those with smaller numbers.
    pub before: Option<u64>,
    pub status: Option<CommandStatus>,
    pub limit: usize,
}

/// A part of a queue, in its order.
#[derive(Debug, Default)]
pub struct CommandPage {
    pub commands: Vec<CommandDoc>,
    /// Those up to this number may have been sent, also where that was not noted.
    pub in_doubt: u64,
    /// There are no more.
    pub last: bool,
}

/// A command that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCommand {
    pub device: DeviceNum,
    pub num: u64,
    pub id: String,
    /// None = expired.
    pub verdict: Option<CommandStatus>,
}
