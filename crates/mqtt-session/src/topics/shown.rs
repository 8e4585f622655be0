//! What the host itself shows on topics: what happens to devices, under `registries/`, and its statistics, under `$SYS/`. Where
//! subscriptions to it stand, and whether there are any.

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

/// Where subscriptions to what happens to devices stand. No filter of a client gets there: none holds a NUL, and no wildcard
/// matches a first level that begins with $.
const SHOWN_ROOT: &str = "$\0/";
/// What happens to devices begins with this; nobody else publishes there.
const DEVICES: &str = "registries/";
/// The statistics begin with this.
const STATISTICS: &str = "$SYS/";
/// Where bridges say whether they are connected: no statistics, but messages of clients.
const BRIDGES: &str = "$SYS/broker/connection/";

/// Makes the statistics as they are now, as retained messages.
pub type Statistics = dyn Fn() -> Vec<Arc<Message>> + Send + Sync;

/// How many subscriptions there are to what the host shows.
#[derive(Default)]
pub(super) struct Watchers {
    devices: AtomicUsize,
    statistics: AtomicUsize,
}

impl Watchers {
    pub(super) fn add(&self, filter: &str) {
        if let Some(count) = self.of(filter) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn remove(&self, filter: &str) {
        if let Some(count) = self.of(filter) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn of(&self, filter: &str) -> Option<&AtomicUsize> {
        let filter = matched_part(filter);
        match filter {
            _ if filter.starts_with(DEVICES) => Some(&self.devices),
            _ if is_of_statistics(filter) => Some(&self.statistics),
            _ => None,
        }
    }

    pub(super) fn of_devices(&self) -> bool {
        self.devices.load(Ordering::Relaxed) > 0
    }

    pub(super) fn of_statistics(&self) -> bool {
        self.statistics.load(Ordering::Relaxed) > 0
    }
}

/// Whether the filter matches statistics, and not bridges' messages alone.
pub(super) fn is_of_statistics(filter: &str) -> bool {
    filter.starts_with(STATISTICS) && !filter.starts_with(BRIDGES)
}

/// Where a subscription stands, or where a topic that the host shows is looked up.
pub(super) fn placed(filter: &str) -> Cow<'_, str> {
    let filter = matched_part(filter);
    if filter.starts_with(DEVICES) { format!("{SHOWN_ROOT}{filter}").into() } else { filter.into() }
}

/// Adds the statistics that match to a page of retained messages, each at its place in the order of the topics.
pub(super) fn merge(page: &mut Page, statistics: Vec<Arc<Message>>, filter: &str, after: Option<&str>) {
    let (messages, next) = (&mut page.messages, page.next.as_deref());
    let on_page = |topic: &str| after.is_none_or(|after| topic > after) && next.is_none_or(|next| topic <= next);
    let shown = statistics.into_iter().filter(|message| topic::matches(filter, &message.topic));
    messages.extend(shown.filter(|message| on_page(&message.topic)));
    messages.sort_by(|one, other| one.topic.cmp(&other.topic));
}
