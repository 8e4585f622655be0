//! Reading events: their bytes without a copy, as text, as typed JSON.

use serde::Deserialize;

use crate::{
    Disposition,
    bindings::{exports::switchbox::plugin::handler::EventKind, switchbox::plugin::types},
    reject,
};

pub use types::{
    CommandSettled, CommandStatus, Event, EventData, Property, StateUpdate, Telemetry, TimerFired, TopicMessage,
};

impl Event {
    /// The bytes that came with it; empty for what has none.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.data {
            EventData::Telemetry(telemetry) => &telemetry.payload,
            EventData::State(state) => &state.payload,
            EventData::Timer(timer) => &timer.payload,
            EventData::Topic(message) => &message.payload,
            EventData::Connected | EventData::Disconnected(_) | EventData::CommandSettled(_) => &[],
        }
    }

    /// The payload as text; a reject if it is not UTF-8.
    pub fn text(&self) -> Result<&str, Disposition> {
        std::str::from_utf8(self.payload()).map_err(|e| reject(format!("payload is not UTF-8: {e}")))
    }

    /// The payload as JSON of a type of yours, which may borrow from the event; a reject that says what is wrong where
    /// it is not that.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Disposition> {
        serde_json::from_slice(self.payload())
            .map_err(|e| reject(format!("payload: {}", switchbox_rules::json::explain(&e))))
    }

    /// What kind of event it is, as triggers name it.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.data.kind()
    }
}

impl EventData {
    /// What kind of event it is of, as triggers name it.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Telemetry(_) => EventKind::Telemetry,
            Self::State(_) => EventKind::State,
            Self::Connected => EventKind::Connected,
            Self::Disconnected(_) => EventKind::Disconnected,
            Self::CommandSettled(_) => EventKind::CommandSettled,
            Self::Timer(_) => EventKind::Timer,
            Self::Topic(_) => EventKind::Topic,
        }
    }
}
