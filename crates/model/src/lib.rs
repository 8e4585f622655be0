//! Plain types that every room speaks: names, events, effects, log entries. No IO, no clocks, no locks.

pub mod broker;
pub mod call;
pub mod cause;
pub mod command;
pub mod effect;
pub mod entry;
pub mod event;
pub mod hosts;
pub mod life;
pub mod message;
pub mod method;
pub mod payload;
pub mod quota;
pub mod registry;
pub mod timer;

pub use call::{CallRecord, CallResult};
pub use cause::{Cause, EffectKey};
pub use command::OpenCommands;
pub use effect::{Effect, KvWrite};
pub use entry::{DeadLetter, Entry, Handled, HandledInRun, HandledRun, HeldBack, Outcome, RegistryChange, Settlement};
pub use event::{CommandStatus, Event, EventData, EventKind, Property};
pub use hosts::AllowedHosts;
pub use message::{Message, MessageProperties, PayloadFormat, QoS};
pub use payload::{PayloadLimit, PayloadLimits};
pub use switchbox_rules::limits;
pub use switchbox_rules::names::{
    DeviceId, DeviceName, DeviceNum, InvalidName, PluginName, RegistryName, Seq, ServiceName,
};
