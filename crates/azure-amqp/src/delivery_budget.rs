//! What the host holds of events for one connection, whose links share it. A link takes a turn before it reads a page of the journal, and
//! hands its events to the AMQP library only while there is room: the library keeps what it is given until the socket takes it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::reader::PAGE_BYTES;
use switchbox_model::limits::{HUB_AMQP_READ_BYTES, HUB_AMQP_UNWRITTEN_BYTES};

/// Links of one connection that hold a page at a time.
pub(crate) const TURNS: usize = HUB_AMQP_READ_BYTES / PAGE_BYTES;

/// Links that wait for room are woken when no more than this is unwritten, so that they hand over many events for one wake-up, and do
/// not all wake up for each event that is written.
const WAKE_BYTES: usize = HUB_AMQP_UNWRITTEN_BYTES / 2;

/// The right of a link to hold a page.
pub(crate) type Turn = OwnedSemaphorePermit;

#[derive(Debug)]
pub(crate) struct DeliveryBudget {
    turns: Arc<Semaphore>,
    /// Bytes of the events that were handed to the library and are not written.
    unwritten: AtomicUsize,
    freed: Notify,
}

impl Default for DeliveryBudget {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(TURNS)), unwritten: AtomicUsize::new(0), freed: Notify::new() }
    }
}

impl DeliveryBudget {
    /// Waits for a turn; the links get them in the order in which they ask. Returns `None` only if the semaphore was closed, which nobody does.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Whether another event may be handed over. The one that is may exceed the limit.
    pub(crate) fn has_room(&self) -> bool {
        self.unwritten.load(Relaxed) < HUB_AMQP_UNWRITTEN_BYTES
    }

    /// Waits for room. There is some until the limit is reached; after that, when half of it is free.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            if self.has_room() {
                return;
            }
            freed.await;
        }
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.unwritten.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        let before = self.unwritten.fetch_sub(bytes, Relaxed);
        if before > WAKE_BYTES && before - bytes <= WAKE_BYTES {
            self.freed.notify_waiters();
        }
    }

    /// Bytes that are not written, and links that hold a page.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        (self.unwritten.load(Relaxed), TURNS - self.turns.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn there_is_room_again_when_half_was_written() {
        let budget = DeliveryBudget::default();
        budget.room().await;
        budget.take(10);
        budget.take(HUB_AMQP_UNWRITTEN_BYTES);
        let mut waiting = std::pin::pin!(budget.room());
        assert!(poll!(waiting.as_mut()).is_pending());
        budget.give_back(10);
        assert!(poll!(waiting.as_mut()).is_pending());
        budget.give_back(WAKE_BYTES - 1);
        assert!(poll!(waiting.as_mut()).is_pending());
        budget.give_back(1);
        waiting.await;
        budget.give_back(WAKE_BYTES);
        assert_eq!(budget.held(), (0, 0));
    }

    #[tokio::test]
    async fn a_turn_is_free_when_its_link_gives_it_back() {
        let budget = DeliveryBudget::default();
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            turns.extend(budget.turn().await);
        }
        let mut waiting = std::pin::pin!(budget.turn());
        assert!(poll!(waiting.as_mut()).is_pending());
        turns.pop();
        assert!(waiting.await.is_some());
    }
}
