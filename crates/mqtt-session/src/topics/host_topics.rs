//! The topics on which the host itself publishes: events of devices under `registries/`, and statistics under `$SYS/`. Says how their
//! subscriptions are stored in the trie, and counts them.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use switchbox_model::Message;
use switchbox_rules::topic::{self, matched_part};

use super::retained::Page;

/// The prefix of subscriptions to events of devices in the trie. No filter of a client matches it: filters have no NUL, and no wildcard
/// matches a first level that begins with $.
const DEVICES_ROOT: &str = "$\0/";
/// The prefix of topics with events of devices. Clients may not publish there.
const DEVICES: &str = "registries/";
/// The prefix of the statistics.
const STATISTICS: &str = "$SYS/";
/// The topics on which bridges publish whether they are connected. These are messages of clients, not statistics.
const BRIDGES: &str = "$SYS/broker/connection/";

/// Returns the current statistics as retained messages.
pub type Statistics = dyn Fn() -> Vec<Arc<Message>> + Send + Sync;

/// How many subscriptions there are to topics of the host.
#[derive(Default)]
pub(super) struct Watchers {
    devices: AtomicUsize,
    statistics: AtomicUsize,
}

impl Watchers {
    pub(super) fn add(&self, filter: &str) {
        if let Some(count) = self.counter_of(filter) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn remove(&self, filter: &str) {
        if let Some(count) = self.counter_of(filter) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn counter_of(&self, filter: &str) -> Option<&AtomicUsize> {
        let filter = matched_part(filter);
        match filter {
            _ if filter.starts_with(DEVICES) => Some(&self.devices),
            _ if is_of_statistics(filter) => Some(&self.statistics),
            _ => None,
        }
    }

    pub(super) fn has_devices(&self) -> bool {
        self.devices.load(Ordering::Relaxed) > 0
    }

    pub(super) fn has_statistics(&self) -> bool {
        self.statistics.load(Ordering::Relaxed) > 0
    }
}

/// Returns true if the filter is under `$SYS/` and not only for messages of bridges.
pub(super) fn is_of_statistics(filter: &str) -> bool {
    filter.starts_with(STATISTICS) && !filter.starts_with(BRIDGES)
}

/// The key in the trie of a subscription, or of a topic of the host.
pub(super) fn trie_key(filter: &str) -> Cow<'_, str> {
    let filter = matched_part(filter);
    if filter.starts_with(DEVICES) { format!("{DEVICES_ROOT}{filter}").into() } else { filter.into() }
}

/// Adds the matching statistics to a page of retained messages, in the order of the topics.
pub(super) fn merge(page: &mut Page, statistics: Vec<Arc<Message>>, filter: &str, after: Option<&str>) {
    let (messages, next) = (&mut page.messages, page.next.as_deref());
    let on_page = |topic: &str| after.is_none_or(|after| topic > after) && next.is_none_or(|next| topic <= next);
    let matching = statistics.into_iter().filter(|message| topic::matches(filter, &message.topic));
    messages.extend(matching.filter(|message| on_page(&message.topic)));
    messages.sort_by(|one, other| one.topic.cmp(&other.topic));
}
