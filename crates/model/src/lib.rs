//! Plain types that every crate speaks: names, events, effects, entries of the journal. No IO, no clocks, no locks.

pub mod broker;
pub mod call;
pub mod cause;
pub mod command;
pub mod effect;
pub mod enrollment;
pub mod entry;
pub mod event;
pub mod execution;
pub mod hosts;
pub mod lifecycle;
pub mod message;
pub mod patch;
pub mod payload;
pub mod queue_position;
pub mod quota;
pub mod registry;
pub mod registry_change;
pub mod settlement;
pub mod symmetric;
pub mod timer;
pub mod twin_change;

pub use call::{CallRecord, CallResult};
pub use cause::{Cause, EffectKey, JournaledDigest};
pub use command::OpenCommands;
pub use effect::{Effect, KvWrite, Target};
pub use entry::Entry;
pub use event::{CommandStatus, Event, EventData, EventKind, Property};
pub use execution::{DeadLetter, Handled, HandledInRun, HandledRun, HeldBack, Outcome};
pub use hosts::AllowedHosts;
pub use message::{Message, MessageProperties, PayloadFormat, QoS};
pub use payload::{PayloadLimit, PayloadLimits};
pub use queue_position::QueuePosition;
pub use registry_change::RegistryChange;
pub use settlement::Settlement;
pub use switchbox_rules::names::{
    DeviceId, DeviceName, DeviceNum, InvalidName, PluginName, RegistryName, Seq, ServiceName,
};
pub use switchbox_rules::{calls, limits, topic};
