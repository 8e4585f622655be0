//! An explanation as data: the causes of an object, and its effects.

use std::sync::Arc;

use bytes::Bytes;

use switchbox_model::{
    CallRecord, CallResult, CommandStatus, DeadLetter, DeviceNum, Event, Handled, HeldBack, KvWrite, PluginName, Seq,
    timer::Timer,
};
use switchbox_store::{CommandDoc, ConfigVersion};

/// The answer to "why?".
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The steps from the first cause to the explained object.
    pub chain: Vec<Step>,
    /// The effects of the object.
    pub branches: Vec<Branch>,
    /// There may be more effects in the later part of the journal, which was not searched.
    pub cut: bool,
}

/// An effect, and its own effects.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    pub step: Step,
    pub branches: Vec<Branch>,
}

impl Branch {
    /// Bytes of payloads in it.
    pub(super) fn payload_bytes(&self) -> usize {
        let step_bytes = match &self.step {
            Step::Execution(execution) => execution.record.as_ref().map_or(0, Handled::payload_bytes),
            Step::Config(config) => config.version.payload.len(),
            Step::Command(command) => command.payload.len(),
            Step::Published { payload, .. } => payload.len(),
            Step::Call(call) => match &call.result {
                CallResult::Answered { payload, .. } => call.request.len() + payload.len(),
                CallResult::Failed(_) => call.request.len(),
            },
            _ => 0,
        };
        step_bytes + self.branches.iter().map(Self::payload_bytes).sum::<usize>()
    }
}

impl From<Step> for Branch {
    fn from(step: Step) -> Self {
        Self { step, branches: Vec::new() }
    }
}

/// One link of a chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Event(Box<Event>),
    /// A call of the admin API.
    Operator {
        caller: String,
    },
    Execution(Box<ExecutionStep>),
    /// A rate held the execution's effects back.
    HeldBack(Box<HeldBack>),
    /// A plugin handled the event, and its effects wait for an operator's approval.
    WaitsForApproval(Box<PendingApproval>),
    Config(Box<ConfigStep>),
    /// A patch removed members, and the device has no config.
    NothingToPatch {
        device: DeviceNum,
    },
    Command(Box<CommandDoc>),
    Call(Box<CallRecord>),
    /// The plugin wrote to its own state.
    Kv(KvWrite),
    /// The plugin set a timer.
    TimerSet(Box<Timer>),
    /// The plugin cancelled a timer.
    TimerCancelled {
        name: String,
    },
    /// The plugin published on an ordinary topic.
    Published {
        topic: String,
        payload: Bytes,
    },
    DeadLetter(Box<DeadLetter>),
    /// None of the execution's effects were applied: what they depend on had changed, and the event was tried again.
    Refused,
    /// The object is no longer kept.
    Gone(Gone),
    /// There are earlier steps, which are not shown.
    EarlierNotShown,
}

/// The effects of an execution that is not in the journal yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingApproval {
    pub seq: Seq,
    pub plugin: PluginName,
    /// Since when they wait, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The limit, and by how much the effects exceed it.
    pub why: String,
    /// How many effects there are.
    pub effects: usize,
}

impl PendingApproval {
    /// Whether they are those of this execution.
    pub(super) fn is_of(&self, seq: Seq, plugin: &PluginName) -> bool {
        self.seq == seq && self.plugin == *plugin
    }
}

/// What is still known of something that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    Event(Seq),
    /// The causes of the object are not known any more.
    Execution {
        seq: Seq,
        plugin: PluginName,
    },
    Config {
        device: DeviceNum,
    },
    Command {
        device: DeviceNum,
        id: String,
    },
}

/// A plugin handled an event.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionStep {
    pub seq: Seq,
    pub plugin: PluginName,
    pub digest: Arc<str>,
    pub attempt: u32,
    /// `None` when the journal no longer has it.
    pub record: Option<Handled>,
}

impl From<Handled> for ExecutionStep {
    fn from(handled: Handled) -> Self {
        Self {
            seq: handled.seq,
            plugin: handled.plugin.clone(),
            digest: handled.digest.clone(),
            attempt: handled.attempt,
            record: Some(handled),
        }
    }
}

/// A config version, as the result of an effect.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigStep {
    pub version: ConfigVersion,
    pub outcome: ConfigOutcome,
    /// The effect made no version: this one was in force and has the same content.
    pub unchanged: bool,
}

/// How far a config version has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOutcome {
    /// The device's PUBACK came after this many milliseconds.
    Acknowledged { after_ms: u64 },
    /// The config is in force and waits for the device.
    Waiting,
    /// A newer version took its place before the device acknowledged it.
    Superseded { by: u64 },
}

impl ConfigStep {
    /// `newest`: the version in force.
    #[must_use]
    pub fn new(version: ConfigVersion, newest: u64) -> Self {
        let outcome = match version.acknowledged_ms {
            Some(at) => ConfigOutcome::Acknowledged { after_ms: at.saturating_sub(version.time_ms) },
            None if newest > version.version => ConfigOutcome::Superseded { by: version.version + 1 },
            None => ConfigOutcome::Waiting,
        };
        Self { version, outcome, unchanged: false }
    }
}

/// How long after its creation a command got its current status, milliseconds. Returns `None` while it is only queued.
#[must_use]
pub fn settled_after_ms(command: &CommandDoc) -> Option<u64> {
    (command.status != CommandStatus::Queued).then(|| command.changed_ms().saturating_sub(command.created_ms))
}
