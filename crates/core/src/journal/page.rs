//! A page of items of the journal, limited in number and bytes.

use super::weight::Weight;
use switchbox_model::{DeadLetter, limits::ADMIN_PAGE_BYTES};

/// A place in the journal: earlier entries are older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub row: i64,
    /// The index among the items of the same kind in the row.
    pub index: usize,
}

/// Items, the newest first, and the position of the next page. A page ends when its items are larger than [`ADMIN_PAGE_BYTES`] as JSON, or
/// at the beginning of the journal, where `next` is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Position>,
    /// The time of the oldest entry that was looked at, milliseconds since the Unix epoch; later ones were all looked at. Is `None`
    /// without a next page, and if no entry had a time.
    pub searched_to_ms: Option<u64>,
    /// Whether the page ended because of its size.
    pub full: bool,
}

/// Dead letters in order of their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetterPage {
    pub items: Vec<DeadLetter>,
    /// Whether there may be more after the last.
    pub more: bool,
}

/// The items of a page that is being made.
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    limit: usize,
    pub(super) bytes: usize,
    /// The time of the oldest entry so far.
    pub(super) oldest_ms: Option<u64>,
}

impl<T: Weight> Items<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { items: Vec::new(), limit, bytes: 0, oldest_ms: None }
    }

    /// Returns the item if the page has no room for it. There is always room for the first.
    pub(super) fn push(&mut self, item: T) -> Result<(), T> {
        let bytes = item.weight();
        let is_full = self.bytes + bytes > ADMIN_PAGE_BYTES && !self.items.is_empty();
        if is_full || self.items.len() >= self.limit {
            return Err(item);
        }
        self.bytes += bytes;
        self.items.push(item);
        Ok(())
    }

    /// The page of these items. `next`: where the next page begins.
    pub(super) fn into_page(self, next: Option<Position>) -> Page<T> {
        let full = self.items.len() < self.limit && self.bytes > ADMIN_PAGE_BYTES / 2 && next.is_some();
        let searched_to_ms = self.oldest_ms.filter(|_| next.is_some());
        Page { items: self.items, next, searched_to_ms, full }
    }
}
