//! What was sent and is not acknowledged: the messages in flight, the suspended deliveries, and the identifiers of released messages.

use std::collections::VecDeque;

use super::item::Item;
use switchbox_model::broker::MessageNum;

/// How many identifiers of released messages are remembered. Beyond that, the oldest may be used again.
const REMEMBERED: usize = 1_024;

/// How far a message in flight has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendState {
    /// PUBLISH was sent.
    Published,
    /// PUBREC came and PUBREL was sent.
    Released,
}

/// A message that was sent and is not acknowledged.
#[derive(Debug)]
pub(super) struct InFlight<D> {
    /// The message's packet identifier.
    pub(super) id: u16,
    pub(super) state: SendState,
    /// Whether it is uncertain that the message was sent before the host was killed.
    pub(super) in_doubt: bool,
    /// `None` after PUBREC: the message is not sent again.
    pub(super) item: Option<Item<D>>,
    /// The message's number in the journal, if it is journaled.
    pub(super) journaled: Option<MessageNum>,
}

/// In-flight deliveries that are suspended, in the order of sending.
#[derive(Debug)]
pub(super) struct Suspended<D>(pub(super) VecDeque<InFlight<D>>);

impl<D> Default for Suspended<D> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<D> Suspended<D> {
    pub(super) fn has(&self, id: u16) -> bool {
        self.0.iter().any(|entry| entry.id == id)
    }
}

/// The packet identifiers of released messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Released(VecDeque<u16>);

impl Released {
    pub(super) fn has(&self, id: u16) -> bool {
        self.0.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets an identifier whose acknowledgement came. Returns false if it was not released.
    pub(super) fn forget(&mut self, id: u16) -> bool {
        let index = self.0.iter().position(|released| *released == id);
        index.and_then(|index| self.0.remove(index)).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    pub(super) fn oldest(&self) -> Option<u16> {
        self.0.front().copied()
    }

    pub(super) fn add(&mut self, id: u16) {
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}
