//! Looking back: events, executions and dead letters as the log has them. Reads only; how they look to a caller is the
//! business of the admin API.

mod story;

pub use story::Story;

use crate::{
    model::{DeadLetter, DeviceNum, Entry, Event, EventKind, Handled, PluginName, Seq},
    store,
};

/// Rows of the log that are read in one go.
const CHUNK_ROWS: usize = 256;
/// Rows of the log that one page looks through at most; a page may end early because of it.
const PAGE_ROWS: usize = 16 * 1024;

/// A place in the log: what stands before it is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub row: i64,
    /// The place among those of the same kind in the row.
    pub index: usize,
}

/// Newest first, and where to go on; none at the beginning of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Position>,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub device: Option<DeviceNum>,
    pub kind: Option<EventKind>,
}

impl EventFilter {
    fn takes(&self, event: &Event) -> bool {
        self.device.is_none_or(|device| event.device == Some(device))
            && self.kind.is_none_or(|kind| event.data.kind() == kind)
    }
}

/// Which executions.
#[derive(Debug, Clone, Default)]
pub struct ExecutionFilter {
    pub plugin: Option<PluginName>,
    pub event: Option<Seq>,
}

impl ExecutionFilter {
    fn takes(&self, handled: &Handled) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| handled.plugin == *plugin)
            && self.event.is_none_or(|event| handled.seq == event)
    }
}

/// The door for those who look back. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    store: store::Handle,
}

impl Handle {
    #[must_use]
    pub fn new(store: store::Handle) -> Self {
        Self { store }
    }

    /// At most `limit` events before `before` (none = from the newest on).
    pub async fn events(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Page<Event>, store::Error> {
        self.walk(before, limit, |entry, found| {
            found.extend(entry.into_events().into_iter().map(|event| filter.takes(&event).then_some(event)));
        })
        .await
    }

    /// At most `limit` executions before `before` (none = from the newest on).
    pub async fn executions(
        &self,
        before: Option<Position>,
        limit: usize,
        filter: &ExecutionFilter,
    ) -> Result<Page<Handled>, store::Error> {
        self.walk(before, limit, |entry, found| {
            if let Entry::Handled(handled) = entry {
                found.push(filter.takes(&handled).then_some(handled));
            }
        })
        .await
    }

    /// In order of their ids, after `after`.
    pub async fn dead_letters(&self, after: u64, limit: usize) -> Result<Vec<DeadLetter>, store::Error> {
        self.store.dead_letters(after, limit).await
    }

    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, store::Error> {
        self.store.dead_letter(id).await
    }

    /// Goes back through the log. `pick` gives all items of an entry, none for those that are filtered out, so that an
    /// item's index in its row does not depend on the filter.
    async fn walk<T>(
        &self,
        before: Option<Position>,
        limit: usize,
        mut pick: impl FnMut(Entry, &mut Vec<Option<T>>),
    ) -> Result<Page<T>, store::Error> {
        let mut items = Vec::new();
        // The row of the position itself is looked at again, up to its index.
        let mut from = before.map_or(i64::MAX, |position| position.row.saturating_add(1));
        for _ in 0..PAGE_ROWS / CHUNK_ROWS {
            let rows = self.store.log_back(from, CHUNK_ROWS).await?;
            let Some(oldest) = rows.last().map(|row| row.row) else { return Ok(Page { items, next: None }) };
            for row in rows {
                let mut found = Vec::new();
                row.entries.into_iter().for_each(|entry| pick(entry, &mut found));
                let end = before.filter(|position| position.row == row.row).map_or(usize::MAX, |p| p.index);
                for (index, item) in found.into_iter().enumerate().take(end).rev() {
                    if items.len() == limit {
                        return Ok(Page { items, next: Some(Position { row: row.row, index: index + 1 }) });
                    }
                    items.extend(item);
                }
            }
            from = oldest;
        }
        Ok(Page { items, next: Some(Position { row: from, index: 0 }) })
    }
}
