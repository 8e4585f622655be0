//! Counts the subscriptions and the retained messages on ordinary topics.

use std::sync::atomic::{AtomicUsize, Ordering};

use switchbox_rules::topic::is_shared;

/// How many subscriptions and retained messages there are on ordinary topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Subscriptions of all clients, with the shared ones.
    pub subscriptions: usize,
    /// Subscriptions of clients with a filter `$share/…`.
    pub shared_subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes of the retained messages.
    pub retained_bytes: usize,
}

/// The number of subscriptions of all clients, and of the shared ones among them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: AtomicUsize,
    shared: AtomicUsize,
}

impl Subscriptions {
    pub(super) fn add(&self, filter: &str) {
        for count in self.counters_of(filter) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn remove(&self, filter: &str) {
        for count in self.counters_of(filter) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn counters_of(&self, filter: &str) -> impl Iterator<Item = &AtomicUsize> {
        [&self.all].into_iter().chain(is_shared(filter).then_some(&self.shared))
    }

    /// The counts, together with the number of retained messages and their bytes.
    pub(super) fn counts(&self, (retained, retained_bytes): (usize, usize)) -> Counts {
        let [subscriptions, shared_subscriptions] =
            [&self.all, &self.shared].map(|count| count.load(Ordering::Relaxed));
        Counts { subscriptions, shared_subscriptions, retained, retained_bytes }
    }
}
