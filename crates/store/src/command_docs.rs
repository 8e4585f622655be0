//! Commands as `state.db` has them, and the filters to list them by.

use bytes::Bytes;

use switchbox_model::{CommandStatus, DeviceNum, Property, cause::Cause};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandDoc {
    pub device: DeviceNum,
    /// The command's number among those of its device.
    pub num: u64,
    pub id: String,
    pub subfolder: String,
    pub payload: Bytes,
    /// User properties, as an event has them.
    pub properties: Vec<Property>,
    pub ttl_ms: u64,
    /// The command's deadline. `None` when the command ends with the connection that it was sent on.
    pub expires_ms: Option<u64>,
    /// The status that it gets at its deadline. `None` = `Expired`.
    pub status_at_deadline: Option<CommandStatus>,
    pub status: CommandStatus,
    pub created_ms: u64,
    /// When the command was first sent.
    pub sent_ms: Option<u64>,
    /// When the command got its final status.
    pub settled_ms: Option<u64>,
    pub cause: Cause,
}

impl CommandDoc {
    /// When the command got its current status.
    #[must_use]
    pub fn changed_ms(&self) -> u64 {
        self.settled_ms.or(self.sent_ms).unwrap_or(self.created_ms)
    }
}

/// Which of a device's commands are listed.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// Only those with smaller numbers.
    pub before: Option<u64>,
    pub status: Option<CommandStatus>,
    pub limit: usize,
}

/// Some commands of a device's queue, in its order.
#[derive(Debug, Default)]
pub struct CommandPage {
    pub commands: Vec<CommandDoc>,
    /// Commands up to this number may have been sent without a record of it.
    pub in_doubt: u64,
    /// Whether there are no more.
    pub last: bool,
}

/// A command that is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCommand {
    pub device: DeviceNum,
    pub num: u64,
    pub id: String,
    /// `None` = `Expired`.
    pub status_at_deadline: Option<CommandStatus>,
}
