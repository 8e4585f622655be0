//! Reads events, executions and dead letters from the journal. The admin API converts them for callers.

mod event_history;
mod filter;
mod follow;
mod origin;
mod page;
mod sample;
mod shared_page;
mod weight;

use filter::touches;
use origin::Origins;
use page::Items;
use shared_page::SharedPage;
use weight::Weight;

pub use event_history::EventHistory;
pub use filter::{CallFilter, EventFilter, ExecutionFilter};
pub use follow::{Cursor, FollowFilter, Followed, Follower};
pub use page::{DeadLetterPage, Page, Position};
pub use sample::{Allowance, SampleRate};

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use switchbox_model::{
    CallRecord, DeadLetter, DeviceNum, Entry, Event, Handled, PluginName, RegistryChange, Seq, limits::ADMIN_PAGE_BYTES,
};
use switchbox_store as store;

/// Rows of the journal that are read at once.
const CHUNK_ROWS: usize = 256;
/// Rows of the journal that are searched for one page, at most. A page may end early because of it.
const PAGE_ROWS: usize = 16 * 1024;
/// Pages that are searched for the executions of one device, at most.
const DEVICE_PAGES: usize = 64;
/// A [`Position`] with this row is among the kept records, which outlive the journal: rows of the journal start at 1.
const KEPT_RECORDS_ROW: i64 = 0;
/// Dead letters that are read at once.
const DEAD_LETTERS: usize = 100;

