//! The entries of the journal, which are the only durable writes. Replaying them in order from an empty store gives the same store.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{DeviceNum, PluginName, Seq};

use super::{
    broker::BrokerChange,
    call::CallRecord,
    cause::{Cause, EffectKey},
    effect::Effect,
    event::Event,
    execution::{Handled, HandledRun, HeldBack},
    lifecycle::PluginChange,
    registry_change::RegistryChange,
    settlement::Settlement,
};

/// One atomic thing that happened. The order of the variants, and of the fields of each, is the format of the journal
/// (ARCHITECTURE.md, "Formats"): new variants are added at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// Appends these events. `by` has the effect that caused each one, in the same order; missing elements mean `None`.
    Events { events: Vec<Event>, by: Vec<Option<EffectKey>> },
    /// A plugin has handled these events, with these effects.
    Handled(HandledRun),
    /// A rate limit delayed the effects of an event. The entry precedes the `Handled` of the event, and is used for explanations
    /// only.
    HeldBack(HeldBack),
    /// Methods of devices were called.
    Called(Vec<CallRecord>),
    /// What devices said of what was delivered to them.
    Settled(Vec<Settlement>),
    /// Commands of one device that have ended, each with its `CommandSettled` event: one record, so that neither is there
    /// without the other. `nums` are the commands' numbers among those of their device, one for each event.
    CommandsSettled { nums: Vec<u64>, events: Vec<Event> },
    /// An operator's change. With `revision`, which is an `ETag`, it is made only if what it changes has that one. It is `None` for
    /// changes of bindings and of enrolments: the calls for bindings take no `If-Match`, and enrolments are compared by content.
    Registry { change: RegistryChange, revision: Option<u64> },
    /// An operator deletes a device. Its open commands end with it: `nums` and `events` are as in `CommandsSettled`. Where the
    /// deletion is refused, the commands have ended nevertheless, as their events say so.
    DeviceDeleted { num: DeviceNum, revision: Option<u64>, nums: Vec<u64>, events: Vec<Event> },
    /// Effects that an operator asked for.
    Operator { time_ms: u64, cause: Cause, effects: Vec<Effect> },
    /// A change in the lifecycle of a plugin.
    Plugin { plugin: PluginName, change: Box<PluginChange> },
    /// A plugin that sees timers is new or changed: its timer `$start` is due. `version` identifies component and settings.
    PluginStarts { plugin: PluginName, version: String, time_ms: u64 },
    /// Dead letters that an operator deleted, or that were redriven.
    DeadLettersDropped { ids: Vec<u64> },
    /// Sessions that outlive their connections, and retained messages.
    Broker(Vec<BrokerChange>),
    /// The wall clock says this, after a start or after it went back. No repeating timer, delay, time-to-live or expiry of a
    /// stored message lasts longer from here than from the moment it was set.
    ClockSet { time_ms: u64 },
    /// How many commands may wait for a device from here on: the outcome of commands depends on it.
    QueueLimit { commands: u64 },
    /// Nothing; its commit says that all before it is durable.
    Barrier,
}

impl From<Handled> for Entry {
    fn from(handled: Handled) -> Self {
        Self::Handled(handled.into())
    }
}

impl Entry {
    /// Events without a causing effect.
    #[must_use]
    pub fn of_events(events: Vec<Event>) -> Self {
        Self::Events { events, by: Vec::new() }
    }

    /// The events that it puts into the journal. A new variant has to be listed here, and in the two functions below if it has
    /// events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        match self {
            Self::Events { events, .. } | Self::CommandsSettled { events, .. } | Self::DeviceDeleted { events, .. } => {
                events
            }
            Self::Handled(_)
            | Self::HeldBack(_)
            | Self::Called(_)
            | Self::Settled(_)
            | Self::Registry { .. }
            | Self::Operator { .. }
            | Self::Plugin { .. }
            | Self::PluginStarts { .. }
            | Self::DeadLettersDropped { .. }
            | Self::Broker(_)
            | Self::ClockSet { .. }
            | Self::QueueLimit { .. }
            | Self::Barrier => &[],
        }
    }

    /// The events that it puts into the journal.
    pub fn events_mut(&mut self) -> &mut [Event] {
        match self {
            Self::Events { events, .. } | Self::CommandsSettled { events, .. } | Self::DeviceDeleted { events, .. } => {
                events
            }
            _ => &mut [],
        }
    }

    /// The events that it puts into the journal.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        match self {
            Self::Events { events, .. } | Self::CommandsSettled { events, .. } | Self::DeviceDeleted { events, .. } => {
                events
            }
            _ => Vec::new(),
        }
    }

    /// Its events, each with the effect that caused it.
    pub fn into_events_by(self) -> impl Iterator<Item = (Event, Option<EffectKey>)> {
        let (events, by) = match self {
            Self::Events { events, by } => (events, by),
            other => (other.into_events(), Vec::new()),
        };
        events.into_iter().zip(by.into_iter().chain(std::iter::repeat(None)))
    }

    /// The event with this number, and the effect that caused it.
    #[must_use]
    pub fn into_event(self, seq: Seq) -> Option<(Event, Option<EffectKey>)> {
        self.into_events_by().find(|(event, _)| event.seq == seq)
    }
}
