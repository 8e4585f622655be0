//! Follows the journal as it grows. A follower keeps only a position in the journal, so a slow one costs no memory. If it cannot keep up,
//! items are left out, and it gets their number.

use std::collections::VecDeque;

use super::{ExecutionFilter, Handle, touches};
use switchbox_model::{DeviceNum, Entry, Event, EventKind, Handled, Seq};
use switchbox_store as store;
use switchbox_store::JournalPage;

/// Bytes of the journal that are read in one go.
const PAGE_BYTES: usize = 256 * 1024;
/// A follower that is further behind than this skips to the end of the journal.
const BEHIND_BYTES: u64 = 4 * 1024 * 1024;
/// The same two limits for samples: events that are left out anyway need not be read.
const SAMPLED_PAGE_BYTES: usize = 64 * 1024;
const SAMPLED_BEHIND_BYTES: u64 = 256 * 1024;
/// Events whose executions are recognised as belonging to the followed device.
const RECENT: usize = 4_096;

/// The place of a follower: it has seen everything up to and including this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub row: i64,
    /// The place among the events and executions of the row.
    pub index: usize,
    /// The last event that it has seen, or that its filter left out.
    pub seq: Seq,
}

/// Of what a follower gets.
#[derive(Debug, Clone, Default)]
pub struct FollowFilter {
    /// What it sent, and what was done for that or to it.
    pub device: Option<DeviceNum>,
    pub kind: Option<EventKind>,
    /// Whether the follower gets events.
    pub events: bool,
    /// The executions that the follower gets. With `None` it gets none.
    pub executions: Option<ExecutionFilter>,
    /// Whether items may be left out: a follower that is behind then continues with the newest record of the journal.
    pub sampled: bool,
}

/// What a follower gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    Event(Event),
    Execution(Handled),
    /// The number of events that were left out, whether they match the filter or not.
    Missed(u64),
}

/// A reader that follows the end of the journal.
#[derive(Debug)]
pub struct Follower {
    store: store::Handle,
    filter: FollowFilter,
    /// The next row to read, and how many of its items are known already.
    row: i64,
    skip: usize,
    /// The last event that was read. `None` when there was none.
    last: Option<Seq>,
    recent: VecDeque<Seq>,
}

impl Handle {
    /// From `after` on, or from now on.
    pub async fn follow(&self, after: Option<Cursor>, filter: FollowFilter) -> Result<Follower, store::Error> {
        let (row, skip, last) = match after {
            Some(cursor) => (cursor.row, cursor.index + 1, cursor.seq),
            None => {
                let (row, seq) = self.store.journal_end();
                (row + 1, 0, seq)
            }
        };
        Ok(Follower { store: self.store.clone(), filter, row, skip, last: Some(last), recent: VecDeque::new() })
    }
}

impl Follower {
    /// What came since the last time; nothing when nothing did.
    pub async fn next(&mut self) -> Result<Vec<(Cursor, Followed)>, store::Error> {
        let mut items = Vec::new();
        let (page_bytes, most_behind) = match self.filter.sampled {
            true => (SAMPLED_PAGE_BYTES, SAMPLED_BEHIND_BYTES),
            false => (PAGE_BYTES, BEHIND_BYTES),
        };
        let is_behind = self.store.journal_bytes_from(self.row).await? > most_behind;
        if is_behind && self.filter.sampled {
            // Its first event shows how many are between.
            let (row, _) = self.store.journal_end();
            if row > self.row {
                (self.row, self.skip) = (row, 0);
            }
        } else if is_behind {
            let (row, seq) = self.store.journal_end();
            items.extend(self.missed(Seq(seq.0 + 1), Cursor { row, index: usize::MAX - 1, seq }));
            (self.row, self.skip) = (row + 1, 0);
            self.last = Some(seq);
            return Ok(items);
        }
        let JournalPage { rows, next } = self.store.journal_page(self.row, page_bytes).await?;
        for row in rows {
            let known = if row.row == self.row { std::mem::take(&mut self.skip) } else { 0 };
            let mut index = 0;
            for entry in row.entries {
                let mut cursor = |seq| {
                    index += 1;
                    (index > known).then_some(Cursor { row: row.row, index: index - 1, seq })
                };
                match entry {
                    Entry::Handled(run) => {
                        for handled in run.each() {
                            let Some(cursor) = cursor(self.last.unwrap_or_default()) else { continue };
                            items.extend(self.execution(handled).map(|execution| (cursor, execution)));
                        }
                    }
                    entry => {
                        for event in entry.into_events() {
                            let Some(cursor) = cursor(event.seq) else { continue };
                            items.extend(self.missed(event.seq, cursor));
                            self.last = Some(event.seq);
                            items.extend(self.event(event).map(|event| (cursor, event)));
                        }
                    }
                }
            }
        }
        // A page that is empty says where it would have begun.
        if next > self.row {
            (self.row, self.skip) = (next, 0);
        }
        Ok(items)
    }

    /// Events have no gaps in their numbers, so a gap is what was left out.
    fn missed(&self, now: Seq, at: Cursor) -> Option<(Cursor, Followed)> {
        let gap = now.0.saturating_sub(self.last?.0 + 1);
        (gap > 0).then_some((at, Followed::Missed(gap)))
    }

    fn event(&mut self, event: Event) -> Option<Followed> {
        let filter = &self.filter;
        if filter.device.is_some_and(|device| event.device != Some(device)) {
            return None;
        }
        if filter.device.is_some() && filter.executions.is_some() {
            self.recent.push_back(event.seq);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        let wanted = filter.events && filter.kind.is_none_or(|kind| event.data.kind() == kind);
        wanted.then_some(Followed::Event(event))
    }

    fn execution(&self, handled: Handled) -> Option<Followed> {
        let of_device = |device| self.recent.contains(&handled.seq) || touches(&handled, device);
        let wanted = self.filter.executions.as_ref().is_some_and(|filter| filter.takes(&handled))
            && self.filter.device.is_none_or(of_device);
        wanted.then_some(Followed::Execution(handled))
    }
}