/// Reads the journal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    store: store::Handle,
    /// The page that followers share, as long as there are any.
    shared_page: Arc<Mutex<Weak<SharedPage>>>,
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle) -> Self {
        Self { store, shared_page: Arc::default() }
    }

    /// At most `limit` events before `before` (`None` for the newest).
    pub async fn events(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Page<Event>, store::Error> {
        let mut is_past_start = false;
        let take = |entry: Entry, found: &mut Vec<Option<Event>>| {
            let events = entry.into_events().into_iter();
            found.extend(events.map(|event| {
                is_past_start |= filter.ends_search_at(&event);
                filter.matches(&event).then_some(event)
            }));
        };
        let (items, next) = self.walk(before, limit, take).await?;
        Ok(items.into_page(next.filter(|_| !is_past_start)))
    }

    /// At most `limit` executions before `before` (`None` for the newest).
    pub async fn executions(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &ExecutionFilter,
    ) -> Result<Page<Handled>, store::Error> {
        let Some(device) = filter.device else { return self.all_executions(before, limit, filter).await };
        let mut origins = Origins::new(&self.store);
        let (mut items, mut from) = (Items::new(usize::MAX), before);
        for _ in 0..DEVICE_PAGES {
            let page = self.all_executions(from, limit - items.items.len(), filter).await?;
            for handled in page.items {
                if touches(&handled.outcome, device) || origins.device_of(handled.seq).await? == Some(device) {
                    items.bytes += handled.weight();
                    items.items.push(handled);
                }
            }
            from = page.next;
            items.oldest_ms = page.searched_to_ms.or(items.oldest_ms);
            // Two of these pages may be one and a half times as large as one.
            if items.items.len() == limit || items.bytes > ADMIN_PAGE_BYTES / 2 || from.is_none() {
                break;
            }
        }
        Ok(items.into_page(from))
    }

    /// At most `limit` method calls before `before` (`None` for the newest).
    pub async fn calls(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &CallFilter,
    ) -> Result<Page<CallRecord>, store::Error> {
        let mut is_past_start = false;
        let take = |entry: Entry, found: &mut Vec<Option<CallRecord>>| {
            let Entry::Called(calls) = entry else { return };
            found.extend(calls.into_iter().map(|call| {
                is_past_start |= filter.ends_search_at(&call);
                filter.matches(&call).then_some(call)
            }));
        };
        let (items, next) = self.walk(before, limit, take).await?;
        Ok(items.into_page(next.filter(|_| !is_past_start)))
    }

    /// The device of each event. `None` for an event without a device, and for one that is no longer kept.
    pub async fn devices_of(
        &self,
        events: impl Iterator<Item = Option<Seq>>,
    ) -> Result<Vec<Option<DeviceNum>>, store::Error> {
        let mut origins = Origins::new(&self.store);
        let mut devices = Vec::new();
        for seq in events {
            devices.push(match seq {
                Some(seq) => origins.device_of(seq).await?,
                None => None,
            });
        }
        Ok(devices)
    }

    /// Executions for events of any device: those of the journal, then the kept ones.
    async fn all_executions(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &ExecutionFilter,
    ) -> Result<Page<Handled>, store::Error> {
        if let Some(position) = before.filter(|position| position.row == KEPT_RECORDS_ROW) {
            return self.add_kept_records(position.index, Items::new(limit), filter).await;
        }
        let mut is_past_start = false;
        let (items, next) = self
            .walk(before, limit, |entry, found| {
                let Entry::Handled(run) = entry else { return };
                for handled in run.each() {
                    is_past_start |= filter.ends_search_at(&handled);
                    found.push(filter.matches(&handled).then_some(handled));
                }
            })
            .await?;
        match next {
            _ if is_past_start => Ok(items.into_page(None)),
            Some(next) => Ok(items.into_page(Some(next))),
            None => self.add_kept_records(usize::MAX, items, filter).await,
        }
    }

    /// Adds kept executions, which outlive the journal, to a page that may already have others. `before`: only those with smaller numbers.
    async fn add_kept_records(
        &self,
        before: usize,
        mut items: Items<Handled>,
        filter: &ExecutionFilter,
    ) -> Result<Page<Handled>, store::Error> {
        let mut before = before;
        for _ in 0..PAGE_ROWS / CHUNK_ROWS {
            let num = i64::try_from(before).unwrap_or(i64::MAX);
            let records = self.store.kept_before(num, CHUNK_ROWS).await?;
            let Some((oldest, _)) = records.last() else { return Ok(items.into_page(None)) };
            let oldest = usize::try_from(*oldest).unwrap_or(0);
            for (num, kept) in records {
                items.oldest_ms = kept.handled.as_ref().map(|handled| handled.time_ms).or(items.oldest_ms);
                let taken = kept.handled.filter(|handled| filter.matches(handled));
                if taken.is_some_and(|handled| items.push(handled).is_err()) {
                    return Ok(items.into_page(Some(Position { row: KEPT_RECORDS_ROW, index: before })));
                }
                before = usize::try_from(num).unwrap_or(0);
            }
            before = oldest;
        }
        Ok(items.into_page(Some(Position { row: KEPT_RECORDS_ROW, index: before })))
    }

    /// In order of their ids, after `after`; with `plugin` only those of that one. Not many more bytes than a page has.
    pub async fn dead_letters(
        &self,
        after: u64,
        limit: usize,
        plugin: Option<&PluginName>,
    ) -> Result<DeadLetterPage, store::Error> {
        let (mut found, mut after) = (Items::new(limit), after);
        loop {
            let page = self.store.dead_letters(after, DEAD_LETTERS).await?;
            if page.is_empty() {
                return Ok(DeadLetterPage { items: found.items, more: false });
            }
            for dead_letter in page.into_iter() {
                after = dead_letter.id;
                let taken = plugin.is_none_or(|plugin| dead_letter.plugin == *plugin);
                if taken && found.push(dead_letter).is_err() {
                    return Ok(DeadLetterPage { items: found.items, more: true });
                }
            }
        }
    }

    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, store::Error> {
        self.store.dead_letter(id).await
    }

    /// Goes back through the journal. `pick` returns all items of an entry, with `None` for those that are filtered out, so that an
    /// item's index in its row does not depend on the filter.
    async fn walk<T: Weight>(
        &self,
        before: Option<Position>,
        limit: usize,
        mut pick: impl FnMut(Entry, &mut Vec<Option<T>>),
    ) -> Result<(Items<T>, Option<Position>), store::Error> {
        let mut items = Items::new(limit);
        // The row of the position itself is read again, up to its index.
        let mut from = before.map_or(i64::MAX, |position| position.row.saturating_add(1));
        let mut rows_read = 0;
        while rows_read < PAGE_ROWS {
            let rows = self.store.journal_back(from, CHUNK_ROWS).await?;
            let Some(oldest) = rows.last().map(|row| row.row) else { return Ok((items, None)) };
            rows_read += rows.len();
            for row in rows {
                let mut picked = Vec::new();
                items.oldest_ms = row.entries.iter().find_map(time_ms).or(items.oldest_ms);
                row.entries.into_iter().for_each(|entry| pick(entry, &mut picked));
                let end = before.filter(|position| position.row == row.row).map_or(usize::MAX, |p| p.index);
                let newest_first = picked.into_iter().enumerate().take(end).rev();
                for (index, item) in newest_first.filter_map(|(index, item)| Some((index, item?))) {
                    if items.push(item).is_err() {
                        return Ok((items, Some(Position { row: row.row, index: index + 1 })));
                    }
                }
            }
            from = oldest;
        }
        Ok((items, Some(Position { row: from, index: 0 })))
    }
}

/// When the content of the entry happened. Returns `None` if the entry has no time.
fn time_ms(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Handled(run) => Some(run.time_ms),
        Entry::Called(calls) => calls.first().map(|call| call.time_ms),
        Entry::Operator { time_ms, .. } | Entry::PluginStarts { time_ms, .. } | Entry::ClockSet { time_ms } => {
            Some(*time_ms)
        }
        Entry::Registry { change: RegistryChange::TwinChanged(change), .. } => Some(change.time_ms),
        _ => entry.events().first().map(|event| event.time_ms),
    }
}
