//! Which effect of an operator something is about.

use switchbox_model::{DeviceNum, Effect};

use super::{ids, key::Key};

/// Identifies an operator's effect before its id is known. Two configs for one device in the same millisecond count as one: both
/// belong to the trace of the second.
#[derive(Debug, Clone, Copy)]
pub enum OperatorEffect<'a> {
    Config {
        device: DeviceNum,
        /// When it was asked for, milliseconds since the Unix epoch.
        time_ms: u64,
    },
    Command {
        id: &'a str,
    },
}

impl<'a> OperatorEffect<'a> {
    pub(crate) fn of(effect: &'a Effect, time_ms: u64) -> Option<Self> {
        match effect {
            Effect::Config { device, .. }
            | Effect::ConfigForced { device, .. }
            | Effect::PatchDesired { device, .. } => Some(Self::Config { device: *device, time_ms }),
            Effect::Command { id, .. } => Some(Self::Command { id }),
            Effect::Kv(_) | Effect::Publish { .. } | Effect::TimerSet(_) | Effect::TimerCancel { .. } => None,
        }
    }

    pub(crate) fn key(self) -> Key {
        match self {
            Self::Config { device, time_ms } => Key::Config(device, time_ms),
            Self::Command { id } => Key::Command(ids::text(id)),
        }
    }
}
