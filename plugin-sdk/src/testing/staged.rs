//! The effects of the current event: applied together when the plugin has handled it, dropped when it fails.

use std::collections::BTreeMap;

use switchbox_rules::names::DeviceName;

use super::sent::{SentCommand, SentMessage};
use crate::{Entry, Schedule};

/// A config after the event, with its version.
#[derive(Debug, Clone)]
pub(super) struct Desired {
    pub(super) version: u64,
    pub(super) document: Vec<u8>,
}

/// A timer's name, with its schedule and payload. Without these the timer is cancelled.
type StagedTimer = (String, Option<(Schedule, Vec<u8>)>);

/// The effects of the current event.
#[derive(Debug, Clone, Default)]
pub(super) struct Staged {
    /// The event's number.
    pub(super) seq: u64,
    pub(super) host_calls: u32,
    /// It is a migration, which may write as much of the state as it has room for.
    pub(super) migrates: bool,
    /// Effects, except writes of the plugin's state.
    pub(super) effects: usize,
    pub(super) configs: Vec<(DeviceName, Vec<u8>)>,
    pub(super) desired: BTreeMap<DeviceName, Desired>,
    pub(super) commands: Vec<(DeviceName, SentCommand)>,
    /// Each write with its key; without a value the key is deleted.
    pub(super) state: BTreeMap<String, Option<Entry>>,
    pub(super) state_writes: usize,
    pub(super) timers: Vec<StagedTimer>,
    pub(super) messages: Vec<SentMessage>,
}

impl Staged {
    pub(super) fn of_event(seq: u64) -> Self {
        Self { seq, ..Self::default() }
    }
}
