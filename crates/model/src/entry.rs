//! The entries of the log: the only durable writes there are. Replaying them in order from an empty store gives the
//! same store again.

use serde::{Deserialize, Serialize};

use switchbox_rules::names::{PluginName, Seq};

use super::{
    broker::BrokerChange,
    call::CallRecord,
    cause::{Cause, EffectKey},
    effect::Effect,
    event::Event,
    execution::{Handled, HandledRun, HeldBack},
    life::PluginChange,
    registry_change::RegistryChange,
    settlement::Settlement,
};

/// One atomic thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    /// Append these events.
    Events(Vec<Event>),
    /// This plugin has handled this event, with these effects.
    Handled(Handled),
    /// What devices said of what was delivered to them.
    Settled(Vec<Settlement>),
    /// An operator's change.
    Registry(RegistryChange),
    /// Effects that an operator asked for.
    Operator {
        time_ms: u64,
        cause: Cause,
        effects: Vec<Effect>,
    },
    /// A plugin is there from this event on.
    PluginAdded {
        plugin: PluginName,
        from: Seq,
    },
    PluginRemoved {
        plugin: PluginName,
    },
    /// Dead letters that an operator threw away, or that were taken up again.
    DeadLettersDropped {
        ids: Vec<u64>,
    },
    /// Nothing; its commit says that all before it is durable.
    Barrier,
    /// Methods of devices were called.
    Called(Vec<CallRecord>),
    /// Commands of one device that have ended, each with its `CommandSettled` event: one record, so that neither is there
    /// without the other. `nums` are the commands' numbers among those of their device, one for each event.
    CommandsSettled {
        nums: Vec<u64>,
        events: Vec<Event>,
    },
    /// This plugin has handled these events. Readers of the log get it as one `Handled` each.
    HandledRun(HandledRun),
    /// Sessions that outlive their connections, and retained messages.
    Broker(Vec<BrokerChange>),
    /// A plugin that sees timers is new or changed: its timer `$start` is due. `version` stands for component and settings.
    PluginStarts {
        plugin: PluginName,
        version: String,
        time_ms: u64,
    },
    /// Events that the host itself brought about, timers and what plugins published, each with the effect that it came of;
    /// none where that is not known.
    EventsBy {
        events: Vec<Event>,
        by: Vec<Option<EffectKey>>,
    },
    /// A rate held the effects of an event back. It stands before the `Handled` of the same event, and only explains it.
    HeldBack(HeldBack),
    /// A change in the life of a plugin.
    Plugin {
        plugin: PluginName,
        change: Box<PluginChange>,
    },
    /// The wall clock says this, after a start or after it went back. No repeating timer, delay, time-to-live or expiry of a
    /// stored message lasts longer from here than from the moment it was set.
    ClockSet {
        time_ms: u64,
    },
    /// An operator's change that is made only if what it changes has this revision, which is its `ETag`.
    RegistryIf {
        revision: u64,
        change: RegistryChange,
    },
}

impl Entry {
    /// The events that it puts into the journal. A new variant has to be listed here, and in the two functions below if it has
    /// events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            Self::Handled(_)
            | Self::HandledRun(_)
            | Self::HeldBack(_)
            | Self::Settled(_)
            | Self::Registry(_)
            | Self::RegistryIf { .. }
            | Self::Operator { .. }
            | Self::PluginAdded { .. }
            | Self::PluginRemoved { .. }
            | Self::PluginStarts { .. }
            | Self::Plugin { .. }
            | Self::DeadLettersDropped { .. }
            | Self::Barrier
            | Self::Called(_)
            | Self::Broker(_)
            | Self::ClockSet { .. } => &[],
        }
    }

    /// The events that it puts into the journal.
    pub fn events_mut(&mut self) -> &mut [Event] {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            _ => &mut [],
        }
    }

    /// The events that it puts into the journal.
    #[must_use]
    pub fn into_events(self) -> Vec<Event> {
        match self {
            Self::Events(events) | Self::CommandsSettled { events, .. } | Self::EventsBy { events, .. } => events,
            _ => Vec::new(),
        }
    }

    /// Its events, each with the effect that it came of.
    pub fn into_events_by(self) -> impl Iterator<Item = (Event, Option<EffectKey>)> {
        let (events, by) = match self {
            Self::EventsBy { events, by } => (events, by),
            other => (other.into_events(), Vec::new()),
        };
        events.into_iter().zip(by.into_iter().chain(std::iter::repeat(None)))
    }

    /// The event with this number, with the effect that it came of.
    #[must_use]
    pub fn into_event(self, seq: Seq) -> Option<(Event, Option<EffectKey>)> {
        self.into_events_by().find(|(event, _)| event.seq == seq)
    }
}
