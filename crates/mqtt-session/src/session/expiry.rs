//! Expiry of queued messages: an expired message stays in the queue until another message needs its place.

use std::time::Instant;

use super::{Deliverable, Item, Session};

impl<D: Clone + Deliverable> Session<D> {
    /// Queues an item whose room was checked by the caller.
    pub fn enqueue(&mut self, item: Item<D>) {
        self.queue_bytes += item.size();
        self.expires_from = self.expires_from.into_iter().chain(item.expires_at()).min();
        self.queue.push_back(item);
    }

    /// Removes all expired items from the queue and returns how many. Items before the earliest expiry are not examined.
    pub fn purge(&mut self, now: Instant) -> u64 {
        if self.expires_from.is_none_or(|first| first > now) {
            return 0;
        }
        let count_before = self.queue.len();
        for item in std::mem::take(&mut self.queue) {
            if item.is_expired(now) {
                self.finish_journaled(item.journaled);
            } else {
                self.queue.push_back(item);
            }
        }
        self.queue_bytes = self.queue.iter().map(Item::size).sum();
        self.expires_from = self.queue.iter().filter_map(Item::expires_at).min();
        u64::try_from(count_before - self.queue.len()).unwrap_or(0)
    }
}
